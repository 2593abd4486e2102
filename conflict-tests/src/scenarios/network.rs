//! Outages, clocks, places, policy and versions.

use std::collections::BTreeMap;

use taizhang_core::catalogue::parse::Part;
use taizhang_core::id::{RecordId, SliceId};
use taizhang_core::place::event::PlaceEvent;
use taizhang_core::record::fold::ConflictKind;
use taizhang_node::engine::values::Source;

use super::money::submitted_grant;
use super::steps::listed;
use crate::scenario::{CITY, COUNTY, OTHER, SECOND, Scenario, Stage, TOWNSHIP, VILLAGE};
use crate::world::{Node, clerk};

pub(super) const LIST: &[Scenario] = &[
    Scenario {
        number: 5,
        title: ("断网期间政策调整", "Policy changed in an outage"),
        outcome: (
            "按每条记录自己的业务日期适用政策:生效前的按旧标准,生效后的按新标准重新核对并标出;录入时所见的版本留作依据,不因按旧版录入而退回。",
            "The record's own date decides: before the effective date the old value holds, after it the new one, and findings are evaluated again. What was seen when it was entered is kept; nothing is rejected for it.",
        ),
        play: policy_in_outage,
    },
    Scenario {
        number: 7,
        title: ("户在两村之间迁移", "A household moves between villages"),
        outcome: (
            "只有两地的共同上级能办理迁移。新村得到新记录(含来源和历史摘要),旧村的记录显示“已迁出”。旧村之后录入的内容保留但不计入,由上级转交新村。",
            "Only the office above both makes a move. The new village gets a record with its origin and a history extract; the old one shows that it moved. What the old village still entered is kept, counts nowhere, and is carried over by the office above.",
        ),
        play: household_moves,
    },
    Scenario {
        number: 8,
        title: ("行政村合并、乡镇更名改码", "A village is merged, a township renamed and re-coded"),
        outcome: (
            "断网的村继续按原单位工作,恢复后其记录随区划编号(不靠代码)归到新单位;合并后的村持有原村全部台账,原村的电脑在停用前仍可录入。原村的代码不再给别的区划用。",
            "A village that was off-line goes on, and its records follow the place, never the code; the successor holds the whole ledger of the merged village, whose PC may write until it is retired. The merged village's code is given to no other place.",
        ),
        play: places_change,
    },
    Scenario {
        number: 9,
        title: ("电脑用旧镜像恢复", "A PC restored from an old image"),
        outcome: (
            "首次联系上级时发现:先取回本机曾上报的内容,再以新的写入周期补报镜像上新录的内容;同一字段两边都改过的列为冲突。两边都不丢。",
            "Found at the first contact: what was sent before comes back, what was typed on the image is written again in a new epoch; fields that both changed are conflicts. Neither is lost.",
        ),
        play: restored_image,
    },
    Scenario {
        number: 10,
        title: ("一村两台电脑", "Two PCs in one village"),
        outcome: (
            "改不同字段自动合并;改同一字段两个值都保留,由村裁定。",
            "Different fields merge; of one field both values are kept and the village decides.",
        ),
        play: two_pcs,
    },
    Scenario {
        number: 11,
        title: ("时钟错误", "A wrong clock"),
        outcome: (
            "先后由因果决定,不由时钟决定:时钟快十二年的电脑不会盖过后来的更正;同时的修改照样列为冲突,并提示请校时。",
            "Causality decides, never clocks: a PC twelve years ahead does not beat a later correction; concurrent edits are conflicts all the same, and the clock is remarked on.",
        ),
        play: wrong_clock,
    },
    Scenario {
        number: 13,
        title: ("县级细化的参数被市级收紧", "A local value covered by a stricter one"),
        outcome: (
            "生效值取更严的;县里看到“已被上级参数覆盖”;之后县里再发布更松的值会被拒绝并说明。",
            "The stricter value holds; the county sees that its own is covered, and a weaker one is refused with the reason.",
        ),
        play: tightened,
    },
    Scenario {
        number: 21,
        title: (
            "国家系统名单更新时村里在离线修改",
            "The national list is imported while villages edit",
        ),
        outcome: (
            "县里只写自己负责的字段(户编号、脱贫年度),不会覆盖村里的电话等;名单上没有的户列为“拟注销”,不作废。",
            "The county writes its own fields only and overwrites nothing of the village; households no longer listed are proposed for cancellation, not voided.",
        ),
        play: national_list,
    },
    Scenario {
        number: 26,
        title: ("已离任的责任人仍被指派", "A contact that has left is still assigned"),
        outcome: (
            "指派保留并标出“无在岗的帮扶责任人”,请村里另选。",
            "The assignment stays and is marked: no current helper; the village chooses again.",
        ),
        play: helper_left,
    },
    Scenario {
        number: 28,
        title: ("断网期间目录升级", "The catalogue is upgraded in an outage"),
        outcome: (
            "旧目录下录入的记录照收;新目录要求的字段显示为待补,不算错误;旧目录不认识的值原样显示、从不改写。",
            "Records of the older catalogue are accepted; a field that only the newer one asks for is to be filled, not wrong; unknown values are shown raw and never rewritten.",
        ),
        play: catalogue_upgrade,
    },
    Scenario {
        number: 29,
        title: ("同步中断在半途", "Sync breaks in the middle"),
        outcome: (
            "已到的部分已落盘并生效,一次保存不会只到一半;恢复后接着传,不重复。",
            "What arrived is durable and applied, never half of one save; after the link is back the rest follows, nothing twice.",
        ),
        play: broken_sync,
    },
];

fn policy_in_outage(stage: &mut Stage) {
    stage.date("2018-06-05");
    let household = stage.household(VILLAGE, "张三");
    stage.sync();
    stage.cut(VILLAGE);
    stage.date("2018-06-10");
    stage
        .world
        .publish_from(CITY, "商扶〔2018〕9号", "2018-06-15", "household_grant_cap", 500_000)
        .unwrap();
    stage.date("2018-06-20");
    let mut grants = Vec::new();
    for date in ["2018-06-12", "2018-06-18"] {
        let id = submitted_grant(stage, household, "6000");
        stage.set(VILLAGE, id, "apply_date", date);
        grants.push(id);
    }
    stage.date("2018-06-25");
    stage.heal(VILLAGE);
    for node in [VILLAGE, TOWNSHIP, CITY] {
        assert!(!stage.failed(node, grants[0]).contains(&"R-GRT-01".into()), "before: the old cap");
        assert!(stage.failed(node, grants[1]).contains(&"R-GRT-01".into()), "after: the new one");
    }
    let refused = stage.try_act(TOWNSHIP, grants[1], "reviewed").unwrap_err();
    assert!(refused.contains("R-GRT-01"), "{refused}");
}

fn household_moves(stage: &mut Stage) {
    let household = listed(stage, "张三");
    let may = measure(stage, VILLAGE, household, "livestock");
    stage.sync();
    stage.cut(VILLAGE);
    let june = measure(stage, VILLAGE, household, "ecommerce");
    stage.set(VILLAGE, household, "phone", "13800000009");
    let target = stage.world.replicas[OTHER].place;
    let to_other = |stage: &mut Stage, node: Node, id: RecordId| {
        stage.world.job(node, |engine, now| {
            engine.move_record(id, target, "2018-06-01", "婚嫁迁入", &clerk(), now)
        })
    };
    let refused = to_other(stage, VILLAGE, household).unwrap_err();
    assert!(refused.contains("共同上级"), "{refused}");
    let new = to_other(stage, TOWNSHIP, household).unwrap();
    stage.sync();
    let there = measure(stage, OTHER, new, "workshop");
    stage.heal(VILLAGE);
    let old = stage.row(VILLAGE, household);
    assert_eq!(old.moved.as_ref().map(|moved| moved.to), Some(target), "已迁出→V2");
    assert!(stage.try_set(VILLAGE, household, "phone", "1").unwrap_err().contains("已迁出"));
    let moved = stage.row(OTHER, new);
    assert_eq!(moved.text("head_name"), "张三");
    assert_eq!(moved.from[0].record, household);
    assert!(!moved.from[0].history.is_empty(), "a readable history");
    assert!(stage.row(VILLAGE, may).moved.is_some(), "its measures went along");
    assert!(stage.failed(TOWNSHIP, june).contains(&"R-MOVED".into()), "kept, inert");
    let late = stage.conflicts(TOWNSHIP, household);
    assert_eq!(late[0].kind, ConflictKind::AfterMove);
    stage.world.job(TOWNSHIP, |engine, now| engine.carry_over(household, &clerk(), now)).unwrap();
    let june_there = to_other(stage, TOWNSHIP, june).unwrap();
    stage.sync();
    assert_eq!(stage.row(OTHER, new).text("phone"), "13800000009", "carried over");
    assert_eq!(stage.row(OTHER, june_there).text("household"), new.to_string());
    assert_eq!(stage.row(TOWNSHIP, there).text("household"), new.to_string());
}

pub(super) fn measure(stage: &mut Stage, node: Node, household: RecordId, kind: &str) -> RecordId {
    stage.create(
        node,
        "income_measure",
        &[
            ("household", &household.to_string()),
            ("year", "2018"),
            ("measure_kind", kind),
            ("detail", "项目"),
            ("expected_income", "5000"),
            ("start_date", "2018-05-01"),
        ],
    )
}

fn event(stage: &mut Stage, event: PlaceEvent) {
    stage
        .world
        .job(CITY, |engine, now| engine.place_event(event, "2018-06-10", &clerk(), now))
        .unwrap();
}

fn places_change(stage: &mut Stage) {
    let before = stage.household(OTHER, "李四");
    stage.sync();
    let [village, other, township] =
        [VILLAGE, OTHER, TOWNSHIP].map(|node| stage.world.replicas[node].place);
    stage.cut(OTHER);
    event(stage, PlaceEvent::Rename { place: township, name: "郭店镇".into() });
    event(stage, PlaceEvent::Recode { place: township, code: "411426112000".into() });
    event(stage, PlaceEvent::Merge { place: other, into: village });
    stage.sync();
    let unsent = stage.household(OTHER, "王五");
    stage.heal(OTHER);
    for node in [VILLAGE, OTHER, TOWNSHIP, COUNTY, CITY] {
        for (id, name) in [(before, "李四"), (unsent, "王五")] {
            assert_eq!(stage.row(node, id).text("head_name"), name, "office {node}");
        }
        let tree = &stage.world.engine(node).directives.tree;
        assert_eq!(tree.place(township).unwrap().name(), "郭店镇");
        assert_eq!(tree.place(township).unwrap().code(), "411426112000");
        let day = taizhang_core::time::Date::parse("2018-06-01").unwrap();
        assert_eq!(tree.place(township).unwrap().name_on(day), "地4", "the name then valid");
    }
    stage.set(VILLAGE, unsent, "phone", "13800000001");
    stage.set(OTHER, before, "phone", "13800000002");
    stage.sync();
    assert_eq!(stage.row(CITY, unsent).text("phone"), "13800000001", "the successor writes");
    assert_eq!(stage.row(VILLAGE, before).text("phone"), "13800000002", "so does the old PC");
}

fn restored_image(stage: &mut Stage) {
    let household = stage.household(VILLAGE, "张三");
    stage.set(VILLAGE, household, "phone", "13800000001");
    stage.sync();
    let image = stage.world.image(VILLAGE);
    stage.set(VILLAGE, household, "phone", "13800000002");
    stage.sync();
    stage.cut(VILLAGE);
    stage.world.restore(VILLAGE, &image);
    stage.set(VILLAGE, household, "phone", "13800000003");
    stage.set(VILLAGE, household, "address", "村东");
    stage.heal(VILLAGE);
    for node in [VILLAGE, TOWNSHIP, CITY] {
        assert_eq!(stage.row(node, household).text("address"), "村东");
        let conflict = stage.conflicts(node, household);
        assert_eq!((conflict.len(), conflict[0].candidates.len()), (1, 2), "both values");
    }
}

fn two_pcs(stage: &mut Stage) {
    let household = stage.household(VILLAGE, "张三");
    stage.sync();
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    stage.set(VILLAGE, household, "phone", "13800000001");
    stage.set(SECOND, household, "bank_no", "622848000000123");
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    assert!(stage.conflicts(TOWNSHIP, household).is_empty(), "different fields");
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    stage.set(VILLAGE, household, "phone", "13800000002");
    stage.set(SECOND, household, "phone", "13800000003");
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    let shown: Vec<String> = [VILLAGE, SECOND, TOWNSHIP, CITY]
        .map(|node| {
            assert_eq!(stage.conflicts(node, household)[0].candidates.len(), 2);
            stage.row(node, household).text("phone")
        })
        .to_vec();
    assert!(shown.iter().all(|one| *one == shown[0]), "the same one is shown");
    stage.resolve(VILLAGE, household, "phone", "13800000003");
    stage.sync();
    assert!(stage.conflicts(CITY, household).is_empty());
}

fn wrong_clock(stage: &mut Stage) {
    let household = stage.household(VILLAGE, "张三");
    stage.sync();
    stage.cut(VILLAGE);
    stage.world.replicas[VILLAGE].skew_ms = 12 * 365 * 86_400_000;
    stage.set(VILLAGE, household, "household_kind", "low_income");
    stage.heal(VILLAGE);
    stage.cut(SECOND);
    stage.set(TOWNSHIP, household, "household_kind", "five_guarantee");
    stage.sync();
    assert_eq!(stage.row(VILLAGE, household).text("household_kind"), "five_guarantee");
    assert!(stage.conflicts(CITY, household).is_empty(), "the later one, by causality");
    stage.world.replicas[SECOND].skew_ms = -3 * 365 * 86_400_000;
    stage.set(SECOND, household, "household_kind", "general");
    stage.heal(SECOND);
    for node in [VILLAGE, SECOND, TOWNSHIP, CITY] {
        assert_eq!(stage.conflicts(node, household)[0].candidates.len(), 2, "apart: both kept");
    }
    stage.world.replicas[VILLAGE].skew_ms = 0;
    stage.world.replicas[SECOND].skew_ms = 0;
}

fn tightened(stage: &mut Stage) {
    let param = "min_income_measures_per_household";
    stage.world.publish_from(COUNTY, "县发3号", "2018-05-01", param, 3).unwrap();
    stage.sync();
    stage.cut(COUNTY);
    stage.world.publish_from(CITY, "商扶4号", "2018-06-01", param, 4).unwrap();
    stage.heal(COUNTY);
    let village = stage.world.replicas[VILLAGE].place;
    for node in [VILLAGE, TOWNSHIP, COUNTY, CITY] {
        let day = taizhang_core::time::Date::parse("2018-06-02").unwrap();
        let found = stage.world.engine(node).directives.param(param, village, day);
        assert_eq!(found.value.and_then(|value| value.as_int()), Some(4));
        assert!(found.overridden, "已被上级参数覆盖");
        let before = taizhang_core::time::Date::parse("2018-05-20").unwrap();
        let found = stage.world.engine(node).directives.param(param, village, before);
        assert_eq!(found.value.and_then(|value| value.as_int()), Some(3), "as it was then");
    }
    let refused = stage.world.publish_from(COUNTY, "县发5号", "2018-06-10", param, 2).unwrap_err();
    assert!(refused.contains("弱于上级"), "{refused}");
}

fn national_list(stage: &mut Stage) {
    let kept = listed(stage, "张三");
    let removed = listed(stage, "李四");
    stage.sync();
    stage.cut(VILLAGE);
    stage.set(VILLAGE, kept, "phone", "13800000009");
    stage.set(COUNTY, kept, "national_hh_no", "0042");
    stage.set(COUNTY, kept, "exit_year", "2018");
    stage.act(COUNTY, removed, "cancel_proposed");
    stage.heal(VILLAGE);
    let row = stage.row(CITY, kept);
    assert_eq!(
        (row.text("phone").as_str(), row.text("national_hh_no").as_str()),
        ("13800000009", "0042")
    );
    assert!(row.conflicts.is_empty());
    stage.everywhere(removed, "cancel_proposed");
    assert!(stage.row(VILLAGE, removed).void.is_none());
    let refused = stage.try_set(COUNTY, kept, "phone", "1").unwrap_err();
    assert!(refused.contains("不由本级填写"), "{refused}");
}

fn helper_left(stage: &mut Stage) {
    let helper = stage.world.contact(TOWNSHIP, "王帮扶");
    let household = stage.household(VILLAGE, "张三");
    stage.sync();
    stage.cut(VILLAGE);
    stage
        .world
        .job(TOWNSHIP, |engine, now| {
            let inputs = BTreeMap::from([("valid_to".to_owned(), "2018-05-31".to_owned())]);
            engine.set(helper, &inputs, Source::People, &clerk(), now)?;
            Ok(engine.project_own_directives(now)?)
        })
        .unwrap();
    stage.set(VILLAGE, household, "helper", &helper.to_string());
    stage.heal(VILLAGE);
    stage.act(COUNTY, household, "listed");
    stage.sync();
    for node in [VILLAGE, TOWNSHIP] {
        assert_eq!(stage.row(node, household).text("helper"), helper.to_string(), "kept");
        assert!(stage.failed(node, household).contains(&"R-CHN-03".into()), "marked");
    }
}

fn upgraded() -> Vec<Part> {
    let mut parts = taizhang_core::base_catalogue();
    for part in &mut parts {
        if part.name == "toilet_renovation.toml" {
            part.source = part.source.replace("version = 2", "version = 3").replace(
                "  { id = \"built_on\"",
                "  { id = \"builder\", zh = \"施工队\", en = \"Contractor\", kind = \"text\", required = \"always\", privacy = 0, write = [\"village\"], merge = \"conflict\" },\n  { id = \"built_on\"",
            );
        }
        if part.name == "base.toml" {
            part.source = part.source.replacen("version = 1", "version = 2", 1).replacen(
                "{ id = \"five_guarantee\", zh = \"五保(特困)户\", en = \"Five-guarantee\" }]",
                "{ id = \"five_guarantee\", zh = \"五保(特困)户\", en = \"Five-guarantee\" }, { id = \"border\", zh = \"边缘户\", en = \"Borderline\" }]",
                1,
            );
        }
    }
    parts
}

fn catalogue_upgrade(stage: &mut Stage) {
    let household = stage.household(VILLAGE, "张三");
    stage.sync();
    stage.cut(VILLAGE);
    stage.world.job(CITY, |engine, now| engine.publish_parts(&upgraded(), &clerk(), now)).unwrap();
    stage.sync();
    let old = [("group_no", "一组"), ("householder", "张三")];
    let file = stage.create(VILLAGE, "toilet_renovation", &old);
    stage.set(TOWNSHIP, household, "household_kind", "border");
    let slice = SliceId::ledger(stage.world.replicas[OTHER].place);
    let refused = stage.world.job(OTHER, |engine, now| {
        let inputs = old.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        engine.create(slice, "toilet_renovation", &inputs, Source::People, &clerk(), None, now)
    });
    assert!(refused.unwrap_err().contains("施工队"), "the newer catalogue asks for it");
    stage.heal(VILLAGE);
    stage.everywhere(file, "registered");
    stage.set(VILLAGE, file, "toilet_type", "三格式");
    stage.set(VILLAGE, file, "builder", "第一施工队");
    stage.sync();
    assert_eq!(stage.row(CITY, file).text("builder"), "第一施工队");
    assert_eq!(stage.row(VILLAGE, household).text("household_kind"), "border");
    let catalogue = taizhang_core::catalogue::parse::parse(&{
        let mut parts = taizhang_core::base_catalogue();
        let source = taizhang_core::directives::SYSTEM_CATALOGUE.into();
        parts.push(Part { name: "system".into(), source });
        parts
    })
    .unwrap();
    assert_eq!(catalogue.value_label("household_kind", "border", false), "border", "shown raw");
}

fn broken_sync(stage: &mut Stage) {
    stage.cut(VILLAGE);
    let ids: Vec<RecordId> =
        (0..260).map(|at| stage.household(VILLAGE, &format!("户{at}"))).collect();
    let link = stage.world.link_of(VILLAGE);
    stage.world.set_link(link, true);
    // One message a step: stop when the first of several segments has come.
    while stage.world.job(TOWNSHIP, |engine, _| engine.find(ids[0])).is_err() {
        stage.world.step();
    }
    stage.world.set_link(link, false);
    for _ in 0..200 {
        stage.world.step();
    }
    let mut arrived = 0;
    for id in &ids {
        let found = stage.world.job(TOWNSHIP, |engine, _| engine.find(*id));
        if let Ok(found) = found {
            arrived += 1;
            assert_eq!(found.row.fields.len(), 4, "a save arrives whole or not at all");
        }
    }
    assert!(0 < arrived && arrived < ids.len(), "the link broke in the middle: {arrived}");
    stage.heal(VILLAGE);
    for id in &ids {
        assert!(!stage.row(CITY, *id).text("head_name").is_empty());
    }
}
