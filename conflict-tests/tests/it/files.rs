//! Where there is no network at all: bundles, enrolment and renewal by file, backups.

use conflict_tests::oracle::register::shown;
use conflict_tests::world::{Node, World};
use taizhang_core::feed::receipt::Receipt;
use taizhang_core::id::{Level, RecordId, SliceId};
use taizhang_node::file::bundle::{self, Imported};

use crate::office::Office;

const TOWNSHIP: Node = 2;
const VILLAGE: Node = 3;
const DAY_MS: i64 = 86_400_000;

fn export(world: &mut World, from: Node, to: Node, all: bool) -> Vec<Vec<u8>> {
    let (place, now) = (world.replicas[to].place, world.now_at(from));
    bundle::export(world.engine(from), place, all, now).unwrap()
}

fn import(world: &mut World, at: Node, file: &[u8]) -> Result<Imported, String> {
    let now = world.now_at(at);
    bundle::import(world.engine(at), file, now).map_err(|error| error.to_string())
}

/// Carries a stick from one office to another.
fn carry(world: &mut World, from: Node, to: Node) -> u64 {
    let files = export(world, from, to, false);
    files.iter().map(|file| import(world, to, file).unwrap().new).sum()
}

fn cut_village(world: &mut World) {
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
}

fn receipts_of(world: &mut World, at: Node, level: Level, slice: SliceId) -> Vec<Receipt> {
    let engine = world.engine(at);
    let receipts = engine.store.receipts().unwrap();
    let opened = receipts.iter().filter_map(|one| one.sealed.open().ok());
    let of = opened.filter(|one| {
        let known = engine.directives.roster.get(&one.issuer.key);
        one.slice == slice && known.is_some_and(|known| known.certified.level == level)
    });
    of.collect()
}

/// Goal: a village that never has a network lives on sticks for a month: what it writes reaches the city,
/// policy reaches it, and it knows by receipts who holds its records.
/// Method: a stick up and down every third day of 30; at the end everything is equal at all four levels.
#[test]
fn a_village_without_a_network_lives_on_bundles_for_a_month() {
    let mut world = World::new(41, 4, None);
    assert!(world.settle(2000));
    cut_village(&mut world);
    let slice = SliceId::ledger(world.replicas[VILLAGE].place);
    let mut records: Vec<RecordId> = Vec::new();
    let toilet = [("householder", "张三")];
    let toilet = world.create(VILLAGE, "toilet_renovation", &toilet);
    let mut photos = Vec::new();
    for day in 1..=30_i64 {
        world.now = world.now.plus(DAY_MS);
        let record = world.household(VILLAGE, "张三");
        world.set(VILLAGE, record, "phone", &format!("138{day:08}"));
        records.push(record);
        if let Some(earlier) = records.get(records.len().wrapping_sub(5)) {
            world.set(TOWNSHIP, *earlier, "bank_holder", &format!("户{day}"));
        }
        if day == 10 || day == 25 {
            let photo: Vec<u8> = (0..90_000_i64).map(|at| (at * day).to_le_bytes()[0]).collect();
            photos.push(world.attach(VILLAGE, toilet, "photo_after", &photo));
        }
        if day == 5 || day == 20 {
            let param = "min_income_measures_per_household";
            world.publish(0, &format!("试〔2018〕{day}号"), param, 2 + day / 10);
        }
        assert!(world.settle(3000));
        if day % 3 == 0 {
            carry(&mut world, VILLAGE, TOWNSHIP);
            assert!(world.settle(3000), "the township passes it on");
            carry(&mut world, TOWNSHIP, VILLAGE);
            assert!(world.settle(500));
        }
    }
    for _ in 0..2 {
        carry(&mut world, VILLAGE, TOWNSHIP);
        assert!(world.settle(3000));
        carry(&mut world, TOWNSHIP, VILLAGE);
        assert!(world.settle(500));
    }
    for photo in photos {
        assert_eq!(world.engine(0).store.have_of(photo), photo.bytes, "the city has the photo");
    }
    for node in [0, 1, TOWNSHIP, VILLAGE] {
        for record in &records {
            let name = shown(&world, node, *record, "head_name").unwrap_or_default();
            assert_eq!(name.len(), 1, "{}", world.replicas[node].name);
        }
        let versions = world.engine(node).directives.policies.len();
        assert_eq!(versions, world.engine(0).directives.policies.len());
    }
    let hashes: std::collections::BTreeSet<_> = [0, 1, TOWNSHIP, VILLAGE]
        .iter()
        .map(|node| world.engine(*node).store.slice_hash(slice).unwrap())
        .collect();
    assert_eq!(hashes.len(), 1, "one slice hash");
    let own = world.engine(VILLAGE).author;
    for level in [Level::Township, Level::County, Level::City] {
        let found = receipts_of(&mut world, VILLAGE, level, slice);
        let held = found.iter().flat_map(|one| &one.held.heads);
        let counts = held.filter(|((_, by), _)| *by == own).map(|(_, head)| head.count);
        assert!(counts.sum::<u64>() >= 30, "the village knows what {level:?} holds");
    }
    assert_eq!(carry(&mut world, VILLAGE, TOWNSHIP), 0, "nothing is left to carry");
}

/// Twice, out of order, cut off at any place, altered in any byte, for somebody else: nothing is lost and
/// nothing is taken that should not be.
#[test]
fn a_bundle_is_taken_once_whatever_happens_to_its_file() {
    let mut world = World::new(42, 5, None);
    assert!(world.settle(2000));
    cut_village(&mut world);
    let first = world.household(VILLAGE, "张三");
    let one = export(&mut world, VILLAGE, TOWNSHIP, false).remove(0);
    let second = world.household(VILLAGE, "张三");
    world.set(VILLAGE, first, "phone", "13800000001");
    let two = export(&mut world, VILLAGE, TOWNSHIP, false).remove(0);
    let before = world.engine(TOWNSHIP).store.last_arrival().unwrap();
    for length in (0..one.len()).step_by(97) {
        let error = import(&mut world, TOWNSHIP, &one[..length]).unwrap_err();
        let named = length < 20 || error.contains("文件不完整");
        assert!(named || error.contains("不是本系统的文件"), "{length}: {error}");
    }
    for at in (0..one.len()).step_by(53) {
        let mut altered = one.clone();
        altered[at] ^= 0x20;
        import(&mut world, TOWNSHIP, &altered).unwrap_err();
    }
    assert_eq!(world.engine(TOWNSHIP).store.last_arrival().unwrap(), before, "nothing was taken");
    let error = import(&mut world, 4, &one).unwrap_err();
    assert!(error.contains("别的单位"), "{error}");
    let mut other = World::new(43, 4, None);
    let error = import(&mut other, TOWNSHIP, &one).unwrap_err();
    assert!(error.contains("另一个网络"), "{error}");
    // The later one alone has everything since the last receipt; the earlier one then adds nothing.
    assert!(import(&mut world, TOWNSHIP, &two).unwrap().new > 0);
    assert_eq!(import(&mut world, TOWNSHIP, &one).unwrap().new, 0);
    assert_eq!(import(&mut world, TOWNSHIP, &two).unwrap().new, 0);
    assert!(world.settle(3000));
    for record in [first, second] {
        assert_eq!(shown(&world, 0, record, "head_name").unwrap().len(), 1);
    }
}

/// Enrolment, renewal, backup, restore and a re-installed PC with the real programs and no network
/// between township and village.
#[test]
fn a_village_is_enrolled_renewed_backed_up_and_restored_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let city = Office::new(&folder.path().join("city"));
    let village = Office::new(&folder.path().join("village"));
    city.once(&["init", "--root-key", &path("key"), "--password", "test password"]).unwrap();
    let code = "411423101201";
    let (request, answer) = (path("request.json"), path("answer"));
    village.once(&["enrol", "request", &request]).unwrap();
    city.once(&["admit", &request, "--place", code, "--answer", &answer]).unwrap();
    let refused = village.once(&["enrol", "accept", &answer]).unwrap_err();
    let root = refused.split_once("根证书指纹为 ").unwrap().1[..16].to_owned();
    let wrong = village.once(&["enrol", "accept", &answer, "--root", "0123456789abcdef"]);
    assert!(wrong.unwrap_err().contains("根证书指纹"));
    village.once(&["enrol", "accept", &answer, "--root", &root]).unwrap();
    let exchange = |village: &Office, name: &str| {
        let (up, down) = (path(&format!("{name}-up")), path(&format!("{name}-down")));
        village.once(&["bundle", "export", "--to", "411400000000", &up]).unwrap();
        city.once(&["bundle", "import", &up]).unwrap();
        city.once(&["bundle", "export", "--to", code, &down]).unwrap();
        village.once(&["bundle", "import", &down]).unwrap();
    };
    let create = |village: &Office, name: &str| {
        let head = format!("head_name={name}");
        let rest = ["group_no=一组", "household_kind=general", "main_cause=illness"];
        let arguments = [&["record", "create", "poor_household", &head][..], &rest].concat();
        village.once(&arguments).unwrap();
    };
    create(&village, "张三");
    exchange(&village, "one");
    village.once(&["backup", &path("backup")]).unwrap();
    create(&village, "李四");
    exchange(&village, "two");
    // Renewal: the same seal key for another term.
    village.once(&["enrol", "request", &request]).unwrap();
    city.once(&["admit", &request, "--place", code, "--answer", &answer]).unwrap();
    village.once(&["enrol", "accept", &answer]).unwrap();
    // The PC is lost; its backup goes on beside what the city holds.
    let restored = Office::new(&folder.path().join("restored"));
    restored.once(&["restore", &path("backup")]).unwrap();
    let again = restored.once(&["restore", &path("backup")]).unwrap_err();
    assert!(again.contains("不是空目录"), "{again}");
    create(&restored, "王五");
    exchange(&restored, "three");
    exchange(&restored, "four");
    // Another one is installed afresh, as a new replica of the same office.
    let fresh = Office::new(&folder.path().join("fresh"));
    fresh.once(&["enrol", "request", &request]).unwrap();
    city.once(&["admit", &request, "--place", code, "--answer", &answer]).unwrap();
    fresh.once(&["enrol", "accept", &answer, "--root", &root]).unwrap();
    exchange(&fresh, "five");
    for office in [&city, &restored, &fresh] {
        let list = office.once(&["record", "list", "poor_household"]).unwrap();
        // The city sees names masked.
        for name in ["张", "李", "王"] {
            assert!(list.contains(name), "{name} is missing in {list}");
        }
        office.once(&["check"]).unwrap();
    }
}

/// Work that fails in a transaction of its own is undone, and the next one can begin.
#[test]
fn a_failed_transaction_leaves_nothing_open() {
    let mut world = World::new(44, 4, None);
    let full = || taizhang_node::store::StoreError::DiskFull;
    let failed = world.engine(VILLAGE).transaction(|_| Err::<(), _>(full()));
    assert!(failed.is_err());
    let record = world.household(VILLAGE, "张三");
    assert_eq!(shown(&world, VILLAGE, record, "head_name").unwrap().len(), 1);
}
