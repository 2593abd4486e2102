//! What of the city's document works so far: `docs/COVERAGE.md` is made from the catalogue and the tests.
//!
//! `UPDATE_COVERAGE=1` writes it; without that a difference fails.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use taizhang_core::catalogue::Catalogue;
use taizhang_core::catalogue::parse::parse;

/// Systems that are no ledger of the catalogue: what does their work.
const BY_PROGRAM: [(&str, &str); 6] = [
    ("region_unit", "the tree: `sys_tree`, `sys_place_event`"),
    ("points_*", "`points_account`, `points_shop`, `points_goods`, `points_donation`"),
    (
        "signature",
        "steps with a role, each of an account of its own; they lapse with what they certify",
    ),
    ("policy_parameter", "`sys_policy`, the page 政策"),
    ("conflict_item", "conflicts of a row, the page 冲突"),
    ("access_log", "the audit: revealed, exported"),
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

/// Names of the test files that speak of something.
fn tests_of(tests: &[(String, String)], what: &str) -> String {
    let named = tests.iter().filter(|(name, text)| name != "coverage.rs" && text.contains(what));
    let names: BTreeSet<&str> = named.map(|(name, _)| name.as_str()).collect();
    names.into_iter().take(3).collect::<Vec<_>>().join(", ")
}

fn done_by(item: &Item, catalogue: &Catalogue, program: &[(String, String)]) -> Option<String> {
    let id = item.id.split(' ').next_back().unwrap();
    match item.kind.as_str() {
        "system" => {
            let by_program = BY_PROGRAM.iter().find(|(name, _)| *name == id);
            let ledger = catalogue.ledger(id).map(|ledger| match ledger.closed {
                true => format!("`{id}`, declared and closed"),
                false => format!("`{id}`"),
            });
            by_program.map(|(_, what)| (*what).to_owned()).or(ledger)
        }
        "rule" => {
            let declared = catalogue
                .ledgers
                .values()
                .find(|ledger| ledger.rules.iter().any(|rule| rule.id == id));
            let coded = program.iter().any(|(_, text)| text.contains(&format!("\"{id}\"")));
            let coded = coded.then(|| "the program".to_owned());
            declared.map(|ledger| format!("`{}`", ledger.id)).or(coded)
        }
        _ => catalogue.params.contains_key(id).then(|| "a parameter".to_owned()),
    }
}

fn coverage() -> String {
    let catalogue = parse(&taizhang_core::base_catalogue()).unwrap();
    let tests = ["conflict-tests/src", "conflict-tests/tests", "core/src", "node/src"];
    let tests = sources(&[&tests[..], &["core/catalogue/cases"]].concat());
    let program = sources(&["core/src", "node/src"]);
    let mut text = String::from(
        "# What of the document works so far\n\nMade from the catalogue, the sources and \
         `conflict-tests/data/document.csv` by `UPDATE_COVERAGE=1 cargo test -p conflict-tests --test it coverage`; \
         a test fails if it is out of date. A system counts when its ledger is declared with fields, rules and \
         papers; what needs a ledger that is not there yet is left out. Rules are shown by their cases in \
         `core/catalogue/cases`, whose files stand under tests.\n",
    );
    let items = items();
    for (kind, title) in [("system", "Systems"), ("rule", "Rules"), ("param", "Parameters")] {
        let all: Vec<&Item> = items.iter().filter(|item| item.kind == kind).collect();
        let done = |item: &&&Item| done_by(item, &catalogue, &program).is_some();
        let count = all.iter().filter(done).count();
        writeln!(text, "\n## {title}: {count} of {}\n", all.len()).unwrap();
        text.push_str("| | 名称 | clause | by | tests |\n|---|---|---|---|---|\n");
        for item in all {
            let by = done_by(item, &catalogue, &program);
            let id = item.id.split(' ').next_back().unwrap();
            let tested = by.as_ref().map(|_| tests_of(&tests, &format!("\"{id}\"")));
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                item.id,
                item.name.replace('|', "/"),
                item.clause,
                by.as_deref().unwrap_or("not yet"),
                tested.unwrap_or_default()
            )
            .unwrap();
        }
    }
    text
}

/// Goal: the page that says what works is true.
#[test]
fn the_coverage_page_is_up_to_date() {
    let path = root().join("docs/COVERAGE.md");
    let made = coverage();
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/COVERAGE.md is out of date: run with UPDATE_COVERAGE=1");
    for line in made.lines().filter(|line| line.starts_with("## ")) {
        println!("{line}");
    }
}
