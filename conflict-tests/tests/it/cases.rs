//! Boundary cases of the acceptance data (DOMAIN.md, Appendix C) and of the rules beside them: the last value that
//! passes and the first that does not.

use conflict_tests::world::{Node, World, clerk};
use serde_json::json;
use taizhang_core::id::RecordId;
use taizhang_core::time::Date;
use taizhang_node::engine::act::Asked;

const CITY: Node = 0;
const COUNTY: Node = 1;
const TOWNSHIP: Node = 2;
const VILLAGE: Node = 3;

fn act(world: &mut World, node: Node, id: RecordId, to: &str) -> Result<(), String> {
    let person = world.holder(node, id, to);
    world.job(node, |engine, now| engine.act(id, to, "按规定", &person, now))
}

fn refused(world: &mut World, node: Node, id: RecordId, to: &str, rule: &str) {
    let text = act(world, node, id, to).expect_err(rule);
    assert!(text.contains(rule), "{text}");
}

fn failed(world: &mut World, node: Node, id: RecordId) -> Vec<String> {
    let readers = taizhang_node::store::read::Readers::new(&world.replicas[node].folder);
    assert!(world.settle(2000));
    let found = readers.with(|reader| reader.detail(id)).unwrap().unwrap();
    let failed = found.findings.into_iter().filter(|(_, _, outcome, _)| outcome == "failed");
    failed.map(|(rule, ..)| rule).collect()
}

/// A statement of 3 persons with a net income in 分.
fn statement(world: &mut World, net: i64, per_capita: &str) -> RecordId {
    let household = world.household(VILLAGE, "张三").to_string();
    let yuan = |fen: i64| format!("{}.{:02}", fen / 100, fen % 100);
    let (wage, net) = (yuan(net + 10_000), yuan(net));
    world.create(
        VILLAGE,
        "income_statement",
        &[
            ("household", &household),
            ("year", "2018"),
            ("headcount", "3"),
            ("wage", &wage),
            ("operating", "0"),
            ("property", "0"),
            ("transfer", "0"),
            ("operating_cost", "100"),
            ("net_income", &net),
            ("per_capita", per_capita),
            ("householder_ack", "张三"),
            ("acknowledged_on", "2018-06-05"),
        ],
    )
}

/// Goal: R-IST-01: the sum is exact and the share a person rounds down to 0.01; what is signed falls with an edit.
#[test]
fn an_income_statement_adds_up_to_the_fen() {
    let mut world = World::new(101, 4, None);
    for (per_capita, good) in [("3333.33", true), ("3333.34", false), ("3333.32", false)] {
        let id = statement(&mut world, 1_000_001, per_capita);
        if good {
            act(&mut world, VILLAGE, id, "acknowledged").unwrap();
            let line = [
                ("determined_by", "责任组"),
                ("group_leader", "王五"),
                ("determined_on", "2018-06-05"),
            ];
            for (field, value) in line {
                world.set(VILLAGE, id, field, value);
            }
            act(&mut world, VILLAGE, id, "determined").unwrap();
            world.set(VILLAGE, id, "wage", "1");
            assert!(world.settle(2000));
            refused(&mut world, TOWNSHIP, id, "locked", "");
        } else {
            refused(&mut world, VILLAGE, id, "acknowledged", "R-IST-01");
        }
    }
    let wrong = statement(&mut world, 1_000_001, "3333.33");
    world.set(VILLAGE, wrong, "transfer", "0.01");
    refused(&mut world, VILLAGE, wrong, "acknowledged", "R-IST-01");
}

/// Goal: R-IST-04 reads 未检查 while the line is not set; then a household that exited passes at the line and fails
/// 0.01 below.
#[test]
fn the_income_line_counts_once_it_is_published() {
    let mut world = World::new(102, 4, None);
    let id = statement(&mut world, 1_000_001, "3333.33");
    assert!(world.settle(2000));
    let readers = taizhang_node::store::read::Readers::new(&world.replicas[VILLAGE].folder);
    let found = readers.with(|reader| reader.detail(id)).unwrap().unwrap();
    let of_line = found.findings.iter().find(|(rule, ..)| rule == "R-IST-04").unwrap();
    assert_eq!(of_line.2, "unchecked", "no line is set");
    let household = found.row.text("household").parse().unwrap();
    let helper = world.contact(VILLAGE, "王五").to_string();
    world.set(VILLAGE, household, "helper", &helper);
    let of = household.to_string();
    let head = [
        ("household", of.as_str()),
        ("name", "张三"),
        ("id_no", "41149919520307002X"),
        ("relation", "head"),
        ("living", "registered"),
        ("health", "healthy"),
        ("labour", "ordinary"),
    ];
    world.create(VILLAGE, "household_member", &head);
    for (node, to) in [
        (COUNTY, "listed"),
        (VILLAGE, "exit_proposed"),
        (TOWNSHIP, "exit_verified"),
        (COUNTY, "exited"),
    ] {
        assert!(world.settle(2000));
        world.set(COUNTY, household, "exit_year", "2018");
        act(&mut world, node, household, to).unwrap();
    }
    for (doc, line, good) in [("〔2018〕8号", 333_333, true), ("〔2018〕9号", 333_334, false)]
    {
        world.publish(CITY, doc, "income_floor_line", line);
        assert!(world.settle(2000));
        let fails = failed(&mut world, VILLAGE, id).contains(&"R-IST-04".to_owned());
        assert_eq!(fails, !good, "a line of {line}");
    }
}

/// Goal: R-GRT-01: 8,000.00 passes, 8,000.01 does not.
#[test]
fn a_grant_of_the_cap_passes_and_a_fen_more_does_not() {
    let mut world = World::new(103, 4, None);
    let household = world.household(VILLAGE, "张三").to_string();
    for (amount, good) in [("8000", true), ("8000.01", false)] {
        let inputs = [
            ("household", household.as_str()),
            ("apply_date", "2018-06-05"),
            ("project_kind", "planting"),
            ("project_detail", amount),
            ("requested", amount),
        ];
        let id = world.create(VILLAGE, "household_grant", &inputs);
        act(&mut world, VILLAGE, id, "submitted").unwrap();
        assert!(world.settle(2000));
        if good {
            act(&mut world, TOWNSHIP, id, "reviewed").unwrap();
        } else {
            refused(&mut world, TOWNSHIP, id, "reviewed", "R-GRT-01");
        }
    }
}

/// Goal: R-WKS-01: 30.0 % of poor workers pass, 29.9 % do not.
#[test]
fn a_government_workshop_has_thirty_percent_poor_workers() {
    let mut world = World::new(104, 4, None);
    for (poor, workers, good) in [(3, 10, true), (29, 97, false)] {
        let id = world.inspected_workshop("服装车间");
        let open = |engine: &mut taizhang_node::engine::Engine, now| {
            engine.open_right("workshop_no", 10, &clerk(), now)
        };
        if good {
            world.job(COUNTY, open).unwrap();
        }
        act(&mut world, COUNTY, id, "accepted").unwrap();
        assert!(world.settle(2000));
        act(&mut world, VILLAGE, id, "operating").unwrap();
        let workshop = id.to_string();
        let inputs = [("workshop", workshop.as_str()), ("month", "2018-05")];
        let list = world.create(VILLAGE, "workshop_wage", &inputs);
        for worker in 0..workers {
            let line = json!({
                "worker": format!("工{worker}"), "is_poor": (worker < poor).to_string(), "amount": "100",
            });
            world.set(VILLAGE, list, "lines", &line.to_string());
        }
        let found = failed(&mut world, VILLAGE, id).contains(&"R-WKS-01".to_owned());
        assert_eq!(found, !good, "{poor} of {workers}");
    }
}

/// Goal: R-NTC-01 to 03: a notice stands as long as the published days and until its own last one, names no number of a
/// person, and every objection is answered; what it must not show is refused before it is posted.
#[test]
fn a_notice_is_long_enough_and_names_no_numbers() {
    let mut world = World::new(105, 4, None);
    world.publish(CITY, "商办〔2018〕7号", "public_notice_days", 7);
    assert!(world.settle(2000));
    for (end, content, rule) in [
        ("2018-06-12", "张三，一组，到户增收补助8000元", ""),
        ("2018-06-11", "张三，一组，到户增收补助8000元", "R-NTC-01"),
        ("2018-06-12", "张三 411499197003110017", "R-NTC-02"),
        ("2018-06-12", "张三 13800138000", "R-NTC-02"),
    ] {
        let inputs = [
            ("subject", "到户增收项目补助"),
            ("content", content),
            ("place", "board"),
            ("start_on", "2018-06-05"),
            ("end_on", end),
            ("contact", "村文书王五"),
        ];
        let id = world.create(VILLAGE, "public_notice", &inputs);
        if rule == "R-NTC-02" {
            refused(&mut world, VILLAGE, id, "posted", rule);
            continue;
        }
        act(&mut world, VILLAGE, id, "posted").unwrap();
        if rule.is_empty() {
            let line = json!({"date": "2018-06-06", "what": "条件不符"});
            world.set(VILLAGE, id, "objections", &line.to_string());
            assert!(failed(&mut world, VILLAGE, id).contains(&"R-NTC-03".to_owned()));
            refused(&mut world, VILLAGE, id, "ended", "R-NTC-01");
            world.now = Date::parse(end).unwrap().start().plus(12 * 3_600_000);
            let asked = Asked { to: "ended", reason: "", date: "2018-06-11" };
            let early = world.job(VILLAGE, |engine, now| engine.act_on(id, asked, &clerk(), now));
            assert!(early.unwrap_err().contains("R-NTC-01"), "ended the day before its last");
            act(&mut world, VILLAGE, id, "ended").unwrap();
        } else {
            refused(&mut world, VILLAGE, id, "ended", rule);
        }
    }
}

/// Goal: R-ELD-02: a capable child without a commitment is found, one with it is not.
#[test]
fn a_capable_child_signs_a_commitment() {
    let mut world = World::new(106, 4, None);
    let household = world.household(VILLAGE, "张三").to_string();
    let inputs = [
        ("household", household.as_str()),
        ("name", "张老太"),
        ("relation", "parent"),
        ("health", "healthy"),
        ("labour", "none"),
        ("living", "registered"),
    ];
    let member = world.create(VILLAGE, "household_member", &inputs).to_string();
    for (date, good) in [("2018-06-05", true), ("", false)] {
        let inputs = [
            ("member", member.as_str()),
            ("category", "alone"),
            ("monthly_income", "300"),
            ("determined_by", "责任组长王五"),
        ];
        let id = world.create(VILLAGE, "elderly_support", &inputs);
        let line = json!({"name": "张大", "capacity": "yes"});
        world.set(VILLAGE, id, "children", &line.to_string());
        for to in ["surveyed", "determined"] {
            act(&mut world, VILLAGE, id, to).unwrap();
        }
        assert!(world.settle(2000));
        act(&mut world, TOWNSHIP, id, "reviewed").unwrap();
        assert!(world.settle(2000));
        if !date.is_empty() {
            let signed = json!({"child": "张大", "committed_on": date});
            world.set(VILLAGE, id, "commitments", &signed.to_string());
        }
        act(&mut world, VILLAGE, id, "committed").unwrap();
        let found = failed(&mut world, VILLAGE, id).contains(&"R-ELD-02".to_owned());
        assert_eq!(found, !good);
    }
}
