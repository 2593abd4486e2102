//! Receipts come although processes end before they sign them.

use conflict_tests::oracle::receipts::judge;
use conflict_tests::world::{Node, World, clerk};

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
            let slice = taizhang_core::id::SliceId::ledger(engine.place());
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
