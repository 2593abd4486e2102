//! Receipts come although processes end before they sign them.

use conflict_tests::oracle::receipts::judge;
use conflict_tests::world::{Node, World};

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
