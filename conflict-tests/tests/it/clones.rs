//! Amnesia, clones and restored images, small enough to read: what `engine/heal.rs` promises.

use conflict_tests::oracle::register::shown;
use conflict_tests::world::{Node, World, clerk};
use taizhang_core::id::RecordId;
use taizhang_core::revocation::Reason;

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
