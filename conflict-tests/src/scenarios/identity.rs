//! Who is who: duplicates and mistyped numbers.

use super::steps::{listed, member};
use crate::scenario::{CITY, COUNTY, OTHER, SECOND, Scenario, Stage, TOWNSHIP, VILLAGE};
use crate::world::{Node, clerk};
use taizhang_core::id::RecordId;
use taizhang_node::engine::twins::TwinItem;

pub(super) const LIST: &[Scenario] = &[
    Scenario {
        number: 1,
        title: ("同一户重复登记", "A household registered twice"),
        outcome: (
            "两条记录都保留,列出一条“重复登记”待办;认定前只计一户(先登记的),两条记录的措施都算在它名下。同村由村认定,两村由共同的上级认定;认定可以更改,两条记录从不合并。",
            "Both records stay and one duplicate item is listed; until it is decided only the earlier counts, with the measures of both. One village decides for itself, two by the office above both; a decision can be changed and records are never fused.",
        ),
        play: registered_twice,
    },
    Scenario {
        number: 17,
        title: ("身份证号录错一位", "One digit of an identity number mistyped"),
        outcome: (
            "可以先录入,标出“身份证号校验不符,请核对原件”;更正是对同一字段的修改,不产生新户。",
            "It can be entered and is marked; the correction is an edit of the same field, no new household.",
        ),
        play: mistyped,
    },
];

const ID: &str = "41149919520307002X";

fn register(stage: &mut Stage, node: Node, extra: (&str, &str)) -> RecordId {
    stage.create(
        node,
        "poor_household",
        &[
            ("head_name", "张三"),
            ("group_no", "一组"),
            ("household_kind", "general"),
            ("main_cause", "illness"),
            ("head_id_no", ID),
            extra,
        ],
    )
}

fn items(stage: &mut Stage, node: Node) -> Vec<TwinItem> {
    stage.world.job(node, |engine, _| Ok(engine.duplicates()?)).unwrap()
}

fn households(stage: &Stage, node: Node, place_of: Node) -> i64 {
    let place = super::money::hex_upper(&stage.world.replicas[place_of].place.0);
    let facts = crate::oracle::facts::facts(&stage.world.replicas[node].folder);
    facts.0.get(&format!("rollup {place} hh_total")).map_or(0, |value| value.parse().unwrap())
}

fn list_it(stage: &mut Stage, id: RecordId, node: Node) {
    let helper = stage.world.contact(TOWNSHIP, "王帮扶");
    stage.sync();
    stage.set(node, id, "helper", &helper.to_string());
    stage.sync();
    stage.act(COUNTY, id, "listed");
    stage.sync();
}

fn registered_twice(stage: &mut Stage) {
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    let one = register(stage, VILLAGE, ("phone", "13800000001"));
    let two = register(stage, SECOND, ("bank_no", "622848000000123"));
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    list_it(stage, one, VILLAGE);
    list_it(stage, two, SECOND);
    let ids: Vec<String> = [VILLAGE, SECOND, TOWNSHIP, COUNTY, CITY]
        .map(|node| {
            let list = items(stage, node);
            assert_eq!(list.len(), 1, "one item");
            list[0].id.clone()
        })
        .to_vec();
    assert!(ids.iter().all(|id| *id == ids[0]), "the same item everywhere");
    for node in [VILLAGE, TOWNSHIP, CITY] {
        assert_eq!(households(stage, node, VILLAGE), 1, "counts use one");
    }
    let item = items(stage, VILLAGE).remove(0);
    for (household, kind) in [(one, "livestock"), (two, "workshop")] {
        measure(stage, household, kind);
    }
    stage.sync();
    assert!(
        !stage.failed(VILLAGE, item.canonical).contains(&"R-INC-01".into()),
        "measures of both"
    );
    let refused = decide(stage, TOWNSHIP, &item.id, false).unwrap_err();
    assert!(refused.contains("认定"), "{refused}");
    decide(stage, VILLAGE, &item.id, false).unwrap();
    stage.sync();
    assert_eq!(households(stage, CITY, VILLAGE), 2, "not the same: both count");
    decide(stage, VILLAGE, &item.id, true).unwrap();
    stage.sync();
    assert_eq!(households(stage, CITY, VILLAGE), 1, "the same: one does");
    let third = register(stage, OTHER, ("phone", "13800000003"));
    list_it(stage, third, OTHER);
    let list = items(stage, TOWNSHIP);
    let mut list = list.into_iter().filter(|one| [one.other, one.canonical].contains(&third));
    let cross = list.next().unwrap();
    assert_eq!(cross.owner, stage.world.replicas[TOWNSHIP].place);
    assert_eq!(households(stage, OTHER, OTHER), 1, "the village counts its own");
    assert_eq!(households(stage, TOWNSHIP, TOWNSHIP), 1, "the township counts one");
    assert!(decide(stage, OTHER, &cross.id, true).is_err());
}

fn decide(stage: &mut Stage, node: Node, item: &str, same: bool) -> Result<RecordId, String> {
    stage
        .world
        .job(node, |engine, now| engine.decide_same(item, same, "已核对户口簿", &clerk(), now))
}

fn measure(stage: &mut Stage, household: RecordId, kind: &str) {
    let id = stage.create(
        VILLAGE,
        "income_measure",
        &[
            ("household", &household.to_string()),
            ("year", "2018"),
            ("measure_kind", kind),
            ("detail", "项目"),
            ("expected_income", "5000"),
            ("start_date", "2018-05-01"),
        ],
    );
    stage.act(VILLAGE, id, "running");
}

fn mistyped(stage: &mut Stage) {
    let household = listed(stage, "张三");
    let id = member(stage, household, "411499195203070021");
    stage.sync();
    for node in [VILLAGE, TOWNSHIP] {
        assert!(stage.failed(node, id).contains(&"R-ID-01".into()), "marked, not refused");
    }
    stage.set(VILLAGE, id, "id_no", ID);
    stage.sync();
    assert!(!stage.failed(TOWNSHIP, id).contains(&"R-ID-01".into()));
    assert_eq!(households(stage, TOWNSHIP, VILLAGE), 1, "no new household");
}
