//! Receipts come although processes end before they sign them.

use conflict_tests::oracle::receipts::judge;
use conflict_tests::world::{Node, World, clerk};
use taizhang_core::id::SliceId;

const TOWNSHIP: Node = 2;
const VILLAGE: Node = 3;

/// Goal: a clerk's record shows 乡 ✓ even if the township's process ended between its commit and its receipt.
#[test]
fn a_receipt_is_signed_after_a_restart_that_came_before_it() {
    let mut world = World::new(71, 4, None);
    assert!(world.settle(2000));
    let before = world.engine(TOWNSHIP).store.last_arrival().unwrap();
    world.household(VILLAGE, "张三");
    while world.engine(TOWNSHIP).store.last_arrival().unwrap() == before {
        world.step();
    }
    assert!(world.engine(TOWNSHIP).receipts_wait(), "nothing is signed yet");
    world.crash(TOWNSHIP);
    world.restart(TOWNSHIP);
    assert!(world.settle(3000));
    let mut broken = Vec::new();
    judge(&world, &mut broken);
    assert!(broken.is_empty(), "{broken:?}");
}

/// Goal: an office that goes on from an older image closes its epoch, and states in the new one all that it holds,
/// also of slices in which nothing happened since.
#[test]
fn a_new_epoch_states_again_what_it_holds() {
    let mut world = World::new(72, 4, None);
    assert!(world.settle(2000));
    let record = world.household(VILLAGE, "张三");
    assert!(world.settle(3000));
    let image = world.image(TOWNSHIP);
    world
        .job(TOWNSHIP, |engine, now| {
            let slice = SliceId::ledger(engine.place());
            let inputs = [("line", "duty"), ("duty", "每月走访")];
            let inputs = inputs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let source = taizhang_node::engine::values::Source::People;
            engine.create(slice, "responsibility_item", &inputs, source, &clerk(), None, now)
        })
        .unwrap();
    assert!(world.settle(3000));
    let before = world.engine(TOWNSHIP).author;
    world.restore(TOWNSHIP, &image);
    assert!(world.settle(3000));
    assert_ne!(world.engine(TOWNSHIP).author, before, "it found out and closed its epoch");
    let mut broken = Vec::new();
    judge(&world, &mut broken);
    assert!(broken.is_empty(), "{broken:?}");
    assert!(world.set(VILLAGE, record, "bank_holder", "张三"));
}

fn village_slice(world: &World) -> SliceId {
    SliceId::ledger(world.replicas[VILLAGE].place)
}

/// Goal: an office put back to an image that lacks nothing but receipts notices nothing, and gives their numbers again:
/// its neighbours take the receipt that states more, whatever its number.
#[test]
fn a_receipt_that_states_more_holds_under_a_number_given_before() {
    let mut world = World::new(75, 4, None);
    let record = world.household(VILLAGE, "张三");
    assert!(world.settle(3000));
    let image = world.image(TOWNSHIP);
    for value in ["一", "二", "三", "四", "五"] {
        assert!(world.settle(3000));
        world.set(VILLAGE, record, "bank_holder", value);
    }
    assert!(world.settle(3000));
    let before = world.engine(TOWNSHIP).author;
    // Its county would give it its own receipts back.
    let (upper, lower) = (world.link_of(TOWNSHIP), world.link_of(VILLAGE));
    world.set_link(upper, false);
    world.set_link(lower, false);
    world.set(VILLAGE, record, "bank_holder", "六");
    (0..30).for_each(|_| world.step());
    world.restore(TOWNSHIP, &image);
    world.set_link(lower, true);
    assert!(world.settle(3000));
    let known = |world: &mut World| {
        let key = world.replicas[TOWNSHIP].identity.seal_key();
        let slice = village_slice(world);
        let all = world.engine(VILLAGE).store.receipts().unwrap();
        let own = all.into_iter().find(|one| one.issuer.key == key && one.slice == slice);
        own.unwrap().sealed.open().unwrap().held
    };
    let told = known(&mut world);
    assert_eq!(
        told,
        world.engine(TOWNSHIP).store.frontiers().unwrap().slices[&village_slice(&world)]
    );
    world.set_link(upper, true);
    assert!(world.settle(3000));
    assert_eq!(known(&mut world), told, "what it said before says less, under a higher number");
    assert_eq!(world.engine(TOWNSHIP).author, before, "nothing of its own was missing");
    let mut broken = Vec::new();
    judge(&world, &mut broken);
    assert!(broken.is_empty(), "{broken:?}");
}
