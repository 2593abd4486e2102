//! Three offline weeks in minutes, with real processes.

use std::io::Write as _;

use taizhang_core::id::RecordId;
use taizhang_node::ops::Request;

use crate::office::{Office, chain, clerk, household};

const DAY_MS: i64 = 86_400_000;

fn total(office: &Office, ledger: &str) -> u64 {
    let request = Request::List {
        ledger: ledger.into(),
        place: None,
        search: String::new(),
        state: String::new(),
        limit: 1,
    };
    office.ask(&request).ok().and_then(|answer| answer["total"].as_u64()).unwrap_or(0)
}

/// Goal: a village that is cut off for three weeks, killed and restarted, loses nothing and sends
/// everything once; every replica's check passes, a rebuild gives the same hashes, and holders of a
/// slice print the same one.
/// Method: join by code, cut, enter by hand and import on days 1, 8 and 15, SIGKILL, reconnect.
#[test]
fn three_offline_weeks_arrive_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut offices = chain(folder.path(), 0);
    let village = offices.len() - 1;
    offices[village].link.as_ref().unwrap().set_cut(true);
    let mut made: Vec<RecordId> = Vec::new();
    for (week, day) in [1_i64, 8, 15].into_iter().enumerate() {
        offices[village].kill();
        offices[village].offset_ms = day * DAY_MS;
        offices[village].start();
        for at in 0..10 {
            let answer = offices[village].ask(&household(&format!("户{week}之{at}"))).unwrap();
            made.push(answer["record"].as_str().unwrap().parse().unwrap());
        }
        let path = folder.path().join(format!("week{week}.jsonl"));
        let mut file = std::fs::File::create(&path).unwrap();
        for at in 0..50 {
            writeln!(
                file,
                r#"{{"ledger":"poor_household","fields":{{"head_name":"册{week}之{at}","group_no":"二组","household_kind":"general","main_cause":"no_skill"}}}}"#
            )
            .unwrap();
        }
        let import =
            Request::Import { path, ledger: String::new(), preview: false, person: clerk() };
        assert_eq!(offices[village].ask(&import).unwrap()["records"], 50);
    }
    offices[village].kill();
    offices[village].offset_ms = 21 * DAY_MS;
    offices[village].start();
    assert_eq!(total(&offices[village], "poor_household"), 180, "nothing is lost at home");
    for upper in &offices[..village] {
        assert_eq!(total(upper, "poor_household"), 0, "nothing has left");
    }
    offices[village].link.as_ref().unwrap().set_cut(false);
    for upper in &offices[..village] {
        upper.wait("all records", |upper| total(upper, "poor_household") == 180);
        for id in &made {
            let shown = upper.ask(&Request::Show { id: *id }).unwrap();
            assert_eq!(shown["row"]["conflicts"].as_array().unwrap().len(), 0);
        }
    }
    let status = offices[village].ask(&Request::Status).unwrap();
    let slice = format!("ledger:{}", status["place_id"].as_str().unwrap());
    let expected = offices[village].hash(&slice).unwrap();
    for office in &offices {
        office.wait("one slice hash", |office| office.hash(&slice).as_ref() == Some(&expected));
        office.ask(&Request::Check { rollups: false }).unwrap();
        office.ask(&Request::Rebuild).unwrap();
        office.wait("the same hash after a rebuild", |office| {
            office.hash(&slice).as_ref() == Some(&expected)
        });
        office.ask(&Request::Check { rollups: false }).unwrap();
    }
    println!("180 records of three offline weeks arrived once at three levels; slice {expected}");
}
