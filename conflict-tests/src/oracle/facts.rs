//! What a replica shows, read with SQL of our own: rows, findings that do not depend on today, and
//! conflict ids, as text.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use taizhang_core::id::{RecordId, hex};

/// Facts by name.
#[derive(Debug, Default)]
pub struct Facts(pub BTreeMap<String, String>);

impl Facts {
    /// Rules that failed on a record.
    pub fn failed_of(&self, id: RecordId) -> Vec<String> {
        let of = |start: String| {
            let found = self
                .0
                .iter()
                .filter(move |(key, value)| key.starts_with(&start) && *value == "failed");
            found.filter_map(|(key, _)| key.rsplit(' ').next().map(str::to_owned))
        };
        of(format!("finding {id} ")).chain(of(format!("dated finding {id} "))).collect()
    }
}

/// Reads the facts of a data folder.
///
/// # Panics
///
/// If it is none.
pub fn facts(folder: &Path) -> Facts {
    let db =
        Connection::open_with_flags(folder.join("derived.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("derived.db");
    let mut facts = BTreeMap::new();
    let sql = "SELECT record, row FROM record WHERE row <> ''";
    let mut query = db.prepare(sql).expect("own SQL");
    let rows = query
        .query_map([], |row| Ok((hex(&row.get::<_, Vec<u8>>(0)?), row.get::<_, String>(1)?)))
        .expect("own SQL");
    for (record, text) in rows.flatten() {
        let row: serde_json::Value = serde_json::from_str(&text).expect("a row is JSON");
        for conflict in row["conflicts"].as_array().into_iter().flatten() {
            let id = conflict["id"].as_str().unwrap_or_default();
            facts.insert(format!("conflict {record} {id}"), conflict["kind"].to_string());
        }
        facts.insert(format!("row {record}"), text);
    }
    let sql = "SELECT record, rule, outcome, dated FROM finding";
    let mut query = db.prepare(sql).expect("own SQL");
    let rows = query
        .query_map([], |row| {
            let record = hex(&row.get::<_, Vec<u8>>(0)?);
            let dated = if row.get(3)? { "dated " } else { "" };
            Ok((format!("{dated}finding {record}"), row.get::<_, String>(1)?, row.get(2)?))
        })
        .expect("own SQL");
    for (name, rule, outcome) in rows.flatten() {
        facts.insert(format!("{name} {rule}"), outcome);
    }
    let sql = "SELECT hex(place), indicator, value FROM rollup WHERE value <> 0";
    let mut query = db.prepare(sql).expect("own SQL");
    let rows = query
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })
        .expect("own SQL");
    for (place, indicator, value) in rows.flatten() {
        facts.insert(format!("rollup {place} {indicator}"), value.to_string());
    }
    Facts(facts)
}
