//! Amnesia, clones and restored images, small enough to read: what `engine/heal.rs` promises.

use conflict_tests::oracle::register::shown;
use conflict_tests::world::{Node, World, clerk};
use taizhang_core::feed::entry::Action;
use taizhang_core::id::{Lane, RecordId};
use taizhang_core::record::value::Value;
use taizhang_core::revocation::Reason;
use taizhang_node::engine::Engine;
use taizhang_node::engine::command::Inputs;
use taizhang_node::engine::save::LocalEntry;
use taizhang_node::engine::values::Source;

const VILLAGE: Node = 3;

fn same_everywhere(world: &mut World, record: RecordId, field: &str, expected: &[&str]) {
    let expected: std::collections::BTreeSet<String> =
        expected.iter().map(|one| (*one).to_owned()).collect();
    for node in [0, 1, 2, VILLAGE] {
        let found = shown(world, node, record, field).unwrap_or_default();
        assert_eq!(found, expected, "{} shows {field}", world.replicas[node].name);
    }
    let slice = taizhang_core::id::SliceId::ledger(world.replicas[VILLAGE].place);
    let hashes: std::collections::BTreeSet<_> = [0, 1, 2, VILLAGE]
        .iter()
        .map(|node| world.engine(*node).store.slice_hash(slice).unwrap())
        .collect();
    assert_eq!(hashes.len(), 1, "one slice hash");
}

/// Scenario 9: entries 421 to 430 of the old image and 421 to 500 of the parent both stand.
#[test]
fn a_disk_image_restored_loses_neither_what_was_sent_nor_what_is_typed_on_it() {
    let mut world = World::new(9, 4, None);
    let record = world.household(VILLAGE, "张三");
    world.set(VILLAGE, record, "phone", "13800000001");
    assert!(world.settle(500));
    let image = world.image(VILLAGE);
    world.set(VILLAGE, record, "phone", "13800000002");
    let late = world.household(VILLAGE, "张三");
    assert!(world.settle(500));
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
    world.restore(VILLAGE, &image);
    let before = world.engine(VILLAGE).author;
    world.set(VILLAGE, record, "phone", "13800000003");
    world.set(VILLAGE, record, "address", "村东");
    world.set_link(link, true);
    assert!(world.settle(3000), "quiet");
    assert_ne!(world.engine(VILLAGE).author.epoch, before.epoch, "a new epoch");
    same_everywhere(&mut world, record, "phone", &["13800000002", "13800000003"]);
    same_everywhere(&mut world, record, "address", &["村东"]);
    same_everywhere(&mut world, late, "head_name", &["张三"]);
}

/// The image was used for long enough offline that it sealed segments of its own: a fork.
#[test]
fn an_image_that_sealed_before_it_was_found_out_forks_and_loses_nothing() {
    for seed in 0..6 {
        let mut world = World::new(100 + seed, 4, None);
        let record = world.household(VILLAGE, "张三");
        assert!(world.settle(500));
        let image = world.image(VILLAGE);
        world.set(VILLAGE, record, "phone", "13800000002");
        assert!(world.settle(500));
        world.set(VILLAGE, record, "group_no", "二组");
        assert!(world.settle(500));
        let link = world.link_of(VILLAGE);
        world.set_link(link, false);
        world.restore(VILLAGE, &image);
        world.set(VILLAGE, record, "phone", "13800000003");
        assert!(world.settle(500));
        world.set(VILLAGE, record, "address", "村东");
        assert!(world.settle(500));
        world.set_link(link, true);
        assert!(world.settle(5000), "quiet");
        same_everywhere(&mut world, record, "phone", &["13800000002", "13800000003"]);
        same_everywhere(&mut world, record, "address", &["村东"]);
        same_everywhere(&mut world, record, "group_no", &["二组"]);
    }
}

/// The data folder copied to a second PC, both used: two authors of one name.
#[test]
fn a_cloned_folder_becomes_a_second_author_and_both_keep_their_work() {
    for seed in 0..4 {
        let mut world = World::new(200 + seed, 4, None);
        let record = world.household(VILLAGE, "张三");
        assert!(world.settle(500));
        let clone = world.clone_replica(VILLAGE, seed % 2 == 0);
        let (one, two) = (world.link_of(VILLAGE), world.link_of(clone));
        world.set_link(one, false);
        world.set_link(two, false);
        for round in 0..3 {
            world.set(VILLAGE, record, "phone", &format!("1380000000{round}"));
            world.set(clone, record, "address", &format!("村东{round}"));
            assert!(world.settle(200));
        }
        world.set(clone, record, "phone", "13999999999");
        world.set_link(one, true);
        assert!(world.settle(3000));
        world.set_link(two, true);
        assert!(world.settle(6000), "quiet");
        let original = world.engine(VILLAGE).author;
        assert_ne!(original, world.engine(clone).author);
        same_everywhere(&mut world, record, "phone", &["13800000002", "13999999999"]);
        same_everywhere(&mut world, record, "address", &["村东2"]);
    }
}

/// A thief goes on with an older copy, and a township that has not heard of the revocation takes it in:
/// whichever branch has the smaller hash, the one that the revocation names counts.
#[test]
fn what_counted_before_a_revocation_stands_whatever_branch_a_thief_makes() {
    for seed in 0..8 {
        let mut world = World::new(400 + seed, 4, None);
        assert!(world.settle(1000));
        let image = world.image(VILLAGE);
        let honest = world.household(VILLAGE, "张三");
        assert!(world.settle(1000));
        let (upper, lower) = (world.link_of(2), world.link_of(VILLAGE));
        world.set_link(upper, false);
        world.set_link(lower, false);
        let key = world.replicas[VILLAGE].identity.seal_key();
        world.job(1, |engine, now| engine.revoke(key, Reason::Compromised, &clerk(), now)).unwrap();
        world.restore(VILLAGE, &image);
        let stolen = world.household(VILLAGE, "李四");
        assert!(world.settle(200));
        world.set_link(lower, true);
        assert!(world.settle(3000));
        world.set_link(upper, true);
        assert!(world.settle(6000), "seed {seed}: quiet");
        for node in [0, 1, 2] {
            let name = world.replicas[node].name;
            let shows = |id| shown(&world, node, id, "head_name").unwrap_or_default().len();
            assert_eq!(shows(honest), 1, "seed {seed}: {name} lost what had counted");
            assert_eq!(shows(stolen), 0, "seed {seed}: {name} counts what the thief wrote");
        }
    }
}

/// The township edited a record whose creation stands on a branch that counts no more: the village writes
/// the record again, and the township its edit, once the record is there.
#[test]
fn an_edit_of_a_record_that_is_written_again_follows_it() {
    for seed in 0..8 {
        let mut world = World::new(500 + seed, 4, None);
        assert!(world.settle(1000));
        let image = world.image(VILLAGE);
        let late = world.household(VILLAGE, "张三");
        assert!(world.settle(1000));
        assert!(world.set(2, late, "bank_holder", "乡镇"));
        assert!(world.settle(1000));
        let link = world.link_of(VILLAGE);
        world.set_link(link, false);
        world.restore(VILLAGE, &image);
        world.household(VILLAGE, "李四");
        assert!(world.settle(200));
        world.set_link(link, true);
        assert!(world.settle(6000), "seed {seed}: quiet");
        same_everywhere(&mut world, late, "head_name", &["张三"]);
        same_everywhere(&mut world, late, "bank_holder", &["乡镇"]);
    }
}

/// Goal: an entry that is refused takes nothing with it of what the same job wrote to its record before: or the next
/// change would bear a number that was given already, and replicas would count another one of the two each.
#[test]
fn a_refused_entry_leaves_what_was_written_before_it() {
    let mut world = World::new(73, 4, None);
    let id = world.household(VILLAGE, "张三");
    assert!(world.settle(2000));
    let slice = taizhang_core::id::SliceId::ledger(world.replicas[VILLAGE].place);
    world
        .job(VILLAGE, |engine, now| {
            let set = |engine: &mut Engine, value: &str| {
                let inputs = Inputs::from([("bank_holder".into(), value.to_owned())]);
                engine.set(id, &inputs, Source::People, &clerk(), now)
            };
            set(engine, "一")?;
            let person = clerk();
            let (lane, action) = (Lane::Ordinary, Action::Set);
            let local = LocalEntry { slice, lane, action, person: &person, import: None };
            let forbidden = vec![("national_hh_no".to_owned(), Some(Value::Text("x".into())))];
            assert!(
                engine.save(&local, &[(id, forbidden)], now).is_err(),
                "the county writes that"
            );
            set(engine, "二")
        })
        .unwrap();
    assert!(world.settle(3000));
    same_everywhere(&mut world, id, "bank_holder", &["二"]);
}

/// Goal: a branch that forks again is filed under the same labels everywhere, whichever part came first; or two
/// offices send each other the same segments for ever.
/// Method: one disk is put back to three older images in turn, off-line, and meets its township between.
#[test]
fn a_branch_that_forks_again_is_filed_the_same_everywhere() {
    let mut world = World::new(74, 4, None);
    let id = world.household(VILLAGE, "张三");
    assert!(world.settle(3000));
    let write = |world: &mut World, value: &str| {
        assert!(world.set(VILLAGE, id, "bank_holder", value));
        (0..30).for_each(|_| world.step());
    };
    let link = world.link_of(VILLAGE);
    let first = world.image(VILLAGE);
    write(&mut world, "main");
    assert!(world.settle(3000));
    world.set_link(link, false);
    world.restore(VILLAGE, &first);
    write(&mut world, "branch");
    let second = world.image(VILLAGE);
    write(&mut world, "branch, one way");
    let third = world.image(VILLAGE);
    world.restore(VILLAGE, &second);
    write(&mut world, "branch, another way");
    world.set_link(link, true);
    assert!(world.settle(3000));
    world.set_link(link, false);
    world.restore(VILLAGE, &third);
    world.set_link(link, true);
    assert!(world.settle(6000), "the offices come to rest");
    let slice = taizhang_core::id::SliceId::ledger(world.replicas[VILLAGE].place);
    let mut frontiers = Vec::new();
    for node in [0, 1, 2, VILLAGE] {
        frontiers.push(world.engine(node).store.frontiers().unwrap().slices[&slice].clone());
    }
    assert!(frontiers.windows(2).all(|two| two[0] == two[1]), "one filing");
    assert!(frontiers[0].heads.len() >= 4, "it forked twice");
}
