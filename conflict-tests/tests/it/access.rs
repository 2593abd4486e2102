//! Who may ask for which page, and what of people it shows: every duty at every level on every route.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use conflict_tests::world::World;
use taizhang_core::id::{Level, RecordId, hex};
use taizhang_node::account::{Duty, FAILURES_MAX};
use taizhang_node::driver::Replica;
use taizhang_node::engine::values::Source;
use taizhang_node::ops::account::{AccountRequest, NewAccount};
use taizhang_node::web::access::Site;
use taizhang_node::web::serve::Peer;
use taizhang_node::web::{ROUTES, live, router};
use tower::ServiceExt as _;

const PASSWORD: &str = "correct horse";

/// For each route the duties that get in, level by level from the village to the city: `a`dministrator,
/// `c`lerk, `i`nspector, `r`eviewer. `*` needs no account; `-` is for the first set-up only; `t` is for
/// tokens, which no session is.
const MATRIX: &[(&str, &str)] = &[
    ("get /", "acir acir acir acir"),
    ("get /accounts", "acir acir acir acir"),
    ("get /api/v1/figures", "t"),
    ("get /api/v1/indicators", "t"),
    ("get /api/v1/ledgers", "t"),
    ("get /api/v1/ledgers/{ledger}", "t"),
    ("get /api/v1/openapi.json", "t"),
    ("get /api/v1/places", "t"),
    ("get /api/v1/policy", "t"),
    ("get /api/v1/policy/{record}/reach", "t"),
    ("get /api/v1/records/{place}/{record}", "t"),
    ("get /api/v1/reports", "t"),
    ("get /api/v1/reports/{record}", "t"),
    ("get /conflicts", "acir acir acir acir"),
    ("get /health", "acir acir acir acir"),
    ("get /health/export", "acir acir acir acir"),
    ("get /lang", "*"),
    ("get /ledgers", "acir acir acir acir"),
    ("get /ledgers/{ledger}", "acir acir acir acir"),
    ("get /ledgers/{ledger}/export", "acir acir acir acir"),
    ("get /ledgers/{ledger}/import", "cr cr cr cr"),
    ("get /ledgers/{ledger}/import/{sheet}", "cr cr cr cr"),
    ("get /ledgers/{ledger}/new", "cr cr cr cr"),
    ("get /live", "acir acir acir acir"),
    ("get /metrics", "t"),
    ("get /office", "ar ar ar ar"),
    ("get /overview", "acir acir acir acir"),
    ("get /places", "acir acir acir acir"),
    ("get /policy", "acir acir acir acir"),
    ("get /policy/draft", ". . cr cr"),
    ("get /policy/draft/{id}", ". . cr cr"),
    ("get /policy/{id}/reach", "acir acir acir acir"),
    ("get /policy/{id}/reach/export", "acir acir acir acir"),
    ("get /ledgers/{ledger}/about", "acir acir acir acir"),
    ("get /boards", "acir acir acir acir"),
    ("get /boards/{ledger}/{board}", "acir acir acir acir"),
    ("get /public", "*"),
    ("get /public/{ledger}/{board}", "*"),
    ("get /records/{id}", "acir acir acir acir"),
    ("get /records/{id}/blobs/{hash}", "acir acir acir acir"),
    ("get /records/{id}/edit", "cr cr cr cr"),
    ("get /records/{id}/print/{form}", "acir acir acir acir"),
    ("get /records/{id}/trace", "acir acir acir acir"),
    ("get /reports", "acir acir acir acir"),
    ("get /reports/filed/{id}", "acir acir acir acir"),
    ("get /reports/{report}", "acir acir acir acir"),
    ("get /rounds", ". . ir ir"),
    ("get /rounds/{id}", ". . ir ir"),
    ("get /setup", "-"),
    ("get /signin", "*"),
    ("get /static/app.css", "*"),
    ("get /static/live.js", "*"),
    ("get /sync", "acir acir acir acir"),
    ("get /tokens", "a a a a"),
    ("post /accounts/add", "a a a a"),
    ("post /accounts/change", "a a a a"),
    ("post /accounts/password", "acir acir acir acir"),
    ("post /ledgers/{ledger}/import", "cr cr cr cr"),
    ("post /ledgers/{ledger}/import/{sheet}", "cr cr cr cr"),
    ("post /ledgers/{ledger}/new", "cr cr cr cr"),
    ("post /office/{what}", "ar ar ar ar"),
    ("post /policy/draft", ". . cr cr"),
    ("post /policy/draft/{id}/approve", ". . r r"),
    ("post /policy/draft/{id}/preview", ". . cr cr"),
    ("post /policy/draft/{id}/return", ". . r r"),
    ("post /policy/draft/{id}/submit", ". . cr cr"),
    ("post /policy/{id}/reach/notice", ". . r r"),
    ("post /records/{id}/act", "cr r r r"),
    ("post /records/{id}/attach/{field}", "cr cr cr cr"),
    ("post /records/{id}/detach/{field}", "cr cr cr cr"),
    ("post /records/{id}/edit", "cr cr cr cr"),
    ("post /records/{id}/resolve", "cr r r r"),
    ("post /records/{id}/reveal", "acir acir acir acir"),
    ("post /records/{id}/ticket", ". . ir ir"),
    ("post /records/{id}/void", "cr cr cr cr"),
    ("post /reports/filed/{id}/file", "cr r r r"),
    ("post /reports/filed/{id}/verify", "acir acir acir acir"),
    ("post /reports/{report}/freeze", "cr r r r"),
    ("post /rounds", ". . ir ir"),
    ("post /rounds/{id}/finding", ". . ir ir"),
    ("post /rounds/{id}/place", ". . ir ir"),
    ("post /rounds/{id}/step", ". . ir ir"),
    ("post /setup", "-"),
    ("post /signin", "*"),
    ("post /signout", "acir acir acir acir"),
    ("post /sync", "acir acir acir acir"),
    ("post /tokens/add", "a a a a"),
    ("post /tokens/withdraw", "a a a a"),
];

const DUTIES: [(char, Duty); 4] =
    [('a', Duty::Administrator), ('c', Duty::Clerk), ('i', Duty::Inspector), ('r', Duty::Reviewer)];

/// An office with its pages, and a browser for each duty.
struct Office {
    replica: Replica,
    level: Level,
    member: RecordId,
    cookies: BTreeMap<char, String>,
    _world: World,
}

fn role(level: Level) -> &'static str {
    match level {
        Level::Village => "village_clerk",
        Level::Township => "township_staff",
        Level::County => "county_hub",
        Level::City => "city_operator",
    }
}

/// The office of a level, with a person whose data are sensitive, and an account of each duty.
async fn office(node: usize) -> Office {
    let mut world = World::new(81, 4, None);
    let household = world.household(3, "欧阳锋").to_string();
    let member = world.create(
        3,
        "household_member",
        &[
            ("household", &household),
            ("name", "欧阳锋"),
            ("relation", "head"),
            ("id_no", "411499197003110017"),
            ("health", "chronic"),
            ("labour", "weak"),
            ("living", "registered"),
        ],
    );
    assert!(world.settle(2000));
    let level = world.replicas[node].level;
    let replica = Replica::start(world.replicas[node].engine.take().unwrap()).unwrap();
    for (letter, duty) in DUTIES {
        let account = NewAccount {
            login: letter.to_string(),
            name: format!("职员{letter}"),
            role: role(level).into(),
            duty,
            password: PASSWORD.into(),
        };
        replica.account(AccountRequest::Add(account)).await.unwrap();
    }
    let mut office = Office { replica, level, member, cookies: BTreeMap::new(), _world: world };
    for (letter, _) in DUTIES {
        office.sign_in(letter).await;
    }
    office
}

impl Office {
    async fn sign_in(&mut self, letter: char) {
        let signed = self.replica.sign_in(&letter.to_string(), PASSWORD.into()).await.unwrap();
        self.cookies.insert(letter, signed.token);
    }

    fn csrf(&self, letter: char) -> String {
        self.replica.session(&self.cookies[&letter], true).unwrap().unwrap().csrf
    }

    async fn send(&self, request: Request<Body>) -> Response {
        router(self.replica.clone(), Site::default()).oneshot(request).await.unwrap()
    }

    /// A request as a browser sends it; with the form's word if it is a post.
    fn request(&self, route: &str, letter: Option<char>) -> Request<Body> {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path
            .replace("{ledger}", "household_member")
            .replace("{id}", &self.member.to_string())
            .replace("{what}", "same")
            .replace("{form}", "record")
            .replace("{record}", &self.member.to_string())
            .replace("{report}", "R01")
            .replace("{place}", "00")
            .replace("{field}", "photo")
            .replace("{hash}", &"0".repeat(64));
        let mut request = Request::builder()
            .method(method.to_uppercase().as_str())
            .uri(path)
            .header(header::HOST, "127.0.0.1:8420");
        let mut body = String::new();
        if let Some(letter) = letter {
            let token = hex(self.cookies[&letter].as_bytes());
            request = request.header(header::COOKIE, format!("taizhang_session={token}"));
            body = format!("csrf={}", self.csrf(letter));
        }
        if method == "post" {
            let form = "application/x-www-form-urlencoded";
            return request.header(header::CONTENT_TYPE, form).body(Body::from(body)).unwrap();
        }
        request.body(Body::empty()).unwrap()
    }

    async fn page(&self, route: &str, letter: char) -> String {
        let response = self.send(self.request(route, Some(letter))).await;
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }
}

fn location(response: &Response) -> &str {
    response.headers().get(header::LOCATION).map_or("", |value| value.to_str().unwrap())
}

/// Whether a form waits for a new session: never one with passwords, nor one without anything typed.
fn waits(route: &str) -> bool {
    let own = [
        "post /accounts",
        "post /records/{id}/reveal",
        "post /reports/filed/{id}/verify",
        "post /signout",
        "post /sync",
        "post /tokens",
    ];
    route.starts_with("post") && !own.iter().any(|start| route.starts_with(start))
}

fn allowed(routes: &str, level: Level, letter: char) -> bool {
    let at = Level::ALL.iter().position(|one| *one == level).unwrap();
    let villages_first = if Level::ALL[0] == Level::Village { at } else { 3 - at };
    routes.split(' ').nth(villages_first).unwrap().contains(letter)
}

/// Goal: what an account may do is what the table above says, on every route; whoever is not signed in gets to
/// the sign-in page, and a form without its word is refused.
#[tokio::test(flavor = "multi_thread")]
async fn every_duty_gets_what_the_matrix_says_on_every_route() {
    let rows: BTreeMap<&str, &str> = MATRIX.iter().copied().collect();
    let routes: Vec<String> =
        ROUTES.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(rows.len(), routes.len(), "each route has one row");
    let mut checked = 0;
    for node in 0..4 {
        let mut office = office(node).await;
        for route in &routes {
            let wanted = rows.get(route.as_str()).unwrap_or_else(|| panic!("no row: {route}"));
            let stranger = office.send(office.request(route, None)).await;
            match *wanted {
                "*" => {
                    assert!(!location(&stranger).starts_with("/signin"), "{route}");
                    continue;
                }
                "-" => assert_eq!(location(&stranger), "/signin", "{route}"),
                "t" => {
                    let own = office.send(office.request(route, Some('a'))).await;
                    for response in [stranger, own] {
                        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{route}");
                    }
                    continue;
                }
                // What was typed about records and policy waits on the sign-in page.
                _ if waits(route) => {
                    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED, "{route}");
                }
                _ => assert!(location(&stranger).starts_with("/signin?next="), "{route}"),
            }
            for (letter, duty) in DUTIES.iter().filter(|_| *wanted != "-") {
                let response = office.send(office.request(route, Some(*letter))).await;
                let refused = response.status() == StatusCode::FORBIDDEN;
                let level = office.level;
                assert_ne!(refused, allowed(wanted, level, *letter), "{route} {duty:?} {level:?}");
                if route.starts_with("post") && !refused && route != "post /signout" {
                    let mut forged = office.request(route, Some(*letter));
                    *forged.body_mut() = Body::from("csrf=00");
                    let refused = office.send(forged).await;
                    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{route}: no word");
                    let kept = text_of(refused).await.contains("您填写的内容还在");
                    assert_eq!(kept, waits(route), "{route}: a form of an earlier session");
                }
                if route == "post /signout" {
                    office.sign_in(*letter).await;
                }
                checked += 1;
            }
        }
    }
    println!("{checked} of duty, level and route");
}

/// Goal: sensitive data show to whom DOMAIN §5.2 says, at every level; looking at them is written down.
#[tokio::test(flavor = "multi_thread")]
async fn sensitive_data_show_by_duty_level_and_reveal() {
    const ID: &str = "411499197003110017";
    const ENDS: &str = "411499********0017";
    const HEALTH: &str = "长期慢性病";
    const NAME: &str = "欧阳锋";
    // Office, duty: what stands on the page, and after 显示隐藏内容.
    let table: [(usize, char, &[&str], &[&str]); 16] = [
        (3, 'c', &[NAME, ENDS, HEALTH], &[NAME, ID, HEALTH]),
        (3, 'r', &[NAME, ENDS, HEALTH], &[NAME, ID, HEALTH]),
        (3, 'a', &[NAME], &[NAME]),
        (3, 'i', &[], &[]),
        (2, 'c', &[NAME, ENDS], &[NAME, ID, HEALTH]),
        (2, 'r', &[NAME, ENDS], &[NAME, ID, HEALTH]),
        (2, 'a', &[NAME], &[NAME]),
        (2, 'i', &[], &[]),
        (1, 'c', &[NAME, ENDS], &[NAME, ID, HEALTH]),
        (1, 'r', &[NAME, ENDS], &[NAME, ID, HEALTH]),
        (1, 'a', &[NAME], &[NAME]),
        (1, 'i', &[], &[]),
        (0, 'c', &[], &[]),
        (0, 'r', &[], &[]),
        (0, 'a', &[], &[]),
        (0, 'i', &[], &[]),
    ];
    for node in 0..4 {
        let office = office(node).await;
        for (_, letter, before, after) in table.iter().filter(|row| row.0 == node) {
            let level = office.level;
            for (route, shown) in [
                ("get /records/{id}", before),
                ("get /records/{id}/print/{form}", before),
                ("post /records/{id}/reveal", after),
            ] {
                let page = office.page(route, *letter).await;
                for text in [ID, ENDS, HEALTH, NAME] {
                    // A number of a person is never printed.
                    let printed = route.contains("print") && text == ENDS;
                    let wanted = shown.contains(&text) && !printed;
                    assert_eq!(page.contains(text), wanted, "{level:?} {letter} {route}: {text}");
                }
            }
            let list = office.page("get /ledgers/{ledger}", *letter).await;
            assert!(!list.contains(ID), "{level:?} {letter}: the list");
        }
        let audit = office.replica.readers().with(|reader| reader.audit(100)).unwrap();
        let seen = audit.iter().filter(|(_, kind, _)| kind == "revealed").count();
        assert_eq!(seen, 4, "each look is written down");
    }
}

/// Goal: one person's windows cannot use up what may be open.
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_session_are_bounded() {
    let office = office(3).await;
    let listen = || office.send(office.request("get /live", Some('c')));
    let mut open = Vec::new();
    for _ in 0..live::SESSION_MAX {
        let stream = listen().await;
        assert_eq!(stream.status(), StatusCode::OK);
        open.push(stream);
    }
    assert_eq!(listen().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let other = office.send(office.request("get /live", Some('r'))).await;
    assert_eq!(other.status(), StatusCode::OK, "another session");
    drop(open);
    assert_eq!(listen().await.status(), StatusCode::OK);
}

/// Goal: requests under another name, or from another site's page, do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_names_and_sites_are_refused() {
    let office = office(3).await;
    let mut named = office.request("get /", Some('c'));
    named.headers_mut().insert(header::HOST, "evil.example".parse().unwrap());
    assert_eq!(office.send(named).await.status(), StatusCode::FORBIDDEN);
    for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let mut posted = office.request("post /sync", Some('c'));
        posted.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(office.send(posted).await.status(), StatusCode::FORBIDDEN, "{name}");
    }
    for back in ["//evil.example", "/%5Cevil.example", "https://evil.example", "/a%0d%0ax:1"] {
        let mut away = office.request("get /lang", None);
        *away.uri_mut() = format!("/lang?to=en&back={back}").parse().unwrap();
        assert_eq!(location(&office.send(away).await), "/", "{back}");
    }
    let response = office.send(office.request("get /", Some('c'))).await;
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
}

/// Goal: wrong passwords lock an account for a while, and say the same as an unknown login.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_lock_an_account() {
    let office = office(3).await;
    let mut texts = Vec::new();
    for _ in 0..FAILURES_MAX {
        let refused = office.replica.sign_in("c", "wrong horse".into()).await.unwrap_err();
        texts.push(refused.to_string());
    }
    let unknown = office.replica.sign_in("nobody", PASSWORD.into()).await.unwrap_err();
    assert!(texts.iter().all(|text| *text == unknown.to_string()));
    let locked = office.replica.sign_in("c", PASSWORD.into()).await.unwrap_err().to_string();
    assert!(locked.contains("账号已锁定"), "{locked}");
    let login = "c".to_owned();
    let password = "another horse".to_owned();
    office.replica.account(AccountRequest::Reset { login, password }).await.unwrap();
    assert!(
        office.replica.session(&office.cookies[&'c'], true).unwrap().is_none(),
        "its sessions end"
    );
    office.replica.sign_in("c", "another horse".into()).await.unwrap();
    let login = "c".to_owned();
    office.replica.account(AccountRequest::Disable { login, disabled: true }).await.unwrap();
    assert!(office.replica.sign_in("c", "another horse".into()).await.is_err());
}

/// Goal: the first set-up makes two accounts once, on this machine only, and leads to work.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_replica_is_set_up_once_on_its_own_machine() {
    let mut world = World::new(82, 4, None);
    let replica = Replica::start(world.replicas[3].engine.take().unwrap()).unwrap();
    let site = || Site { hosts: vec!["cun.example".into()], tls: false };
    let request = |host: &str, method: &str, path: &str, form: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap()
    };
    let from = |peer: [u8; 4], mut request: Request<Body>| {
        request.extensions_mut().insert(ConnectInfo(Peer((peer, 9).into())));
        router(replica.clone(), site()).oneshot(request)
    };
    let send = |host: &str, method: &str, path: &str, form: &str| {
        from([127, 0, 0, 1], request(host, method, path, form))
    };
    let here = "127.0.0.1:8420";
    let forged = from([10, 0, 0, 5], request(here, "GET", "/setup", "")).await.unwrap();
    assert_eq!(forged.status(), StatusCode::FORBIDDEN, "a name proves nothing");
    let unknown = router(replica.clone(), site()).oneshot(request(here, "GET", "/setup", ""));
    assert_eq!(unknown.await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(location(&send(here, "GET", "/", "").await.unwrap()), "/setup");
    let form = "admin_login=guan&admin_name=A&admin_password=longenough1&login=wen&name=B\
                &role=village_clerk&password=longenough2";
    let far = send("cun.example", "POST", "/setup", form).await.unwrap();
    assert_eq!(far.status(), StatusCode::FORBIDDEN);
    let short = form.replace("longenough2", "short");
    let refused = send(here, "POST", "/setup", &short).await.unwrap();
    assert!(refused.headers().get(header::SET_COOKIE).is_none());
    assert!(replica.needs_set_up().unwrap(), "all or none");
    let made = send(here, "POST", "/setup", form).await.unwrap();
    assert_eq!(location(&made), "/");
    assert!(made.headers()[header::SET_COOKIE].to_str().unwrap().contains("HttpOnly"));
    let again = send(here, "POST", "/setup", form).await.unwrap();
    assert_eq!(location(&again), "/signin");
}

impl Office {
    async fn get(&self, path: &str, letter: char) -> String {
        let mut request = self.request("get /", Some(letter));
        *request.uri_mut() = path.parse().unwrap();
        text_of(self.send(request).await).await
    }

    async fn post(&self, path: &str, letter: char, fields: &[(&str, &str)]) -> String {
        let mut request = self.request("post /sync", Some(letter));
        *request.uri_mut() = path.parse().unwrap();
        let hexed = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let pairs = fields.iter().map(|(name, text)| format!("&{name}={}", hexed(text)));
        let body = format!("csrf={}{}", self.csrf(letter), pairs.collect::<String>());
        *request.body_mut() = Body::from(body);
        text_of(self.send(request).await).await
    }

    async fn set(&self, id: RecordId, field: &'static str, value: &'static str) {
        let inputs = [(field.to_owned(), value.to_owned())].into();
        let (source, person) = (Source::People, conflict_tests::world::clerk());
        self.replica
            .run(move |engine, now| engine.set(id, &inputs, source, &person, now))
            .await
            .unwrap();
    }

    fn value(&self, id: RecordId, field: &str) -> String {
        let detail = self.replica.readers().with(|reader| reader.detail(id)).unwrap().unwrap();
        detail.row.text(field)
    }
}

async fn text_of(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Goal: a form that was open while somebody else wrote takes nothing of theirs back: what was not touched stays as
/// they left it, and where both wrote the clerk sees both.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_was_open_meanwhile_takes_nothing_back() {
    let office = office(3).await;
    let (id, edit) = (office.member, format!("/records/{}/edit", office.member));
    let page = office.get(&edit, 'c').await;
    assert!(page.contains("name=\"was.labour\" value=\"weak\""), "{page}");
    office.set(id, "labour", "lost").await;
    let sent =
        [("was.labour", "weak"), ("labour", "weak"), ("was.phone", ""), ("phone", "13700000009")];
    office.post(&edit, 'c', &sent).await;
    assert_eq!(office.value(id, "labour"), "lost", "it was not touched");
    assert_eq!(office.value(id, "phone"), "13700000009");
    // A refused save brings the form back: what was not touched is as it is now, not as it was sent.
    let sent =
        [("was.labour", "weak"), ("labour", "weak"), ("was.phone", "13700000009"), ("phone", "1")];
    let again = office.post(&edit, 'c', &sent).await;
    assert!(again.contains("name=\"was.labour\" value=\"lost\""), "{again}");
    assert!(again.contains("<option value=\"lost\" selected>"), "{again}");
    assert!(again.contains("name=\"phone\" value=\"1\""), "what was typed stays: {again}");
    let both = office.post(&edit, 'c', &[("was.labour", "weak"), ("labour", "none")]).await;
    assert!(both.contains("在您打开后已改为「丧失劳动力」"), "{both}");
    assert_eq!(office.value(id, "labour"), "lost");
}

/// Goal: a register is its own office's: nobody below can change it, and no page says that it was saved.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_of_another_office_is_not_to_be_changed() {
    let mut world = World::new(83, 4, None);
    let contact = world.contact(1, "王帮扶");
    assert!(world.settle(2000));
    let fields = [("holder".to_owned(), "李四".to_owned())];
    let source = Source::People;
    let person = conflict_tests::world::clerk();
    let refused =
        world.job(3, |engine, now| engine.set(contact, &fields.into(), source, &person, now));
    assert!(refused.unwrap_err().contains("本单位不能修改"));
}

/// Goal: words find nothing that whoever looks may not see.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_tells_nothing_that_is_masked() {
    let (village, city) = (office(3).await, office(0).await);
    let name = "%E6%AC%A7%E9%98%B3%E9%94%8B";
    let list = format!("/ledgers/household_member?q={name}");
    assert!(village.get(&list, 'c').await.contains("共 1"), "the village finds its people");
    assert!(city.get(&list, 'c').await.contains("共 0"), "the city is told no name");
    let sorted = "/ledgers/household_member?field=health&value=healthy";
    assert!(city.get(sorted, 'c').await.contains("共 1"), "a filter on what is hidden is none");
}

/// Goal: a paper for the board names nobody in whose household a disabled person or a minor lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_paper_names_no_household_with_a_disabled_person_or_a_minor() {
    let office = office(3).await;
    let detail = office.replica.readers().with(|reader| reader.detail(office.member));
    let detail = detail.unwrap().unwrap();
    let household: RecordId = detail.row.text("household").parse().unwrap();
    let inputs = [("household", household.to_string()), ("year", "2018".to_owned())];
    let inputs = inputs.map(|(name, text)| (name.to_owned(), text)).into();
    let (source, person) = (Source::People, conflict_tests::world::clerk());
    let slice = detail.slice;
    let rating = office.replica.run(move |engine, now| {
        engine.create(slice, "star_rating", &inputs, source, &person, None, now)
    });
    let paper = format!("/records/{}/print/result_notice", rating.await.unwrap());
    assert!(office.get(&paper, 'c').await.contains("欧阳锋"));
    for (id, field, marked, plain) in [
        (office.member, "health", "disabled", "chronic"),
        (office.member, "birth_date", "2010-05-01", "1970-03-11"),
        (office.member, "id_no", "411499201005010016", "411499197003110017"),
        (office.member, "disability_cert_no", "41149919700311001742", ""),
        (household, "priority_tags", "multi_disability", ""),
    ] {
        office.set(id, field, marked).await;
        let sheltered = office.get(&paper, 'c').await;
        assert!(
            !sheltered.contains("欧阳锋") && sheltered.contains("档号"),
            "{field}: {sheltered}"
        );
        office.set(id, field, plain).await;
        assert!(office.get(&paper, 'c').await.contains("欧阳锋"), "{field}");
    }
}

/// Goal: no mark tells of a finding to somebody to whom the finding is not told.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_marks_only_findings_that_may_be_told() {
    let office = office(3).await;
    let detail = office.replica.readers().with(|reader| reader.detail(office.member));
    let detail = detail.unwrap().unwrap();
    let failed: Vec<&str> =
        detail.findings.iter().filter(|one| one.2 == "failed").map(|one| one.0.as_str()).collect();
    assert!(failed.contains(&"R-ID-01"), "{failed:?}");
    let mark = format!("<span class=\"mark warn\">{} {}</span>", "提示", failed.len());
    let list = "/ledgers/household_member";
    assert!(office.get(list, 'c').await.contains(&mark), "who sees the ends of the number");
    // The administrator sees nothing of the number, and is not told what is wrong with it.
    assert!(!office.get(list, 'a').await.contains(&mark));
    let page = format!("/records/{}", office.member);
    assert!(office.get(&page, 'c').await.contains("R-ID-01"));
    assert!(!office.get(&page, 'a').await.contains("R-ID-01"));
}

/// Goal: who saw what is the administrator's to read.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_shows_to_the_administrator() {
    let office = office(3).await;
    office.page("post /records/{id}/reveal", 'c').await;
    let line = format!("c saw record {}", office.member);
    assert!(office.get("/sync", 'a').await.contains(&line));
    for letter in ['c', 'i', 'r'] {
        assert!(!office.get("/sync", letter).await.contains(&line), "{letter}");
    }
}

/// Goal: a decision that was made on an older page does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_decided_as_it_was_seen() {
    let office = office(3).await;
    let resolve = format!("/records/{}/resolve", office.member);
    let sent = [("field", "labour"), ("conflict", "gone"), ("take", "0")];
    let page = office.post(&resolve, 'r', &sent).await;
    assert!(page.contains("该冲突已有变化"), "{page}");
}
