//! The hubs' part of the story: policy by two persons, a report that later edits leave as it was,
//! figures that lead to their records, and sums proved against them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use taizhang_core::catalogue::report::Every;
use taizhang_core::id::RecordId;
use taizhang_node::driver::clock;
use taizhang_node::engine::policy::NewPolicy;
use taizhang_node::ops::Request;
use taizhang_node::ops::report::ReportRequest;
use taizhang_node::report::period::Period;

use super::process::Office;
use super::story::{
    CITY, COUNTY_AT, FIRST_VILLAGE, LOGIN, PATIENCE, Story, figure, person, record_of,
};

const SILENCE_DOC: &str = "商办〔2018〕100号";
const SILENCE: &str = "sync_silence_days";
const DRAFTER: &str = "起草人";
const REPORT: &str = "R01";
/// Rows of a page of a list.
const ROWS: u64 = 50;

/// The overview's figure of open problems, and what its link lists.
struct Led {
    shown: Option<u64>,
    total: Option<u64>,
    rows: u64,
}

impl Story {
    /// What county and city do beside passing data on.
    pub(super) fn hubs(&mut self) -> Result<(), String> {
        println!();
        self.two_persons()?;
        self.monthly_report()?;
        self.figures_lead_on()?;
        self.sums_are_proved();
        Ok(())
    }

    /// A version needs a second person, and reaches every office.
    fn two_persons(&mut self) -> Result<(), String> {
        let today = clock::now().date().to_string();
        let publish = |approved_by: &str| Request::PolicyPublish {
            policy: NewPolicy {
                doc_no: SILENCE_DOC.into(),
                title: "失联告警天数".into(),
                effective_from: today.clone(),
                values: BTreeMap::from([(SILENCE.to_owned(), 5_i64.into())]),
            },
            person: person(DRAFTER, "city_operator"),
            approved_by: approved_by.into(),
        };
        let others = self.offices.len() - 1;
        let city = &self.offices[CITY];
        let name = city.name.clone();
        let alone = city.ask(&publish(DRAFTER));
        let nothing = reached(city).is_empty();
        city.ask(&publish("分管领导"))?;
        self.say(&format!("{name}: 一人起草、一人批准 drafted and approved by two: {SILENCE_DOC}"));
        let complete = self.offices[CITY].wait_for(PATIENCE, "everybody's receipt", |city| {
            let said = reached(city);
            said.len() == others && said.iter().all(|applied| *applied)
        });
        let refused = alone.is_err() && nothing;
        self.check("一人不能起草又批准 nobody approves the own draft", &name, SILENCE_DOC, refused);
        let detail = format!("{others} offices, {SILENCE_DOC}");
        self.check("政策全部触达 a version reached everybody", &name, &detail, complete.is_ok());
        Ok(())
    }

    /// The county's report of last month is frozen, filed and received.
    fn monthly_report(&mut self) -> Result<(), String> {
        let period = Period::of(Every::Month, clock::now().date()).before();
        let (month, day) = (period.to_string(), period.last().to_string());
        let early = ticket(&self.offices[FIRST_VILLAGE], "机井电机损坏", &day)?;
        self.offices[COUNTY_AT]
            .wait_for(PATIENCE, "last month's problem", |county| registered(county, &month) >= 1)?;
        self.city_holds_all()?;
        let (county, city) = (&self.offices[COUNTY_AT], &self.offices[CITY]);
        let by_county = person("县指挥部", "county_hub");
        let freeze = ReportRequest::Freeze {
            report: REPORT.into(),
            period: month.clone(),
            reason: String::new(),
            late_reason: "演示".into(),
            person: by_county.clone(),
        };
        let before = registered(county, &month);
        let record = record_of(&county.ask(&Request::Report { ask: freeze })?)?;
        let step = |to: &str, person| {
            let (to, reason) = (to.to_owned(), String::new());
            Request::Report { ask: ReportRequest::Act { record, to, reason, person } }
        };
        county.ask(&step("filed", by_county))?;
        self.say(&format!("{}: 定稿报送 froze and filed {REPORT} {month}", county.name));
        city.wait_for(PATIENCE, "the report", |city| state_of(city, record) == "filed")?;
        city.ask(&step("received", person("市指挥部", "city_operator")))?;
        let known = county
            .wait_for(PATIENCE, "its receipt", |county| state_of(county, record) == "received");
        let (name, detail) = (county.name.clone(), format!("{REPORT} {month}"));
        self.check("月报已报送并接收 filed, and received above", &name, &detail, known.is_ok());
        self.edits_after(record, early, &month, before)
    }

    /// What comes later changes the draft, and not what was frozen.
    fn edits_after(
        &mut self,
        record: RecordId,
        early: RecordId,
        month: &str,
        before: i64,
    ) -> Result<(), String> {
        let village = &self.offices[FIRST_VILLAGE];
        ticket(village, "桥面护栏松动", &format!("{month}-01"))?;
        village.ask(&Request::Set {
            id: early,
            inputs: [("severity".to_owned(), "large".to_owned())].into(),
            person: person("村文书", "village_clerk"),
        })?;
        let county = &self.offices[COUNTY_AT];
        let after = county
            .wait_for(PATIENCE, "later edits", |county| registered(county, month) == before + 1);
        let (name, detail) = (county.name.clone(), format!("新增 {before} → {}", before + 1));
        self.check("定稿后的修改只改草稿 later edits", &name, &detail, after.is_ok());
        self.city_holds_all()?;
        for at in [COUNTY_AT, CITY] {
            let office = &self.offices[at];
            let (name, verdict) = (office.name.clone(), verified(office, record));
            let detail = match &verdict {
                Ok(segments) => format!("{REPORT} {month}, {segments} segments"),
                Err(reason) => reason.clone(),
            };
            self.check("定稿重算一致 recomputed, the same", &name, &detail, verdict.is_ok());
        }
        Ok(())
    }

    /// Waits until the city holds what the county holds.
    fn city_holds_all(&self) -> Result<(), String> {
        let county = &self.offices[COUNTY_AT];
        self.offices[CITY].wait_for(PATIENCE, "all of the county", |city| {
            let (there, here) = (hashes(county), hashes(city));
            !there.is_empty() && there.iter().all(|(slice, hash)| here.get(slice) == Some(hash))
        })
    }

    /// A figure of the overview is the number of records that its link lists.
    fn figures_lead_on(&mut self) -> Result<(), String> {
        for at in [COUNTY_AT, CITY] {
            let office = &self.offices[at];
            let (name, led) = (office.name.clone(), open_problems(office)?);
            let sum = u64::try_from(figure(office, "prb_open")).ok();
            let all = led.total.unwrap_or(0);
            let holds = sum.is_some()
                && led.shown == sum
                && led.total == sum
                && led.rows == all.min(ROWS)
                && all > 0;
            let detail = format!("未结问题 {}, {all} records", led.shown.unwrap_or(0));
            self.check("汇总数可下钻到记录 a figure and its records", &name, &detail, holds);
        }
        Ok(())
    }

    fn sums_are_proved(&mut self) {
        for at in 0..self.offices.len() {
            let office = &self.offices[at];
            let (name, proof) =
                (office.name.clone(), office.ask(&Request::Check { rollups: true }));
            let detail = match &proof {
                Ok(found) => format!("check --rollups, {} records", found["records"]),
                Err(reason) => reason.clone(),
            };
            self.check("汇总与记录一致 sums equal the records", &name, &detail, proof.is_ok());
        }
    }
}

/// Of the offices below that should have the version, whether each says that it has applied it.
fn reached(city: &Office) -> Vec<bool> {
    let reach = city.ask(&Request::PolicyReach { doc_no: SILENCE_DOC.into() }).unwrap_or_default();
    let places = reach["rows"][0]["places"].as_array().cloned().unwrap_or_default();
    let below = places.iter().filter(|one| one["level"] != "city");
    below.map(|one| one["applied"].as_i64() > Some(0)).collect()
}

fn ticket(village: &Office, description: &str, day: &str) -> Result<RecordId, String> {
    let fields = [
        ("source", "visit"),
        ("domain", "infrastructure"),
        ("severity", "small"),
        ("description", description),
        ("received_on", day),
    ];
    let made = village.ask(&Request::Create {
        ledger: "problem_ticket".into(),
        place: None,
        inputs: fields.map(|(key, text)| (key.to_owned(), text.to_owned())).into(),
        person: person("村文书", "village_clerk"),
    })?;
    record_of(&made)
}

fn state_of(office: &Office, record: RecordId) -> String {
    let shown = office.ask(&Request::Show { id: record }).unwrap_or_default();
    shown["row"]["state"]["state"].as_str().unwrap_or_default().to_owned()
}

/// Problems registered in a month, by the draft of its report.
fn registered(office: &Office, month: &str) -> i64 {
    let ask = ReportRequest::Draft { report: REPORT.into(), period: month.into() };
    let made = office.ask(&Request::Report { ask }).unwrap_or_default();
    let table = &made["figures"]["tables"][0];
    let mut heads = table["heads"].as_array().into_iter().flatten();
    let own = table["lines"].as_array().and_then(|lines| lines.last());
    match (heads.position(|head| head["id"] == "new"), own) {
        (Some(at), Some(own)) => own["cells"][at]["value"].as_i64().unwrap_or(0),
        _ => 0,
    }
}

/// Hashes of the ledger slices of an office.
fn hashes(office: &Office) -> BTreeMap<String, Value> {
    let answer = office.ask(&Request::Hashes).unwrap_or_default();
    let rows = answer["rows"].as_array().into_iter().flatten();
    let named = rows.filter_map(|row| Some((row["slice"].as_str()?, row["hash"].clone())));
    named
        .filter(|(slice, _)| slice.starts_with("ledger:"))
        .map(|(slice, hash)| (slice.to_owned(), hash))
        .collect()
}

/// Recomputes a frozen report; gives the number of segments read.
fn verified(office: &Office, record: RecordId) -> Result<u64, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let ask = ReportRequest::Verify { record };
        match office.ask(&Request::Report { ask }) {
            Ok(found) => return Ok(found["segments"].as_u64().unwrap_or(0)),
            // What it names may still be on its way.
            Err(reason)
                if Instant::now() < until
                    && (reason.contains("not arrived") || reason.contains("no longer held")) =>
            {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(reason) => return Err(reason),
        }
    }
}

/// One request to an office's pages: head and body of the answer.
fn fetch(office: &Office, line: &str, heads: &str, body: &str) -> Result<(String, String), String> {
    let site = office.pages.trim_start_matches("http://").trim_end_matches('/');
    let told = |error: std::io::Error| format!("{}: {line}: {error}", office.name);
    let mut stream = TcpStream::connect(site).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    // A connection for each, which ends with the answer.
    let length = body.len();
    let request =
        format!("{line} HTTP/1.0\r\nHost: {site}\r\nContent-Length: {length}\r\n{heads}\r\n{body}");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    let parts = answer.split_once("\r\n\r\n");
    let (head, body) = parts.ok_or_else(|| format!("{}: {line}: no answer", office.name))?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Signs in at an office's pages; gives the header that proves it.
fn signed_in(office: &Office) -> Result<String, String> {
    let form = format!("login={}&password={}", LOGIN.0, LOGIN.1);
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let (head, _) = fetch(office, "POST /signin", kind, &form)?;
    let cookie = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())?
    });
    let header = cookie.map(|cookie| format!("Cookie: {cookie}\r\n"));
    header.ok_or_else(|| format!("{}: the demo's account is refused", office.name))
}

/// The number that follows a text on a page.
fn number_after(page: &str, text: &str) -> Option<u64> {
    let (_, rest) = page.split_once(text)?;
    let number = rest.chars().take_while(|one| one.is_ascii_digit() || *one == ',');
    number.filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

fn open_problems(office: &Office) -> Result<Led, String> {
    let session = signed_in(office)?;
    let page = |path: &str| -> Result<String, String> {
        let (_, body) = fetch(office, &format!("GET {path}"), &session, "")?;
        Ok(body.replace("&#38;", "&").replace("&amp;", "&"))
    };
    let status = office.ask(&Request::Status)?;
    let place = status["place_id"].as_str().unwrap_or_default();
    let link = format!("/ledgers/problem_ticket?figure=prb_open&place={place}");
    let shown = number_after(&page("/overview")?, &format!("<a href=\"{link}\">"));
    let list = page(&link)?;
    let rows = list.matches("<a href=\"/records/").count() as u64;
    Ok(Led { shown, total: number_after(&list, "· 共 "), rows })
}
