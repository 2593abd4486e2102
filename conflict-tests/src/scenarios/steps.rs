//! Workflow steps that meet.

use serde_json::json;
use taizhang_core::record::fold::ConflictKind;

use super::money::{open, reviewed_grant};
use crate::scenario::{CITY, COUNTY, SECOND, Scenario, Stage, TOWNSHIP, VILLAGE};
use crate::world::clerk;
use taizhang_core::id::RecordId;

pub(super) const LIST: &[Scenario] = &[
    Scenario {
        number: 3,
        title: ("乡镇审核时村里修改了内容", "The village edits while the township reviews"),
        outcome: (
            "审核只对所审的内容有效。内容改动后显示“待复核”,县里不能批准,直到乡镇重新审核,或村里改回原内容。",
            "A review covers what it saw. After an edit the record shows 待复核 and cannot be approved until it is reviewed again, or put back.",
        ),
        play: edit_under_review,
    },
    Scenario {
        number: 4,
        title: ("乡镇销号时村里重新办理", "Closed by the township while the village reopens"),
        outcome: (
            "各处都显示“重新办理”,乡镇的销号作为来迟的步骤列出,不生效。",
            "Every office shows it as reopened; the closing is listed as a step that came too late.",
        ),
        play: closed_and_reopened,
    },
    Scenario {
        number: 14,
        title: ("作废与核实同时发生", "Voided and verified apart"),
        outcome: (
            "核实优先:记录保留,列出待办“作废与修改同时发生”。村里看到后再次作废才生效。帮扶引导台账例外,作废优先。",
            "The edit beats the void: the record stays, with a conflict item; a second void that has seen it holds. In the guidance ledger a void wins.",
        ),
        play: void_and_verify,
    },
    Scenario {
        number: 15,
        title: ("星级评定步骤颠倒", "Star rating steps out of order"),
        outcome: (
            "先录的评议等待入户核实。核实日期不晚于评议日期时(只是补录)自动接上;晚于评议日期的,须重新评议。",
            "A step recorded early waits. If the visit was made before the deliberation and only recorded late, the steps fall into place; if it was made after, the deliberation must be repeated.",
        ),
        play: steps_out_of_order,
    },
    Scenario {
        number: 18,
        title: ("签字后内容改动", "Signed, then changed"),
        outcome: (
            "三人签字只对所签内容有效:收入改动后退回“收入已认可”,显示需重新签字(3);改回原值则签字恢复。",
            "Three signatures cover what they signed: after a change the record falls back and lists 需重新签字 (3); putting the value back restores them.",
        ),
        play: signatures_lapse,
    },
    Scenario {
        number: 20,
        title: ("乡镇与县同时改同一户状态", "Township and county both change a status"),
        outcome: (
            "县级的决定生效,乡镇的步骤列为来迟并附原因。",
            "The county's decision holds; the township's step is listed as too late, with the reason.",
        ),
        play: status_by_two_levels,
    },
    Scenario {
        number: 23,
        title: ("乡镇要求返工,县里同时验收", "Rework ordered while the county accepts"),
        outcome: (
            "县级验收生效,乡镇的返工不丢:档案标出“验收后异议”,县里可以据此要求返工。",
            "The county's acceptance holds and the township's finding is kept: the file is marked, and the county may order rework.",
        ),
        play: rework_and_accept,
    },
    Scenario {
        number: 24,
        title: ("户脱贫与星级评定交错", "A household exits while it is rated"),
        outcome: (
            "资格按县里确认的状态判断:确认后申请有效;未确认则标出“须为已脱贫户”。",
            "Eligibility follows the status that the county confirmed: valid once it has, marked until then.",
        ),
        play: exit_and_rating,
    },
    Scenario {
        number: 25,
        title: ("上交与销号交错", "Escalated and closed apart"),
        outcome: (
            "上交优先:各处显示已上交乡级,销号列为来迟,由乡镇办结。",
            "The escalation wins on every replica; the closing is listed as too late and the township must resolve it.",
        ),
        play: escalate_and_close,
    },
];

fn edit_under_review(stage: &mut Stage) {
    let household = listed(stage, "张三");
    let grant = super::money::submitted_grant(stage, household, "6000");
    stage.sync();
    stage.cut(VILLAGE);
    stage.act(TOWNSHIP, grant, "reviewed");
    stage.set(VILLAGE, grant, "requested", "7500");
    stage.heal(VILLAGE);
    for office in [VILLAGE, TOWNSHIP, COUNTY] {
        let state = stage.row(office, grant).state.unwrap();
        assert_eq!((state.state.as_str(), state.needs_recheck), ("reviewed", true));
    }
    stage.set(COUNTY, grant, "approved_amount", "7500");
    let refused = stage.try_act(COUNTY, grant, "approved").unwrap_err();
    assert!(refused.contains("待复核"), "{refused}");
    stage.set(VILLAGE, grant, "requested", "6000");
    stage.sync();
    assert!(!stage.row(COUNTY, grant).state.unwrap().needs_recheck, "the review is valid again");
    stage.set(VILLAGE, grant, "requested", "7500");
    stage.sync();
    stage.act(TOWNSHIP, grant, "reviewed");
    stage.sync();
    stage.act(COUNTY, grant, "approved");
    stage.sync();
    stage.everywhere(grant, "approved");
}

fn ticket(stage: &mut Stage, to: &[(usize, &str)]) -> RecordId {
    let id = stage.create(
        VILLAGE,
        "problem_ticket",
        &[
            ("source", "visit"),
            ("domain", "industry"),
            ("severity", "small"),
            ("description", "灌溉渠堵塞"),
            ("received_on", "2018-06-01"),
            ("ticket_no", "V-1"),
            ("holder_level", "village"),
        ],
    );
    stage.add(VILLAGE, id, "actions", json!({"date": "2018-06-02", "text": "清淤"}));
    stage.add(
        VILLAGE,
        id,
        "feedback",
        json!({"date": "2018-06-03", "by": "helper", "satisfied": "yes"}),
    );
    for (office, state) in to {
        stage.sync();
        stage.act(*office, id, state);
    }
    stage.sync();
    id
}

const FED_BACK: [(usize, &str); 5] = [
    (VILLAGE, "registered"),
    (VILLAGE, "assigned"),
    (VILLAGE, "handling"),
    (VILLAGE, "resolved"),
    (VILLAGE, "fed_back"),
];

fn superseded(stage: &mut Stage, office: usize, id: RecordId, to: &str) {
    let items = stage.conflicts(office, id);
    let found = items.iter().any(|item| {
        item.kind == ConflictKind::Superseded && item.candidates[0].value.to_string().ends_with(to)
    });
    assert!(found, "{to} is listed as too late: {items:?}");
}

fn closed_and_reopened(stage: &mut Stage) {
    let id = ticket(stage, &FED_BACK);
    stage.cut(VILLAGE);
    stage.act(TOWNSHIP, id, "closed");
    stage.act(VILLAGE, id, "reopened");
    stage.heal(VILLAGE);
    stage.everywhere(id, "reopened");
    superseded(stage, TOWNSHIP, id, "closed");
}

fn escalate_and_close(stage: &mut Stage) {
    let id = ticket(stage, &FED_BACK);
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    stage.act(SECOND, id, "escalated_township");
    stage.act(VILLAGE, id, "closed");
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    stage.everywhere(id, "escalated_township");
    superseded(stage, VILLAGE, id, "closed");
}

fn void_and_verify(stage: &mut Stage) {
    let household = stage.household(VILLAGE, "张三").to_string();
    let measure = stage.create(
        VILLAGE,
        "income_measure",
        &[
            ("household", &household),
            ("year", "2018"),
            ("measure_kind", "livestock"),
            ("detail", "养羊10只"),
            ("expected_income", "5000"),
            ("start_date", "2018-05-01"),
        ],
    );
    stage.act(VILLAGE, measure, "running");
    stage.world.attach(VILLAGE, measure, "evidence", b"contract");
    stage.sync();
    stage.cut(VILLAGE);
    stage.act(TOWNSHIP, measure, "verified");
    let void = |stage: &mut Stage, reason: &'static str| {
        stage.world.job(VILLAGE, |engine, now| engine.void(measure, Some(reason), &clerk(), now))
    };
    void(stage, "重复").unwrap();
    stage.heal(VILLAGE);
    for office in [VILLAGE, TOWNSHIP, CITY] {
        let row = stage.row(office, measure);
        assert!(row.void.is_none(), "the edit beats the void");
        assert_eq!(row.conflicts[0].kind, ConflictKind::Void);
    }
    stage.everywhere(measure, "verified");
    // The void still stands in the document, so taking it back and voiding again says it anew.
    stage
        .world
        .job(VILLAGE, |engine, now| engine.void(measure, Some("确认作废"), &clerk(), now))
        .unwrap();
    stage.sync();
    for office in [VILLAGE, TOWNSHIP, CITY] {
        assert_eq!(stage.row(office, measure).void.as_deref(), Some("确认作废"));
    }
}

fn rating(stage: &mut Stage, name: &str) -> RecordId {
    let household = stage.household(VILLAGE, name).to_string();
    let id = stage.create(VILLAGE, "star_rating", &[("household", &household), ("year", "2018")]);
    for (field, value) in [
        ("per_capita_income", "5000"),
        ("law_abiding", "true"),
        ("deliberated_on", "2018-06-10"),
        ("present", "24"),
        ("votes_for", "22"),
    ] {
        stage.set(VILLAGE, id, field, value);
    }
    id
}

fn visited(stage: &mut Stage, id: RecordId, date: &str) {
    stage.add(VILLAGE, id, "verify_visit", json!({"date": date, "persons": "第一书记"}));
    stage.act_on(VILLAGE, id, "verified", date);
}

fn steps_out_of_order(stage: &mut Stage) {
    stage.date("2018-06-20");
    let id = rating(stage, "张三");
    stage.act_on(VILLAGE, id, "deliberated", "2018-06-10");
    stage.act_on(VILLAGE, id, "noticed", "2018-06-12");
    stage.sync();
    stage.everywhere(id, "applied");
    assert_eq!(stage.row(TOWNSHIP, id).state.unwrap().pending, ["deliberated", "noticed"]);
    visited(stage, id, "2018-06-08");
    stage.sync();
    stage.everywhere(id, "noticed");
    let late = rating(stage, "李四");
    stage.act_on(VILLAGE, late, "deliberated", "2018-06-10");
    visited(stage, late, "2018-06-15");
    stage.sync();
    stage.everywhere(late, "verified");
    stage.act_on(VILLAGE, late, "deliberated", "2018-06-16");
    stage.sync();
    stage.everywhere(late, "deliberated");
}

fn signatures_lapse(stage: &mut Stage) {
    let household = stage.household(VILLAGE, "张三");
    let worker = member(stage, household, "41149919520307002X").to_string();
    let id = stage.create(
        VILLAGE,
        "employment_subsidy",
        &[
            ("household", &household.to_string()),
            ("year", "2018"),
            ("applied_on", "2018-06-01"),
            ("worker", &worker),
            ("place_kind", "county_park"),
            ("annual_wage", "24000"),
        ],
    );
    for state in ["income_acknowledged", "signed_helper", "signed_leader", "signed"] {
        stage.act(VILLAGE, id, state);
    }
    stage.sync();
    stage.everywhere(id, "signed");
    stage.set(SECOND, id, "annual_wage", "30000");
    stage.sync();
    stage.everywhere(id, "income_acknowledged");
    assert_eq!(stage.row(VILLAGE, id).state.unwrap().lapsed.len(), 3, "需重新签字(3)");
    stage.set(SECOND, id, "annual_wage", "24000");
    stage.sync();
    stage.everywhere(id, "signed");
    stage.set(SECOND, id, "annual_wage", "30000");
    stage.sync();
    for state in ["signed_helper", "signed_leader", "signed"] {
        stage.act(VILLAGE, id, state);
    }
    stage.sync();
    stage.everywhere(id, "signed");
    assert!(stage.row(TOWNSHIP, id).state.unwrap().lapsed.is_empty());
}

/// A household that the county has listed.
pub(super) fn listed(stage: &mut Stage, name: &str) -> RecordId {
    let id = stage.household(VILLAGE, name);
    let helper = stage.world.contact(TOWNSHIP, "王帮扶");
    stage.sync();
    stage.set(VILLAGE, id, "helper", &helper.to_string());
    stage.sync();
    stage.act(COUNTY, id, "listed");
    stage.sync();
    id
}

pub(super) fn member(stage: &mut Stage, household: RecordId, id_no: &str) -> RecordId {
    stage.create(
        VILLAGE,
        "household_member",
        &[
            ("household", &household.to_string()),
            ("name", "张三"),
            ("id_no", id_no),
            ("relation", "head"),
            ("living", "registered"),
            ("health", "healthy"),
            ("labour", "ordinary"),
        ],
    )
}

fn status_by_two_levels(stage: &mut Stage) {
    let id = listed(stage, "张三");
    member(stage, id, "41149919520307002X");
    stage.act(VILLAGE, id, "exit_proposed");
    stage.sync();
    stage.cut(TOWNSHIP);
    stage.act(TOWNSHIP, id, "exit_verified");
    stage.act(COUNTY, id, "relapsed");
    stage.heal(TOWNSHIP);
    stage.everywhere(id, "relapsed");
    superseded(stage, TOWNSHIP, id, "exit_verified");
}

fn rework_and_accept(stage: &mut Stage) {
    let id = stage.create(
        VILLAGE,
        "toilet_renovation",
        &[
            ("householder", "张三"),
            ("mode", "three_chamber"),
            ("start_on", "2018-05-20"),
            ("built_on", "2018-06-01"),
            ("self_check", "true"),
        ],
    );
    for photo in ["application", "photo_before", "photo_after"] {
        stage.world.attach(VILLAGE, id, photo, photo.as_bytes());
    }
    stage.act(VILLAGE, id, "self_checked");
    stage.sync();
    for (field, value) in [
        ("file_no", "厕-001"),
        ("crew", "张弓施工队"),
        ("worker_certificate", "证-1"),
        ("worker_trained_on", "2018-04-20"),
        ("cost_total", "1200"),
    ] {
        stage.set(TOWNSHIP, id, field, value);
    }
    stage.act(TOWNSHIP, id, "township_checked");
    stage.sync();
    stage.cut(TOWNSHIP);
    stage.act(TOWNSHIP, id, "rework");
    stage.act(COUNTY, id, "accepted");
    stage.heal(TOWNSHIP);
    stage.everywhere(id, "accepted");
    superseded(stage, COUNTY, id, "rework");
    assert!(stage.failed(COUNTY, id).contains(&"R-TOI-20".into()), "验收后异议");
    let ticket = ticket(stage, &[]);
    stage.sync();
    stage.set(COUNTY, id, "objection_ticket", &ticket.to_string());
    stage.sync();
    assert!(!stage.failed(COUNTY, id).contains(&"R-TOI-20".into()), "有问题跟踪");
    stage.act(COUNTY, id, "rework");
    stage.sync();
    stage.everywhere(id, "rework");
}

fn exit_and_rating(stage: &mut Stage) {
    let household = listed(stage, "张三");
    member(stage, household, "41149919520307002X");
    stage.act(VILLAGE, household, "exit_proposed");
    stage.sync();
    stage.act(TOWNSHIP, household, "exit_verified");
    stage.sync();
    stage.cut(VILLAGE);
    let text = household.to_string();
    let id = stage.create(VILLAGE, "star_rating", &[("household", &text), ("year", "2018")]);
    stage.set(COUNTY, household, "exit_year", "2018");
    stage.act(COUNTY, household, "exited");
    stage.heal(VILLAGE);
    assert!(!stage.failed(TOWNSHIP, id).contains(&"R-STR-01".into()), "exited");
    stage.act(COUNTY, household, "relapsed");
    stage.sync();
    assert!(stage.failed(TOWNSHIP, id).contains(&"R-STR-01".into()), "and no more");
    // Kept: nothing is revoked by itself.
    assert_eq!(stage.state(VILLAGE, id), "applied");
    let grant = reviewed_grant(stage, household, "1000");
    assert_eq!(stage.state(COUNTY, grant), "reviewed");
    open(stage, "office:pay", 1);
}
