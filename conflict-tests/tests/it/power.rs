//! Power cuts, full disks and read-only disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use conflict_tests::chance::Dice;
use conflict_tests::disk::{self, Cuts};
use conflict_tests::world::{START, World, clerk};
use taizhang_core::id::{RecordId, SliceId};
use taizhang_node::engine::command::Inputs;
use taizhang_node::engine::values::Source;
use taizhang_node::engine::{Engine, Surroundings};
use taizhang_node::identity::keys::Identity;
use taizhang_node::ops::Request;
use taizhang_node::store::Durability;

use crate::office::{Office, chain, household};

const OPERATIONS: usize = 200;

fn open(folder: &Path, identity: Identity, seed: u64) -> Engine {
    let mut dice = Dice::new(seed, "power");
    let chance = Box::new(move |bytes: &mut [u8]| dice.fill(bytes));
    let outside = Surroundings { durability: Durability::Full, machine: [7; 32], chance };
    Engine::open(folder, identity, outside, START).unwrap()
}

fn files_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let data = entries.filter(|entry| entry.path().is_file());
    data.map(|entry| (entry.path(), std::fs::read(entry.path()).unwrap())).collect()
}

/// Works, and notes at which change on disk each operation was acknowledged.
fn work(engine: &mut Engine) -> Vec<(usize, RecordId, String)> {
    let slice = SliceId::ledger(engine.identity.checked.name.place());
    let mut acked: Vec<(usize, RecordId, String)> = Vec::new();
    for at in 0..OPERATIONS {
        let now = START.plus(i64::try_from(at).unwrap() * 1000);
        engine.begin().unwrap();
        let phone = format!("138{at:08}");
        let id = if at % 4 == 0 {
            let pairs = conflict_tests::world::household("张三");
            let pairs = pairs.into_iter().chain([("phone", phone.as_str())]);
            let inputs: Inputs = pairs.map(|(key, value)| (key.into(), value.into())).collect();
            let (ledger, source) = ("poor_household", Source::People);
            engine.create(slice, ledger, &inputs, source, &clerk(), None, now).unwrap()
        } else {
            let id = acked[acked.len() - 1].1;
            let inputs = Inputs::from([("phone".to_owned(), phone.clone())]);
            engine.set(id, &inputs, Source::People, &clerk(), now).unwrap();
            id
        };
        if at % 10 == 9 {
            engine.flush(now).unwrap();
        }
        engine.commit().unwrap();
        acked.push((disk::position(), id, phone));
    }
    acked
}

/// Goal: whatever change on disk a power cut comes after, the folder opens, SQLite finds it sound, and
/// every acknowledged edit is there (promise 1).
/// Method: 200 operations on a VFS that writes down every change; the disk is rebuilt after each of them,
/// with what no sync covered there, torn or gone. The ledger is checked at every change, the whole replica
/// opened at every eighth (`POWER_EVERY=1`: at each), where `derived.db` is as the cut left it.
#[test]
fn a_power_cut_at_any_write_loses_nothing_acknowledged() {
    let mut world = World::new(77, 4, None);
    assert!(world.settle(2000));
    let identity = world.engine(3).identity.as_ref().clone();
    let source = world.replicas[3].folder.clone();
    world.crash(3);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::copy(source.join("ledger.db"), data.join("ledger.db")).unwrap();
    drop(open(&data, identity.clone(), 1));
    let before = files_of(&data);
    disk::start(&data);
    let mut engine = open(&data, identity.clone(), 2);
    let acked = work(&mut engine);
    drop(engine);
    let mut cuts = Cuts::new(disk::stop(), before);
    let (count, mut dice, mut opened) = (cuts.count(), Dice::new(9, "cuts"), 0);
    let every = std::env::var("POWER_EVERY").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    assert!(count > OPERATIONS * 2, "{count} changes");
    while cuts.step() {
        let target = folder.path().join("cut");
        drop(std::fs::remove_dir_all(&target));
        std::fs::create_dir_all(&target).unwrap();
        for (path, bytes) in cuts.files(&mut dice) {
            std::fs::write(target.join(path.file_name().unwrap()), bytes).unwrap();
        }
        let until = acked.iter().take_while(|(at, ..)| *at <= cuts.at()).count();
        if cuts.at().is_multiple_of(every) || cuts.at() == count {
            opened += 1;
            replica_holds(&target, identity.clone(), &acked[..until], cuts.at());
        } else {
            ledger_holds(&target, &acked[..until], cuts.at());
        }
    }
    println!("{count} power cuts, {opened} with the replica opened, 0 acknowledged edits lost");
}

fn ledger_holds(folder: &Path, acked: &[(usize, RecordId, String)], cut: usize) {
    let db = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    let word: String = db.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok", "cut {cut}");
    let sql = "SELECT (SELECT count(*) FROM tail WHERE instr(entry, ?1)) \
               + (SELECT count(*) FROM segment WHERE instr(plain, ?1))";
    // What is earlier in the file is there if this is: a group is committed whole.
    for (_, _, phone) in acked.iter().rev().take(3) {
        let found: i64 = db.query_row(sql, [phone.as_bytes()], |row| row.get(0)).unwrap();
        assert_eq!(found, 1, "cut {cut}: {phone}");
    }
}

fn replica_holds(
    folder: &Path,
    identity: Identity,
    acked: &[(usize, RecordId, String)],
    cut: usize,
) {
    let mut engine = open(folder, identity, 3);
    let (_, problems) = engine.store.check_segments().unwrap();
    assert!(problems.is_empty(), "cut {cut}: {problems:?}");
    let mut last: BTreeMap<RecordId, &str> = BTreeMap::new();
    for (_, id, phone) in acked {
        last.insert(*id, phone);
    }
    for (id, phone) in last {
        let shown = engine.find(id).unwrap().row.text("phone");
        // The operation under way at the cut may stand too.
        assert!(shown.as_str() >= phone, "cut {cut}: {shown} instead of {phone}");
    }
}

/// A small file system of its own; none if this machine lets nobody mount one.
struct Mount(PathBuf);

impl Mount {
    fn new(path: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(&path)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            assert!(std::env::var_os("TAIZHANG_CI").is_none(), "mount is needed in CI");
            println!("skipped: mount");
        }
        mounted.then_some(Self(path))
    }

    fn remount(&self, how: &str) {
        let option = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &option]).arg(&self.0).status().unwrap();
        assert!(done.success(), "remount {how}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// The city publishes something, and the township has it.
fn publish(offices: &[Office]) {
    let policy = taizhang_node::engine::policy::NewPolicy {
        doc_no: "商政〔2018〕99号".into(),
        title: String::new(),
        effective_from: "2018-06-01".into(),
        values: BTreeMap::from([("min_income_measures_per_household".to_owned(), 3.into())]),
    };
    offices[0]
        .ask(&Request::PolicyPublish {
            policy, person: clerk(), approved_by: "分管领导".into()
        })
        .unwrap();
    offices[2].wait("the policy at the township", |office| {
        office.ask(&Request::PolicyList).is_ok_and(|found| found.to_string().contains("99号"))
    });
}

/// Goal: a full and a read-only disk are said in plain Chinese, lose nothing, and are over when they are.
#[test]
fn a_full_or_read_only_disk_loses_nothing_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut offices = chain(folder.path(), 0);
    let mut village = offices.pop().unwrap();
    village.kill();
    let Some(mount) = Mount::new(folder.path().join("small")) else { return };
    let data = mount.0.join("data");
    let copied = Command::new("cp").arg("-a").arg(&village.folder).arg(&data).status().unwrap();
    assert!(copied.success());
    village.folder = data;
    village.start();
    let made = village.ask(&household("张三")).unwrap();
    let id: RecordId = made["record"].as_str().unwrap().parse().unwrap();
    let filler = mount.0.join("filler");
    let mut fill = Command::new("dd");
    fill.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display()));
    assert!(!fill.output().unwrap().status.success(), "the disk is full");
    for _ in 0..5 {
        let refused = village.ask(&household("李四")).unwrap_err();
        assert!(refused.contains("磁盘已满"), "{refused}");
    }
    // What comes by stick is refused whole too, and the first save after it goes through.
    publish(&offices);
    let (stick, to) = (folder.path().join("stick"), crate::office::CODES[3].to_owned());
    offices[2].ask(&Request::BundleExport { to, path: stick.clone(), all: true }).unwrap();
    let refused = village.ask(&Request::BundleImport { paths: vec![stick.clone()] }).unwrap_err();
    assert!(refused.contains("磁盘已满"), "{refused}");
    std::fs::remove_file(&filler).unwrap();
    village.ask(&household("赵六")).unwrap();
    village.ask(&Request::BundleImport { paths: vec![stick] }).unwrap();
    assert!(!fill.output().unwrap().status.success(), "the disk is full again");
    let shown = |village: &Office| village.ask(&Request::Show { id }).unwrap();
    assert_eq!(shown(&village)["row"]["fields"]["head_name"], "张三");
    village.kill();
    let list = village.once(&["record", "show", &id.to_string()]);
    assert!(list.is_ok_and(|text| text.contains("张三")), "a full disk can be read");
    std::fs::remove_file(&filler).unwrap();
    village.start();
    village.ask(&household("王五")).unwrap();
    village.kill();
    mount.remount("ro");
    let refused = village.once(&["record", "list", "poor_household"]).unwrap_err();
    assert!(refused.contains("数据目录不可写"), "{refused}");
    mount.remount("rw");
    village.start();
    assert_eq!(shown(&village)["row"]["fields"]["head_name"], "张三");
    village.ask(&Request::Check { rollups: false }).unwrap();
    village.kill();
}
