//! What other systems read: tokens, JSON, gRPC, metrics and files, with the authority and masks of the
//! pages.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use clap::Parser;
use conflict_tests::world::{World, clerk};
use serde_json::Value;
use taizhang_core::id::{Level, PlaceId, RecordId, hex};
use taizhang_core::time::{Date, UtcMillis};
use taizhang_node::account::{Duty, FAILURES_MAX};
use taizhang_node::cli::run::RunArgs;
use taizhang_node::driver::Replica;
use taizhang_node::engine::values::Source;
use taizhang_node::ops::account::{AccountRequest, NewAccount};
use taizhang_node::ops::query::ROWS_MAX;
use taizhang_node::ops::token::{NewToken, TokenRequest};
use taizhang_node::token::{Token, secret_hash};
use taizhang_node::transport::query;
use taizhang_node::web::access::Site;
use taizhang_node::web::scheduled::{Schedule, export};
use taizhang_node::web::{ROUTES, router};
use taizhang_proto::query::query_client::QueryClient;
use taizhang_proto::query::{FiguresRequest, PlacesRequest, RecordsRequest};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tower::ServiceExt as _;

const ID_NO: &str = "411499197003110017";
const PASSWORD: &str = "correct horse";

struct Office {
    replica: Replica,
    level: Level,
    pages: Router,
    member: RecordId,
    villages: [PlaceId; 2],
    _world: World,
}

/// An office above two villages, each with a household; in the first lives a person whose data are sensitive.
fn office(node: usize) -> Office {
    let mut world = World::new(84, 5, None);
    let household = world.household(3, "欧阳锋").to_string();
    let member = world.create(
        3,
        "household_member",
        &[
            ("household", &household),
            ("name", "欧阳锋"),
            ("relation", "head"),
            ("id_no", ID_NO),
            ("health", "chronic"),
            ("labour", "weak"),
            ("living", "registered"),
        ],
    );
    world.household(4, "王二");
    for day in ["2018-04-10", "2018-05-10"] {
        let ticket = [
            ("source", "visit"),
            ("domain", "industry"),
            ("severity", "small"),
            ("description", "机井坏了"),
            ("received_on", day),
        ];
        world.create(3, "problem_ticket", &ticket);
    }
    assert!(world.settle(3000));
    let level = world.replicas[node].level;
    let villages = [world.replicas[3].place, world.replicas[4].place];
    let replica = Replica::start(world.replicas[node].engine.take().unwrap()).unwrap();
    let pages = router(replica.clone(), Site::default());
    Office { replica, level, pages, member, villages, _world: world }
}

impl Office {
    async fn token(&self, name: &str, scope: &str, place: &str, duty: Duty) -> String {
        let new = NewToken {
            name: name.into(),
            scope: scope.into(),
            place: place.into(),
            duty,
            days: 30,
        };
        let made = self.replica.tokens(TokenRequest::Add(new), "test").await.unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    async fn send(
        &self,
        path: &str,
        name: header::HeaderName,
        value: &str,
    ) -> (StatusCode, String) {
        let request = Request::get(path)
            .header(header::HOST, "127.0.0.1:8420")
            .header(name, value)
            .body(Body::empty())
            .unwrap();
        let response = self.pages.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn text(&self, path: &str, secret: &str) -> (StatusCode, String) {
        self.send(path, header::AUTHORIZATION, &format!("Bearer {secret}")).await
    }

    async fn get(&self, path: &str, secret: &str) -> (u16, Value) {
        let (status, text) = self.text(path, secret).await;
        (status.as_u16(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}")))
    }

    fn audit(&self, kind: &str) -> usize {
        let lines = self.replica.readers().with(|reader| reader.audit(200)).unwrap();
        lines.iter().filter(|(_, of, _)| of == kind).count()
    }
}

fn rows(answer: &Value) -> &Vec<Value> {
    answer["rows"].as_array().unwrap()
}

/// Goal: a token reads the ledgers and the subtree of its scope, and nothing else; without one that holds
/// there is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_reads_what_its_scope_and_place_say() {
    let office = office(2);
    let figures = office.token("f", "figures", "", Duty::Administrator).await;
    let all = office.token("all", "poor_household", "", Duty::Clerk).await;
    let place = office.villages[1].to_string();
    let part = office.token("part", "poor_household", &place, Duty::Clerk).await;
    let households = "/api/v1/ledgers/poor_household";
    assert_eq!(rows(&office.get(households, &all).await.1).len(), 2);
    let (status, answer) = office.get(households, &part).await;
    assert_eq!((status, rows(&answer).len()), (200, 1));
    assert_eq!(rows(&answer)[0]["place"], place.as_str());
    assert_eq!(rows(&answer)[0]["fields"]["head_name"], "王二");
    let elsewhere = format!("{households}?place={}", office.villages[0]);
    assert_eq!(office.get(&elsewhere, &part).await.0, 404);
    let household = rows(&office.get(households, &all).await.1)
        .iter()
        .find(|row| row["place"] != place.as_str())
        .map(|row| {
            format!("/api/v1/records/{}/{}", office.villages[0], row["record"].as_str().unwrap())
        });
    let household = household.unwrap();
    assert_eq!(office.get(&household, &all).await.0, 200);
    assert_eq!(office.get(&household, &part).await.0, 404, "another village's");
    let member = format!("/api/v1/records/{}/{}", office.villages[0], office.member);
    assert_eq!(office.get(&member, &all).await.0, 403, "another ledger's");
    assert_eq!(office.get(households, &figures).await.0, 403);
    assert_eq!(office.get("/api/v1/figures", &all).await.0, 403);
    assert_eq!(rows(&office.get("/api/v1/places", &part).await.1).len(), 1);
    let (status, answer) = office.get("/api/v1/figures", &figures).await;
    assert_eq!((status, rows(&answer).len()), (200, 3), "the office and its children: {answer}");
    assert_eq!(rows(&answer)[0]["coverage"]["places"], 2);
    assert!(rows(&answer)[0]["coverage"]["missing"].is_array());
    let tickets = |answer: &Value| -> Vec<i64> {
        rows(answer).iter().filter_map(|row| row["values"]["prb_in"].as_i64()).collect()
    };
    assert_eq!(tickets(&answer), [2, 2, 0], "all that ever came: {answer}");
    let may = "/api/v1/figures?from=2018-05&to=2018-05";
    assert_eq!(tickets(&office.get(may, &figures).await.1), [1, 1, 0], "of one month");
    let below = format!("/api/v1/figures?place={place}");
    assert_eq!(tickets(&office.get(&below, &figures).await.1), [0], "of the other village");
    assert_eq!(office.get("/api/v1/figures?from=2018-05", &figures).await.0, 400);
    assert_eq!(office.get("/api/v1/policy", &figures).await.0, 200);
    for path in ["/api/v1/policy/00/reach", "/api/v1/reports/00", "/api/v1/nothing"] {
        let (status, answer) = office.get(path, &figures).await;
        assert_eq!((status, &answer["error"]), (404, &Value::from("not_found")), "{path}");
        assert!(!answer["zh"].as_str().unwrap().is_empty() && answer["en"] == "not found");
    }
}

/// Goal: tokens end; wrong ones are told to wait, which keeps no right one out; use is written down once a day.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_and_wrong_ones_wait() {
    let office = office(3);
    let path = "/api/v1/ledgers/poor_household";
    let right = office.token("right", "poor_household", "", Duty::Clerk).await;
    let gone = office.token("gone", "poor_household", "", Duty::Clerk).await;
    let withdraw = TokenRequest::Withdraw { name: "gone".into() };
    office.replica.tokens(withdraw, "test").await.unwrap();
    let past = Token {
        name: "past".into(),
        scope: ["poor_household".to_owned()].into(),
        place: office.replica.place(),
        duty: Duty::Clerk,
        created: UtcMillis(1),
        expires: UtcMillis(2),
        withdrawn: false,
        used: UtcMillis(0),
    };
    let hash = secret_hash("tzt_past");
    office.replica.run(move |engine, _| Ok(engine.store.put_token(hash, &past)?)).await.unwrap();
    for secret in [gone.as_str(), "tzt_past", "tzt_never", "", "x"] {
        assert_eq!(office.get(path, secret).await.0, 401, "{secret}");
    }
    assert_eq!(FAILURES_MAX, 5, "the five above");
    assert_eq!(office.get(path, "tzt_never").await.0, 429);
    for _ in 0..2 {
        assert_eq!(office.get(path, &right).await.0, 200);
    }
    assert_eq!(office.audit("token used"), 1);
    assert_eq!(office.audit("token refused"), 5);
    let (status, _) = office.send(path, header::COOKIE, "taizhang_session=00").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a cookie is no token");
    let taken = NewToken {
        name: "gone".into(),
        scope: "figures".into(),
        place: String::new(),
        duty: Duty::Clerk,
        days: 1,
    };
    for wrong in [
        taken.clone(),
        NewToken { name: "a".into(), scope: "sys_roster".into(), ..taken.clone() },
        NewToken { name: "b".into(), place: PlaceId([1; 8]).to_string(), ..taken.clone() },
        NewToken { name: "c".into(), days: 5000, ..taken.clone() },
    ] {
        assert!(office.replica.tokens(TokenRequest::Add(wrong), "test").await.is_err());
    }
}

/// Goal: at every level a token sees of a person what the page shows to its duty, and no number in full.
#[tokio::test(flavor = "multi_thread")]
async fn masks_are_those_of_the_pages() {
    for node in 0..4 {
        let office = office(node);
        for duty in Duty::ALL {
            let role = ["city_operator", "county_hub", "township_staff", "village_clerk"][node];
            let account = NewAccount {
                login: duty.word().into(),
                name: "职员".into(),
                role: role.into(),
                duty,
                password: PASSWORD.into(),
            };
            office.replica.account(AccountRequest::Add(account)).await.unwrap();
            let signed = office.replica.sign_in(duty.word(), PASSWORD.into()).await.unwrap();
            let cookie = format!("taizhang_session={}", hex(signed.token.as_bytes()));
            let path = format!("/records/{}", office.member);
            let (_, page) = office.send(&path, header::COOKIE, &cookie).await;
            let secret = office.token(duty.word(), "household_member", "", duty).await;
            let level = office.level;
            for path in [
                "/api/v1/ledgers/household_member".to_owned(),
                format!("/api/v1/records/{}/{}", office.villages[0], office.member),
            ] {
                let (status, answer) = office.get(&path, &secret).await;
                assert_eq!(status, 200, "{answer}");
                let text = answer.to_string();
                for (shown, canonical) in [
                    ("欧阳锋", "欧阳锋"),
                    ("411499********0017", "411499********0017"),
                    ("长期慢性病", "\"chronic\""),
                ] {
                    let (on_page, told) = (page.contains(shown), text.contains(canonical));
                    assert_eq!(on_page, told, "{level:?} {duty:?} {shown}: {text}");
                }
                assert!(!text.contains(ID_NO), "{level:?} {duty:?}");
                let row = if answer["rows"].is_array() { &answer["rows"][0] } else { &answer };
                let masked = row["masked"].as_object().unwrap();
                assert!(masked.contains_key("id_no"), "masked values say so: {row}");
                assert!(masked.keys().all(|id| row["fields"].get(id).is_none()));
            }
        }
    }
}

/// Goal: whoever comes back with the cursor gets what changed since, and pages have a bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_gives_what_changed_since() {
    let office = office(3);
    let secret = office.token("a", "poor_household,household_member", "", Duty::Clerk).await;
    let path = "/api/v1/ledgers/household_member";
    let (_, first) = office.get(&format!("{path}?limit=1"), &secret).await;
    assert_eq!((rows(&first).len(), &first["more"]), (1, &Value::from(false)));
    let next = first["next"].as_str().unwrap();
    let since = format!("{path}?since={next}");
    assert!(rows(&office.get(&since, &secret).await.1).is_empty());
    let (id, person) = (office.member, clerk());
    let inputs = [("labour".to_owned(), "lost".to_owned())].into();
    office
        .replica
        .run(move |engine, now| engine.set(id, &inputs, Source::People, &person, now))
        .await
        .unwrap();
    // Pages follow one another until there is no more, each record once.
    let above = self::office(2);
    let secret_above = above.token("a", "poor_household", "", Duty::Clerk).await;
    let path_above = "/api/v1/ledgers/poor_household";
    let (_, one) = above.get(&format!("{path_above}?limit=1"), &secret_above).await;
    assert_eq!((rows(&one).len(), &one["more"]), (1, &Value::from(true)));
    let rest = format!("{path_above}?limit=1&since={}", one["next"].as_str().unwrap());
    let (_, two) = above.get(&rest, &secret_above).await;
    assert_eq!((rows(&two).len(), &two["more"]), (1, &Value::from(false)));
    assert_ne!(rows(&one)[0]["record"], rows(&two)[0]["record"]);
    let (_, changed) = office.get(&since, &secret).await;
    assert_eq!(rows(&changed)[0]["fields"]["labour"], "lost");
    assert_ne!(changed["next"], next);
    assert_eq!(office.get(&format!("{path}?limit={}", ROWS_MAX + 1), &secret).await.0, 400);
    assert_eq!(office.get(&format!("{path}?since=x"), &secret).await.0, 400);
    assert_eq!(office.get(&format!("{path}?since=1-5"), &secret).await.0, 410, "an older making");
}

/// What of a value is not as a schema says.
fn wrong(schema: &Value, value: &Value, document: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return wrong(&document["components"]["schemas"][name], value, document, at);
    }
    let is = |kind: &str| match kind {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        _ => value.is_string(),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        _ => true,
    };
    let mut found = Vec::new();
    if !fits {
        found.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{at}: no {name}"));
        }
    }
    for (name, one) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => found.extend(wrong(schema, one, document, &at)),
            (None, Value::Bool(false)) => found.push(format!("{at}: not described")),
            (None, other) => found.extend(wrong(other, one, document, &at)),
        }
    }
    for one in value.as_array().into_iter().flatten() {
        found.extend(wrong(&schema["items"], one, document, &format!("{at}[]")));
    }
    found
}

/// Goal: the description has every open ledger, and every answer is as it says.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_the_description_says() {
    let office = office(1);
    let directives = office.replica.directives();
    let ledgers = directives.catalogue.ledgers_for_people().filter(|one| !one.closed);
    let ledgers: Vec<String> = ledgers.map(|one| one.id.clone()).collect();
    let scope = format!("figures,{}", ledgers.join(","));
    let secret = office.token("all", &scope, "", Duty::Clerk).await;
    let (status, document) = office.get("/api/v1/openapi.json", &secret).await;
    assert_eq!((status, &document["openapi"]), (200, &Value::from("3.1.0")));
    let mut paths: Vec<String> = ROUTES
        .iter()
        .filter(|route| route.path.starts_with("/api/") && !route.path.contains('{'))
        .map(|route| route.path.to_owned())
        .collect();
    paths.extend(ledgers.iter().map(|id| format!("/api/v1/ledgers/{id}")));
    let mut records = 0;
    for path in &paths {
        let (status, answer) = office.get(path, &secret).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let described = &document["paths"][path]["get"]["responses"]["200"]["content"];
        let schema = &described["application/json"]["schema"];
        assert!(schema.is_object(), "{path} is not described");
        let wrong = wrong(schema, &answer, &document, path);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        records +=
            usize::from(path.contains("/ledgers/")) * answer["rows"].as_array().map_or(0, Vec::len);
    }
    assert!(records >= 3, "{records} records were looked at");
}

/// Goal: the metrics are what a Prometheus server reads, for a token of that scope only.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_text_that_a_server_reads() {
    let office = office(2);
    let secret = office.token("prometheus", "metrics", "", Duty::Administrator).await;
    let other = office.token("other", "figures", "", Duty::Administrator).await;
    let below = NewToken {
        name: "below".into(),
        scope: "figures,metrics".into(),
        place: office.villages[0].to_string(),
        duty: Duty::Administrator,
        days: 1,
    };
    let refused = office.replica.tokens(TokenRequest::Add(below), "test").await.unwrap_err();
    assert!(refused.to_string().contains("只能用于本单位"), "{refused}");
    assert_eq!(office.text("/metrics", &other).await.0, StatusCode::FORBIDDEN);
    let (status, text) = office.text("/metrics", &secret).await;
    assert_eq!(status, StatusCode::OK);
    let mut typed = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.push(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert_eq!(typed.last().map(String::as_str), Some(name), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(name == sample || sample.ends_with("\"}"), "{line}");
        }
    }
    let (mut once, all) = (typed.clone(), typed.len());
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), all, "each metric once");
    for sample in [
        "taizhang_parked_entries 0\n",
        "taizhang_void_entries 0\n",
        "taizhang_segments_unprojected 0\n",
        "taizhang_findings{severity=\"block\"}",
        "taizhang_conflicts{age=\"older\"} 0\n",
    ] {
        assert!(text.contains(sample), "{sample}: {text}");
    }
    assert_eq!(text.matches("taizhang_child_heard{").count(), 2, "direct children only");
}

fn asked<T>(message: T, secret: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let header = format!("Bearer {secret}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    request
}

/// Goal: gRPC queries say the same as JSON, with the same tokens, and tell what they are.
#[tokio::test(flavor = "multi_thread")]
async fn queries_over_grpc_say_the_same() {
    let office = office(2);
    let secret = office.token("a", "figures,household_member", "", Duty::Clerk).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (replica, stop) = (office.replica.clone(), office.replica.clone());
    let stop = async move { stop.closed().await };
    tokio::spawn(async move { query::serve(replica, listener, None, stop).await.unwrap() });
    let mut client = QueryClient::connect(address.clone()).await.unwrap();
    let refused = client.places(PlacesRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let places = client.places(asked(PlacesRequest {}, &secret)).await.unwrap().into_inner();
    assert_eq!(places.rows.len(), 3);
    let figures = client.figures(asked(FiguresRequest::default(), &secret)).await.unwrap();
    let figures = figures.into_inner();
    let (_, json) = office.get("/api/v1/figures", &secret).await;
    for (name, value) in &figures.rows[0].values {
        assert_eq!(json["rows"][0]["values"][name], *value, "{name}");
    }
    assert_eq!(figures.rows[0].coverage.as_ref().unwrap().places, 2);
    assert_eq!(figures.rows[0].values["prb_in"], 2);
    let ledger = |id: &str| RecordsRequest { ledger: id.into(), ..RecordsRequest::default() };
    let records = client.records(asked(ledger("household_member"), &secret)).await.unwrap();
    let record = records.into_inner().rows.remove(0);
    assert_eq!(record.record, office.member.to_string());
    assert_eq!(record.masked["id_no"], "411499********0017");
    let outside = client.records(asked(ledger("poor_household"), &secret)).await.unwrap_err();
    assert_eq!(outside.code(), tonic::Code::PermissionDenied);
    let channel =
        tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let told = reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap();
    let told = told.into_inner().message().await.unwrap().unwrap();
    assert!(format!("{told:?}").contains("taizhang.query.v1.Query"), "{told:?}");
    office.replica.close();
}

#[derive(Parser)]
struct Run {
    #[command(flatten)]
    args: RunArgs,
}

#[test]
fn queries_and_exports_are_off_unless_an_operator_asks() {
    let plain = Run::try_parse_from(["run"]).unwrap().args;
    assert!(plain.query_listen.is_none() && plain.export_to.is_none());
}

/// Goal: the files of a day are there whole, carry no number of a person, and old days go.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_day_are_whole_and_masked() {
    let office = office(2);
    let folder = tempfile::tempdir().unwrap();
    let schedule =
        Schedule::new(folder.path(), "02:00", "poor_household,household_member", 2).unwrap();
    // Not written here, so never removed.
    let foreign = folder.path().join("2001-01-01");
    std::fs::create_dir(&foreign).unwrap();
    for day in 1..=3 {
        let day = Date::new(2018, 6, day).unwrap();
        export(&office.replica, &schedule, day).await.unwrap();
    }
    let days = std::fs::read_dir(folder.path()).unwrap().flatten();
    let mut days: Vec<String> =
        days.map(|day| day.file_name().to_string_lossy().into_owned()).collect();
    days.sort_unstable();
    assert_eq!(days, ["2001-01-01", "2018-06-02", "2018-06-03"]);
    let newest = folder.path().join("2018-06-03");
    for name in ["poor_household", "household_member", "figures"] {
        let xlsx = std::fs::read(newest.join(format!("{name}.xlsx"))).unwrap();
        assert!(xlsx.starts_with(b"PK"));
        let csv = std::fs::read_to_string(newest.join(format!("{name}.csv"))).unwrap();
        assert!(csv.lines().count() > 1, "{csv}");
        assert!(!csv.contains(ID_NO) && !csv.contains("0017") && !csv.contains("长期慢性病"));
    }
    let figures = std::fs::read_to_string(newest.join("figures.csv")).unwrap();
    let tickets = figures.lines().filter(|line| line.contains(",新增问题(按登记日期),2,"));
    assert_eq!(tickets.count(), 2, "at the office and at the village: {figures}");
    let households = std::fs::read_to_string(newest.join("poor_household.csv")).unwrap();
    assert!(
        households.contains("欧") && !households.contains("欧阳锋"),
        "as on paper: {households}"
    );
    assert_eq!(office.audit("exported"), 3);
    let unknown = Schedule::new(folder.path(), "02:00", "nothing", 2).unwrap();
    let day = Date::new(2018, 6, 4).unwrap();
    assert!(export(&office.replica, &unknown, day).await.is_err());
    assert!(!folder.path().join("2018-06-04").exists());
}
