//! What offices owe of reports, what is late in them, and what shows of them above.

use conflict_tests::scenario::{COUNTY, Stage, TOWNSHIP, VILLAGE};
use conflict_tests::world::{Weather, clerk};
use serde_json::json;
use taizhang_core::id::{RecordId, SliceId};
use taizhang_node::engine::command::Inputs;
use taizhang_node::engine::values::Source;
use taizhang_node::report::freeze::Freeze;
use taizhang_node::report::shown::shown;
use taizhang_node::report::verify::{frozen, verify};
use taizhang_node::report::{Cell, Made};
use taizhang_node::store::read::Readers;

fn freeze(stage: &mut Stage, node: usize, report: &str, period: &str) -> RecordId {
    let ask = Freeze {
        report: report.into(),
        period: period.into(),
        reason: String::new(),
        late_reason: "核对数据".into(),
    };
    let now = stage.world.now_at(node);
    stage.world.engine(node).freeze_report(&ask, &clerk(), now).unwrap()
}

fn made(stage: &Stage, node: usize, record: RecordId) -> Made {
    let folder = &stage.world.replicas[node].folder;
    let detail = Readers::new(folder).with(|reader| reader.detail(record)).unwrap().unwrap();
    frozen(folder, &detail).unwrap()
}

fn problems(stage: &Stage, node: usize, record: RecordId) -> Vec<String> {
    let replica = &stage.world.replicas[node];
    verify(&replica.folder, &replica.identity, record).unwrap().problems
}

/// A figure of an office, by its node.
fn cell(stage: &Stage, made: &Made, table: &str, column: &str, node: usize) -> Cell {
    let place = stage.world.replicas[node].place;
    let table = made.figures.tables.iter().find(|one| one.id == table).unwrap();
    let at = table.heads.iter().position(|head| head.id == column).unwrap();
    table.lines.iter().find(|line| line.place == place).unwrap().cells[at]
}

fn may() -> Stage {
    let mut stage = Stage::new(7, Weather::default());
    stage.date("2018-05-03");
    stage.sync();
    stage
}

#[test]
fn a_stricter_day_of_a_county_holds_for_its_offices_and_not_for_itself() {
    let mut stage = may();
    let (from, day) = ("2018-05-01", "monthly_report_due_day");
    stage.world.publish_from(COUNTY, "试县办〔2018〕3号", from, day, 3).unwrap();
    stage.date("2018-06-02");
    stage.sync();
    for (node, due_on) in [(TOWNSHIP, "2018-06-03"), (COUNTY, "2018-06-05")] {
        let record = freeze(&mut stage, node, "R01", "2018-05");
        assert_eq!(stage.row(node, record).text("due_on"), due_on);
    }
}

/// Goal: a report that was filed late is late, one that nobody filed is missing, and none is both.
#[test]
fn a_report_is_late_or_missing_but_not_both() {
    let mut stage = may();
    stage.date("2018-06-05");
    stage.sync();
    let record = freeze(&mut stage, TOWNSHIP, "R01", "2018-05");
    stage.date("2018-06-07");
    stage.act(TOWNSHIP, record, "filed");
    stage.date("2018-06-10");
    stage.sync();
    let quality = freeze(&mut stage, COUNTY, "R18", "2018-05");
    let made = made(&stage, COUNTY, quality);
    let count = |column, node| cell(&stage, &made, "quality", column, node).value;
    assert_eq!((count("late", TOWNSHIP), count("missing", TOWNSHIP)), (1, 0));
    // The county's own has not been made at all.
    assert_eq!((count("late", COUNTY), count("missing", COUNTY)), (1, 1));
    assert_eq!(problems(&stage, COUNTY, quality), Vec::<String>::new());
}

/// A line of an earlier month is named although its record is of this one.
#[test]
fn a_line_of_an_earlier_month_in_a_new_record_is_late() {
    let mut stage = may();
    stage.date("2018-06-05");
    stage.sync();
    freeze(&mut stage, COUNTY, "R01", "2018-05");
    stage.date("2018-06-06");
    let ticket = stage.create(
        VILLAGE,
        "problem_ticket",
        &[
            ("source", "visit"),
            ("domain", "industry"),
            ("severity", "small"),
            ("description", "机井坏了"),
            ("received_on", "2018-06-06"),
        ],
    );
    let line = json!({"date": "2018-05-29", "who": "村委会", "text": "已派人"});
    stage.add(VILLAGE, ticket, "actions", line);
    stage.date("2018-07-03");
    stage.sync();
    let june = freeze(&mut stage, COUNTY, "R01", "2018-06");
    let late = made(&stage, COUNTY, june).figures.late;
    let named: Vec<_> =
        late.iter().map(|line| (line.what.zh.as_str(), line.day.as_str())).collect();
    assert_eq!(named, [("补记", "2018-05-29")]);
    assert_eq!(problems(&stage, COUNTY, june), Vec::<String>::new());
}

/// A township sees all of its people; of what it filed the county sees what its own figures show.
#[test]
fn small_numbers_of_a_filed_report_do_not_show_above() {
    let mut stage = may();
    let household = stage.household(VILLAGE, "张三").to_string();
    let fields = [("household", household.as_str()), ("card_no", "0001"), ("frozen", "true")];
    stage.create(VILLAGE, "points_account", &fields);
    stage.sync();
    let record = freeze(&mut stage, TOWNSHIP, "R12", "2018-Q1");
    stage.sync();
    let whole = made(&stage, TOWNSHIP, record);
    for (office, hidden) in [(TOWNSHIP, false), (COUNTY, true)] {
        let engine = stage.world.engine(office);
        let place = engine.place();
        let seen = shown(whole.clone(), &engine.directives, place);
        for line in [VILLAGE, TOWNSHIP] {
            let cell = cell(&stage, &seen, "points", "frozen", line);
            assert_eq!((cell.hidden, cell.value), (hidden, i64::from(!hidden)));
        }
    }
}

#[test]
fn a_filing_names_the_units_that_answer_for_it() {
    let mut stage = may();
    let slice = SliceId::directive(stage.world.replicas[COUNTY].place);
    for (name, reports) in [("县扶贫办", "true"), ("县气象局", "false")] {
        let inputs = [
            ("name", name),
            ("unit_kind", "department"),
            ("reports_monthly", reports),
            ("active_from", "2018-01-01"),
        ];
        let inputs: Inputs =
            inputs.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
        let made = stage.world.job(COUNTY, |engine, now| {
            engine.create(slice, "org_unit", &inputs, Source::People, &clerk(), None, now)
        });
        made.unwrap();
    }
    stage.date("2018-06-02");
    stage.sync();
    let record = freeze(&mut stage, COUNTY, "R01", "2018-05");
    assert_eq!(stage.row(COUNTY, record).text("org_unit"), "县扶贫办");
}
