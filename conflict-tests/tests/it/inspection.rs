//! Rounds of inspection: a plan that stays where it was made, sight for a time, findings that become tickets, the
//! whole way of a record, and what strikes before a freeze.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use conflict_tests::world::{Node, World, clerk};
use taizhang_core::id::{PlaceId, RecordId, SliceId, hex};
use taizhang_core::time::Date;
use taizhang_node::account::Duty;
use taizhang_node::driver::{Replica, clock};
use taizhang_node::engine::Engine;
use taizhang_node::engine::command::Inputs;
use taizhang_node::engine::values::Source;
use taizhang_node::ops::account::{AccountRequest, NewAccount};
use taizhang_node::patterns::{MANY_ENTRIES, PatternKind, SAME_RECORDS, patterns};
use taizhang_node::store::read::{Detail, ListQuery, Readers};
use taizhang_node::viewer::ROUND_DAYS_MAX;
use taizhang_node::web::access::Site;
use taizhang_node::web::{inspection, router};
use tower::ServiceExt as _;

const CITY: Node = 0;
const COUNTY: Node = 1;
const TOWNSHIP: Node = 2;
const VILLAGE: Node = 3;
/// Code of the village in every world.
const CODE: &str = "411426203201";
const PASSWORD: &str = "correct horse";
const NAME: &str = "欧阳锋";
const ENDS: &str = "411499********0017";

/// An office with its pages: an inspector, a reviewer and a clerk.
struct Desk {
    replica: Replica,
    tokens: BTreeMap<char, String>,
    _world: World,
}

impl Desk {
    async fn open(mut world: World, node: Node) -> Self {
        let role = if node == CITY { "city_operator" } else { "county_hub" };
        let replica = Replica::start(world.replicas[node].engine.take().unwrap()).unwrap();
        let mut tokens = BTreeMap::new();
        for (letter, duty) in [('i', Duty::Inspector), ('r', Duty::Reviewer), ('c', Duty::Clerk)] {
            let account = NewAccount {
                login: letter.to_string(),
                name: format!("职员{letter}"),
                role: role.into(),
                duty,
                password: PASSWORD.into(),
            };
            replica.account(AccountRequest::Add(account)).await.unwrap();
            let signed = replica.sign_in(&letter.to_string(), PASSWORD.into()).await.unwrap();
            tokens.insert(letter, signed.token);
        }
        Self { replica, tokens, _world: world }
    }

    async fn send(&self, method: &str, path: &str, letter: char, body: String) -> (u16, String) {
        let token = hex(self.tokens[&letter].as_bytes());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:8420")
            .header(header::COOKIE, format!("taizhang_session={token}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        let response =
            router(self.replica.clone(), Site::default()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).cloned();
        if let Some(location) = location {
            return (status, location.to_str().unwrap().to_owned());
        }
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn get(&self, path: &str, letter: char) -> String {
        self.send("GET", path, letter, String::new()).await.1
    }

    async fn post(&self, path: &str, letter: char, fields: &[(&str, &str)]) -> (u16, String) {
        let csrf = self.replica.session(&self.tokens[&letter], true).unwrap().unwrap().csrf;
        let hexed = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let pairs = fields.iter().map(|(name, text)| format!("&{name}={}", hexed(text)));
        let body = format!("csrf={csrf}{}", pairs.collect::<String>());
        self.send("POST", path, letter, body).await
    }

    /// Posts what must be taken; gives where it leads.
    async fn done(&self, path: &str, letter: char, fields: &[(&str, &str)]) -> String {
        let (status, led) = self.post(path, letter, fields).await;
        assert_eq!(status, StatusCode::SEE_OTHER.as_u16(), "{path}: {led}");
        led
    }

    fn detail(&self, id: RecordId) -> Detail {
        self.replica.readers().with(|reader| reader.detail(id)).unwrap().unwrap()
    }

    fn only(&self, ledger: &str) -> RecordId {
        let query = ListQuery { ledger: ledger.into(), limit: 10, ..ListQuery::default() };
        let (rows, _) = self.replica.readers().with(|reader| reader.list(&query)).unwrap();
        assert_eq!(rows.len(), 1, "{ledger}");
        rows[0].record
    }

    /// A round from today on that runs in the village.
    async fn running_round(&self) -> String {
        let today = clock::now().date().to_string();
        let plan = [
            ("title", "暗访甲"),
            ("kind", "unannounced"),
            ("start_on", &today),
            ("end_on", &today),
            ("unannounced", "true"),
        ];
        let round = self.done("/rounds", 'i', &plan).await;
        let (status, why) = self.post(&format!("{round}/step"), 'r', &[("to", "running")]).await;
        assert!(status == 422 && why.contains("请先添加抽查的地方"), "{why}");
        let place = [("place", CODE), ("why", "公示")];
        self.done(&format!("{round}/place"), 'i', &place).await;
        let (status, why) = self.post(&format!("{round}/step"), 'i', &[("to", "running")]).await;
        assert!(status == 422 && why.contains("须由审核人批准"), "{why}");
        self.done(&format!("{round}/step"), 'r', &[("to", "running")]).await;
        let (status, why) = self.post(&format!("{round}/place"), 'i', &place).await;
        assert!(status == 422 && why.contains("须由审核人批准"), "{why}");
        round
    }

    async fn set(&self, id: RecordId, field: &str, value: String) {
        let inputs = Inputs::from([(field.to_owned(), value)]);
        self.replica
            .run(move |engine, now| engine.set(id, &inputs, Source::People, &clerk(), now))
            .await
            .unwrap();
    }
}

fn set(world: &mut World, node: Node, id: RecordId, field: &str, value: &str) {
    assert!(world.set(node, id, field, value), "{field} = {value}");
}

fn act(world: &mut World, node: Node, id: RecordId, to: &str) {
    let done = world.job(node, |engine, now| engine.act(id, to, "按规定", &clerk(), now));
    done.unwrap_or_else(|refusal| panic!("{to}: {refusal}"));
}

fn with_member(seed: u64) -> (World, RecordId) {
    let mut world = World::new(seed, 4, None);
    let household = world.household(VILLAGE, NAME).to_string();
    let member = world.create(
        VILLAGE,
        "household_member",
        &[
            ("household", &household),
            ("name", NAME),
            ("relation", "head"),
            ("id_no", "411499197003110017"),
            ("health", "chronic"),
            ("labour", "weak"),
            ("living", "registered"),
        ],
    );
    assert!(world.settle(2000));
    (world, member)
}

fn ticket(world: &mut World) -> RecordId {
    world.create(
        VILLAGE,
        "problem_ticket",
        &[
            ("ticket_no", "地5-2018-001"),
            ("source", "visit"),
            ("domain", "hygiene"),
            ("severity", "small"),
            ("description", "村口垃圾未清"),
            ("received_on", "2018-06-01"),
        ],
    )
}

/// A round in the city's ledgers whose place is the village, in the world itself.
fn round(world: &mut World) -> RecordId {
    let round = world.create(
        CITY,
        "supervision_round",
        &[
            ("title", "绝密安排甲"),
            ("kind", "unannounced"),
            ("unannounced", "true"),
            ("start_on", "2018-06-01"),
            ("end_on", "2018-06-30"),
        ],
    );
    let place = format!("{{\"place\":\"{}\"}}", world.replicas[VILLAGE].place);
    let inputs = Inputs::from([("places".to_owned(), place)]);
    let of = |source| {
        let (inputs, person) = (inputs.clone(), clerk());
        move |engine: &mut Engine, now| engine.set(round, &inputs, source, &person, now)
    };
    let refused = world.job(CITY, of(Source::People)).unwrap_err();
    assert!(
        refused.contains("督查页面"),
        "no form and no sheet says where a round looks: {refused}"
    );
    assert!(world.job(CITY, of(Source::Data)).expect("a place"));
    round
}

fn begin(world: &mut World, round: RecordId) {
    world.job(CITY, |engine, now| inspection::pin(engine, round, &clerk(), now)).expect("pinned");
    act(world, CITY, round, "running");
}

/// Whether a text stands anywhere in a replica's ground truth.
fn holds(world: &World, node: Node, text: &str) -> bool {
    let path = world.replicas[node].folder.join("ledger.db");
    let db = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT (SELECT count(*) FROM segment WHERE instr(plain, ?1) > 0) \
               + (SELECT count(*) FROM tail WHERE instr(entry, ?1) > 0)";
    let found: i64 = db.query_row(sql, [text.as_bytes()], |row| row.get(0)).unwrap();
    found > 0
}

/// Goal: promise 4 for plans: an unannounced plan of the city is never held below the city, whatever is synced, and
/// nobody below can write into it (R-SUP-03).
#[test]
fn a_plan_never_leaves_the_slice_of_its_office() {
    let mut world = World::new(91, 5, None);
    let round = round(&mut world);
    begin(&mut world, round);
    let own = world.create(
        COUNTY,
        "supervision_round",
        &[
            ("title", "县里安排乙"),
            ("kind", "patrol"),
            ("start_on", "2018-06-01"),
            ("end_on", "2018-06-30"),
        ],
    );
    assert!(world.settle(4000));
    let city = world.replicas[CITY].place;
    for node in 0..5 {
        let (plan, countys) =
            (holds(&world, node, "绝密安排甲"), holds(&world, node, "县里安排乙"));
        assert_eq!(plan, node == CITY, "node {node}: the city's plan");
        assert_eq!(countys, node <= COUNTY, "node {node}: the county's plan");
        let slices = world.engine(node).slices();
        assert_eq!(slices.contains(&SliceId::ledger(city)), node == CITY, "node {node}");
        assert_eq!(world.job(node, |engine, _| engine.find(round)).is_ok(), node == CITY);
        assert_eq!(world.job(node, |engine, _| engine.find(own)).is_ok(), node <= COUNTY);
    }
    let inputs: Inputs = [("title", "x"), ("kind", "patrol"), ("start_on", "2018-06-01")]
        .into_iter()
        .chain([("end_on", "2018-06-02")])
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let written = world.job(COUNTY, |engine, now| {
        let (slice, source) = (SliceId::ledger(city), Source::People);
        engine.create(slice, "supervision_round", &inputs, source, &clerk(), None, now)
    });
    assert!(written.is_err(), "a county writes into the city's ledgers");
}

/// Goal: an inspector sees people as the city does, but for the places of a round that runs, between its two days;
/// health stays out of sight, each look is written down once a day, and nothing but supervision is theirs to write.
#[tokio::test(flavor = "multi_thread")]
async fn an_inspector_sees_people_only_while_a_round_runs() {
    for node in [CITY, COUNTY] {
        let (world, member) = with_member(92);
        let desk = Desk::open(world, node).await;
        let page = format!("/records/{member}");
        let list = "/ledgers/household_member";
        let before = desk.get(&page, 'i').await;
        assert!(!before.contains(NAME) && !before.contains(ENDS), "no round: {before}");
        assert!(!desk.get(list, 'i').await.contains(NAME), "no round: the table");
        let round = desk.running_round().await;
        let photo = format!("{page}/blobs/{}", "0".repeat(64));
        assert_eq!(desk.send("GET", &photo, 'i', String::new()).await.0, 404);
        let audit = desk.replica.readers().with(|reader| reader.audit(100)).unwrap();
        let looks = audit.iter().filter(|(_, kind, _)| kind == "inspected").count();
        assert_eq!(looks, 1, "who asks for photos alone looks too");
        for path in [&page, &format!("{page}/trace")] {
            let shown = desk.get(path, 'i').await;
            assert!(shown.contains(NAME), "{path}: {shown}");
            assert!(!shown.contains("411499197003110017"), "{path}: the whole number");
            assert!(!shown.contains("长期慢性病"), "{path}: health");
        }
        assert!(desk.get(&page, 'i').await.contains(ENDS));
        assert!(desk.get(list, 'i').await.contains(NAME), "the table");
        let audit = desk.replica.readers().with(|reader| reader.audit(100)).unwrap();
        let looks = audit.iter().filter(|(_, kind, _)| kind == "inspected");
        let looks: Vec<&str> = looks.map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(looks.len(), 2, "a record and a table, each once: {looks:?}");
        // At the city, nobody else sees more for it.
        let others = desk.get(&page, 'r').await;
        assert_eq!(others.contains(NAME), node == COUNTY);
        let (status, _) = desk.post(&format!("{page}/edit"), 'i', &[("phone", "1")]).await;
        assert_eq!(status, StatusCode::FORBIDDEN.as_u16(), "a household is not theirs to write");
        assert_eq!(desk.send("GET", &round, 'c', String::new()).await.0, 403, "a clerk");
        let id: RecordId = round.rsplit('/').next().unwrap().parse().unwrap();
        let today = clock::now().date();
        desk.set(id, "end_on", "2099-01-01".into()).await;
        assert!(desk.get(&page, 'i').await.contains(NAME), "within the days that it may last");
        desk.set(id, "start_on", today.plus_days(-ROUND_DAYS_MAX).to_string()).await;
        assert!(!desk.get(&page, 'i').await.contains(NAME), "no round gives sight for longer");
        desk.set(id, "start_on", today.to_string()).await;
        desk.set(id, "end_on", today.plus_days(-1).to_string()).await;
        assert!(!desk.get(&page, 'i').await.contains(NAME), "the round's days are over");
    }
}

/// Goal: what was held when a round began, and where it looks, is written by its own page only.
#[tokio::test(flavor = "multi_thread")]
async fn pins_are_not_written_by_hand() {
    let (world, _) = with_member(97);
    let village = world.replicas[VILLAGE].place.to_string();
    let desk = Desk::open(world, COUNTY).await;
    let round = desk.running_round().await;
    let id: RecordId = round.rsplit('/').next().unwrap().parse().unwrap();
    let before = desk.detail(id).row.logs;
    let form = [
        ("pins.0.place", village.as_str()),
        ("pins.0.on", "2018-01-01"),
        ("pins.0.hash", "00"),
        ("places.0.place", village.as_str()),
        ("places.0.why", "x"),
    ];
    desk.done(&format!("/records/{id}/edit"), 'i', &form).await;
    assert_eq!(desk.detail(id).row.logs, before);
    let page = desk.get(&format!("/records/{id}/edit"), 'i').await;
    assert!(!page.contains("pins.") && !page.contains("places."), "{page}");
    let release = [("to", "released")];
    let (status, why) = desk.post(&format!("/records/{id}/act"), 'i', &release).await;
    assert!(status == 422 && why.contains("督查页面"), "{why}");
}

/// Goal: what the city found stands as the city entered it: a county neither changes, voids, sends back nor verifies
/// it, and those inspected can reply.
#[test]
fn a_county_cannot_soften_what_the_city_found() {
    let mut world = World::new(98, 4, None);
    let fields = [
        ("round", "暗访甲"),
        ("found_on", "2018-06-01"),
        ("target", "公示栏"),
        ("fact", "五月公示未张贴"),
        ("grade", "serious"),
    ];
    let inputs: Inputs = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let slice = SliceId::ledger(world.replicas[VILLAGE].place);
    let made = world.job(CITY, |engine, now| {
        engine.create(slice, "finding", &inputs, Source::People, &clerk(), None, now)
    });
    let id = made.unwrap();
    assert!(world.settle(4000));
    set(&mut world, VILLAGE, id, "reply", "已张贴");
    act(&mut world, VILLAGE, id, "replied");
    act(&mut world, VILLAGE, id, "rectified");
    assert!(world.settle(4000));
    for to in ["found", "verified"] {
        let taken = world.job(COUNTY, |engine, now| engine.act(id, to, "按规定", &clerk(), now));
        assert!(taken.unwrap_err().contains("市级"), "{to}");
    }
    for node in [COUNTY, TOWNSHIP, VILLAGE] {
        let voided = world.job(node, |engine, now| engine.void(id, Some("误"), &clerk(), now));
        assert!(voided.unwrap_err().contains("市级"), "node {node}");
    }
    assert!(!world.set(COUNTY, id, "check", "属实"));
    assert!(!world.set(CITY, id, "grade", "slight"), "a grade stands");
    act(&mut world, CITY, id, "verified");
}

/// Goal: findings are entered once the round is released, in the ledgers of the place inspected, and become tickets
/// there: finding and ticket in one entry (R-SUP-01).
#[tokio::test(flavor = "multi_thread")]
async fn a_finding_becomes_a_ticket_of_the_same_place() {
    let (world, _) = with_member(93);
    let desk = Desk::open(world, CITY).await;
    let round = desk.running_round().await;
    let fields = [
        ("place", CODE),
        ("target", "公示栏"),
        ("fact", "五月公示未张贴"),
        ("grade", "ordinary"),
        ("reply_due", "2099-01-01"),
    ];
    let to = format!("{round}/finding");
    let (status, why) = desk.post(&to, 'i', &fields).await;
    assert!(status == 422 && why.contains("公布后才能登记"), "{why}");
    let release = [("to", "released"), ("summary", "总体较好")];
    desk.done(&format!("{round}/step"), 'i', &release).await;
    desk.done(&to, 'i', &fields).await;
    let finding = desk.only("finding");
    let village = SliceId::ledger(PlaceId([5; 8]));
    let found = desk.detail(finding);
    assert_eq!(found.slice, village);
    assert!(!found.row.text("pinned_hash").is_empty(), "it says what was inspected");
    let failed = |detail: &Detail, rule: &str| {
        detail.findings.iter().any(|one| one.0 == rule && one.2 == "failed")
    };
    assert!(failed(&found, "R-SUP-01"));
    let kind = [("domain", "notice"), ("severity", "small")];
    let make = format!("/records/{finding}/ticket");
    let (status, why) = desk.post(&make, 'i', &kind[1..]).await;
    assert!(status == 422 && why.contains("问题类别"), "{why}");
    desk.done(&make, 'i', &kind).await;
    let ticket = desk.only("problem_ticket");
    let (found, made) = (desk.detail(finding), desk.detail(ticket));
    assert_eq!((made.slice, made.row.text("source")), (village, "supervision".into()));
    assert_eq!(made.row.state_id(), Some("reported"));
    assert_eq!(found.row.text("ticket"), ticket.to_string());
    let last = &found.log.changes.last().unwrap().origin;
    assert_eq!(last.lamport, made.log.changes[0].origin.lamport, "one entry");
    assert!(!failed(&found, "R-SUP-01"));
    let (status, again) = desk.post(&make, 'i', &kind).await;
    assert!(status == 422 && again.contains("已转为问题台账"), "{again}");
    let edit = format!("/records/{finding}/edit");
    assert_eq!(desk.send("GET", &edit, 'i', String::new()).await.0, 200, "theirs to write");
    assert_eq!(desk.send("GET", &edit, 'c', String::new()).await.0, 200, "a clerk's as before");
}

/// Goal: the whole way of a ticket stands on one page: every change, in causal order, with what came too late, and
/// what the person was told.
#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_ticket_shows_every_hop() {
    let mut world = World::new(94, 4, None);
    let id = ticket(&mut world);
    act(&mut world, VILLAGE, id, "registered");
    set(&mut world, VILLAGE, id, "holder_level", "village");
    assert!(world.settle(4000));
    // Apart: the village assigns it, the township merges it; merging came too late.
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
    set(&mut world, TOWNSHIP, id, "merged_no", "地5-2018-000");
    act(&mut world, TOWNSHIP, id, "merged");
    act(&mut world, VILLAGE, id, "assigned");
    world.set_link(link, true);
    assert!(world.settle(4000));
    act(&mut world, VILLAGE, id, "handling");
    let line = r#"{"date":"2018-06-02","text":"已清运"}"#;
    set(&mut world, VILLAGE, id, "actions", line);
    act(&mut world, VILLAGE, id, "resolved");
    let line = r#"{"date":"2018-06-03","by":"first_secretary","satisfied":"yes"}"#;
    set(&mut world, VILLAGE, id, "feedback", line);
    act(&mut world, VILLAGE, id, "fed_back");
    act(&mut world, VILLAGE, id, "closed");
    assert!(world.settle(4000));
    let desk = Desk::open(world, CITY).await;
    let page = desk.get(&format!("/records/{id}/trace"), 'r').await;
    let hops = desk.detail(id).log.changes.len();
    assert_eq!(page.matches("<td class=\"num\">").count(), hops, "{page}");
    assert_eq!(page.matches("步骤来迟，未执行").count(), 1, "{page}");
    assert_eq!(page.matches("已向群众反馈").count(), 1, "{page}");
    let steps = ["已登记 → 已分派", "已分派 → 办理中", "办理中 → 已解决", "已反馈 → 已销号"];
    let at: Vec<usize> =
        steps.map(|step| page.find(step).unwrap_or_else(|| panic!("{step}: {page}"))).into();
    assert!(at.is_sorted(), "causal order: {at:?}");
    assert!(!page.contains("检查开始后录入"), "no round was there");
}

/// Goal: scenario 30: what reaches the city after a round has begun is marked, what was there before is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_entered_after_a_round_began_is_marked() {
    let mut world = World::new(95, 4, None);
    let (early, late) = (ticket(&mut world), ticket(&mut world));
    act(&mut world, VILLAGE, late, "registered");
    assert!(world.settle(4000));
    let round = round(&mut world);
    begin(&mut world, round);
    let line = r#"{"date":"2018-03-01","text":"补记的措施"}"#;
    set(&mut world, VILLAGE, late, "actions", line);
    assert!(world.settle(4000));
    let desk = Desk::open(world, CITY).await;
    let mark = "检查开始后录入: 绝密安排甲";
    let page = desk.get(&format!("/records/{late}/trace"), 'i').await;
    assert_eq!(page.matches(mark).count(), 1, "{page}");
    let marked = page.split(mark).nth(1).unwrap();
    assert!(marked.split("</tr>").next().unwrap().contains("整改措施"), "{page}");
    let page = desk.get(&format!("/records/{early}/trace"), 'i').await;
    assert!(!page.contains(mark) && page.contains("检查开始于"), "{page}");
}

/// Goal: R-QUA-01 finds sudden mass entry and one value in many records, at the place where it is, and not where work
/// is as usual or long past.
#[test]
fn what_strikes_before_a_freeze_is_found_where_it_is() {
    let mut world = World::new(96, 5, None);
    for number in 0..=MANY_ENTRIES.max(SAME_RECORDS) {
        let name = format!("户{number}");
        let mut fields = conflict_tests::world::household(&name).to_vec();
        fields.push(("phone", "13700000000"));
        world.create(VILLAGE, "poor_household", &fields);
    }
    for number in 0..5 {
        world.household(4, &format!("邻{number}"));
    }
    assert!(world.settle(20_000));
    let catalogue = world.engine(CITY).directives.catalogue.clone();
    let (one, other) = (world.replicas[VILLAGE].place, world.replicas[4].place);
    let from = Date::parse("2018-06-01").unwrap();
    let hour = world.now.plus(3_600_000);
    let readers = Readers::new(&world.replicas[CITY].folder);
    let found = |places: &[PlaceId], freeze| {
        let found = readers.with(|reader| patterns(reader, &catalogue, places, from, freeze));
        found.unwrap().into_iter().map(|one| (one.place, one.kind)).collect::<Vec<_>>()
    };
    let both = found(&[one, other], hour);
    assert_eq!(both, [(one, PatternKind::Mass), (one, PatternKind::Same)]);
    assert!(found(&[other], hour).is_empty());
    let later = found(&[one], hour.plus(3 * 86_400_000));
    assert_eq!(later, [(one, PatternKind::Same)], "no longer sudden");
}
