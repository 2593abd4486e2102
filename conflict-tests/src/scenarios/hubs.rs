//! Scenarios at the hubs: late data after a report is frozen, and edits while inspectors are there.

use serde_json::json;
use taizhang_core::id::RecordId;
use taizhang_core::record::attachment::BlobRef;
use taizhang_node::engine::Engine;
use taizhang_node::engine::command::{CommandError, Inputs};
use taizhang_node::engine::values::Source;
use taizhang_node::report::Made;
use taizhang_node::report::freeze::Freeze;
use taizhang_node::report::make::Maker;
use taizhang_node::report::period::Period;
use taizhang_node::report::verify::{frozen, verify};
use taizhang_node::store::blobs::blob_path;
use taizhang_node::store::read::Readers;
use taizhang_node::web::inspection::{pin, pin_of};

use crate::scenario::{CITY, COUNTY, OTHER, Scenario, Stage, VILLAGE};
use crate::world::clerk;

pub(super) const LIST: &[Scenario] = &[
    Scenario {
        number: 12,
        title: ("定稿以后才到的数据", "Late data after the monthly cut-off"),
        outcome: (
            "已定稿的月报不变,实时数随之增加;下个月的报表把这几件按原月份列入补报。县里可以说明原因后再定一版,原来那版仍在。",
            "The frozen report stays as it is and the live figure grows; next month's report lists what came late under its own month. The county may freeze another version with a reason; the first remains.",
        ),
        play: late_data,
    },
    Scenario {
        number: 30,
        title: ("督查期间村里补录", "A village edits while inspectors are there"),
        outcome: (
            "督查看到的是检查开始时的台账;之后录入的,无论写的是哪天,都标为“检查开始后录入”。",
            "The inspectors see the ledgers as they stood when the round began; whatever is entered later is marked so, whichever day it names.",
        ),
        play: edits_during_a_round,
    },
];

const REPORT: &str = "R01";

fn ticket(stage: &mut Stage, node: usize, day: &str) -> RecordId {
    let fields = [
        ("source", "visit"),
        ("domain", "industry"),
        ("severity", "small"),
        ("description", "机井坏了"),
        ("received_on", day),
    ];
    stage.create(node, "problem_ticket", &fields)
}

fn freeze(stage: &mut Stage, period: &str, reason: &str) -> Result<RecordId, String> {
    let ask = Freeze {
        report: REPORT.into(),
        period: period.into(),
        reason: reason.into(),
        late_reason: "核对数据".into(),
    };
    let now = stage.world.now_at(COUNTY);
    match stage.world.engine(COUNTY).freeze_report(&ask, &clerk(), now) {
        Ok(record) => Ok(record),
        Err(CommandError::Refused(reason)) => Err(reason.en),
        Err(other) => panic!("{other}"),
    }
}

/// What was frozen.
fn made(stage: &Stage, record: RecordId) -> Made {
    let folder = &stage.world.replicas[COUNTY].folder;
    let detail = Readers::new(folder).with(|reader| reader.detail(record));
    frozen(folder, &detail.expect("readable").expect("a filing")).expect("its content")
}

/// The figures as they are now.
fn live(stage: &mut Stage, period: &str) -> Made {
    let folder = stage.world.replicas[COUNTY].folder.clone();
    let now = stage.world.now_at(COUNTY);
    let engine = stage.world.engine(COUNTY);
    let report = engine.directives.catalogue.reports[REPORT].clone();
    let blobs = |blob: BlobRef| std::fs::read(blob_path(&folder, blob.hash)).ok();
    let made = Readers::new(&folder).with(|reader| {
        let maker = Maker {
            reader,
            directives: &engine.directives,
            place: engine.place(),
            report: &report,
            period: Period::parse(report.every, period).expect("a month"),
            as_of: now.date(),
            blobs: &blobs,
        };
        maker.make()
    });
    made.expect("a draft")
}

/// New tickets of the period at the county, which is the last line.
fn new_tickets(made: &Made) -> i64 {
    let table = made.figures.tables.iter().find(|one| one.id == "balance").expect("a table");
    let at = table.heads.iter().position(|head| head.id == "new").expect("a column");
    table.lines.last().expect("the county").cells[at].value
}

fn late_data(stage: &mut Stage) {
    stage.date("2018-05-03");
    ticket(stage, OTHER, "2018-05-03");
    stage.date("2018-05-20");
    stage.sync();
    stage.cut(VILLAGE);
    for day in ["2018-05-21", "2018-05-25", "2018-05-28"] {
        ticket(stage, VILLAGE, day);
    }
    stage.date("2018-06-05");
    let first = freeze(stage, "2018-05", "").expect("frozen");
    assert_eq!(new_tickets(&made(stage, first)), 1);
    stage.date("2018-06-06");
    stage.heal(VILLAGE);
    assert_eq!(new_tickets(&made(stage, first)), 1, "frozen");
    assert_eq!(new_tickets(&live(stage, "2018-05")), 4, "live");
    stage.date("2018-07-03");
    let june = freeze(stage, "2018-06", "").expect("the next month");
    let late = made(stage, june).figures.late;
    let days: Vec<&str> = late.iter().map(|line| line.day.as_str()).collect();
    assert_eq!(days, ["2018-05-21", "2018-05-25", "2018-05-28"]);
    assert!(freeze(stage, "2018-05", "").expect_err("no reason").contains("reason"));
    let second = freeze(stage, "2018-05", "补入三件").expect("version 2");
    assert_eq!((new_tickets(&made(stage, first)), new_tickets(&made(stage, second))), (1, 4));
    let county = &stage.world.replicas[COUNTY];
    for record in [first, june, second] {
        let proof = verify(&county.folder, &county.identity, record).expect("recomputed");
        assert!(proof.problems.is_empty(), "{:?}", proof.problems);
    }
    stage.sync();
}

fn edits_during_a_round(stage: &mut Stage) {
    let workshop = stage.create(VILLAGE, "workshop", &[("name", "服装车间")]).to_string();
    let list = |month| [("workshop", workshop.as_str()), ("month", month)];
    let before = stage.create(VILLAGE, "workshop_wage", &list("2018-04"));
    stage.sync();
    let fields = [
        ("title", "二季度暗访"),
        ("kind", "unannounced"),
        ("unannounced", "true"),
        ("start_on", "2018-06-01"),
        ("end_on", "2018-06-30"),
    ];
    let round = stage.create(CITY, "supervision_round", &fields);
    let village = stage.world.replicas[VILLAGE].place;
    let place = json!({ "place": village.to_string() }).to_string();
    let inputs = Inputs::from([("places".to_owned(), place)]);
    let placed = |engine: &mut Engine, now| engine.set(round, &inputs, Source::Data, &clerk(), now);
    stage.world.job(CITY, placed).expect("a place");
    stage.world.job(CITY, |engine, now| pin(engine, round, &clerk(), now)).expect("pinned");
    stage.act(CITY, round, "running");
    // Back-dated while the inspectors are there: a list of a month long past.
    let after = stage.create(VILLAGE, "workshop_wage", &list("2018-03"));
    stage.sync();
    let row = stage.row(CITY, round);
    let pinned = pin_of("二季度暗访", &row, village).expect("the village is pinned");
    let readers = Readers::new(&stage.world.replicas[CITY].folder);
    let is_after = |record: RecordId| {
        let found = readers.with(|reader| {
            let detail = reader.detail(record)?.expect("it has arrived");
            reader.standings(&detail.log)
        });
        let standings = found.expect("readable");
        standings.iter().all(|standing| pinned.is_after(standing.as_ref()))
    };
    assert!(is_after(after), "entered after the round began, whatever day it names");
    assert!(!is_after(before));
    // The plan stays at the city.
    let folder = &stage.world.replicas[COUNTY].folder;
    let seen = Readers::new(folder).with(|reader| reader.detail(round)).expect("readable");
    assert!(seen.is_none(), "an unannounced round never reaches below the city");
}
