//! A reference multi-value register: what must be visible of every field, computed from what each
//! writer had on its screen when it wrote.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OpenFlags};
use taizhang_core::id::{Level, RecordId};

use super::{holders, may_hold_ledger};
use crate::world::{Node, World};

struct Write {
    value: String,
    level: Level,
    gone: bool,
}

/// All fields that the workload wrote.
#[derive(Default)]
pub struct Registers {
    fields: BTreeMap<(RecordId, &'static str), (u8, Vec<Write>)>,
    created: Vec<(RecordId, u8)>,
}

/// What a replica shows of a field: the value and every candidate of its conflict.
pub fn shown(world: &World, node: Node, record: RecordId, field: &str) -> Option<BTreeSet<String>> {
    of(&world.replicas[node], record, field)
}

fn of(replica: &crate::world::Replica, record: RecordId, field: &str) -> Option<BTreeSet<String>> {
    let path = replica.folder.join("derived.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let sql = "SELECT row FROM record WHERE record = ?1";
    let text: String = db.query_row(sql, [record.0], |row| row.get(0)).ok()?;
    let row: serde_json::Value = serde_json::from_str(&text).ok()?;
    let mut values = BTreeSet::new();
    values.extend(as_text(&row["fields"][field]));
    for conflict in row["conflicts"].as_array().into_iter().flatten() {
        if conflict["field"] == field {
            for candidate in conflict["candidates"].as_array().into_iter().flatten() {
                values.extend(as_text(&candidate["value"]));
            }
        }
    }
    Some(values)
}

fn as_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

impl Registers {
    /// Notes an acknowledged creation in the ledger slice of a place.
    pub fn created(&mut self, record: RecordId, place: u8) {
        self.created.push((record, place));
    }

    /// Notes an acknowledged write, given what its writer saw before. DESIGN §3: a write over one
    /// value replaces it; over several it settles them, below the level that decides (the township
    /// here) only those of its own level.
    pub fn wrote(
        &mut self,
        key: (RecordId, &'static str),
        place: u8,
        value: &str,
        level: Level,
        seen: &BTreeSet<String>,
    ) {
        let (_, writes) = self.fields.entry(key).or_insert_with(|| (place, Vec::new()));
        let decides = seen.len() < 2 || level >= Level::Township;
        for write in writes.iter_mut().filter(|write| seen.contains(&write.value)) {
            write.gone |= decides || write.level == level;
        }
        writes.push(Write { value: value.to_owned(), level, gone: false });
    }

    /// How many acknowledged edits are judged.
    pub fn len(&self) -> usize {
        self.created.len() + self.fields.values().map(|(_, writes)| writes.len()).sum::<usize>()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn judge(&self, world: &World, broken: &mut Vec<String>) {
        for (record, place) in &self.created {
            for replica in holders(world, *place) {
                let name = of(replica, *record, "head_name");
                if name.is_none_or(|shown| shown.is_empty()) {
                    broken.push(format!("{} lost the acknowledged record {record}", replica.name));
                }
            }
        }
        for ((record, field), (place, writes)) in &self.fields {
            let left = writes.iter().filter(|write| !write.gone);
            let expected: BTreeSet<String> = left.map(|write| write.value.clone()).collect();
            for replica in holders(world, *place) {
                let found = of(replica, *record, field).unwrap_or_default();
                // Two clones that heal apart may both write a value again; one that somebody has replaced
                // since can then show once more (decision 0007). Nothing else may, and nothing may go.
                let may =
                    world.copied.iter().any(|(_, office)| may_hold_ledger(world, *office, *place));
                let known = found.iter().all(|one| writes.iter().any(|write| write.value == *one));
                let again = may && known && found.is_superset(&expected);
                if found != expected && !again {
                    broken.push(format!(
                        "{}: {field} of {record} shows {found:?}, the register says {expected:?}",
                        replica.name
                    ));
                }
            }
        }
    }
}
