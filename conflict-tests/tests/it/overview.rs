//! The overview and sync health of a small hub: figures that equal the sums, who is missing by name, links that lead
//! to the records, silent offices first, and pages that hear of a change.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use conflict_tests::world::{World, clerk};
use taizhang_core::catalogue::parse::Part;
use taizhang_core::id::{PlaceId, ReplicaId, SliceId, hex};
use taizhang_node::account::Duty;
use taizhang_node::driver::{Replica, clock};
use taizhang_node::engine::command::Inputs;
use taizhang_node::engine::values::Source;
use taizhang_node::ops::account::{AccountRequest, NewAccount};
use taizhang_node::web::access::Site;
use taizhang_node::web::router;
use tower::ServiceExt as _;

const PASSWORD: &str = "correct horse";
const TOWNSHIP: usize = 2;
const VILLAGE: PlaceId = PlaceId([5; 8]);
const SILENT: PlaceId = PlaceId([6; 8]);
/// Charts of the test: one of each kind, over the day of registration.
const CHARTS: &str = r#"
[part]
name = "charts"
version = 1

[[chart]]
id = "t_figure"
zh = "试验登记数"
en = "Test figure"
kind = "figure"
add = ["prb_in"]
at = ["township"]

[[chart]]
id = "t_bars"
zh = "试验各村"
en = "Test bars"
kind = "bars"
add = ["prb_in"]
at = ["township"]

[[chart]]
id = "t_trend"
zh = "试验趋势"
en = "Test trend"
kind = "trend"
add = ["prb_in"]
at = ["township"]

[[chart]]
id = "t_progress"
zh = "试验进度"
en = "Test progress"
kind = "progress"
add = ["prb_in"]
per = ["prb_in"]
target = "sync_silence_days"
at = ["township"]
"#;

struct Hub {
    replica: Replica,
    cookie: String,
    _world: World,
}

fn ticket<'a>(number: &'a str, day: &'a str) -> [(&'static str, &'a str); 6] {
    [
        ("ticket_no", number),
        ("source", "visit"),
        ("domain", "infrastructure"),
        ("severity", "small"),
        ("description", "路灯不亮"),
        ("received_on", day),
    ]
}

impl Hub {
    /// The township over two villages: three tickets of one, of the other nothing but a sign of life long ago. The
    /// clock of the pages is today's, so the links speak for who was heard of.
    async fn open() -> Self {
        let mut parts = taizhang_core::base_catalogue();
        parts.push(Part { name: "charts.toml".into(), source: CHARTS.into() });
        let mut world = World::with(515, 5, None, &parts);
        world.publish(0, "试办〔2018〕1号", "sync_silence_days", 7);
        for (number, day) in
            [("甲-1", "2018-04-20"), ("甲-2", "2018-05-02"), ("甲-3", "2018-05-31")]
        {
            world.create(3, "problem_ticket", &ticket(number, day));
        }
        assert!(world.settle(4000));
        for (place, days) in [(VILLAGE, 0), (SILENT, 30)] {
            let heard = clock::now().plus(-days * 86_400_000);
            world
                .job(TOWNSHIP, |engine, _| {
                    let peer = ReplicaId(place.0);
                    Ok(engine.store.put_contact(peer, place, false, heard, true, 0)?)
                })
                .unwrap();
        }
        let replica = Replica::start(world.replicas[TOWNSHIP].engine.take().unwrap()).unwrap();
        let account = NewAccount {
            login: "c".into(),
            name: "职员".into(),
            role: "township_staff".into(),
            duty: Duty::Clerk,
            password: PASSWORD.into(),
        };
        replica.account(AccountRequest::Add(account)).await.unwrap();
        let token = replica.sign_in("c", PASSWORD.into()).await.unwrap().token;
        let cookie = format!("taizhang_session={}", hex(token.as_bytes()));
        Self { replica, cookie, _world: world }
    }

    async fn get(&self, path: &str) -> Response {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, "127.0.0.1:8420")
            .header(header::COOKIE, &self.cookie)
            .body(Body::empty())
            .unwrap();
        router(self.replica.clone(), Site::default()).oneshot(request).await.unwrap()
    }

    /// A page's text with plain ampersands.
    async fn page(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.replace("&#38;", "&").replace("&amp;", "&")
    }

    fn sum(&self, place: PlaceId, from: &str, to: &str) -> i64 {
        let sums = self.replica.readers().with(|reader| reader.rollup_between(place, from, to));
        let found = sums.unwrap().into_iter().find(|(id, _)| id == "prb_in");
        found.map_or(0, |(_, value)| value)
    }
}

/// The part of a page that is about one chart.
fn chart<'a>(page: &'a str, label: &str) -> &'a str {
    let start = page.find(&format!("<h2>{label}")).unwrap_or_else(|| panic!("no {label}"));
    let rest = &page[start..];
    &rest[..rest.find("</section>").unwrap()]
}

/// Goal: a figure of the overview equals the sum, whole and by month, and leads to exactly the records that make
/// it; a place below has its own page, and a foreign one has none.
#[tokio::test(flavor = "multi_thread")]
async fn figures_equal_the_sums_and_lead_to_their_records() {
    let hub = Hub::open().await;
    let own = hub.replica.place();
    assert_eq!(hub.sum(own, "0", "~"), 3);
    assert_eq!(hub.sum(own, "2018-05", "2018-05"), 2);
    let page = hub.page("/overview").await;
    let link = format!("/ledgers/problem_ticket?figure=prb_in&place={own}");
    assert!(chart(&page, "试验登记数").contains(&format!("<a href=\"{link}\">3</a>")), "{page}");
    let list = hub.page(&link).await;
    for number in ["甲-1", "甲-2", "甲-3"] {
        assert!(list.contains(number), "{number}");
    }
    let page = hub.page("/overview?month=2018-05").await;
    let month = "&from=2018-05&to=2018-05";
    let link = format!("/ledgers/problem_ticket?figure=prb_in{month}&place={own}");
    assert!(chart(&page, "试验登记数").contains(&format!("<a href=\"{link}\">2</a>")), "{page}");
    let list = hub.page(&link).await;
    assert!(list.contains("甲-2") && list.contains("甲-3") && !list.contains("甲-1"));
    let trend = chart(&page, "试验趋势");
    assert_eq!(trend.matches("<circle").count(), 12);
    assert!(trend.contains("<td>2018-04</td><td>1</td>"), "{trend}");
    assert!(trend.contains("<td>2018-05</td><td>2</td>"), "{trend}");
    let bars = chart(&page, "试验各村");
    assert!(bars.contains(&format!("/overview?place={VILLAGE}&month=2018-05")), "{bars}");
    assert!(bars.contains("<td>地5</td><td>2</td>"), "{bars}");
    let village = hub.page(&format!("/overview?place={VILLAGE}")).await;
    assert!(village.contains("<strong>地5</strong>"));
    let above = PlaceId([2; 8]);
    let foreign = hub.get(&format!("/overview?place={above}")).await;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
}

/// Goal: every figure says how complete it is and who is missing, and names the document of the policy behind it.
#[tokio::test(flavor = "multi_thread")]
async fn figures_name_who_is_missing_and_their_policy() {
    let hub = Hub::open().await;
    let page = hub.page("/overview").await;
    for label in ["试验登记数", "试验各村", "试验趋势", "试验进度"] {
        let section = chart(&page, label);
        assert!(section.contains("1/2 村"), "{section}");
        assert!(section.contains("缺：地6（失联 30 天）"), "{section}");
    }
    let progress = chart(&page, "试验进度");
    assert!(progress.contains("试办〔2018〕1号"), "{progress}");
    assert!(progress.contains("目标 7 %") && progress.contains("3/3 = 100.0 %"), "{progress}");
    // Of a village of which nothing came, zero is not said.
    assert!(chart(&page, "试验各村").contains("<td>地6</td><td>—</td>"));
    assert!(page.len() < 100 * 1024, "{} bytes", page.len());
}

/// Goal: sync health lists silent offices first, alone if asked, with what is unknown said to be so.
#[tokio::test(flavor = "multi_thread")]
async fn silent_offices_come_first() {
    let hub = Hub::open().await;
    let page = hub.page("/health").await;
    let (silent, heard) = (page.find("地6</td>").unwrap(), page.find("地5</td>").unwrap());
    assert!(silent < heard, "{page}");
    assert!(page.contains("失联 自 30天前"), "{page}");
    assert!(page.contains("R-SYN-01 超过7天没有消息"), "{page}");
    let only = hub.page("/health?silent=1").await;
    assert!(only.contains("地6</td>") && !only.contains("地5</td>"), "{only}");
    let sheet = hub.get("/health/export?silent=1").await;
    let bytes = to_bytes(sheet.into_body(), usize::MAX).await.unwrap();
    assert!(bytes.starts_with(b"PK"), "a workbook");
    let audit = hub.replica.readers().with(|reader| reader.audit(10)).unwrap();
    assert!(audit.iter().any(|(_, kind, _)| kind == "exported"));
}

/// The next data of a stream that are no heartbeat.
async fn next_event(body: &mut Body) -> Option<String> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?.unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        if text.contains("event:") {
            return Some(text);
        }
    }
}

/// Goal: a page that listens is told within two seconds of a save, and no more once its session has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_hears_of_a_save_until_its_session_ends() {
    let hub = Hub::open().await;
    let script = hub.page("/static/live.js").await;
    assert!(script.contains("EventSource"));
    let response = hub.get("/live").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("connect-src 'self'"), "{policy}");
    let mut body = response.into_body();
    let save = async |number: &str| {
        let slice = SliceId::ledger(hub.replica.place());
        let pairs = ticket(number, "2018-06-01").map(|(key, value)| (key.into(), value.into()));
        let (inputs, source) = (Inputs::from(pairs), Source::People);
        let create = hub.replica.run(move |engine, now| {
            engine.create(slice, "problem_ticket", &inputs, source, &clerk(), None, now)
        });
        create.await.unwrap();
    };
    save("乡-1").await;
    let patience = Duration::from_secs(10);
    let told = tokio::time::timeout(patience, next_event(&mut body)).await.expect("an event");
    assert!(told.unwrap().contains("event: changed"));
    let login = "c".to_owned();
    hub.replica.account(AccountRequest::Disable { login, disabled: true }).await.unwrap();
    save("乡-2").await;
    let end = async {
        // What came before the end may still be on its way.
        while next_event(&mut body).await.is_some() {}
    };
    tokio::time::timeout(Duration::from_secs(40), end).await.expect("the stream ends");
}
