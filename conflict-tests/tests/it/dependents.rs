//! A change reaches every finding and page that reads it: registers above, households that moved, duplicates.

use conflict_tests::scenario::{CITY, COUNTY, OTHER, Stage, TOWNSHIP, VILLAGE};
use conflict_tests::world::{Node, Weather, clerk};
use taizhang_core::id::{RecordId, SliceId};
use taizhang_node::driver::Replica;
use taizhang_node::engine::command::Inputs;
use taizhang_node::engine::values::Source;

const ID: &str = "41149919520307002X";

fn fails(stage: &mut Stage, node: Node, id: RecordId, rule: &str) -> bool {
    stage.failed(node, id).iter().any(|failed| failed == rule)
}

/// An entry of a county's register.
fn inputs() -> Inputs {
    [
        ("item", "能繁母牛"),
        ("industry_kind", "livestock"),
        ("unit_amount", "500"),
        ("valid_from", "2018-01-01"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// A record of a county's register.
fn standard(stage: &mut Stage) -> RecordId {
    let slice = SliceId::directive(stage.world.replicas[COUNTY].place);
    let made = stage.world.job(COUNTY, |engine, now| {
        let source = Source::People;
        let id =
            engine.create(slice, "industry_standard", &inputs(), source, &clerk(), None, now)?;
        engine.project_own_directives(now)?;
        Ok(id)
    });
    made.unwrap()
}

/// Goal: whoever saves an entry of a register is led to its page, and finds it.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_register_shows_as_soon_as_it_is_saved() {
    let mut stage = Stage::new(54, Weather::default());
    let slice = SliceId::directive(stage.world.replicas[COUNTY].place);
    let replica = Replica::start(stage.world.replicas[COUNTY].engine.take().unwrap()).unwrap();
    for _ in 0..10 {
        let made = replica.run(move |engine, now| {
            let source = Source::People;
            engine.create(slice, "industry_standard", &inputs(), source, &clerk(), None, now)
        });
        let id = made.await.unwrap();
        assert!(replica.readers().with(|reader| reader.detail(id)).unwrap().is_some());
    }
    replica.close();
}

/// The rule names no value by which it finds the standard: it reads all of them.
#[test]
fn a_register_read_whole_concerns_the_records_below() {
    let mut stage = Stage::new(51, Weather::default());
    stage.date("2018-06-20");
    let household = stage.household(VILLAGE, "张三");
    let claim = [
        ("household", household.to_string()),
        ("year", "2018".into()),
        ("industry", "肉牛".into()),
        ("industry_kind", "livestock".into()),
        ("implemented_on", "2018-05-01".into()),
        ("claimed_on", "2018-06-01".into()),
    ];
    let claim: Vec<_> = claim.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let claim = stage.create(VILLAGE, "industry_subsidy", &claim);
    stage.sync();
    let offices = [VILLAGE, TOWNSHIP, COUNTY, CITY];
    for office in offices {
        assert!(fails(&mut stage, office, claim, "R-IND-03"), "no standard yet at {office}");
    }
    let standard = standard(&mut stage);
    stage.sync();
    for office in offices {
        assert!(!fails(&mut stage, office, claim, "R-IND-03"), "a standard at {office}");
    }
    stage.set(COUNTY, standard, "valid_to", "2018-03-31");
    stage.sync();
    for office in offices {
        assert!(fails(&mut stage, office, claim, "R-IND-03"), "it ended before, at {office}");
    }
}

/// A rule over all households of a village asks for those who live there.
#[test]
fn who_has_moved_away_is_asked_for_no_longer() {
    let mut stage = Stage::new(52, Weather::default());
    stage.date("2018-06-20");
    let household = stage.household(VILLAGE, "张三");
    let station = stage.create(
        VILLAGE,
        "pv_station",
        &[("name", "一号电站"), ("station_kind", "village"), ("capacity_kw", "100")],
    );
    let plan = [
        ("station", station.to_string()),
        ("year", "2018".into()),
        ("period", "half_1".into()),
        ("total", "1000".into()),
    ];
    let plan: Vec<_> = plan.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let plan = stage.create(VILLAGE, "pv_distribution", &plan);
    let line = serde_json::json!({
        "name": "张三", "amount": "100", "method": "allowance", "tilt": "true",
    });
    stage.add(VILLAGE, plan, "lines", line);
    stage.sync();
    assert!(fails(&mut stage, VILLAGE, plan, "R-PV-02A"), "no group is first served");
    let target = stage.world.replicas[OTHER].place;
    let moved = stage.world.job(TOWNSHIP, |engine, now| {
        engine.move_record(household, target, "2018-06-19", "婚嫁迁入", &clerk(), now)
    });
    moved.unwrap();
    stage.sync();
    for office in [VILLAGE, TOWNSHIP, CITY] {
        assert!(!fails(&mut stage, office, plan, "R-PV-02A"), "at {office}");
    }
}

/// Members of a household entered twice count for the entry that counts, whichever they refer to.
#[test]
fn a_member_of_a_duplicate_is_a_member_of_the_household() {
    let mut stage = Stage::new(53, Weather::default());
    stage.date("2018-06-20");
    let mut households = Vec::new();
    for day in ["2018-06-20", "2018-06-21"] {
        stage.date(day);
        households.push(stage.create(
            VILLAGE,
            "poor_household",
            &[
                ("head_name", "张三"),
                ("group_no", "一组"),
                ("household_kind", "general"),
                ("main_cause", "illness"),
                ("head_id_no", ID),
                ("bank_no", "622848000000123"),
                ("bank_holder", "张三"),
            ],
        ));
    }
    stage.sync();
    let [first, second] = households[..] else { unreachable!() };
    assert!(fails(&mut stage, VILLAGE, first, "R-HH-05"), "nobody is a member yet");
    let member = [
        ("household", second.to_string()),
        ("name", "张三".into()),
        ("relation", "head".into()),
        ("id_no", ID.into()),
        ("health", "healthy".into()),
        ("labour", "ordinary".into()),
        ("living", "registered".into()),
    ];
    let member: Vec<_> = member.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let member = stage.create(VILLAGE, "household_member", &member);
    stage.sync();
    for office in [VILLAGE, TOWNSHIP, CITY] {
        assert!(!fails(&mut stage, office, first, "R-HH-05"), "at {office}");
    }
    stage.set(VILLAGE, member, "name", "李四");
    for office in [VILLAGE, TOWNSHIP, CITY] {
        assert!(fails(&mut stage, office, first, "R-HH-05"), "another name, at {office}");
    }
}
