//! Data folders of every released format, kept and opened: formats stay readable.
//!
//! `UPDATE_FIXTURE=1` writes the folder of a format that has none, and the hashes of every folder under
//! the folds of this program (`FOLD_VERSION`); data of released formats are never rewritten.

use std::path::{Path, PathBuf};

use conflict_tests::world::{World, copy};
use serde_json::{Value, json};
use taizhang_node::driver::machine::outside;
use taizhang_node::engine::Engine;
use taizhang_node::identity::keys::Identity;

fn folder(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/format-{format}"))
}

fn write(target: &Path) {
    let mut world = World::new(2018, 4, None);
    let record = world.household(3, "张三");
    world.settle(500);
    let link = world.link_of(3);
    world.set_link(link, false);
    world.set(3, record, "household_kind", "low_income");
    world.set(2, record, "household_kind", "five_guarantee");
    world.set_link(link, true);
    world.settle(2000);
    let identity = world.engine(3).identity.clone();
    let from = world.replicas[3].folder.clone();
    world.crash(3);
    std::fs::create_dir_all(target).unwrap();
    std::fs::copy(from.join("ledger.db"), target.join("ledger.db")).unwrap();
    identity.save(target).unwrap();
}

/// A copy of a kept folder, opened.
fn open(format: u32) -> (tempfile::TempDir, Engine) {
    let temporary = tempfile::tempdir().unwrap();
    copy(&folder(format), temporary.path());
    let identity = Identity::load(temporary.path()).unwrap();
    let now = conflict_tests::world::START.plus(60_000);
    let engine = Engine::open(temporary.path(), identity, outside(temporary.path()), now).unwrap();
    (temporary, engine)
}

fn write_hashes(format: u32) {
    let (_temporary, engine) = open(format);
    let mut hashes = Vec::new();
    for slice in engine.slices() {
        let hash = engine.store.slice_hash(slice).unwrap();
        hashes.push(json!({"slice": slice.to_string(), "hash": hash}));
    }
    let text = serde_json::to_string_pretty(&hashes).unwrap();
    std::fs::write(folder(format).join("hashes.json"), text).unwrap();
}

/// Goal: a data folder of every released format opens, is sound, and projects to the same hashes.
#[test]
fn data_folders_of_every_format_open_with_the_same_hashes() {
    for format in 1..=1 {
        if std::env::var_os("UPDATE_FIXTURE").is_some() {
            if !folder(format).exists() {
                write(&folder(format));
            }
            write_hashes(format);
        }
        let (temporary, engine) = open(format);
        let text = std::fs::read_to_string(temporary.path().join("hashes.json")).unwrap();
        let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(expected.len() > 3);
        for one in expected {
            let slice = one["slice"].as_str().unwrap().parse().unwrap();
            let found = engine.store.slice_hash(slice).unwrap().to_string();
            assert_eq!(one["hash"], found.as_str(), "format {format}, {slice}");
        }
        let (segments, problems) = engine.store.check_segments().unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        println!("format {format}: {segments} segments");
    }
}
