//! A policy version from its draft to the last village's receipt, in a real browser: the city, and eight villages of
//! which three are cut off.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use fantoccini::Locator;
use serde_json::Value;
use taizhang_core::feed::entry::Person;
use taizhang_node::account::Duty;
use taizhang_node::driver::clock;
use taizhang_node::engine::policy::NewPolicy;
use taizhang_node::ops::Request;
use taizhang_node::ops::account::{AccountRequest, NewAccount};

use crate::desk::{Desk, PASSWORD, POSTS, driver};
use crate::office::{Office, chain, join};

const CITY: usize = 0;
const COUNTY: usize = 1;
const TOWNSHIP: usize = 2;
const FIRST: usize = 3;
/// The villages beside the one of every chain.
const VILLAGES: [&str; 7] = [
    "411423101202",
    "411423101203",
    "411423101204",
    "411423101205",
    "411423101206",
    "411423101207",
    "411423101208",
];
/// How many of the eight are cut off.
const CUT: usize = 3;
const PARAM: &str = "public_notice_days";
const DOC_NO: &str = "商政〔2018〕99号";
/// The most that a page may lag behind a receipt.
const LAG: Duration = Duration::from_secs(5);

fn person(name: &str, at: usize) -> Person {
    Person { name: name.into(), role: POSTS[at.min(FIRST)].into() }
}

/// A reviewer under a name and login of their own.
fn reviewer(office: &Office, login: &str, name: &str, at: usize) {
    let new = NewAccount {
        login: login.into(),
        name: name.into(),
        role: POSTS[at].into(),
        duty: Duty::Reviewer,
        password: PASSWORD.into(),
    };
    office.ask(&Request::Account { ask: AccountRequest::Add(new) }).unwrap();
}

fn day(offset: i64) -> String {
    clock::now().date().plus_days(offset).to_string()
}

fn publish(office: &Office, at: usize, doc_no: &str, value: i64) {
    let policy = NewPolicy {
        doc_no: doc_no.into(),
        title: "公示天数".into(),
        effective_from: day(-60),
        values: BTreeMap::from([(PARAM.to_owned(), value.into())]),
    };
    let (person, approved_by) = (person("甲", at), "乙".to_owned());
    office.ask(&Request::PolicyPublish { policy, person, approved_by }).unwrap();
}

/// Whether an office's own directives hold a version.
fn knows(office: &Office, doc_no: &str) -> bool {
    office.ask(&Request::PolicyList).is_ok_and(|list| list["versions"].to_string().contains(doc_no))
}

/// A notice that hung for six days and has ended.
fn notice(office: &Office) {
    let fields = [
        ("subject", "评议结果".to_owned()),
        ("content", "欧阳锋，一组".to_owned()),
        ("place", "board".to_owned()),
        ("start_on", day(-10)),
        ("end_on", day(-4)),
        ("contact", "村委会".to_owned()),
    ];
    let clerk = || person("测试员", FIRST);
    let made = office.ask(&Request::Create {
        ledger: "public_notice".into(),
        place: None,
        inputs: fields.map(|(key, value)| (key.to_owned(), value)).into(),
        person: clerk(),
    });
    let id = made.unwrap()["record"].as_str().unwrap().parse().unwrap();
    for to in ["posted", "ended"] {
        office
            .ask(&Request::Act {
                id: Some(id),
                ledger: String::new(),
                in_state: String::new(),
                to: to.into(),
                reason: String::new(),
                person: clerk(),
            })
            .unwrap();
    }
}

/// How many records of an office break R-NTC-01.
fn failed(office: &Office) -> u64 {
    let status = office.ask(&Request::Status).unwrap_or_default();
    status["rules"]["R-NTC-01"]["failed"].as_u64().unwrap_or(0)
}

/// City, county, township and eight villages, with the city's and the county's first values, and a notice in
/// each village.
fn offices(folder: &Path) -> Vec<Office> {
    let mut offices = chain(folder, 0);
    for (at, code) in VILLAGES.iter().enumerate() {
        let mut office = Office::new(&folder.join(format!("v{at}")));
        join(&offices[TOWNSHIP], &mut office, code, false);
        office.start();
        offices.push(office);
    }
    publish(&offices[CITY], CITY, "商政〔2018〕1号", 3);
    offices[COUNTY].wait("the city's version", |office| knows(office, "商政〔2018〕1号"));
    publish(&offices[COUNTY], COUNTY, "县政〔2018〕1号", 5);
    for village in &offices[FIRST..] {
        village.wait("the county's version", |office| knows(office, "县政〔2018〕1号"));
        notice(village);
    }
    let ask = Request::List {
        ledger: "public_notice".into(),
        place: None,
        search: String::new(),
        state: "ended".into(),
        limit: 1,
    };
    offices[CITY].wait("eight notices", |office| {
        office.ask(&ask).is_ok_and(|list| list["total"].as_u64() == Some(8))
    });
    offices
}

/// The villages of which the city holds a receipt that they have applied a version.
fn receipts(city: &Office, doc_no: &str) -> usize {
    let reach = city.ask(&Request::PolicyReach { doc_no: doc_no.into() }).unwrap_or_default();
    let places = reach["rows"][0]["places"].as_array().cloned().unwrap_or_default();
    let applied = |one: &&Value| one["level"] == "village" && one["applied"].as_i64() > Some(0);
    places.iter().filter(applied).count()
}

/// Of the villages with a replica, how many a reach page shows as applied, held and silent.
async fn shown(desk: &Desk, path: &str) -> (usize, usize, usize) {
    desk.go(path).await;
    let cells = "//table[@id='levels']//tr[td[1][normalize-space()='村']]/td";
    let mut numbers = Vec::new();
    for cell in desk.client.find_all(Locator::XPath(cells)).await.unwrap() {
        numbers.push(cell.text().await.unwrap().parse::<usize>().unwrap_or(0));
    }
    assert_eq!(numbers.len(), 6, "{}", desk.text().await);
    assert_eq!(numbers[2], 8, "eight villages have a replica");
    (numbers[3], numbers[4], numbers[5])
}

/// One reviewer drafts, compares, previews and submits; gives the draft's path.
async fn drafts(desk: &Desk) -> String {
    desk.go("/policy").await;
    desk.client.find(Locator::LinkText("起草新版本")).await.unwrap().click().await.unwrap();
    desk.sees("起草政策版本").await;
    let first = day(-30);
    let value = format!("p.{PARAM}");
    let fields = [
        ("doc_no", DOC_NO),
        ("title", "延长公示"),
        ("effective_from", first.as_str()),
        (value.as_str(), "99"),
    ];
    desk.fill(&fields).await;
    desk.button("保存草案").await;
    desk.sees("R-PAR-01").await;
    desk.fill(&[(value.as_str(), "7")]).await;
    desk.button("保存草案").await;
    desk.sees("与现行版本对照").await;
    // The county's five days are covered.
    desk.sees("受影响的县级值").await;
    desk.sees("已被市级参数覆盖").await;
    let path = desk.path().await;
    desk.button("预览影响").await;
    desk.sees("试算完成").await;
    for text in ["R-NTC-01", "受影响的记录： 8/8", "公示期满", "-8"] {
        desk.sees(text).await;
    }
    desk.screen("policy-preview").await;
    desk.go(&path).await;
    desk.button("提交批准").await;
    desk.sees("须由另一位审核人批准").await;
    path
}

/// Goal: a draft is previewed, approved by a second person and published while three of eight villages are cut off; the
/// map shows a village as applied only by its own receipt, and within five seconds of it; the county's
/// value is covered, findings are those of the preview, and after the healing everything is complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_goes_from_its_draft_to_the_last_village() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = offices(folder.path());
    let (cut, connected) = offices[FIRST..].split_at(CUT);
    for village in cut {
        village.link.as_ref().unwrap().set_cut(true);
    }
    reviewer(&offices[CITY], "jia", "甲", CITY);
    reviewer(&offices[CITY], "yi", "乙", CITY);
    reviewer(&offices[COUNTY], "bing", "丙", COUNTY);
    let desk = Desk::open(&driver, &offices[CITY].pages, true).await;
    desk.sign_in("jia").await;
    let draft = drafts(&desk).await;
    assert!(!knows(&offices[CITY], DOC_NO), "nothing is published by one person");
    desk.sign_in("yi").await;
    desk.go("/policy").await;
    desk.sees("待您批准").await;
    desk.go(&draft).await;
    desk.button("批准并发布").await;
    desk.sees("触达").await;
    let reach = desk.path().await;
    let start = Instant::now();
    loop {
        let (applied, held, silent) = shown(&desk, &reach).await;
        assert!(applied <= connected.len(), "{applied} applied, {CUT} are cut off");
        assert!(silent >= CUT, "{applied} applied, {held} held, {silent} silent");
        assert!(cut.iter().all(|village| !knows(village, DOC_NO)), "a cut village has it");
        if applied == connected.len() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "receipts do not come: {applied}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    desk.screen("reach").await;
    re_evaluated(&offices, connected, cut).await;
    covered(&Desk::open(&driver, &offices[COUNTY].pages, false).await).await;
    desk.go(&reach).await;
    desk.button("提醒上级单位").await;
    desk.sees("已发出提醒： 1").await;
    healed(&desk, &offices, cut, &reach).await;
    desk.screen("reach-complete").await;
    desk.client.close().await.unwrap();
}

/// The preview came true wherever the version has arrived, and nowhere else.
async fn re_evaluated(offices: &[Office], connected: &[Office], cut: &[Office]) {
    let start = Instant::now();
    let holds = || failed(&offices[CITY]) == 8 && connected.iter().all(|one| failed(one) == 1);
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{} at the city",
            failed(&offices[CITY])
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(cut.iter().all(|village| failed(village) == 0), "judged by what is known there");
}

/// The county sees that its own value is covered.
async fn covered(county: &Desk) {
    county.sign_in("bing").await;
    county.wait_for("/policy", DOC_NO).await;
    county.sees("已被市级参数覆盖").await;
    county.client.clone().close().await.unwrap();
}

/// After the healing each receipt shows within five seconds, and in the end all of them.
async fn healed(desk: &Desk, offices: &[Office], cut: &[Office], reach: &str) {
    let mut known = receipts(&offices[CITY], DOC_NO);
    assert_eq!(known, 8 - CUT);
    for village in cut {
        village.link.as_ref().unwrap().set_cut(false);
        offices[CITY].wait("a receipt", |city| receipts(city, DOC_NO) > known);
        let arrived = Instant::now();
        known += 1;
        while shown(desk, reach).await.0 < known {
            assert!(arrived.elapsed() < LAG, "the map lags behind a receipt");
        }
        assert!(arrived.elapsed() < LAG, "the map lags behind a receipt");
        assert!(knows(village, DOC_NO), "its own log has it");
    }
    assert_eq!(shown(desk, reach).await, (8, 0, 0));
    for village in cut {
        village.wait("its findings", |village| failed(village) == 1);
    }
}
