//! The judges. They share no code with what they judge: own topology, own SQL, own register.

pub mod facts;
pub mod register;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use taizhang_core::id::{Hash, SliceKind};

use crate::world::{Node, OFFICES, World};

fn open(folder: &Path, file: &str) -> Option<Connection> {
    Connection::open_with_flags(folder.join(file), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
}

/// Whether a segment with that hash is durable in a data folder.
pub fn is_durable(folder: &Path, hash: Hash) -> bool {
    let sql = "SELECT count(*) FROM segment WHERE hash = ?1";
    open(folder, "ledger.db")
        .and_then(|db| db.query_row(sql, [hash.0], |row| row.get::<_, i64>(0)).ok())
        .is_some_and(|count| count > 0)
}

/// Whether the office at `node` may hold the ledgers of the place with that byte: by the table of
/// offices alone.
pub fn may_hold_ledger(node: Node, place: u8) -> bool {
    let above: &[u8] = match place {
        1 => &[1],
        2 => &[1, 2],
        3 => &[1, 3],
        4 => &[1, 2, 4],
        5 => &[1, 2, 4, 5],
        6 => &[1, 2, 4, 6],
        _ => &[],
    };
    above.contains(&OFFICES[node].1)
}

fn may_hold_directives(node: Node, place: u8) -> bool {
    let own = OFFICES[node].1;
    let path_of = |byte: u8| -> &[u8] {
        match byte {
            1 => &[1],
            2 => &[1, 2],
            3 => &[1, 3],
            4 => &[1, 2, 4],
            5 => &[1, 2, 4, 5],
            6 => &[1, 2, 4, 6],
            _ => &[],
        }
    };
    path_of(place).contains(&own) || path_of(own).contains(&place)
}

/// Judges a world at rest; gives what is broken.
pub fn judge(world: &World, register: &register::Registers, forged: bool) -> Vec<String> {
    let mut broken = world.broken.clone();
    scope(world, &mut broken);
    forks(world, &mut broken);
    convergence(world, &mut broken);
    register.judge(world, &mut broken);
    if forged {
        authority(world, &mut broken);
    }
    broken
}

fn scope(world: &World, broken: &mut Vec<String>) {
    for (node, replica) in world.replicas.iter().enumerate() {
        let Some(db) = open(&replica.folder, "ledger.db") else { continue };
        let mut query = db.prepare("SELECT DISTINCT is_ledger, place FROM feed").expect("own SQL");
        let rows = query
            .query_map([], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .expect("own SQL");
        for (is_ledger, place) in rows.flatten() {
            let byte = place.first().copied().unwrap_or(0);
            let allowed = if is_ledger {
                may_hold_ledger(node, byte)
            } else {
                may_hold_directives(node, byte)
            };
            if !allowed {
                let kind = if is_ledger { "ledger" } else { "directive" };
                broken.push(format!("{} holds the {kind} slice of place {byte}", replica.name));
            }
        }
    }
}

/// One feed, one number, one hash: everywhere.
fn forks(world: &World, broken: &mut Vec<String>) {
    let mut seen: BTreeMap<Vec<u8>, (Vec<u8>, &str)> = BTreeMap::new();
    for replica in &world.replicas {
        let Some(db) = open(&replica.folder, "ledger.db") else { continue };
        let sql = "SELECT is_ledger || hex(place) || lane || hex(author_key) || hex(epoch) || '#' \
                   || number, hash FROM segment JOIN feed USING (feed_id)";
        let mut query = db.prepare(sql).expect("own SQL");
        let rows = query
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?.into_bytes(), row.get::<_, Vec<u8>>(1)?))
            })
            .expect("own SQL");
        for (key, hash) in rows.flatten() {
            match seen.get(&key) {
                Some((known, holder)) if *known != hash => broken.push(format!(
                    "{} and {holder} hold different segments under one number",
                    replica.name
                )),
                Some(_) => {}
                None => {
                    seen.insert(key, (hash, replica.name));
                }
            }
        }
    }
}

/// Replicas that may hold a slice show the same hash of it.
fn convergence(world: &World, broken: &mut Vec<String>) {
    let mut slices = BTreeSet::new();
    for replica in &world.replicas {
        slices.extend(replica.engine.iter().flat_map(taizhang_node::engine::Engine::slices));
    }
    for slice in slices {
        let mut hashes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (node, replica) in world.replicas.iter().enumerate() {
            let byte = slice.place.0[0];
            let holds = match slice.kind {
                SliceKind::Ledger => may_hold_ledger(node, byte),
                SliceKind::Directive => may_hold_directives(node, byte),
            };
            let Some(engine) = replica.engine.as_ref().filter(|_| holds) else { continue };
            let hash = engine.store.slice_hash(slice).map(|hash| hash.to_string());
            hashes
                .entry(hash.unwrap_or_else(|error| error.to_string()))
                .or_default()
                .push(replica.name);
        }
        if hashes.len() > 1 {
            broken.push(format!("slice {slice} differs: {hashes:?}"));
        }
    }
}

/// Nothing of a forged entry shows in any row.
fn authority(world: &World, broken: &mut Vec<String>) {
    for replica in &world.replicas {
        let Some(db) = open(&replica.folder, "derived.db") else { continue };
        let sql = "SELECT count(*) FROM record WHERE instr(row, 'FORGED') > 0";
        let shown: i64 = db.query_row(sql, [], |row| row.get(0)).unwrap_or(0);
        if shown > 0 {
            broken.push(format!(
                "{} shows a value that its author had no authority to write",
                replica.name
            ));
        }
    }
}
