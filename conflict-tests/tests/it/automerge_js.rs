//! A reader that is not ours: Automerge's own JavaScript package opens exported documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use conflict_tests::plan::{Profile, plan};
use conflict_tests::player::Player;
use taizhang_core::catalogue::{FieldKind, Ledger, Merge};
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{Level, PlaceId, RecordId, SliceId};
use taizhang_core::record::edit::document;
use taizhang_core::record::fold::{Row, fold};

use crate::grpc_client::skipped;

const COUNTY: usize = 1;

/// Where `deploy/install-test-tools` puts the package.
fn package() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/automerge-js");
    folder.join("node_modules/@automerge/automerge").is_dir().then_some(folder)
}

/// Every value of a field that the fold shows: the shown one and the candidates.
fn values(row: &Row, field: &str) -> BTreeSet<String> {
    let conflicts = row.conflicts.iter().filter(|one| one.field == field);
    let candidates = conflicts.flat_map(|one| &one.candidates).map(|one| one.value.to_string());
    candidates.chain(row.fields.get(field).map(ToString::to_string)).collect()
}

/// What a reader that knows no levels must find: the fold with every level deciding.
fn expected(row: &Row, ledger: &Ledger) -> BTreeMap<String, BTreeSet<String>> {
    let scalar = |kind: &FieldKind| !matches!(kind, FieldKind::Log(_) | FieldKind::Set(_));
    let all = ledger.fields.iter().filter(|field| {
        scalar(&field.kind) && matches!(field.merge, Merge::Conflict | Merge::Fixed | Merge::Own)
    });
    let sets = all.map(|field| (field.id.clone(), values(row, &field.id)));
    sets.filter(|(_, values)| !values.is_empty()).collect()
}

fn raw_changes(world: &conflict_tests::world::World, record: RecordId) -> Vec<Vec<u8>> {
    let path = world.replicas[COUNTY].folder.join("ledger.db");
    let db = rusqlite::Connection::open(path).unwrap();
    let mut query = db.prepare("SELECT plain FROM segment ORDER BY arrival").unwrap();
    let plain = query.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let segments = plain.flatten().filter_map(|plain| Segment::from_plain(&plain).ok());
    let entries = segments.flat_map(|segment| segment.entries);
    let changes = entries.flat_map(|entry| entry.changes);
    changes.filter(|change| change.record == record).map(|change| change.bytes).collect()
}

/// Goal: an exported document opens with Automerge's JavaScript package and shows, per field, the set of
/// values that the fold shows (levels, `min` and `max` aside).
/// Method: records of calm seeds in which offices write apart, as the county holds them.
#[test]
fn automerges_own_javascript_shows_the_same_values() {
    let Some(package) = package() else {
        skipped("node with @automerge/automerge");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut documents, mut conflicts) = (0, 0);
    for seed in 0..12 {
        let mut plan = plan(seed, Profile::Calm);
        plan.offices = 6;
        let mut player = Player::new(seed, &plan, None);
        for _ in 0..60 {
            player.work();
            player.world.step();
        }
        for index in 0..player.world.links.len() {
            player.world.set_link(index, true);
        }
        assert!(player.world.settle(20_000));
        for known in player.records.clone() {
            let slice = SliceId::ledger(PlaceId([known.place; 8]));
            let engine = player.world.engine(COUNTY);
            let mut ledger = Ledger::clone(&engine.directives.catalogue.ledgers[known.ledger]);
            ledger.fields.iter_mut().for_each(|field| field.resolve = Level::Village);
            let Some(found) = engine.store.record(slice, known.id).unwrap() else { continue };
            let row = fold(&found.log, &ledger).unwrap();
            let bytes = document(raw_changes(&player.world, known.id)).unwrap();
            let expected = expected(&row, &ledger);
            conflicts += expected.values().filter(|values| values.len() > 1).count();
            let name = folder.path().join(format!("{seed}-{}", known.id));
            std::fs::write(name.with_extension("automerge"), bytes).unwrap();
            std::fs::write(name.with_extension("json"), serde_json::to_vec(&expected).unwrap())
                .unwrap();
            documents += 1;
        }
    }
    let output = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/automerge_js.mjs"))
        .arg(package.join("package.json"))
        .arg(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{documents} documents, {conflicts} fields with several values; {text}");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(documents > 100 && conflicts > 3, "{documents} documents, {conflicts} conflicts");
}
