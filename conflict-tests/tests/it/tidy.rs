//! Repository rules: non-functional properties of the code itself, as a test.

use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;
const CRATES: [&str; 5] = ["core", "proto", "node", "hub", "conflict-tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|one| one == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for name in CRATES {
        files(&root().join(name), "rs", &mut found);
    }
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_owned(), text)
        })
        .collect()
}

fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn files_stay_short_and_open_with_what_they_are() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = code(&text).lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //!", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_stay_within_seventy_lines() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = code(&text).lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let trimmed = line.trim_start();
            let indent = line.len() - trimmed.len();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
            ];
            if !starts.iter().any(|start| trimmed.starts_with(start)) {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let end = lines[at..].iter().position(|line| *line == close).unwrap_or(0);
            if end + 1 > FUNCTION_LINES_MAX {
                wrong.push(format!("{}:{}: {} lines", path.display(), at + 1, end + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sql_clocks_and_protobuf_stand_in_their_rooms_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let name = path.to_string_lossy().replace('\\', "/");
        let product = !name.starts_with("conflict-tests");
        let in_store = name.starts_with("node/src/store");
        if product && !in_store && text.contains("rusqlite::") {
            wrong.push(format!("{name}: SQL outside store/"));
        }
        let in_wire = name.starts_with("node/src/transport") || name.starts_with("proto");
        let carrier = name == "node/src/driver/link.rs";
        if product && !in_wire && !carrier && text.contains("taizhang_proto::") {
            wrong.push(format!("{name}: protobuf outside transport/"));
        }
        if product && name != "node/src/driver/clock.rs" && text.contains("SystemTime::now") {
            wrong.push(format!("{name}: reads the clock"));
        }
        for word in ["TODO", "FIXME", concat!("todo", "!("), concat!("unimplemented", "!(")] {
            if name != "conflict-tests/tests/it/tidy.rs" && text.contains(word) {
                wrong.push(format!("{name}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_file_is_listed_and_every_template_has_its_page() {
    let folder = root().join("conflict-tests/tests/it");
    let list = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(name == "main" || list.contains(&format!("mod {name};")), "{name} is not listed");
    }
    let mut pages = Vec::new();
    files(&root().join("node/src/web"), "rs", &mut pages);
    // A page, or a part of another template.
    files(&root().join("node/templates"), "html", &mut pages);
    let pages: String = pages.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for entry in std::fs::read_dir(root().join("node/templates")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let used = pages.contains(&format!("path = \"{name}\""))
            || pages.contains(&format!("include \"{name}\""))
            || ["base.html", "plain.html"].contains(&name.as_str());
        assert!(used, "template {name} has no page");
    }
}

/// Released migrations are never edited; the next number is written instead.
#[test]
fn released_migrations_are_unchanged() {
    let released = [
        ("ledger_0001.sql", "0ab210f3101dfc11084847d88b4049323320b4fb83ce7e17d8d59e2ab678e390"),
        ("ledger_0004.sql", "c6124ace517b9e05cdb128f57a48c8ae8db37c0fde14e711564cb07252febfd7"),
        ("ledger_0003.sql", "c28f7ca6a5f432565dcb0dc0d72e1689394d0cc8534c533485107603f9489d3d"),
        ("ledger_0002.sql", "b6dd896ec97deefc0db9cdcc20061afc84439aece0969fdbfbb0d52cc489bb55"),
        ("ledger_0005.sql", "15579e3ff2e0f2e3a110aafb0b77cebc10fdb695b7d200946cb47647a1a0798b"),
    ];
    for (name, hash) in released {
        let text = std::fs::read(root().join("node/migrations").join(name)).unwrap();
        assert_eq!(blake3::hash(&text).to_hex().as_str(), hash, "{name} was edited");
    }
}

/// Words that the glossary replaces by others.
#[test]
fn pages_and_docs_use_the_glossarys_words() {
    let mut texts = Vec::new();
    for folder in ["docs", "node/templates", "node/messages"] {
        for extension in ["md", "html", "toml"] {
            files(&root().join(folder), extension, &mut texts);
        }
    }
    for path in texts {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["懒汉", "master/slave", "黑名单"] {
            let allowed = path.ends_with("GLOSSARY.md");
            assert!(allowed || !text.contains(word), "{}: {word}", path.display());
        }
    }
}

/// Ledgers that code beyond the catalogue knows, as `docs/ARCHITECTURE.md` lists them with the reason.
const CODED: [&str; 9] = [
    "finding",
    "household_member",
    "implementation_plan_filing",
    "poor_household",
    "problem_ticket",
    "report_filing",
    "supervision_notice",
    "supervision_round",
    "work_calendar",
];

/// Goal: a ledger is data. Code names none but those that are listed with their reason.
#[test]
fn code_names_no_ledger_but_those_listed() {
    let catalogue =
        taizhang_core::catalogue::parse::parse(&taizhang_core::base_catalogue()).unwrap();
    let mut found = std::collections::BTreeSet::new();
    for (path, text) in sources() {
        let path = path.display().to_string();
        // The list of files is no code about any of them; `workshop` is also one of the document's opinions.
        let inside = path.contains("core/src") || path.contains("node/src");
        if !inside || path.ends_with("base.rs") || path.contains("/tests") {
            continue;
        }
        for ledger in catalogue.ledgers_for_people() {
            let quoted = code(&text).contains(&format!("\"{}\"", ledger.id));
            if quoted && !(ledger.id == "workshop" && path.ends_with("home.rs")) {
                found.insert(ledger.id.clone());
            }
        }
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), CODED);
    let page = std::fs::read_to_string("../docs/ARCHITECTURE.md").unwrap();
    for ledger in CODED {
        assert!(page.contains(&format!("`{ledger}`")), "{ledger} has no reason");
    }
}
