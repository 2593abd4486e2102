//! The fold against Automerge itself: equal visible values on random histories.

use std::collections::BTreeMap;

use automerge::{AutoCommit, Change, ROOT, ReadDoc as _, ScalarValue, Value as AmValue};
use conflict_tests::chance::Dice;
use taizhang_core::catalogue::parse::{Part, parse};
use taizhang_core::directives::SYSTEM_CATALOGUE;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{AuthorId, Epoch, Level, PlaceId, SealKey};
use taizhang_core::record::change::scan;
use taizhang_core::record::edit::{compose, creation};
use taizhang_core::record::fold::fold;
use taizhang_core::record::log::{JoinError, Origin, RecordLog};
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;

const FIELDS: [&str; 3] = ["head_name", "phone", "address"];

struct Peer {
    author: AuthorId,
    log: RecordLog,
    held: Vec<Vec<u8>>,
}

impl Peer {
    fn new(byte: u8) -> Self {
        let author = AuthorId { key: SealKey([byte; 32]), epoch: Epoch([byte; 16]) };
        Self { author, log: RecordLog::default(), held: Vec::new() }
    }

    fn take(&mut self, author: AuthorId, bytes: &[u8], lamport: u64) -> bool {
        let scanned = scan(bytes).expect("honest changes pass the prescan");
        match self.log.check(&scanned) {
            Ok(deps) => {
                let origin = Origin {
                    author,
                    level: Level::City,
                    place: PlaceId::default(),
                    lamport,
                    time: UtcMillis(1000),
                    person: Person::default(),
                    arrival: None,
                    counted: true,
                };
                self.log.push(scanned, deps, origin);
                self.held.push(bytes.to_vec());
                true
            }
            Err(JoinError::Held) => true,
            Err(JoinError::MissingDependency) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Visible values of every field by Automerge.
fn automerge_values(changes: &[Vec<u8>]) -> BTreeMap<&'static str, Vec<String>> {
    let mut doc = AutoCommit::new();
    let changes: Vec<Change> =
        changes.iter().map(|bytes| Change::from_bytes(bytes.clone()).unwrap()).collect();
    doc.apply_changes(changes).unwrap();
    let mut found = BTreeMap::new();
    for field in FIELDS {
        let mut values: Vec<String> = doc
            .get_all(ROOT, field)
            .unwrap()
            .into_iter()
            .filter_map(|(value, _)| match value {
                AmValue::Scalar(scalar) => match scalar.as_ref() {
                    ScalarValue::Str(text) => Some(text.to_string()),
                    _ => None,
                },
                AmValue::Object(_) => None,
            })
            .collect();
        values.sort();
        values.dedup();
        found.insert(field, values);
    }
    found
}

/// Goal: the fold shows exactly the values that Automerge shows.
/// Method: three authors edit and delete three fields with partial merges, 300 histories; no void
/// entries and every author at the resolving level, as DESIGN §3 excepts those.
#[test]
fn the_fold_equals_automerge_on_random_histories() {
    let mut parts = vec![Part { name: "system".into(), source: SYSTEM_CATALOGUE.into() }];
    parts.extend(taizhang_core::base_catalogue());
    let catalogue = parse(&parts).expect("the catalogue is sound");
    let ledger = catalogue.ledger("poor_household").unwrap();
    let (mut judged, mut conflicted) = (0, 0);
    for seed in 0..300 {
        let mut dice = Dice::new(seed, "laws");
        let mut peers: Vec<Peer> = (1..=3).map(Peer::new).collect();
        let first = peers[0].author;
        let genesis = compose(
            &RecordLog::default(),
            first.actor(),
            UtcMillis(1000),
            &[creation("poor_household"), ("head_name".into(), Some("v0".into()))],
        )
        .unwrap();
        for peer in &mut peers {
            peer.take(first, &genesis, 1);
        }
        let mut all = vec![(first, genesis, 1)];
        for step in 1..=25_u64 {
            let at = dice.index(peers.len());
            if dice.percent(40) {
                let from = dice.index(all.len());
                for (author, bytes, lamport) in &all[..=from] {
                    peers[at].take(*author, bytes, *lamport);
                }
                continue;
            }
            let field = FIELDS[dice.index(FIELDS.len())];
            let value = (!dice.percent(15)).then(|| Value::from(format!("v{step}")));
            let author = peers[at].author;
            let write = [(field.to_owned(), value)];
            if let Ok(bytes) = compose(&peers[at].log, author.actor(), UtcMillis(1000), &write) {
                assert!(peers[at].take(author, &bytes, step));
                all.push((author, bytes, step));
            }
        }
        for peer in &mut peers {
            for (author, bytes, lamport) in &all {
                assert!(peer.take(*author, bytes, *lamport), "causal order");
            }
            let expected = automerge_values(&peer.held);
            let row = fold(&peer.log, ledger).unwrap();
            for field in FIELDS {
                let mut shown: Vec<String> = row
                    .conflicts
                    .iter()
                    .filter(|one| one.field == field)
                    .flat_map(|one| one.candidates.iter().map(|one| one.value.to_string()))
                    .collect();
                if shown.is_empty() {
                    shown.extend(row.fields.get(field).map(Value::to_string));
                } else {
                    conflicted += 1;
                }
                shown.sort();
                shown.dedup();
                assert_eq!(shown, expected[field], "seed {seed}, field {field}");
                judged += 1;
            }
        }
        let rows: Vec<_> = peers.iter().map(|peer| fold(&peer.log, ledger).unwrap()).collect();
        assert!(rows.iter().all(|row| row.to_text() == rows[0].to_text()), "seed {seed}: one row");
    }
    println!("{judged} fields judged, {conflicted} of them conflicted");
    assert!(conflicted > 50);
}
