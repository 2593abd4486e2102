//! A day at the hubs in a real browser: the county's overview down to its records, by month and
//! live; a report frozen, filed, recomputed, on paper and as a sheet; the city that receives it;
//! and offices of which nothing is heard.

use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use calamine::{Reader as _, Xlsx};
use fantoccini::Locator;
use serde_json::Value;
use taizhang_core::feed::entry::Person;
use taizhang_core::time::Date;
use taizhang_hub::demo::sample;
use taizhang_node::account::Duty;
use taizhang_node::driver::clock;
use taizhang_node::ops::Request;

use crate::desk::{Desk, Driver, POSTS, account, driver};
use crate::office::{CODES, Office, chain, household, join};

const CITY: usize = 0;
const COUNTY: usize = 1;
const TOWNSHIP: usize = 2;
const VILLAGE: usize = 3;
/// Names of the county, its township and the village of the chain.
const COUNTY_NAME: &str = "宁陵县";
const TOWNSHIP_NAME: &str = "张弓镇";
const VILLAGE_NAME: &str = "郭子敬村委会";
/// The village that falls silent: code and name.
const SILENT: (&str, &str) = ("411423101202", "鲁庄村委会");
/// When it is last heard of, and the day of the story: in the sample's year, and early enough for
/// October's report.
const HEARD: &str = "2018-10-25";
const TODAY: &str = "2018-11-03";
const MONTH: &str = "2018-10";
const REPORT: &str = "R01";
const HOUSEHOLDS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);

fn person(at: usize) -> Person {
    Person { name: "测试员".into(), role: POSTS[at].into() }
}

/// Milliseconds from now to ten o'clock of a day in China.
fn offset(day: &str) -> i64 {
    Date::parse(day).unwrap().start().0 + 10 * 3_600_000 - clock::now().0
}

fn list(office: &Office, ledger: &str, state: &str) -> Value {
    let ask = Request::List {
        ledger: ledger.into(),
        place: None,
        search: String::new(),
        state: state.into(),
        limit: 500,
    };
    office.ask(&ask).unwrap()
}

fn total(office: &Office, ledger: &str, state: &str) -> u64 {
    list(office, ledger, state)["total"].as_u64().unwrap()
}

/// Takes a step of records in a state; what a rule refuses stays where it is.
fn step(office: &Office, at: usize, ledger: &str, (from, to): (&str, &str), most: usize) {
    for row in list(office, ledger, from)["rows"].as_array().unwrap().iter().take(most) {
        let ask = Request::Act {
            id: Some(row["record"].as_str().unwrap().parse().unwrap()),
            ledger: String::new(),
            in_state: String::new(),
            to: to.into(),
            reason: String::new(),
            person: person(at),
        };
        drop(office.ask(&ask));
    }
}

fn open_problems(office: &Office) -> i64 {
    let sums = office.ask(&Request::Rollup { place: None }).unwrap();
    sums["rows"][0]["values"]["prb_open"].as_i64().unwrap_or(0)
}

/// A problem registered by the village.
fn problem(village: &Office, description: &str, day: &str) {
    let fields = [
        ("source", "visit"),
        ("domain", "infrastructure"),
        ("severity", "small"),
        ("description", description),
        ("received_on", day),
    ];
    let saved = village.ask(&Request::Create {
        ledger: "problem_ticket".into(),
        place: None,
        inputs: fields.map(|(key, text)| (key.to_owned(), text.to_owned())).into(),
        person: person(VILLAGE),
    });
    assert!(saved.is_ok(), "{saved:?}");
}

/// The chain, under which a second village has been silent for nine days.
fn offices(folder: &Path) -> Vec<Office> {
    // An hour earlier: whole days have passed, however long this takes.
    let before = offset(HEARD) - 3_600_000;
    let mut offices = chain(folder, before);
    let mut silent = Office::new(&folder.join("silent"));
    silent.offset_ms = before;
    join(&offices[TOWNSHIP], &mut silent, SILENT.0, false);
    silent.start();
    silent.ask(&household("王喜")).unwrap();
    offices[COUNTY].wait("its household", |county| total(county, "poor_household", "") == 1);
    drop(silent);
    offices.iter_mut().for_each(Office::kill);
    let today = offset(TODAY);
    for office in &mut offices {
        office.offset_ms = today;
        office.start();
    }
    offices
}

/// Fills the village from the demo's sample, and takes some of it further. Gives how many problems
/// are open everywhere, and how many were registered in October.
fn fill(offices: &[Office], folder: &Path) -> (i64, usize) {
    let lines = sample::families(21, HOUSEHOLDS);
    let path = folder.join("sample.jsonl");
    std::fs::write(&path, sample::to_jsonl(&lines)).unwrap();
    let (village, county) = (&offices[VILLAGE], &offices[COUNTY]);
    let (ledger, person) = (String::new(), person(VILLAGE));
    village.ask(&Request::Import { path, ledger, preview: false, person }).unwrap();
    let ticket = "problem_ticket";
    for (from, to, most) in [
        ("reported", "registered", 100),
        ("registered", "assigned", 100),
        ("assigned", "handling", 12),
        ("handling", "resolved", 12),
        ("resolved", "fed_back", 12),
        ("fed_back", "closed", 12),
    ] {
        step(village, VILLAGE, ticket, (from, to), most);
    }
    problem(village, "机井电机损坏", HEARD);
    step(village, VILLAGE, "income_measure", ("planned", "running"), 200);
    let all = HOUSEHOLDS as u64 + 1;
    county.wait("households", |county| total(county, "poor_household", "candidate") == all);
    step(county, COUNTY, "poor_household", ("candidate", "listed"), 100);
    let open = total(village, ticket, "") - total(village, ticket, "closed");
    let open = i64::try_from(open).unwrap();
    for office in [county, &offices[CITY]] {
        office.wait("the open problems", |office| open_problems(office) == open);
    }
    let day = |line: &sample::SampleLine| line.fields["received_on"].as_str().map(str::to_owned);
    let days = lines.iter().filter(|line| line.ledger == ticket).filter_map(day);
    // One is not of the sample.
    (open, 1 + days.filter(|day| day.starts_with(MONTH)).count())
}

async fn signed_in(driver: &Driver, office: &Office, javascript: bool) -> Desk {
    let desk = Desk::open(driver, &office.pages, javascript).await;
    desk.sign_in("reviewer").await;
    desk
}

async fn click(desk: &Desk, path: &str) {
    desk.element(Locator::XPath(path)).await.click().await.unwrap();
}

/// A shape of a chart, within the first link that names a place or a month.
fn in_chart(chart: &str, named: &str, shape: &str) -> String {
    format!(
        "//*[name()='svg' and @aria-label='{chart}']//*[name()='a' and contains(., '{named}')]\
         //*[name()='{shape}']"
    )
}

/// From the overview by its bars to a village's records, and from month to month.
async fn drills(desk: &Desk, open: i64, october: usize) {
    desk.client.set_window_size(1366, 1500).await.unwrap();
    click(desk, "//nav/a[normalize-space()='汇总']").await;
    desk.sees(&format!("未结问题: {open}")).await;
    desk.screen("overview").await;
    // A name leads to the place's own overview, its bar to the records.
    click(desk, &in_chart("未结问题", TOWNSHIP_NAME, "text")).await;
    desk.element(Locator::XPath(&format!("//h1[contains(., '{TOWNSHIP_NAME}')]"))).await;
    desk.sees(&format!("缺：{}（失联 9 天）", SILENT.1)).await;
    click(desk, &in_chart("未结问题", VILLAGE_NAME, "rect")).await;
    desk.sees(&format!("共 {open}")).await;
    desk.sees("样本-2018-").await;
    click(desk, "//main//table//tr[td]/td[2]/a").await;
    desk.sees("全程跟踪").await;
    assert!(desk.path().await.starts_with("/records/"));
    desk.go("/overview").await;
    click(desk, &format!("//main//form/a[normalize-space()='{MONTH}']")).await;
    desk.sees(&format!("总览 {MONTH}")).await;
    click(desk, &in_chart("新增问题", MONTH, "circle")).await;
    desk.sees(&format!("共 {october}")).await;
    desk.go(&format!("/overview?month={MONTH}")).await;
    click(desk, "//main//form/a[normalize-space()='2018-09']").await;
    desk.sees("总览 2018-09").await;
    click(desk, "//main//form/a[normalize-space()='累计']").await;
    desk.element(Locator::XPath("//h1[not(contains(., '2018'))]")).await;
}

/// A village saves a problem: a page that listens follows by itself, another one when it is loaded
/// again.
async fn follows(listening: &Desk, still: &Desk, village: &Office, open: i64) {
    listening.go("/overview").await;
    listening.sees(&format!("未结问题: {open}")).await;
    listening.client.execute("window.unbroken = true;", Vec::new()).await.unwrap();
    // It begins to listen once it is shown.
    tokio::time::sleep(Duration::from_secs(2)).await;
    problem(village, "桥面护栏松动", TODAY);
    let wanted = format!("未结问题: {}", open + 1);
    let start = Instant::now();
    while !listening.text().await.contains(&wanted) {
        let page = listening.text().await;
        assert!(start.elapsed() < PATIENCE, "the page does not follow:\n{page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let script = "return window.unbroken === true;";
    let unbroken = listening.client.execute(script, Vec::new()).await.unwrap();
    assert_eq!(unbroken, Value::Bool(true), "the page was not loaded again");
    still.wait_for("/overview", &wanted).await;
}

/// Names of the offices that a health page lists, in its order.
async fn listed(desk: &Desk, path: &str) -> Vec<String> {
    desk.go(path).await;
    let cells = Locator::XPath("//main//table[.//th]//tr[td]/td[1]");
    let mut names = Vec::new();
    for cell in desk.client.find_all(cells).await.unwrap() {
        names.push(cell.text().await.unwrap());
    }
    names
}

async fn silent_first(desk: &Desk, county: &Office) {
    let below = county.ask(&Request::Places { under: Some(CODES[COUNTY].into()) }).unwrap();
    let rows = below["rows"].as_array().unwrap();
    let township = rows.iter().find(|row| row["code"] == CODES[TOWNSHIP]).unwrap();
    let township = township["id"].as_str().unwrap();
    let names = listed(desk, &format!("/health?place={township}")).await;
    desk.sees("失联 自 9天前").await;
    assert!(names[0].contains(SILENT.1), "{names:?}");
    assert!(names.iter().skip(1).any(|name| name.contains(VILLAGE_NAME)), "{names:?}");
    let silent = listed(desk, "/health?silent=1").await;
    assert!(silent.len() == 1 && silent[0].contains(SILENT.1), "{silent:?}");
}

/// Recomputes a frozen report, as soon as all that it names is here.
async fn verified(desk: &Desk, report: &str) {
    let start = Instant::now();
    loop {
        desk.go(report).await;
        desk.button("重新计算核验").await;
        let answer = "//main//*[@role='status' or @role='alert' or @class='errors']";
        desk.element(Locator::XPath(answer)).await;
        let page = desk.text().await;
        if page.contains("核验一致") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{report} is not verified:\n{page}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The county looks at October's report, freezes it, files it and recomputes it; gives its path.
async fn files(desk: &Desk, october: usize) -> String {
    desk.go("/reports").await;
    click(desk, &format!("//main//li/a[starts-with(normalize-space(), '{REPORT}')]")).await;
    desk.sees("草稿（现在的数字，未定稿）").await;
    let new = desk.element(Locator::XPath("(//main//tr[@class='sum'])[1]/td[3]")).await;
    assert_eq!(new.text().await.unwrap(), october.to_string(), "{}", desk.text().await);
    desk.button("定稿").await;
    desk.sees("定稿第 1 · 已定稿").await;
    let report = desk.path().await;
    assert!(report.starts_with("/reports/filed/"), "{report}");
    desk.screen("report").await;
    desk.button("报送上级").await;
    desk.sees("定稿第 1 · 已报送").await;
    verified(desk, &report).await;
    report
}

/// The frozen report on paper, and as the sheet that its link gives.
async fn leaves(desk: &Desk, report: &str, october: usize) {
    desk.go(report).await;
    let link = desk.element(Locator::LinkText("下载为Excel")).await;
    let sheet = link.attr("href").await.unwrap().unwrap();
    let script = "const done = arguments[1]; \
                  fetch(arguments[0]).then(one => one.arrayBuffer()) \
                  .then(one => done([...new Uint8Array(one)]), fault => done(String(fault)));";
    let bytes = desk.client.execute_async(script, vec![Value::String(sheet)]).await.unwrap();
    let bytes: Vec<u8> = serde_json::from_value(bytes).unwrap();
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).unwrap();
    let name = book.sheet_names()[0].clone();
    assert!(name.contains("问题台账增减"), "{name}");
    let range = book.worksheet_range(&name).unwrap();
    let own = range.rows().next_back().unwrap();
    assert!(own[0].to_string().contains(COUNTY_NAME), "{own:?}");
    assert_eq!(own[2].to_string(), october.to_string(), "{own:?}");
    click(desk, "//main//a[normalize-space()='打印']").await;
    for text in ["定稿第 1", "问题台账增减", "报送单位(盖章)"] {
        desk.sees(text).await;
    }
    desk.screen_of("report-paper", &format!("{report}?form=paper")).await;
}

/// Waits until the reports page shows the county's report of October so.
async fn becomes(desk: &Desk, wanted: &str) {
    let row = format!(
        "//main//tr[substring(td[1], string-length(td[1]) - 2)='{COUNTY_NAME}' \
         and starts-with(td[2], '{REPORT}') and td[3]='{MONTH}']/td[5]"
    );
    let start = Instant::now();
    loop {
        desk.go("/reports").await;
        let shown = desk.element(Locator::XPath(&row)).await.text().await.unwrap();
        if shown == wanted {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{shown}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Goal: the county clicks from a bar down to the records that make it, walks through the months
/// and sees a village's save at once; it freezes, files, verifies and takes out a report, which the
/// city receives and verifies too; sync health names the silent village first.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_at_county_and_city() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = offices(folder.path());
    let (open, october) = fill(&offices, folder.path());
    assert!(open > 0, "the sample has something to show");
    for at in [CITY, COUNTY] {
        account(&offices[at], POSTS[at], Duty::Reviewer);
    }
    let county = signed_in(&driver, &offices[COUNTY], true).await;
    let still = signed_in(&driver, &offices[COUNTY], false).await;
    let city = signed_in(&driver, &offices[CITY], false).await;
    drills(&still, open, october).await;
    follows(&county, &still, &offices[VILLAGE], open).await;
    silent_first(&still, &offices[COUNTY]).await;
    let report = files(&county, october).await;
    leaves(&county, &report, october).await;
    becomes(&city, "已报").await;
    city.wait_for(&report, "定稿第 1 · 已报送").await;
    verified(&city, &report).await;
    city.go(&report.replace("/reports/filed/", "/records/")).await;
    city.step("接收", "").await;
    becomes(&city, "上级已收到").await;
    becomes(&county, "上级已收到").await;
    for desk in [county, still, city] {
        desk.client.close().await.unwrap();
    }
}
