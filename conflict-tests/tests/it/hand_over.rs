//! A village goes to a township of another county while it is cut off.

use conflict_tests::oracle::register::shown;
use conflict_tests::world::{Node, World, clerk};
use taizhang_core::id::{PlaceId, SliceId};
use taizhang_core::place::event::PlaceEvent;
use taizhang_node::identity::found::NewKeys;

const VILLAGE: Node = 3;
const OLD_TOWNSHIP: Node = 2;
const COUNTY_B: Node = 7;
const TOWNSHIP_B: Node = 8;

/// Goal: what the village wrote before and during the outage arrives at its new parents and the city, its
/// new county's values reach it, and its old township writes there no more.
#[test]
fn a_village_is_handed_over_to_another_county_with_unsent_edits() {
    let mut world = World::new(61, 9, None);
    let early = world.household(VILLAGE, "张三");
    assert!(world.settle(3000));
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
    let late = world.household(VILLAGE, "张三");
    let event = PlaceEvent::HandOver {
        place: PlaceId([5; 8]),
        to: PlaceId([7; 8]),
        line: Vec::new(),
        lists: Vec::new(),
    };
    world.job(0, |engine, now| engine.place_event(event, "2018-06-10", &clerk(), now)).unwrap();
    assert!(world.settle(3000));
    let seen = shown(&world, TOWNSHIP_B, early, "head_name").unwrap_or_default();
    assert_eq!(seen.len(), 1, "the new township holds what the village had sent");
    // The village hears of it from its old township, which it still dials, and goes on to the new one.
    world.set_link(link, true);
    assert!(world.settle(6000));
    let tree = &world.engine(VILLAGE).directives.tree;
    assert_eq!(tree.dial_parent(PlaceId([5; 8])), Some(PlaceId([7; 8])), "it knows its new parent");
    world.redial(VILLAGE, TOWNSHIP_B);
    assert!(world.settle(6000));
    let param = "min_income_measures_per_household";
    world.publish(COUNTY_B, "乙县〔2018〕1号", param, 4);
    assert!(world.settle(3000));
    for office in [0, COUNTY_B, TOWNSHIP_B, VILLAGE] {
        let name = world.replicas[office].name;
        for record in [early, late] {
            let found = shown(&world, office, record, "head_name").unwrap_or_default();
            assert_eq!(found.len(), 1, "{name}");
        }
        let tree = &world.engine(office).directives.tree;
        assert_eq!(tree.parent(PlaceId([5; 8])), Some(PlaceId([7; 8])), "{name}");
        assert_eq!(tree.dial_parent(PlaceId([5; 8])), Some(PlaceId([7; 8])), "{name}");
    }
    let versions = |world: &mut World, office| world.engine(office).directives.policies.len();
    assert_eq!(versions(&mut world, VILLAGE), versions(&mut world, COUNTY_B));
    world.set(OLD_TOWNSHIP, early, "bank_holder", "旧乡镇");
    assert!(world.settle(3000));
    let slice = SliceId::ledger(PlaceId([5; 8]));
    let shown_at_city = shown(&world, 0, early, "bank_holder").unwrap_or_default();
    assert!(shown_at_city.is_empty(), "the old township wrote: {shown_at_city:?}");
    let hashes: std::collections::BTreeSet<_> = [0, COUNTY_B, TOWNSHIP_B, VILLAGE]
        .iter()
        .map(|node| world.engine(*node).store.slice_hash(slice).unwrap())
        .collect();
    assert_eq!(hashes.len(), 1, "one slice hash");
}

/// Goal: a village that was merged into another keeps its PCs: their certificates are renewed, and a lost PC
/// is replaced, although its place now hangs below another village.
#[test]
fn a_merged_village_is_certified_by_its_township() {
    let mut world = World::new(31, 5, None);
    let event = PlaceEvent::Merge { place: PlaceId([6; 8]), into: PlaceId([5; 8]) };
    world.job(0, |engine, now| engine.place_event(event, "2018-06-10", &clerk(), now)).unwrap();
    assert!(world.settle(2000));
    let merged = world.replicas[4].identity.clone();
    let keys = NewKeys::generate(merged.seal.to_bytes()).unwrap();
    let wanted = keys.request().unwrap();
    let admission = world.job(2, |engine, now| engine.renew(&merged.chain, &wanted, now)).unwrap();
    let renewed = keys.accept(merged.root.clone(), admission.certificates, Vec::new()).unwrap();
    assert_eq!(renewed.checked.name, merged.checked.name);
    world.reinstall(4);
    let record = world.household(4, "张三");
    assert!(world.settle(3000));
    assert!(shown(&world, 0, record, "head_name").is_some());
}

/// Goal: old sheets and papers name the code of a merged place, so no other place gets it (R-REG-02).
#[test]
fn the_code_of_a_merged_place_is_not_used_again() {
    let mut world = World::new(32, 5, None);
    let (village, merged) = (PlaceId([5; 8]), PlaceId([6; 8]));
    let code = world.engine(0).directives.tree.place(merged).unwrap().code().to_owned();
    let publish = |world: &mut World, event: PlaceEvent| {
        world.job(0, |engine, now| engine.place_event(event, "2018-06-10", &clerk(), now))
    };
    publish(&mut world, PlaceEvent::Merge { place: merged, into: village }).unwrap();
    assert!(world.settle(2000));
    let refused = publish(&mut world, PlaceEvent::Recode { place: village, code }).unwrap_err();
    assert!(refused.contains("R-REG-02"), "{refused}");
    let free = PlaceEvent::Recode { place: village, code: "411426203299".into() };
    publish(&mut world, free).unwrap();
}
