//! What of the city's document works so far: `docs/COVERAGE.md` is made from the catalogue and the tests.
//!
//! `UPDATE_COVERAGE=1` writes it; without that a difference fails.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use taizhang_core::catalogue::Catalogue;
use taizhang_core::catalogue::parse::parse;

/// What is done by the program rather than by a ledger or rule of the catalogue: the item, how, and the test
/// that shows it.
const BY_PROGRAM: &[(&str, &str, &str)] = &[
    ("region_unit", "the tree: `sys_tree`, `sys_place_event`", "s08_a_village_is_merged"),
    (
        "points_*",
        "`points_account`, `points_shop`, `points_goods`, `points_donation`",
        "s06_points_redeemed_twice",
    ),
    ("workshop_platform", "the public board of `workshop`", "boards_need_no_account"),
    (
        "signature",
        "steps with a role, each of an account of its own; they lapse with what they certify",
        "s18_signed_then_changed",
    ),
    ("policy_parameter", "`sys_policy`, the page 政策", "a_version_goes_from_its_draft"),
    ("conflict_item", "conflicts of a row, the page 冲突", "every_scenario_has_its_test"),
    ("node_status", "receipts and links, the page 节点", "silent_offices_come_first"),
    ("access_log", "the audit: revealed, exported, printed", "sensitive_data_show_by_duty"),
    ("R-REG-01", "events of places are refused, the page 节点 lists", "codes_of_the_tree_nest"),
    ("R-REG-02", "events of places are refused, the page 节点 lists", "codes_of_the_tree_nest"),
    ("R-REG-03", "the page 节点 lists", "a_place_that_ends_has_a_successor"),
    ("R-PAR-01", "a version is refused", "every_parameter_reaches_the_village"),
    ("R-PAR-02", "the page 节点 lists", "versions_that_overlap_or_leave_a_gap"),
    (
        "R-PLN-02",
        "the page 节点 lists, and `implementation_plan_filing`",
        "what_a_county_sets_stands_in_a_plan",
    ),
    ("R-SYN-01", "the page 节点 lists", "silent_offices_come_first"),
    ("R-SYN-02", "the page 节点 lists", "a_clock_may_differ_by_as_much"),
    ("R-PRV-01", "the page 节点 lists", "a_day_of_many_looks_is_named"),
    ("R-PRV-02", "`small.rs`: pages, reports and exports", "masks_are_those_of_the_pages"),
    ("R-RPT-04", "补报 of reports, days of grace", "a_report_waits_for_the_days_of_grace"),
    ("R-QUA-01", "`patterns.rs`: reports and rounds", "what_strikes_before_a_freeze"),
    ("monthly_report_roll", "`report/due.rs`", "a_day_of_rest_stays_or_rolls"),
    ("late_data_grace_days", "`report/freeze.rs`", "a_report_waits_for_the_days_of_grace"),
    ("sync_silence_days", "`health.rs`", "silent_offices_come_first"),
    ("max_clock_skew_minutes", "`office_rules.rs`", "a_clock_may_differ_by_as_much"),
    ("small_cell_min", "`small.rs`", "masks_are_those_of_the_pages"),
    ("poor_county_exit_target", "beside `are_poor_exited` of R05", "every_report_can_be_made"),
];

/// What every item of a kind is shown by.
const SHOWN: [(&str, &str); 4] = [
    ("system", "every_ledger_takes_shows_prints_and_exports_records"),
    ("param", "every_parameter_reaches_the_village_and_keeps_its_bounds"),
    ("report", "every_report_can_be_made"),
    ("rule", "every_rule_of_the_program_has_its_cases"),
];

struct Item {
    kind: String,
    id: String,
    name: String,
    clause: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn items() -> Vec<Item> {
    let path = root().join("conflict-tests/data/document.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let item = |record: csv::StringRecord| {
        let cell = |at: usize| record[at].to_owned();
        Item { kind: cell(0), id: cell(1), name: cell(2), clause: cell(3) }
    };
    reader.records().map(|record| item(record.unwrap())).collect()
}

/// Sources below some folders: name and text.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|one| one == "rs" || one == "toml") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The file in which a test stands, or the cases of a rule; none if there is no such test.
fn file_of(tests: &[(String, String)], what: &str) -> Option<String> {
    let marks = [format!("fn {what}"), format!("    {what}"), format!("rule = \"{what}\"")];
    let holds = |text: &str| marks.iter().any(|mark| text.contains(mark.as_str()));
    tests.iter().find(|(_, text)| holds(text)).map(|(name, _)| name.clone())
}

/// Who reads a parameter: rules, steps, fields and reports.
fn readers(catalogue: &Catalogue, param: &str) -> Vec<String> {
    let mut found = Vec::new();
    for ledger in catalogue.ledgers.values() {
        let rules = ledger.rules.iter().filter(|rule| rule.params.iter().any(|id| id == param));
        found.extend(rules.map(|rule| rule.id.clone()));
        let caps = ledger.workflow.iter().flat_map(|flow| &flow.transitions);
        let caps = caps.filter_map(|step| step.spend.as_ref()?.cap.as_deref());
        let bounds = ledger.fields.iter().filter_map(|field| field.unconfirmed.as_ref());
        let due = ledger.due.iter().filter_map(|due| due.workdays.as_deref());
        let mut named = caps.chain(bounds.map(|one| one.param.as_str())).chain(due);
        found.extend(named.any(|id| id == param).then(|| format!("`{}`", ledger.id)));
    }
    for report in catalogue.reports.values() {
        let ranks = report.tables.iter().filter_map(|table| table.rank.as_ref());
        let mut named = ranks.map(|rank| rank.param.as_str()).chain(report.due_day.as_deref());
        found.extend(named.any(|id| id == param).then(|| report.id.clone()));
    }
    found.truncate(4);
    found
}

/// How an item of the document works, and the test that shows it; none if it does not.
fn done(
    item: &Item,
    catalogue: &Catalogue,
    tests: &[(String, String)],
) -> Option<(String, String)> {
    let id = item.id.split(' ').next_back()?;
    let test = |name: &str| Some(format!("{name} ({})", file_of(tests, name)?));
    if let Some((_, how, shows)) = BY_PROGRAM.iter().find(|(name, ..)| *name == id) {
        return Some(((*how).to_owned(), test(shows)?));
    }
    let shown = SHOWN.iter().find(|(kind, _)| *kind == item.kind).map_or("", |(_, name)| name);
    match item.kind.as_str() {
        "system" => {
            let ledger = catalogue.ledger(id)?;
            let closed = if ledger.closed { ", declared and closed" } else { "" };
            Some((format!("`{id}`{closed}"), test(shown)?))
        }
        "rule" => {
            let has = |ledger: &&std::sync::Arc<taizhang_core::catalogue::Ledger>| {
                ledger.rules.iter().any(|rule| rule.id == id)
            };
            let ledger = catalogue.ledgers.values().find(has)?;
            Some((format!("`{}`", ledger.id), format!("cases/{}", file_of(tests, id)?)))
        }
        "param" => {
            let ids: Vec<&str> = id.split('+').collect();
            ids.iter().all(|id| catalogue.params.contains_key(*id)).then_some(())?;
            let read: Vec<String> = ids.iter().flat_map(|id| readers(catalogue, id)).collect();
            (!read.is_empty()).then(|| Some((read.join(", "), test(shown)?)))?
        }
        "report" => {
            let report = catalogue.reports.get(id)?;
            let counts = (report.tables.len(), report.lists.len());
            Some((format!("{} tables, {} lists", counts.0, counts.1), test(shown)?))
        }
        "scenario" => {
            let name = format!("s{:02}_", id.parse::<u32>().ok()?);
            Some((String::new(), test(&name)?.replace("_ (", "… (")))
        }
        _ => {
            let shows: Option<Vec<String>> = item.clause.split('+').map(test).collect();
            Some((String::new(), shows?.join(", ")))
        }
    }
}

fn coverage() -> (String, Vec<String>) {
    let catalogue = parse(&taizhang_core::base_catalogue()).unwrap();
    let folders = [
        "conflict-tests/src",
        "conflict-tests/tests",
        "core/src",
        "core/catalogue/cases",
        "hub/src",
        "node/src",
    ];
    let mut tests = sources(&folders);
    tests.retain(|(name, _)| name != "coverage.rs");
    let mut text = String::from(
        "# What of the document works\n\nMade from the catalogue, the sources and \
         `conflict-tests/data/document.csv` by `UPDATE_COVERAGE=1 cargo test -p conflict-tests --test it coverage`; \
         a test fails if it is out of date, or if anything lacks its clause or its test. [conv] and [design] mark \
         what the document leaves open and this project decided.\n",
    );
    let (items, mut lacking) = (items(), Vec::new());
    for (kind, title) in [
        ("system", "Systems"),
        ("rule", "Rules"),
        ("param", "Parameters"),
        ("report", "Reports"),
        ("scenario", "Scenarios"),
        ("case", "Boundary cases"),
    ] {
        let all: Vec<&Item> = items.iter().filter(|item| item.kind == kind).collect();
        let found: Vec<_> = all.iter().map(|item| done(item, &catalogue, &tests)).collect();
        let count = found.iter().flatten().count();
        writeln!(text, "\n## {title}: {count} of {}\n", all.len()).unwrap();
        text.push_str("| | 名称 | clause | by | shown by |\n|---|---|---|---|---|\n");
        for (item, found) in all.into_iter().zip(found) {
            if found.is_none() || item.clause.is_empty() {
                lacking.push(item.id.clone());
            }
            let (by, shown) = found.unwrap_or_else(|| ("not yet".to_owned(), String::new()));
            let clause = if kind == "case" { "Appendix C" } else { &item.clause };
            let name = item.name.replace('|', "/");
            writeln!(text, "| {} | {name} | {clause} | {by} | {shown} |", item.id).unwrap();
        }
    }
    (text, lacking)
}

/// Goal: the page that says what works is true.
#[test]
fn the_coverage_page_is_up_to_date() {
    let path = root().join("docs/COVERAGE.md");
    let (made, lacking) = coverage();
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/COVERAGE.md is out of date: run with UPDATE_COVERAGE=1");
    assert!(lacking.is_empty(), "without a clause, or not shown by a test: {lacking:?}");
    for line in made.lines().filter(|line| line.starts_with("## ")) {
        println!("{line}");
    }
}
