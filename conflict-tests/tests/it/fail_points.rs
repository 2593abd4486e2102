//! SIGKILL at every fail point of the real programs: what was acknowledged is there, and all offices agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use conflict_tests::world::copy;
use taizhang_core::id::RecordId;
use taizhang_hub::demo::process::Link;
use taizhang_node::fail_point::FailPoint;
use taizhang_node::ops::Request;

use crate::office::{CODES, Office, chain, clerk, household};

const TOWNSHIP: usize = 2;
const VILLAGE: usize = 3;

/// How a process comes by a point.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// The village writes.
    Writes,
    /// The township takes what the village writes.
    Takes,
    /// The village starts from an older image of its disk.
    Heals,
    /// The village makes a backup.
    Saves,
}

fn way(point: FailPoint) -> Way {
    match point {
        FailPoint::GroupBegun | FailPoint::GroupWorked | FailPoint::GroupDurable => Way::Writes,
        FailPoint::TailSealed | FailPoint::TailDurable | FailPoint::FrameSent => Way::Writes,
        FailPoint::ReceiptSigned | FailPoint::ReceiptDurable => Way::Takes,
        FailPoint::SegmentsWritten | FailPoint::SegmentsApplied => Way::Takes,
        FailPoint::EpochOpened | FailPoint::RebuiltHalf | FailPoint::WrittenAgain => Way::Heals,
        FailPoint::FileWritten => Way::Saves,
    }
}

/// The offices, and what was acknowledged outside of them.
struct Stage {
    offices: Vec<Office>,
    record: RecordId,
    acked: u64,
    asked: u64,
}

impl Stage {
    /// One more edit; whether it was acknowledged.
    fn edit(&mut self) -> bool {
        self.asked += 1;
        let set = Request::Set {
            id: self.record,
            inputs: BTreeMap::from([("address".into(), self.asked.to_string())]),
            person: clerk(),
        };
        let done = self.offices[VILLAGE].ask(&set).is_ok();
        if done {
            self.acked = self.asked;
        }
        done
    }

    /// Until the process of an office ends at its point.
    fn until_it_ends(&mut self, office: usize, point: &str, edits: bool) {
        let start = Instant::now();
        while !self.offices[office].has_ended() {
            assert!(start.elapsed() < Duration::from_secs(60), "{point} was never reached");
            if edits {
                self.edit();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.offices[office].kill();
    }

    /// Village and township agree, nothing is damaged, and the last acknowledged edit shows, or a later one.
    fn judge(&self, point: &str) {
        let village = &self.offices[VILLAGE];
        let shown = village.ask(&Request::Show { id: self.record }).unwrap();
        let slice = shown["slice"].as_str().unwrap();
        self.offices[TOWNSHIP].wait(&format!("{point}: the same hash"), |township| {
            let hash = village.hash(slice);
            hash.is_some() && township.hash(slice) == hash
        });
        for office in [village, &self.offices[TOWNSHIP]] {
            office.ask(&Request::Check { rollups: false }).unwrap();
            let shown = office.ask(&Request::Show { id: self.record }).unwrap();
            let text = shown["row"]["fields"]["address"].as_str().unwrap_or("0");
            let found: u64 = text.parse().unwrap();
            let (acked, asked) = (self.acked, self.asked);
            assert!((acked..=asked).contains(&found), "{point}: {acked} acknowledged, {found}");
        }
    }
}

fn play(stage: &mut Stage, point: FailPoint, nth: u64, folder: &Path) {
    let name = format!("{}:{nth}", point.name());
    let way = way(point);
    let doomed = if way == Way::Takes { TOWNSHIP } else { VILLAGE };
    if way == Way::Heals {
        let image = folder.join(format!("image-{}", point.name()));
        stage.offices[VILLAGE].kill();
        copy(&stage.offices[VILLAGE].folder, &image);
        stage.offices[VILLAGE].start();
        for _ in 0..3 {
            assert!(stage.edit());
        }
        stage.judge(&name);
        stage.offices[VILLAGE].kill();
        std::fs::remove_dir_all(&stage.offices[VILLAGE].folder).unwrap();
        copy(&image, &stage.offices[VILLAGE].folder);
    }
    stage.offices[doomed].kill();
    stage.offices[doomed].fail_point.clone_from(&name);
    stage.offices[doomed].spawn();
    if way == Way::Saves {
        let to = folder.join("backup");
        let village = &stage.offices[VILLAGE];
        village.wait("its endpoint", |office| office.ask(&Request::Status).is_ok());
        let export = Request::BundleExport { to: "parent".into(), path: to, all: true };
        assert!(village.ask(&export).is_err());
    }
    stage.until_it_ends(doomed, &name, way != Way::Heals && way != Way::Saves);
    stage.offices[doomed].fail_point.clear();
    stage.offices[doomed].start();
    stage.judge(&name);
}

/// Goal: a process killed between any two steps that must survive it loses nothing (promise 1).
/// Method: each point in turn ends the real program; edits are counted outside; after a restart the offices
/// agree and show the last acknowledged edit.
#[test]
fn a_kill_at_every_fail_point_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    let made = offices[VILLAGE].ask(&household("户主")).unwrap();
    let record = made["record"].as_str().unwrap().parse().unwrap();
    let mut stage = Stage { offices, record, acked: 0, asked: 0 };
    let start = Instant::now();
    for point in FailPoint::ALL {
        let times: &[u64] = match way(*point) {
            Way::Writes | Way::Takes => &[1, 3],
            Way::Heals | Way::Saves => &[1],
        };
        for nth in times {
            play(&mut stage, *point, *nth, folder.path());
        }
    }
    println!("{} points in {} s", FailPoint::ALL.len(), start.elapsed().as_secs());
}

/// Goal: a county that loses power while it joins can join again with the same code.
/// Method: the program is killed at the first, second, ... file that it writes, until it gets through.
#[test]
fn a_join_that_was_killed_is_taken_up_again_with_the_same_code() {
    let folder = tempfile::tempdir().unwrap();
    let mut city = Office::new(&folder.path().join("city"));
    let key = folder.path().join("root-key.json").to_string_lossy().into_owned();
    city.once(&["init", "--root-key", &key, "--password", "test password"]).unwrap();
    city.start();
    let invited = city.ask(&Request::Invite {
        place: CODES[1].into(),
        addresses: vec![city.children.unwrap().to_string()],
        hours: 1,
    });
    let code = invited.unwrap()["code"].as_str().unwrap().to_owned();
    let mut county = Office::new(&folder.path().join("county"));
    let mut kills = 0;
    loop {
        county.fail_point = format!("file-written:{}", kills + 1);
        if county.once(&["join", &code]).is_ok() {
            break;
        }
        kills += 1;
        assert!(kills < 20, "the join does not get through");
    }
    assert!(kills >= 2, "it writes several files");
    county.fail_point.clear();
    county.link = Some(Link::to(city.children.unwrap()).unwrap());
    county.start();
    county.wait("the city's answer", |county| {
        county.ask(&Request::Status).is_ok_and(|status| status["badge"]["last_synced"] != 0)
    });
}
