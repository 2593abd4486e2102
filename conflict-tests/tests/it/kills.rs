//! SIGKILL at random moments under load: what was acknowledged is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conflict_tests::chance::Dice;
use taizhang_core::id::RecordId;
use taizhang_node::ops::Request;

use crate::office::{chain, clerk, household};

/// 300 in CI; `KILLS=1000` by hand.
fn kills() -> u64 {
    let asked = std::env::var("KILLS").ok().and_then(|text| text.parse().ok());
    let ci = std::env::var_os("TAIZHANG_CI").is_some();
    asked.unwrap_or(if ci { 300 } else { 30 })
}

/// Goal: nothing that `record set` acknowledged is lost (promise 1).
/// Method: a writer counts up a field and notes each acknowledgement outside; the process is killed
/// at random moments; after each start the field shows the last acknowledged value or a later one
/// that was on its way.
#[test]
fn kills_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut offices = chain(folder.path(), 0);
    let village = &mut offices[3];
    village.link.as_ref().unwrap().set_cut(true);
    let made = village.ask(&household("户主")).unwrap();
    let id: RecordId = made["record"].as_str().unwrap().parse().unwrap();
    let mut dice = Dice::new(7, "kills");
    let (mut acked, mut total) = (0_u64, 0_u64);
    let kills = kills();
    for round in 0..kills {
        let running = AtomicBool::new(true);
        let last = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut last = acked;
                while running.load(Ordering::Relaxed) {
                    let set = Request::Set {
                        id,
                        inputs: BTreeMap::from([("address".into(), (last + 1).to_string())]),
                        person: clerk(),
                    };
                    match taizhang_node::control::ask(&village.folder, &set, &|_, _, _| {}) {
                        Some(Ok(_)) => last += 1,
                        _ => break,
                    }
                }
                last
            });
            std::thread::sleep(Duration::from_millis(5 + dice.below(120)));
            let pid = village.process.as_ref().unwrap().id();
            let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
            assert!(killed.unwrap().success());
            running.store(false, Ordering::Relaxed);
            writer.join().unwrap()
        });
        village.kill();
        village.start();
        let shown = village.ask(&Request::Show { id }).unwrap();
        let text = shown["row"]["fields"]["address"].as_str().unwrap_or("0");
        let found: u64 = text.parse().unwrap();
        assert!(
            found == last || found == last + 1,
            "kill {round}: {last} was acknowledged, {found} is there"
        );
        total += last - acked;
        acked = found;
    }
    village.ask(&Request::Check { rollups: false }).unwrap();
    println!("{kills} kills, {total} acknowledged saves, 0 lost");
    assert!(total > kills, "the load was real");
}
