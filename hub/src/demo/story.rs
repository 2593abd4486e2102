//! The story: enrolment, a working day, an outage, and what arrived where and when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Level, RecordId};
use taizhang_node::account::Duty;
use taizhang_node::cli::print;
use taizhang_node::driver::clock;
use taizhang_node::engine::policy::NewPolicy;
use taizhang_node::ops::Request;
use taizhang_node::ops::account::{AccountRequest, NewAccount};

use super::data::{measures_sheet, village};
use super::process::{Link, Office};
use super::sample::{self, offices::Phase};
use super::{DemoArgs, console};
use crate::init::{SHANGQIU, read_places};

const COUNTY: &str = "411423000000";
const OTHER_COUNTY: &str = "411421000000";
const TOWNSHIP: &str = "411423101000";
const OTHER_TOWNSHIP: &str = "411423102000";
const CITY_DOC: &str = "商办〔2018〕99号";
const COUNTY_DOC: &str = "宁脱贫〔2018〕5号";
const PARAM: &str = "min_income_measures_per_household";
/// Households of the sample at most: one village shows every ledger.
const SAMPLE_HOUSEHOLDS: usize = 40;

/// Patience for anything to arrive on loopback.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// Positions in the list of offices.
pub(super) const CITY: usize = 0;
pub(super) const COUNTY_AT: usize = 1;
const TOWN_AT: usize = 3;
pub(super) const FIRST_VILLAGE: usize = 5;

pub(super) struct Story {
    pub(super) offices: Vec<Office>,
    start: Instant,
    rows: Vec<Value>,
    failed: Vec<String>,
}

/// Tells it; gives what failed.
///
/// # Errors
///
/// If it could not go on.
pub fn tell(args: &DemoArgs) -> Result<Vec<String>, String> {
    if args.villages < 3 || args.households < 1 {
        return Err("the demo needs 3 villages or more, and households".into());
    }
    let folder = tempfile::Builder::new().prefix("taizhang-demo-").tempdir();
    let folder = folder.map_err(|error| error.to_string())?;
    let mut story =
        Story { offices: Vec::new(), start: Instant::now(), rows: Vec::new(), failed: Vec::new() };
    story.enrol(args, folder.path())?;
    let household = story.working_day(args, folder.path())?;
    let before = story.figures("汇总(断网前) · city's roll-up before the outage")?;
    story.outage(args, household, &before)?;
    story.sample(args, folder.path())?;
    story.hubs()?;
    println!("\n到达情况 · what arrived where and when");
    print::table(&story.rows);
    console::show(&story.offices, LOGIN.0, LOGIN.1);
    if args.exit {
        println!("\n{} checks, {} failed", story.rows.len(), story.failed.len());
        return Ok(story.failed);
    }
    console::obey(&story.offices);
    Ok(story.failed)
}

/// Login and password of the demo's accounts; the administrator's login is `admin`.
pub(super) const LOGIN: (&str, &str) = ("demo", "taizhang-demo");

/// The accounts of an office: a first and a second person, and the administrator.
fn accounts(office: &Office) -> Result<(), String> {
    let post = match office.ask(&Request::Status)?["level"].as_str() {
        Some("city") => "city_operator",
        Some("county") => "county_hub",
        Some("township") => "township_staff",
        _ => "village_clerk",
    };
    let second = format!("{}2", LOGIN.0);
    for (login, name, role, duty) in [
        (LOGIN.0, "演示员", post, Duty::Reviewer),
        (second.as_str(), "审核员", post, Duty::Reviewer),
        ("admin", "管理员", "", Duty::Administrator),
    ] {
        let (login, name, role) = (login.into(), name.into(), role.into());
        let password = LOGIN.1.into();
        let new = NewAccount { login, name, role, duty, password };
        office.ask(&Request::Account { ask: AccountRequest::Add(new) })?;
    }
    Ok(())
}

pub(super) fn person(name: &str, role: &str) -> Person {
    Person { name: name.into(), role: role.into() }
}

impl Story {
    pub(super) fn say(&self, text: &str) {
        println!("[{:6.1} s] {text}", self.start.elapsed().as_secs_f64());
    }

    pub(super) fn check(&mut self, what: &str, wher: &str, detail: &str, holds: bool) {
        let at = format!("{:.1} s", self.start.elapsed().as_secs_f64());
        let mark = if holds { "✓" } else { "✗" };
        self.rows.push(json!({
            "what 事项": what, "where 单位": wher, "detail 内容": detail, "when 时间": at, "": mark,
        }));
        if !holds {
            self.failed.push(format!("{what} at {wher}: {detail}"));
        }
    }

    fn enrol(&mut self, args: &DemoArgs, folder: &Path) -> Result<(), String> {
        let seeds = read_places("shangqiu.csv", SHANGQIU)?;
        let villages: Vec<_> = seeds
            .iter()
            .filter(|seed| seed.code.starts_with("411423101") && seed.code != TOWNSHIP)
            .take(args.villages)
            .collect();
        if villages.len() < args.villages {
            return Err(format!("张弓镇 has only {} villages", villages.len()));
        }
        let name = |code: &str| {
            seeds.iter().find(|seed| seed.code == code).map_or("", |seed| seed.name.as_str())
        };
        let mut plan: Vec<(&str, Option<usize>)> = vec![
            ("411400000000", None),
            (COUNTY, Some(CITY)),
            (OTHER_COUNTY, Some(CITY)),
            (TOWNSHIP, Some(COUNTY_AT)),
            (OTHER_TOWNSHIP, Some(COUNTY_AT)),
        ];
        plan.extend(villages.iter().map(|seed| (seed.code.as_str(), Some(TOWN_AT))));
        for (at, (code, parent)) in plan.into_iter().enumerate() {
            let data = folder.join(format!("{at}-{code}"));
            let mut office = Office::new(name(code), code, &data, at < FIRST_VILLAGE);
            match parent {
                None => {
                    let key = folder.join("root-key.json");
                    let key = key.to_string_lossy();
                    office.once(&["init", "--root-key", &key, "--password", "demo password"])?;
                    self.say(&format!("{}: 建网 network founded on the real tree", office.name));
                }
                Some(parent) => self.join(parent, &mut office)?,
            }
            office.start()?;
            accounts(&office)?;
            self.offices.push(office);
        }
        Ok(())
    }

    fn join(&self, parent: usize, office: &mut Office) -> Result<(), String> {
        let host = &self.offices[parent];
        let link = Link::to(host.children.ok_or("the parent does not listen")?);
        let link = link.map_err(|error| error.to_string())?;
        let under = Request::Places { under: Some(office.code.clone()) };
        host.wait_for(PATIENCE, "the tree below it", |host| {
            !office.is_hub || host.ask(&under).is_ok_and(|found| found["total"].as_u64() > Some(0))
        })?;
        let code = host.ask(&Request::Invite {
            place: office.code.clone(),
            addresses: vec![link.address.to_string()],
            hours: 1,
        })?;
        office.once(&["join", code["code"].as_str().unwrap_or_default()])?;
        office.link = Some(link);
        self.say(&format!("{} → {}: 注册 enrolled by code", office.name, host.name));
        Ok(())
    }

    /// Fills the ledgers; gives one household of the first village.
    fn working_day(&mut self, args: &DemoArgs, folder: &Path) -> Result<RecordId, String> {
        let shown = Mutex::new(Instant::now());
        let progress = |what: &str, done: u64, total: u64| {
            if let Ok(mut last) = shown.lock()
                && (last.elapsed() > Duration::from_secs(2) || done == total)
            {
                *last = Instant::now();
                println!("           {what} {done}/{total}");
            }
        };
        let clerk = person("村文书", "village_clerk");
        let mut first_heads = Vec::new();
        for at in FIRST_VILLAGE..self.offices.len() {
            let office = &self.offices[at];
            let (text, heads) = village(args.seed, &office.code, args.households);
            let path = folder.join(format!("{}.jsonl", office.code));
            std::fs::write(&path, text).map_err(|error| error.to_string())?;
            let request = Request::Import {
                path,
                ledger: String::new(),
                preview: false,
                person: clerk.clone(),
            };
            let done = office.ask_watching(&request, &progress)?;
            self.say(&format!("{}: 导入 imported {} records", office.name, done["records"]));
            if at == FIRST_VILLAGE {
                first_heads = heads;
            }
        }
        let office = &self.offices[FIRST_VILLAGE];
        let sheet = folder.join("增收措施台账.xlsx");
        let year = clock::now().date().year;
        measures_sheet(&sheet, &first_heads, year).map_err(|error| error.to_string())?;
        let import = |preview| Request::Import {
            path: sheet.clone(),
            ledger: "income_measure".into(),
            preview,
            person: clerk.clone(),
        };
        office.ask(&import(true))?;
        let done = office.ask_watching(&import(false), &progress)?;
        self.say(&format!("{}: 台账 xlsx imported, {} rows", office.name, done["records"]));
        office.ask_watching(&act("income_measure", "planned", "running", &clerk), &progress)?;
        self.county_confirms(args)?;
        let office = &self.offices[FIRST_VILLAGE];
        let found = office.ask(&Request::List {
            ledger: "poor_household".into(),
            place: None,
            search: first_heads[0].clone(),
            state: String::new(),
            limit: 1,
        })?;
        record_of(&found["rows"][0])
    }

    fn county_confirms(&mut self, args: &DemoArgs) -> Result<(), String> {
        let expected = (args.households * args.villages) as u64;
        let county = &self.offices[COUNTY_AT];
        county.wait_for(PATIENCE, "the households", |county| {
            count(county, "poor_household", "candidate") == expected
        })?;
        let hub = person("县指挥部", "county_hub");
        let progress = |_: &str, _: u64, _: u64| {};
        county.ask_watching(&act("poor_household", "candidate", "listed", &hub), &progress)?;
        self.say(&format!("{}: 确认纳入 confirmed {expected} households", county.name));
        let city = &self.offices[CITY];
        let expected = i64::try_from(expected).unwrap_or(0);
        city.wait_for(PATIENCE, "the roll-up", |city| {
            figure(city, "hh_total") == expected
                && figure(city, "hh_ge_min") == i64::try_from(args.households).unwrap_or(0)
        })
    }

    fn figures(&self, title: &str) -> Result<Value, String> {
        let answer = self.offices[CITY].ask(&Request::Rollup { place: None })?;
        println!("\n{title}");
        let rows: Vec<Value> = answer["rows"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|row| row["coverage"]["reported"].as_u64() > Some(0))
            .map(|row| {
                let coverage = &row["coverage"];
                json!({
                    "place 区划": row["place"], "户 hh": row["values"]["hh_total"],
                    "达标 ≥min": row["values"]["hh_ge_min"], "未结 open": row["values"]["prb_open"],
                    "逾期 overdue": row["values"]["prb_overdue"],
                    "覆盖 coverage": format!("{}/{} 村", coverage["reported"], coverage["places"]),
                })
            })
            .collect();
        print::table(&rows);
        Ok(answer["rows"][0].clone())
    }

    fn outage(
        &mut self,
        args: &DemoArgs,
        household: RecordId,
        before: &Value,
    ) -> Result<(), String> {
        let village_name = self.offices[FIRST_VILLAGE].name.clone();
        println!();
        self.say(&format!("{village_name}: 断网 link refused"));
        if let Some(link) = &self.offices[FIRST_VILLAGE].link {
            link.set_cut(true);
        }
        self.offices[FIRST_VILLAGE].wait_for(PATIENCE, "the cut", |office| {
            office.ask(&Request::Status).is_ok_and(|status| {
                let links = status["links"].as_array().cloned().unwrap_or_default();
                links.iter().all(|link| link["connected"] == false)
            })
        })?;
        let ticket = self.edits_apart(household)?;
        self.publish()?;
        self.offices[FIRST_VILLAGE].kill();
        self.say(&format!("{village_name}: SIGKILL"));
        self.offices[FIRST_VILLAGE].start()?;
        let shown = self.offices[FIRST_VILLAGE].ask(&Request::Show { id: ticket });
        let survived = shown.is_ok();
        self.check(
            "断网中的登记经断电仍在 saved edit survives SIGKILL",
            &village_name,
            "ticket",
            survived,
        );
        let reach = self.applied(CITY_DOC, &self.offices[FIRST_VILLAGE].code.clone())?;
        self.check("断网村未显示已执行 not shown as applied", "商丘市", CITY_DOC, !reach);
        let away = self.offices[CITY].ask(&Request::Show { id: ticket }).is_err();
        self.check("断网中未上报 not at the city yet", "商丘市", "ticket", away);
        self.say(&format!("{village_name}: 恢复 link restored"));
        if let Some(link) = &self.offices[FIRST_VILLAGE].link {
            link.set_cut(false);
        }
        self.after(args, household, ticket, before)
    }

    fn edits_apart(&mut self, household: RecordId) -> Result<RecordId, String> {
        let office = &self.offices[FIRST_VILLAGE];
        let clerk = person("村文书", "village_clerk");
        let inputs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let today = clock::now().date();
        let due = today.plus_days(-1).to_string();
        let ticket = office.ask(&Request::Create {
            ledger: "problem_ticket".into(),
            place: None,
            inputs: inputs(&[
                ("source", "visit"),
                ("domain", "infrastructure"),
                ("severity", "small"),
                ("description", "村口路灯不亮"),
                ("received_on", &today.to_string()),
                ("due_on", &due),
            ]),
            person: clerk.clone(),
        })?;
        let ticket = record_of(&ticket)?;
        let kind = |value: &str, person: Person| Request::Set {
            id: household,
            inputs: inputs(&[("household_kind", value)]),
            person,
        };
        office.ask(&kind("low_income", clerk))?;
        self.say(&format!("{}: 断网中登记问题、改户属性 edits while apart", office.name));
        let town = &self.offices[TOWN_AT];
        town.ask(&kind("five_guarantee", person("乡镇专干", "township_staff")))?;
        self.say(&format!("{}: 同时改同一户属性 the same field at the township", town.name));
        Ok(ticket)
    }

    fn publish(&mut self) -> Result<(), String> {
        let today = clock::now().date().to_string();
        let policy = |doc_no: &str, value: i64| NewPolicy {
            doc_no: doc_no.into(),
            title: "提高每户增收措施下限".into(),
            effective_from: format!("{}-01-01", &today[..4]),
            values: BTreeMap::from([(PARAM.to_owned(), value.into())]),
        };
        let publish = |office: &Office, doc_no: &str, value: i64, role: &str| {
            let person = person(role, role);
            office.ask(&Request::PolicyPublish {
                policy: policy(doc_no, value),
                person,
                approved_by: "分管领导".into(),
            })
        };
        publish(&self.offices[CITY], CITY_DOC, 3, "city_operator")?;
        self.say(&format!("商丘市: 发布 published {CITY_DOC}, 3 项"));
        let county = &self.offices[COUNTY_AT];
        county.wait_for(PATIENCE, "the city's version", |county| {
            county
                .ask(&Request::PolicyList)
                .is_ok_and(|list| list["versions"].to_string().contains(CITY_DOC))
        })?;
        publish(county, COUNTY_DOC, 4, "county_hub")?;
        self.say(&format!("{}: 调整 localised {COUNTY_DOC}, 4 项", county.name));
        Ok(())
    }

    /// Whether the city knows that a place has applied a version.
    fn applied(&self, doc_no: &str, code: &str) -> Result<bool, String> {
        let place = self.offices[CITY].ask(&Request::Places { under: None })?;
        let id = place["rows"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["code"] == code)
            .map(|row| row["id"].clone())
            .unwrap_or_default();
        let reach = self.offices[CITY].ask(&Request::PolicyReach { doc_no: doc_no.into() })?;
        let places = reach["rows"][0]["places"].as_array().cloned().unwrap_or_default();
        Ok(places.iter().any(|one| one["id"] == id && one["applied"].as_i64() > Some(0)))
    }

    fn after(
        &mut self,
        args: &DemoArgs,
        household: RecordId,
        ticket: RecordId,
        before: &Value,
    ) -> Result<(), String> {
        let village_code = self.offices[FIRST_VILLAGE].code.clone();
        let names: Vec<String> = self.offices.iter().map(|office| office.name.clone()).collect();
        for at in [TOWN_AT, COUNTY_AT, CITY] {
            let arrived = self.offices[at]
                .wait_for(PATIENCE, "the ticket", |office| {
                    office.ask(&Request::Show { id: ticket }).is_ok()
                })
                .is_ok();
            self.check("断网中登记的问题到达 the village's edit", &names[at], "ticket", arrived);
        }
        for at in [FIRST_VILLAGE, TOWN_AT, CITY] {
            let both = self.offices[at]
                .wait_for(PATIENCE, "the conflict", |office| {
                    conflict_values(office, household) == 2
                })
                .is_ok();
            let detail = "household_kind: low_income | five_guarantee";
            self.check("冲突两值都在 both values in conflict", &names[at], detail, both);
        }
        let village = &self.offices[FIRST_VILLAGE];
        let households = args.households as u64;
        let raised = village
            .wait_for(PATIENCE, "findings", |office| failed(office, "R-INC-01") == households);
        let value = in_force(village);
        self.check(
            "政策已执行 policy in force at the village",
            &names[FIRST_VILLAGE],
            &format!("{PARAM} = {value} ({COUNTY_DOC})"),
            value == 4,
        );
        self.check(
            "新政策引出的提示 findings raised",
            &names[FIRST_VILLAGE],
            &format!("R-INC-01 × {households}"),
            raised.is_ok(),
        );
        for doc_no in [CITY_DOC, COUNTY_DOC] {
            let until = Instant::now() + PATIENCE;
            let mut known = false;
            while !known && Instant::now() < until {
                known = self.applied(doc_no, &village_code)?;
                std::thread::sleep(Duration::from_millis(100));
            }
            self.check("执行回执到市 receipt at the city", "商丘市", doc_no, known);
        }
        let overdue = self.offices[CITY].wait_for(PATIENCE, "the roll-up", |city| {
            figure(city, "hh_ge_min") == 0 && figure(city, "prb_overdue") == 1
        });
        let after = self.figures("汇总(恢复后) · city's roll-up after")?;
        let was = before["values"]["hh_ge_min"].as_i64().unwrap_or(0);
        self.check(
            "市汇总随之更新 the city's figures follow",
            "商丘市",
            &format!("达标 {was} → {}", after["values"]["hh_ge_min"].as_i64().unwrap_or(0)),
            overdue.is_ok(),
        );
        self.hashes_agree(&names)?;
        self.all_sound(&names);
        Ok(())
    }

    fn all_sound(&mut self, names: &[String]) {
        for (at, name) in names.iter().enumerate() {
            let sound = self.offices[at].ask(&Request::Check { rollups: false });
            let detail = sound.as_ref().err().cloned().unwrap_or_else(|| "check".into());
            self.check("校验 seals, chains, roll-ups", name, &detail, sound.is_ok());
        }
    }

    /// The last village and the offices above it get a sample of every ledger; the county has all of them.
    fn sample(&mut self, args: &DemoArgs, folder: &Path) -> Result<(), String> {
        let last = self.offices.len() - 1;
        let code = self.offices[last].code.clone();
        let village = sample::village(args.seed, args.households.min(SAMPLE_HOUSEHOLDS));
        let (mut ledgers, mut records) = (BTreeSet::new(), 0);
        let stages = [
            (CITY, Level::City, Phase::Above, "city_operator"),
            (COUNTY_AT, Level::County, Phase::Above, "county_hub"),
            (TOWN_AT, Level::Township, Phase::Above, "township_staff"),
            (last, Level::Village, Phase::Village, "village_clerk"),
            (TOWN_AT, Level::Township, Phase::Into, "township_staff"),
            (COUNTY_AT, Level::County, Phase::Into, "county_hub"),
        ];
        for (at, level, phase, post) in stages {
            let lines = match phase {
                Phase::Village => village.clone(),
                _ => sample::offices::written(level, phase),
            };
            let path = folder.join(format!("sample-{}-{phase:?}.jsonl", level.name()));
            let text = sample::to_jsonl_at(&lines, &code);
            std::fs::write(&path, text).map_err(|error| error.to_string())?;
            let of: BTreeSet<&str> = lines.iter().map(|line| line.ledger).collect();
            let total = |office: &Office| of.iter().map(|one| count(office, one, "")).sum::<u64>();
            let (maker, county) = (&self.offices[at], &self.offices[COUNTY_AT.min(at)]);
            let wanted = total(county) + lines.len() as u64;
            // What is above is known below before anything refers to it.
            maker.wait_for(PATIENCE, "registers", |maker| {
                let known = sample::offices::registers_above(level);
                known.iter().all(|(ledger, least)| count(maker, ledger, "") >= *least)
            })?;
            let (ledger, person) = (String::new(), person("演示员", post));
            maker.ask(&Request::Import { path, ledger, preview: false, person })?;
            county.wait_for(PATIENCE, "the sample", |county| total(county) >= wanted)?;
            records += lines.len();
            ledgers.extend(lines.iter().map(|line| line.ledger));
        }
        let detail = format!("{} ledgers, {records} records", ledgers.len());
        let name = self.offices[COUNTY_AT].name.clone();
        self.check("每个台账的样本 a sample of every ledger", &name, &detail, true);
        Ok(())
    }

    fn hashes_agree(&mut self, names: &[String]) -> Result<(), String> {
        let village = &self.offices[FIRST_VILLAGE];
        let id = village.ask(&Request::Status)?["place_id"].as_str().unwrap_or_default().to_owned();
        let slice = format!("ledger:{id}");
        let hash = |office: &Office| -> Option<String> {
            let answer = office.ask(&Request::Hashes).ok()?;
            let rows = answer["rows"].as_array()?;
            let row = rows.iter().find(|row| row["slice"] == slice.as_str())?;
            row["hash"].as_str().map(str::to_owned)
        };
        let until = Instant::now() + PATIENCE;
        let holders = [FIRST_VILLAGE, TOWN_AT, COUNTY_AT, CITY];
        let mut agree = false;
        while !agree && Instant::now() < until {
            let found: Vec<Option<String>> =
                holders.iter().map(|at| hash(&self.offices[*at])).collect();
            agree = found[0].is_some() && found.iter().all(|one| *one == found[0]);
            std::thread::sleep(Duration::from_millis(200));
        }
        let detail = hash(&self.offices[CITY]).unwrap_or_default();
        let short = detail.get(..16).unwrap_or_default().to_owned();
        self.check("切片校验和一致 one slice hash", &names[FIRST_VILLAGE], &short, agree);
        Ok(())
    }
}

/// The record that an answer names.
pub(super) fn record_of(answer: &Value) -> Result<RecordId, String> {
    let id = answer["record"].as_str().unwrap_or_default();
    id.parse().map_err(|error| format!("no record `{id}`: {error}"))
}

fn act(ledger: &str, in_state: &str, to: &str, person: &Person) -> Request {
    Request::Act {
        id: None,
        ledger: ledger.into(),
        in_state: in_state.into(),
        to: to.into(),
        reason: String::new(),
        person: person.clone(),
    }
}

fn count(office: &Office, ledger: &str, state: &str) -> u64 {
    let request = Request::List {
        ledger: ledger.into(),
        place: None,
        search: String::new(),
        state: state.into(),
        limit: 1,
    };
    office.ask(&request).ok().and_then(|answer| answer["total"].as_u64()).unwrap_or(0)
}

pub(super) fn figure(office: &Office, indicator: &str) -> i64 {
    let answer = office.ask(&Request::Rollup { place: None }).unwrap_or_default();
    answer["rows"][0]["values"][indicator].as_i64().unwrap_or(0)
}

fn failed(office: &Office, rule: &str) -> u64 {
    let status = office.ask(&Request::Status).unwrap_or_default();
    status["rules"][rule]["failed"].as_u64().unwrap_or(0)
}

fn in_force(office: &Office) -> i64 {
    let list = office.ask(&Request::PolicyList).unwrap_or_default();
    let rows = list["rows"].as_array().cloned().unwrap_or_default();
    let row = rows.into_iter().find(|row| row["param"] == PARAM).unwrap_or_default();
    row["value"].as_i64().unwrap_or(0)
}

fn conflict_values(office: &Office, household: RecordId) -> usize {
    let shown = office.ask(&Request::Show { id: household }).unwrap_or_default();
    let conflicts = shown["row"]["conflicts"].as_array().cloned().unwrap_or_default();
    let found = conflicts.iter().find(|one| one["field"] == "household_kind");
    found.and_then(|one| one["candidates"].as_array()).map_or(0, Vec::len)
}
