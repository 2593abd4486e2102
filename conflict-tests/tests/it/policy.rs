//! Policy: two persons, a preview that comes true, local values that are covered, and reach that never runs
//! ahead of a place's own log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conflict_tests::world::{Node, START, World, clerk};
use taizhang_core::catalogue::{Catalogue, FieldKind, Localise, Param};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Level, RecordId, SliceId};
use taizhang_core::policy::InForce;
use taizhang_core::record::value::Value;
use taizhang_core::rules::Outcome;
use taizhang_core::time::Date;
use taizhang_node::driver::{Replica, clock};
use taizhang_node::engine::draft::{Draft, DraftState, NewDraft, check_second, earlier};
use taizhang_node::engine::policy::NewPolicy;
use taizhang_node::engine::values::Source;
use taizhang_node::office_rules::policy_findings;
use taizhang_node::ops::{Request, silent};
use taizhang_node::preview::{Tally, compare, locals};
use taizhang_node::reach::version;
use taizhang_node::store::reach::Mark;
use taizhang_node::store::read::Readers;

const CITY: Node = 0;
const COUNTY: Node = 1;
const TOWNSHIP: Node = 2;
const VILLAGE: Node = 3;
const OTHER: Node = 4;
/// Read by the blocking rule R-NTC-01 of public notices; counties may only raise it.
const PARAM: &str = "public_notice_days";

fn person(name: &str) -> Person {
    Person { name: name.into(), role: "city_operator".into() }
}

fn drafted(
    world: &mut World,
    node: Node,
    doc_no: &str,
    from: &str,
    value: i64,
) -> Result<RecordId, String> {
    let policy = NewPolicy {
        doc_no: doc_no.into(),
        title: "公示天数".into(),
        effective_from: from.into(),
        values: BTreeMap::from([(PARAM.to_owned(), value.into())]),
    };
    let draft = NewDraft { policy, note: String::new(), withdraws: None };
    world.job(node, |engine, now| engine.draft_policy(&draft, &person("甲"), now))
}

fn submit(world: &mut World, node: Node, id: RecordId, name: &str) -> Result<(), String> {
    world.job(node, |engine, now| engine.submit_draft(id, &person(name), now))
}

fn approve(world: &mut World, node: Node, id: RecordId, name: &str) -> Result<RecordId, String> {
    world.job(node, |engine, now| engine.approve_draft(id, &person(name), now))
}

fn read(world: &mut World, node: Node, id: RecordId) -> Draft {
    let place = world.replicas[node].place;
    let row = world.engine(node).store.row(SliceId::ledger(place), id).unwrap().unwrap();
    Draft::read(id, place, &row).unwrap()
}

/// A notice of a village that hung from one day to another, and has ended.
fn notice(world: &mut World, node: Node, from: &str, until: &str) -> RecordId {
    let fields = [
        ("subject", "评议结果"),
        ("content", "欧阳锋，一组"),
        ("place", "board"),
        ("start_on", from),
        ("end_on", until),
        ("contact", "村委会"),
    ];
    let id = world.create(node, "public_notice", &fields);
    for to in ["posted", "ended"] {
        world.job(node, |engine, now| engine.act(id, to, "", &clerk(), now)).unwrap();
    }
    id
}

/// Goal: a version is published only by a person who had no hand in its draft; it names both, wherever it
/// arrives, and the draft itself stays at its office.
#[test]
fn a_second_person_approves_and_the_version_names_both() {
    let mut world = World::new(92, 4, None);
    assert!(world.settle(2000));
    let id = drafted(&mut world, CITY, "商政〔2018〕3号", "2018-07-01", 7).unwrap();
    let early = approve(&mut world, CITY, id, "乙").unwrap_err();
    assert!(early.contains("待批准"), "{early}");
    submit(&mut world, CITY, id, "丙").unwrap();
    submit(&mut world, CITY, id, "丙").unwrap_err();
    for name in ["甲", " 甲 ", "甲·", "（甲）", "丙\u{200b}", "丙", "·", ""] {
        let refused = approve(&mut world, CITY, id, name).unwrap_err();
        assert!(refused.contains("另一人"), "{name}: {refused}");
    }
    let back = |engine: &mut taizhang_node::engine::Engine, now| {
        engine.return_draft(id, " ", &person("乙"), now)
    };
    let silent = world.job(CITY, back).unwrap_err();
    assert!(silent.contains("原因"), "{silent}");
    let published = approve(&mut world, CITY, id, "乙").unwrap();
    approve(&mut world, CITY, id, "丁").unwrap_err();
    assert_eq!(read(&mut world, CITY, id).version(), Some(published));
    assert!(world.settle(3000));
    for node in [CITY, COUNTY, TOWNSHIP, VILLAGE] {
        let signed = &version(&world.engine(node).directives, published).unwrap().signed;
        assert_eq!((signed.drafter.as_str(), signed.approver.as_str()), ("甲", "乙"));
        assert_eq!(signed.draft, id.to_string());
    }
    for node in [COUNTY, TOWNSHIP, VILLAGE] {
        let found = world.job(node, |engine, _| engine.find(id).map(|_| ()));
        assert!(found.is_err(), "a draft does not flow down");
    }
    let other = drafted(&mut world, CITY, "商政〔2018〕4号", "2018-07-01", 8).unwrap();
    submit(&mut world, CITY, other, "甲").unwrap();
    world
        .job(CITY, |engine, now| engine.return_draft(other, "依据不足", &person("乙"), now))
        .unwrap();
    assert_eq!(read(&mut world, CITY, other).state(), DraftState::Returned);
    approve(&mut world, CITY, other, "乙").unwrap_err();
    check_second(["甲"], "乙").unwrap();
    check_second(["甲"], "甲").unwrap_err();
    for record in [id, published] {
        let reason = Some("误发");
        let voided = world.job(CITY, |engine, now| engine.void(record, reason, &clerk(), now));
        assert!(voided.unwrap_err().contains("系统登记"), "a register is not voided by hand");
        let inputs = BTreeMap::from([("doc_no".to_owned(), "x".to_owned())]);
        let set = |engine: &mut taizhang_node::engine::Engine, now| {
            engine.set(record, &inputs, Source::People, &clerk(), now)
        };
        assert!(world.job(CITY, set).unwrap_err().contains("系统登记"));
    }
}

/// Goal: a version that has not begun is withdrawn from its own first day on, with the values that hold without it;
/// what had none is named.
#[test]
fn a_version_is_withdrawn_before_it_begins() {
    let mut world = World::new(95, 4, None);
    let first = world.publish_from(CITY, "商政〔2018〕1号", "2018-01-01", PARAM, 3).unwrap();
    let later = world.publish_from(CITY, "商政〔2018〕6号", "2018-09-01", PARAM, 7).unwrap();
    let directives = Arc::clone(&world.engine(CITY).directives);
    let day = Date::parse("2018-09-01").unwrap();
    let without = earlier(&directives, version(&directives, later).unwrap(), day);
    assert_eq!(without, (BTreeMap::from([(PARAM.to_owned(), Value::Int(3))]), Vec::new()));
    let before = Date::parse("2018-08-01").unwrap();
    let without = earlier(&directives, version(&directives, first).unwrap(), before);
    assert_eq!(without, (BTreeMap::new(), vec![PARAM.to_owned()]));
    let withdraw = |world: &mut World, from: &str| {
        let policy = NewPolicy {
            doc_no: "商政〔2018〕7号".into(),
            title: "废止".into(),
            effective_from: from.into(),
            values: BTreeMap::from([(PARAM.to_owned(), Value::Int(3))]),
        };
        let draft = NewDraft { policy, note: String::new(), withdraws: Some(later) };
        world.job(CITY, |engine, now| engine.draft_policy(&draft, &person("甲"), now))
    };
    let refused = withdraw(&mut world, "2018-08-31").unwrap_err();
    assert!(refused.contains("不能早于"), "{refused}");
    let id = withdraw(&mut world, "2018-09-01").unwrap();
    submit(&mut world, CITY, id, "甲").unwrap();
    approve(&mut world, CITY, id, "乙").unwrap();
    let place = world.replicas[CITY].place;
    assert_eq!(number(&world.engine(CITY).directives.param(PARAM, place, day)), Some(3));
}

/// Goal: values of choices are those of their vocabulary, and weights name each part once (R-PAR-01).
#[test]
fn values_are_those_of_their_vocabularies() {
    let mut world = World::new(96, 4, None);
    let mut draft = |param: &str, value: &str| {
        let policy = NewPolicy {
            doc_no: "商政〔2018〕8号".into(),
            title: "选项".into(),
            effective_from: "2018-07-01".into(),
            values: BTreeMap::from([(param.to_owned(), value.into())]),
        };
        let draft = NewDraft { policy, note: String::new(), withdraws: None };
        world.job(CITY, |engine, now| engine.draft_policy(&draft, &person("甲"), now))
    };
    for (param, value, words) in [
        ("per_capita_rounding", "up", "没有选项"),
        ("four_haves_levels", "household_way,yacht", "没有选项"),
        ("bulletin_score_weights", "duty=50,luck=50", "没有选项"),
        ("bulletin_score_weights", "duty=100", "全部各项"),
        ("bulletin_score_weights", "duty=0,duty=20,policy=20,work=40,supervision=20", "全部各项"),
    ] {
        let refused = draft(param, value).unwrap_err();
        assert!(refused.contains(words), "{param} = {value}: {refused}");
    }
    draft("four_haves_levels", "household_way").unwrap();
    let weights = "duty=30,policy=10,work=40,supervision=10,satisfaction=10";
    draft("bulletin_score_weights", weights).unwrap();
}

/// A value that a parameter takes.
fn sound(catalogue: &Catalogue, param: &Param) -> Value {
    if let Some(initial) = &param.initial {
        return initial.clone();
    }
    let of = |vocab: &str| catalogue.vocabs[vocab].values.clone();
    match &param.kind {
        FieldKind::Bool => true.into(),
        FieldKind::Int | FieldKind::Money | FieldKind::Year => param.min.unwrap_or(1).into(),
        FieldKind::Date => "2018-12-31".into(),
        FieldKind::Bands(_) => "0=1,300000=2".into(),
        FieldKind::Enum(vocab) | FieldKind::Set(vocab) => of(vocab)[0].0.as_str().into(),
        FieldKind::Weights(vocab) => {
            let names: Vec<String> = of(vocab).into_iter().map(|(id, _)| id).collect();
            let rest = names.iter().skip(1).map(|name| format!("{name}=0"));
            let all: Vec<String> = [format!("{}=100", names[0])].into_iter().chain(rest).collect();
            all.join(",").into()
        }
        _ => "样本".into(),
    }
}

fn publish_one(
    world: &mut World,
    node: Node,
    param: &str,
    value: Value,
) -> Result<RecordId, String> {
    let policy = NewPolicy {
        doc_no: format!("试办〔2018〕{param}"),
        title: "参数".into(),
        effective_from: "2018-06-01".into(),
        values: BTreeMap::from([(param.to_owned(), value)]),
    };
    world.job(node, |engine, now| engine.publish_policy(&policy, &clerk(), now))
}

/// Goal: every parameter is published by the level that owns it and by no other, within its bounds and not
/// beyond them, and is in force in a village from its day on.
#[test]
fn every_parameter_reaches_the_village_and_keeps_its_bounds() {
    let mut world = World::new(73, 4, None);
    let catalogue = Arc::clone(&world.engine(CITY).directives.catalogue);
    let mut published = BTreeMap::new();
    for param in catalogue.params.values() {
        let (owner, other) = match param.owner {
            Level::County => (COUNTY, CITY),
            _ => (CITY, TOWNSHIP),
        };
        let value = sound(&catalogue, param);
        for wrong in [param.min.map(|min| min - 1), param.max.map(|max| max + 1)] {
            let Some(wrong) = wrong else { continue };
            let refused = publish_one(&mut world, owner, &param.id, wrong.into());
            assert!(refused.is_err(), "{}: {wrong} is out of its bounds", param.id);
        }
        assert!(publish_one(&mut world, other, &param.id, value.clone()).is_err(), "{}", param.id);
        if param.localise == Localise::None {
            let local = publish_one(&mut world, COUNTY, &param.id, value.clone());
            assert!(local.is_err(), "{} is the city's alone", param.id);
        }
        publish_one(&mut world, owner, &param.id, value.clone())
            .unwrap_or_else(|error| panic!("{}: {error}", param.id));
        published.insert(param.id.clone(), value);
    }
    assert!(world.settle(4000));
    let place = world.replicas[VILLAGE].place;
    let day = |text| Date::parse(text).unwrap();
    for (id, value) in &published {
        let directives = &world.engine(VILLAGE).directives;
        let of = |date| directives.param(id, place, day(date)).value;
        assert_eq!(of("2018-06-01").as_ref(), Some(value), "{id}");
        let before = catalogue.params[id].initial.as_ref();
        assert_eq!(of("2018-05-31").as_ref(), before, "{id} before its day");
    }
    println!("{} parameters", published.len());
}

/// Goal: two values for one day and a gap before the first day are named (R-PAR-02).
#[test]
fn versions_that_overlap_or_leave_a_gap_are_named() {
    let mut world = World::new(74, 4, None);
    let day = |text| Date::parse(text).unwrap();
    let found = |world: &mut World, on| {
        let found = policy_findings(&world.engine(CITY).directives, day(on));
        found.into_iter().map(|one| one.text.en).collect::<Vec<_>>()
    };
    assert!(found(&mut world, "2018-06-01").is_empty());
    // Never set before: unknown until its first day.
    world.publish_from(CITY, "一号", "2018-07-01", PARAM, 7).unwrap();
    let gap = found(&mut world, "2018-06-01");
    assert!(gap.len() == 1 && gap[0].contains("no version before 2018-07-01"), "{gap:?}");
    assert!(found(&mut world, "2018-07-01").is_empty());
    world.publish_from(CITY, "二号", "2018-07-01", PARAM, 10).unwrap();
    let twice = found(&mut world, "2018-07-01");
    assert!(twice.len() == 1 && twice[0].contains("two values from 2018-07-01"), "{twice:?}");
}

/// A plan of the county that names a parameter.
fn plan(world: &mut World, param: &str) -> RecordId {
    let fields = [
        ("opinion", "motivation"),
        ("title", param),
        ("doc_no", "县脱贫〔2018〕8号"),
        ("issued_on", "2018-05-01"),
    ];
    let id = world.create(COUNTY, "implementation_plan_filing", &fields);
    let line = format!(r#"{{"param":"{param}","value":"2"}}"#);
    assert!(world.set(COUNTY, id, "localised", &line));
    world.attach(COUNTY, id, "document", b"plan");
    id
}

/// Goal: R-PLN-02: the county, and the city above it, read which parameters the county has set that no plan on file
/// names; a plan that waits to be filed is none.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_county_sets_stands_in_a_plan_that_it_has_filed() {
    let mut world = World::new(98, 4, None);
    let (named, bare) = ("redeem_visits_per_person_month", "points_max_per_event");
    for (at, param) in [named, bare].into_iter().enumerate() {
        let doc_no = format!("县政〔2018〕{at}号");
        world.publish_from(COUNTY, &doc_no, "2018-06-01", param, 2).unwrap();
    }
    let filed = plan(&mut world, named);
    world.job(COUNTY, |engine, now| engine.act(filed, "filed", "", &clerk(), now)).unwrap();
    plan(&mut world, bare);
    assert!(world.settle(3000));
    let county = world.replicas[COUNTY].place;
    for (node, sees) in [(CITY, true), (COUNTY, true), (TOWNSHIP, false)] {
        let replica = Replica::start(world.replicas[node].engine.take().unwrap()).unwrap();
        let found = replica.office_findings(world.replicas[CITY].place).unwrap();
        let found: Vec<_> = found.into_iter().filter(|one| one.rule == "R-PLN-02").collect();
        assert_eq!(found.len(), usize::from(sees), "{node}: {found:?}");
        for one in found {
            assert_eq!(one.place, county);
            let says = |label: &str| one.text.zh.contains(label);
            assert!(says("单次加分上限") && !says("每人每月"), "{}", one.text.zh);
        }
        replica.close();
    }
}

/// Goal: a version needs a second person from the command line too.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_publishes_alone_from_the_command_line() {
    let mut world = World::new(97, 4, None);
    let replica = Replica::start(world.replicas[CITY].engine.take().unwrap()).unwrap();
    for approved_by in ["", " ", "甲", "甲·"] {
        let policy = NewPolicy {
            doc_no: "商政〔2018〕9号".into(),
            title: "公示天数".into(),
            effective_from: "2018-07-01".into(),
            values: BTreeMap::from([(PARAM.to_owned(), Value::Int(7))]),
        };
        let (person, approved_by) = (person("甲"), approved_by.to_owned());
        let request = Request::PolicyPublish { policy, person, approved_by };
        let refused = replica.answer(request, silent()).await.unwrap_err();
        assert!(refused.to_string().contains("另一人"), "{refused}");
    }
    replica.close();
}

fn number(found: &InForce) -> Option<i64> {
    found.value.as_ref().and_then(Value::as_int)
}

/// Goal: scenario 13 from the console: the city sees before publishing which county's value it covers; the county
/// sees it afterwards, and a weaker or impossible value is refused with the rule's number.
#[test]
fn a_county_value_is_covered_as_the_comparison_said() {
    let mut world = World::new(93, 4, None);
    world.publish_from(CITY, "商政〔2018〕1号", "2018-01-01", PARAM, 3).unwrap();
    assert!(world.settle(3000));
    world.publish_from(COUNTY, "县政〔2018〕1号", "2018-02-01", PARAM, 5).unwrap();
    world.publish_from(COUNTY, "县政〔2018〕3号", "2018-08-01", PARAM, 6).unwrap();
    assert!(world.settle(3000));
    let id = drafted(&mut world, CITY, "商政〔2018〕2号", "2018-06-01", 7).unwrap();
    let draft = read(&mut world, CITY, id);
    let before = Arc::clone(&world.engine(CITY).directives);
    let after = draft.published_in(&before, Level::City);
    let compared = compare(&before, &after, &draft);
    assert_eq!((number(&compared[0].before), number(&compared[0].after)), (Some(3), Some(7)));
    let local = locals(&before, &after, &draft);
    let days: Vec<String> = local.iter().map(|one| one.day.to_string()).collect();
    assert_eq!(days, ["2018-06-01", "2018-08-01"], "also what the county has set for later");
    assert_eq!((number(&local[1].before), number(&local[1].after)), (Some(6), Some(7)));
    assert_eq!(local[0].county, world.replicas[COUNTY].place);
    assert_eq!((number(&local[0].before), number(&local[0].after)), (Some(5), Some(7)));
    assert!(!local[0].before.overridden && local[0].after.overridden);
    submit(&mut world, CITY, id, "甲").unwrap();
    approve(&mut world, CITY, id, "乙").unwrap();
    assert!(world.settle(3000));
    let (village, day) = (world.replicas[VILLAGE].place, Date::parse("2018-06-02").unwrap());
    for node in [CITY, COUNTY, TOWNSHIP, VILLAGE] {
        let found = world.engine(node).directives.param(PARAM, village, day);
        assert_eq!((number(&found), found.overridden), (Some(7), true));
    }
    for (value, words) in [(6, "弱于上级"), (99, "允许范围")] {
        let refused =
            drafted(&mut world, COUNTY, "县政〔2018〕2号", "2018-06-10", value).unwrap_err();
        assert!(refused.contains("R-PAR-01") && refused.contains(words), "{refused}");
    }
    let refused = drafted(&mut world, TOWNSHIP, "乡政1号", "2018-06-10", 8).unwrap_err();
    assert!(refused.contains("本级不能调整"), "{refused}");
}

/// What failed of R-NTC-01, and what an indicator that reads it adds up to.
fn state(replica: &Replica) -> (u64, i64) {
    let place = replica.place();
    let found = replica.readers().with(|reader| {
        let failed = reader.rule_counts()?.into_iter().find(|one| one.0 == "R-NTC-01");
        let done = reader.rollup(place)?.into_iter().find(|one| one.0 == "ntc_done");
        Ok((failed.map_or(0, |one| one.1), done.map_or(0, |one| one.1)))
    });
    found.unwrap()
}

/// Goal: what the preview says before publishing is what the office shows after it: records, findings by rule and
/// place, and figures.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_publishing_then_does() {
    let mut world = World::new(91, 5, None);
    world.publish_from(CITY, "商政〔2018〕1号", "2018-01-01", PARAM, 3).unwrap();
    assert!(world.settle(3000));
    // Before the first day, too short, too short, long enough.
    notice(&mut world, VILLAGE, "2018-03-01", "2018-03-06");
    let short = notice(&mut world, VILLAGE, "2018-05-01", "2018-05-06");
    let other = notice(&mut world, OTHER, "2018-05-02", "2018-05-07");
    notice(&mut world, OTHER, "2018-05-02", "2018-05-20");
    let id = drafted(&mut world, CITY, "商政〔2018〕2号", "2018-04-01", 7).unwrap();
    submit(&mut world, CITY, id, "甲").unwrap();
    assert!(world.settle(5000));
    let draft = read(&mut world, CITY, id);
    let county = world.replicas[COUNTY].place;
    let replica = Replica::start(world.replicas[CITY].engine.take().unwrap()).unwrap();
    let before = state(&replica);
    assert_eq!(before, (0, 4));
    let preview = tokio::task::block_in_place(|| replica.previewed(&draft, START, |_| {})).unwrap();
    assert!(preview.is_done && !preview.is_sample);
    assert_eq!((preview.rows, preview.total, preview.touched), (4, 4, 2));
    let two = Tally { gained: 2, lost: 0 };
    assert_eq!(preview.rules, BTreeMap::from([(("R-NTC-01".to_owned(), Outcome::Failed), two)]));
    assert_eq!(preview.places, BTreeMap::from([(county, two)]));
    assert_eq!(preview.figures, BTreeMap::from([("ntc_done".to_owned(), -2)]));
    let mut listed: Vec<RecordId> = preview.records.iter().map(|one| one.record).collect();
    let mut wanted = vec![short, other];
    listed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(listed, wanted);
    assert_eq!(state(&replica), before, "nothing is written");
    replica.run(move |engine, now| engine.approve_draft(id, &person("乙"), now)).await.unwrap();
    let start = Instant::now();
    while state(&replica) != (2, 2) {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", state(&replica));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again =
        tokio::task::block_in_place(|| replica.previewed(&draft, clock::now(), |_| {})).unwrap();
    assert_eq!(again.touched, 0, "it holds already");
    replica.close();
}

/// Goal: the preview follows a value into the figures that it moves, and into the rules that read these.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_sees_rules_that_read_figures() {
    let mut world = World::new(98, 5, None);
    let household = world.household(VILLAGE, "张三");
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
    let profile = [
        ("name", "样本村"),
        ("surveyed_on", "2018-05-31"),
        ("population", "1200"),
        ("households", "300"),
        ("sewer_covered", "false"),
    ];
    world.create(VILLAGE, "village_profile", &profile);
    assert!(world.settle(5000));
    let list = |engine: &mut taizhang_node::engine::Engine, now| {
        engine.act(household, "listed", "按规定", &clerk(), now)
    };
    world.job(COUNTY, list).unwrap();
    let all = Value::Text("exited".into());
    let policy = NewPolicy {
        doc_no: "商政〔2018〕2号".into(),
        title: "应覆盖户".into(),
        effective_from: "2018-06-01".into(),
        values: BTreeMap::from([("income_measure_population".to_owned(), all)]),
    };
    let draft = NewDraft { policy, note: String::new(), withdraws: None };
    let draft = |engine: &mut taizhang_node::engine::Engine, now| {
        engine.draft_policy(&draft, &person("甲"), now)
    };
    let id = world.job(CITY, draft).unwrap();
    assert!(world.settle(5000));
    let draft = read(&mut world, CITY, id);
    let replica = Replica::start(world.replicas[CITY].engine.take().unwrap()).unwrap();
    let preview = tokio::task::block_in_place(|| replica.previewed(&draft, START, |_| {})).unwrap();
    let failed = |rule: &str| preview.rules.get(&(rule.to_owned(), Outcome::Failed)).copied();
    let one = Some(Tally { gained: 0, lost: 1 });
    assert_eq!(failed("R-INC-01"), one, "the household needs no measures any more");
    assert_eq!(failed("R-INC-01A"), one, "so the village has no household without enough");
    assert_eq!(preview.touched, 2);
    assert_eq!(preview.figures.get("hh_ge_min"), Some(&1));
    replica.close();
}

/// Goal: an office shows a place as applied only after that place's own log holds the version; a place that is cut off
/// stays silent until it is healed, and then everything is complete.
#[test]
fn no_place_shows_as_applied_before_its_own_log_does() {
    let mut world = World::new(94, 5, None);
    assert!(world.settle(3000));
    let cut = world.link_of(VILLAGE);
    world.set_link(cut, false);
    let record = world.publish_from(CITY, "商政〔2018〕5号", "2018-06-01", PARAM, 7).unwrap();
    let published = version(&world.engine(CITY).directives, record).unwrap().clone();
    let readers = Readers::new(&world.replicas[CITY].folder);
    let mark = |world: &World, node: Node| -> Mark {
        let key = world.replicas[node].identity.seal_key();
        let slice = SliceId::directive(published.place);
        let (author, number) = published.position;
        readers.with(|reader| reader.reach_of(slice, author, number, [key])).unwrap()[0].1
    };
    let below = [COUNTY, TOWNSHIP, VILLAGE, OTHER];
    let mut rounds = 0;
    while mark(&world, OTHER).applied.0 == 0 {
        world.step();
        rounds += 1;
        assert!(rounds < 20_000, "the receipt of the other village does not come");
        for node in below.into_iter().filter(|node| mark(&world, *node).applied.0 > 0) {
            let known = version(&world.replicas[node].engine.as_ref().unwrap().directives, record);
            assert!(known.is_some(), "{node} shows as applied before it has the version");
        }
        assert_eq!(mark(&world, VILLAGE), Mark::default(), "a place that is cut off says nothing");
    }
    world.set_link(cut, true);
    while mark(&world, VILLAGE).applied.0 == 0 {
        world.step();
        rounds += 1;
        assert!(rounds < 40_000, "the receipt of the village does not come");
    }
    assert!(version(&world.engine(VILLAGE).directives, record).is_some());
    assert!(world.settle(5000));
    for node in below {
        let mark = mark(&world, node);
        assert!(mark.held.0 > 0 && mark.applied.0 > 0, "{node}: {mark:?}");
    }
    // What is held is not applied: without that word in a receipt it does not show so.
    let ledger = rusqlite::Connection::open(world.replicas[CITY].folder.join("ledger.db")).unwrap();
    let key = world.replicas[OTHER].identity.seal_key();
    ledger.execute("DELETE FROM reach WHERE applied = 1 AND issuer = ?1", [key.0]).unwrap();
    let mark = mark(&world, OTHER);
    assert!(mark.held.0 > 0 && mark.applied.0 == 0, "{mark:?}");
}
