//! Every system of the document at work: records in every open ledger, made by the offices that keep it,
//! then each of its pages, papers, sheets and boards, at every level, in both languages.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use conflict_tests::pages::{Answer, Pages};
use serde_json::Value;
use taizhang_core::catalogue::parse::parse;
use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Ledger};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Level, SliceKind};
use taizhang_hub::demo::sample::{self, offices::Phase};
use taizhang_node::account::Duty;
use taizhang_node::ops::Request;

use crate::desk::{PASSWORD, POSTS, account_of};
use crate::office::{CODES, Office, chain};

const CITY: usize = 0;
const COUNTY: usize = 1;
const TOWNSHIP: usize = 2;
const VILLAGE: usize = 3;
const LEVELS: [Level; 4] = [Level::City, Level::County, Level::Township, Level::Village];
const HOUSEHOLDS: usize = 12;

fn count(office: &Office, ledger: &str) -> u64 {
    list(office, ledger)["total"].as_u64().unwrap()
}

fn list(office: &Office, ledger: &str) -> Value {
    let (ledger, state, search) = (ledger.to_owned(), String::new(), String::new());
    office.ask(&Request::List { ledger, place: None, search, state, limit: 3 }).unwrap()
}

/// Every office writes its part of the sample; what a later one refers to has arrived before.
fn fill(offices: &[Office], folder: &Path) {
    let village = sample::village(5, HOUSEHOLDS);
    let stages = [
        (CITY, Phase::Above),
        (COUNTY, Phase::Above),
        (TOWNSHIP, Phase::Above),
        (VILLAGE, Phase::Village),
        (TOWNSHIP, Phase::Into),
        (COUNTY, Phase::Into),
    ];
    for (at, phase) in stages {
        let lines = match phase {
            Phase::Village => village.clone(),
            _ => sample::offices::written(LEVELS[at], phase),
        };
        let path = folder.join(format!("{at}-{phase:?}.jsonl"));
        std::fs::write(&path, sample::to_jsonl_at(&lines, CODES[VILLAGE])).unwrap();
        let person = Person { name: "测试员".into(), role: POSTS[at].into() };
        let ask = Request::Import { path, ledger: String::new(), preview: false, person };
        offices[at].ask(&ask).unwrap_or_else(|error| panic!("{at} {phase:?}: {error}"));
        for (holder, office) in offices.iter().enumerate() {
            let of = lines.iter().filter(|line| holds(holder, at, phase, line.ledger));
            let wanted: Vec<&str> = of.map(|line| line.ledger).collect();
            office.wait("the sample", |office| {
                wanted.iter().all(|ledger| count(office, ledger) >= count(&offices[at], ledger))
            });
        }
    }
}

/// Whether an office holds what another wrote in a ledger: those above it do, and all of them a register and
/// what stands in the village's ledgers.
fn holds(holder: usize, writer: usize, phase: Phase, ledger: &str) -> bool {
    let ledger = catalogue().ledger(ledger).cloned().unwrap();
    holder <= writer || phase != Phase::Above || ledger.slice == SliceKind::Directive
}

fn catalogue() -> &'static Catalogue {
    static BASE: OnceLock<Catalogue> = OnceLock::new();
    BASE.get_or_init(|| parse(&taizhang_core::base_catalogue()).unwrap())
}

fn is_good(answer: &Answer) -> bool {
    answer.head.starts_with("HTTP/1.1 200")
}

/// One person at an office's pages, who notes how long they take.
struct Reader {
    pages: [Pages; 2],
    seen: usize,
    times: BTreeMap<&'static str, Vec<Duration>>,
}

impl Reader {
    /// A page in both languages; gives the Chinese one.
    fn page(&mut self, what: &'static str, path: &str) -> String {
        let [chinese, english] = [0, 1].map(|at| self.pages[at].get(path).unwrap());
        assert!(is_good(&chinese) && is_good(&english), "{path}: {}", chinese.head);
        self.seen += 2;
        self.times.entry(what).or_default().push(chinese.time);
        chinese.body
    }

    fn sheet(&mut self, path: &str) {
        let answer = self.pages[0].get(path).unwrap();
        assert!(is_good(&answer) && answer.body.starts_with("PK"), "{path}: {}", answer.head);
        self.seen += 1;
    }

    /// All that a ledger shows at an office of a level.
    fn ledger(&mut self, office: &Office, level: Level, ledger: &Ledger) {
        let id = &ledger.id;
        self.page("list", &format!("/ledgers/{id}"));
        let about = self.page("about", &format!("/ledgers/{id}/about"));
        for said in ledger.rules.iter().map(|rule| &rule.id).chain([&ledger.label.zh]) {
            assert!(about.contains(said.as_str()), "{id}: nothing of {said}");
        }
        if ledger.closed {
            for path in [format!("/ledgers/{id}/new"), format!("/ledgers/{id}/export")] {
                let answer = self.pages[0].get(&path).unwrap();
                assert!(!is_good(&answer), "{path} of a closed ledger");
            }
            return;
        }
        self.sheet(&format!("/ledgers/{id}/export"));
        // Rounds are planned on a page of their own, which pins what was held.
        if ledger.scope.contains(&level) && ledger.may_create(level) && id != "supervision_round" {
            let form = self.page("form", &format!("/ledgers/{id}/new"));
            let typed =
                |field: &&Field| field.write.contains(&level) && field.kind != FieldKind::Attach;
            for field in ledger.fields.iter().filter(typed) {
                assert!(form.contains(field.label.zh.as_str()), "{id}: no {}", field.id);
            }
        }
        for board in &ledger.boards {
            self.page("board", &format!("/boards/{id}/{}", board.id));
            self.sheet(&format!("/boards/{id}/{}?as=xlsx", board.id));
        }
        let rows = list(office, id);
        let Some(record) = rows["rows"][0]["record"].as_str() else { return };
        self.page("record", &format!("/records/{record}"));
        self.page("trace", &format!("/records/{record}/trace"));
        let own = ledger.forms.iter().map(|form| form.id.as_str());
        for form in own.chain(["record"]) {
            let paper = self.page("paper", &format!("/records/{record}/print/{form}"));
            let people = ["41149919", "41149920"];
            let printed = people.iter().any(|number| paper.contains(number));
            assert!(!printed, "{id} {form}: a number of a person is printed");
            self.sheet(&format!("/records/{record}/print/{form}?as=xlsx"));
        }
    }
}

fn reader(office: &Office) -> Reader {
    let sign_in = |lang| Pages::sign_in(&office.pages, "c", PASSWORD).unwrap().in_language(lang);
    Reader { pages: ["zh", "en"].map(sign_in), seen: 0, times: BTreeMap::new() }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Goal: every ledger of every system is at work at the level that keeps it: it takes records, lists, shows,
/// prints and exports them; what is closed does not; the boards that need no account show no person.
#[test]
fn every_ledger_takes_shows_prints_and_exports_records() {
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    fill(&offices, folder.path());
    let catalogue = catalogue();
    let held = |ledger: &Ledger| offices.iter().any(|office| count(office, &ledger.id) > 0);
    let made = ["report_filing", "supervision_round", "finding", "supervision_notice"];
    for ledger in catalogue.ledgers_for_people().filter(|ledger| !ledger.closed) {
        assert!(held(ledger) || made.contains(&ledger.id.as_str()), "{} has no record", ledger.id);
    }
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let mut seen = 0;
    for (office, level) in offices.iter().zip(LEVELS) {
        account_of(
            office,
            "c",
            POSTS[LEVELS.iter().position(|one| *one == level).unwrap()],
            Duty::Reviewer,
        );
        let mut reader = reader(office);
        let index = reader.page("ledgers", "/ledgers");
        for ledger in catalogue.ledgers_for_people() {
            assert!(index.contains(ledger.label.zh.as_str()), "{} is not listed", ledger.id);
            reader.ledger(office, level, ledger);
        }
        seen += reader.seen;
        for (what, found) in reader.times {
            times.entry(what).or_default().extend(found);
        }
        office.ask(&Request::Check { rollups: true }).unwrap();
    }
    println!("{} ledgers, {seen} pages and sheets", catalogue.ledgers_for_people().count());
    for (what, found) in times {
        println!("{what}: {} pages, median {:?}", found.len(), median(found.clone()));
    }
    boards_need_no_account(&offices[VILLAGE], catalogue);
}

/// Whoever has no account sees the public boards and nothing of persons on them.
fn boards_need_no_account(office: &Office, catalogue: &Catalogue) {
    let stranger = Pages::stranger(&office.pages);
    let index = stranger.get("/public").unwrap();
    assert!(is_good(&index));
    for ledger in catalogue.ledgers_for_people() {
        for board in &ledger.boards {
            let path = format!("/public/{}/{}", ledger.id, board.id);
            let answer = stranger.get(&path).unwrap();
            assert_eq!(is_good(&answer), board.public, "{path}");
            assert_eq!(index.body.contains(&path), board.public, "{path}");
            let refused = stranger.get(&format!("/boards/{}/{}", ledger.id, board.id)).unwrap();
            assert!(!is_good(&refused), "{path} beside its public address");
        }
    }
    let platform = stranger.get("/public/workshop/platform").unwrap().body;
    assert!(platform.contains("就业车间数据平台") && !platform.contains("郑广林"), "{platform}");
}
