//! Fifty edits over the line of a mountain village, with the real programs.

use std::time::{Duration, Instant};

use conflict_tests::chance::Dice;
use conflict_tests::shaper::{Quality, Shaper};
use taizhang_core::id::RecordId;
use taizhang_node::ops::Request;

use crate::office::{Office, chain, household};

/// How long a run takes.
#[derive(Clone, Copy)]
struct Plan {
    edits: usize,
    /// Mean seconds between edits.
    pause_s: u64,
    /// Seconds of an outage for each second that the line is up; none if it is always up.
    down_for_up: u64,
}

/// `REAL_LINE=1` by hand: 50 edits in a quarter of an hour, up a tenth of the time.
fn plan() -> Plan {
    if std::env::var_os("REAL_LINE").is_some() {
        Plan { edits: 50, pause_s: 18, down_for_up: 9 }
    } else {
        Plan { edits: 20, pause_s: 1, down_for_up: 1 }
    }
}

/// Bytes on the line, connections, and seconds until the village knows that the city holds every edit.
fn play(plan: Plan, quality: Quality) -> (u64, u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut offices = chain(folder.path(), 0);
    let township = offices[2].children.unwrap();
    let village = &mut offices[3];
    village.kill();
    let shaper = Shaper::to(township, quality, 7).unwrap();
    village.link.as_mut().unwrap().address = shaper.address;
    village.start();
    // The first session is not part of what is measured.
    shaper.set_up(true);
    let first = village.ask(&household("第一户")).unwrap();
    let first: RecordId = first["record"].as_str().unwrap().parse().unwrap();
    let village = &*village;
    village.wait("the first tick", |village| ticked(village, first));
    let (before, dials) = shaper.sent();
    let (start, mut dice) = (Instant::now(), Dice::new(7, "real line"));
    let mut records: Vec<RecordId> = Vec::new();
    let (mut next_edit, mut change, mut up) = (start, start, true);
    loop {
        let now = Instant::now();
        if records.len() < plan.edits && now >= next_edit {
            let made = village.ask(&household("张三")).unwrap();
            records.push(made["record"].as_str().unwrap().parse().unwrap());
            let pause = plan.pause_s * 500 + dice.below(plan.pause_s * 1000);
            next_edit = now + Duration::from_millis(pause);
        }
        if now >= change && plan.down_for_up > 0 {
            up = !up;
            shaper.set_up(up);
            let seconds = 5 + dice.below(25);
            change =
                now + Duration::from_secs(if up { seconds } else { plan.down_for_up * seconds });
        }
        let all = records.len() == plan.edits;
        if all && records.iter().all(|id| ticked(village, *id)) {
            let (sent, connections) = shaper.sent();
            return (sent - before, connections - dials, start.elapsed().as_secs());
        }
        assert!(start.elapsed() < Duration::from_secs(2 * 3600), "the edits did not arrive");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether the village knows that the city holds all of a record.
fn ticked(village: &Office, id: RecordId) -> bool {
    let shown = village.ask(&Request::Show { id }).unwrap();
    let receipts = shown["receipts"].as_array().unwrap();
    receipts.len() > 1 && receipts.last().is_some_and(|city| !city[1].is_null())
}

/// Goal: edits over 64 kbit/s, one second there and back, 10 % loss, up a tenth of the time, all arrive at the
/// real program, with at most 1.5 times the bytes of the same edits on a line that is always up.
#[test]
fn edits_arrive_over_a_mountain_line_of_the_real_programs() {
    let plan = plan();
    let (clean, rough) = std::thread::scope(|scope| {
        let clean = Plan { down_for_up: 0, ..plan };
        let clean = scope.spawn(move || play(clean, Quality::mobile(0)));
        let rough = play(plan, Quality::mobile(10));
        (clean.join().unwrap(), rough)
    });
    let ratio = rough.0 as f64 / clean.0 as f64;
    println!(
        "clean {} bytes; rough {} bytes, {} connections, {} s: {ratio:.2}",
        clean.0, rough.0, rough.1, rough.2
    );
    assert!(ratio <= 1.5, "{ratio:.2} times a clean transfer");
}
