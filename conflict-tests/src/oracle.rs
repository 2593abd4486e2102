//! The judges. They share no code with what they judge: own topology, own SQL, own register.

pub mod facts;
pub mod past;
pub mod receipts;
pub mod register;
pub mod rights;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use taizhang_core::feed::frontier::Head;
use taizhang_core::id::{AuthorId, SealKey, SliceKind};

use crate::player::Player;
use crate::world::World;

pub(crate) fn open(folder: &Path, file: &str) -> Option<Connection> {
    Connection::open_with_flags(folder.join(file), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
}

/// Whether the disk has a feed's segment with that number and that hash: asked on a connection of the
/// judge's own, which sees what is committed.
pub(crate) fn is_durable(disk: &Connection, author: AuthorId, head: Head) -> bool {
    let sql = "SELECT 1 FROM feed CROSS JOIN segment USING (feed_id) \
               WHERE hash = ?1 AND number = ?2 + base AND author_key = ?3";
    let number = i64::try_from(head.count).expect("a count") - 1;
    disk.prepare_cached(sql)
        .and_then(|mut query| query.exists((head.hash.0, number, author.key.0)))
        .expect("own SQL")
}

/// Segments under a key's seal in a data folder, and how many entries are unsealed: what its office has
/// written.
pub fn own_segments(folder: &Path, key: SealKey) -> (BTreeSet<Vec<u8>>, i64) {
    let Some(db) = open(folder, "ledger.db") else { return Default::default() };
    let sql = "SELECT hash FROM segment JOIN feed USING (feed_id) WHERE author_key = ?1";
    let mut query = db.prepare(sql).expect("own SQL");
    let rows = query.query_map([key.0], |row| row.get(0)).expect("own SQL");
    let tail = db.query_row("SELECT count(*) FROM tail", [], |row| row.get(0)).unwrap_or(1);
    (rows.flatten().collect(), tail)
}

/// From the city down to a place, by bytes: the topology as the judges know it.
fn path_of(world: &World, byte: u8) -> Vec<u8> {
    let first: &[u8] = match byte {
        1 => &[1],
        2 => &[1, 2],
        3 => &[1, 3],
        4 => &[1, 2, 4],
        5 => &[1, 2, 4, 5],
        6 => &[1, 2, 4, 6],
        7 => &[1, 3, 7],
        _ => &[],
    };
    let mut path = first.to_vec();
    for (into, from) in &world.merged {
        if byte == *from {
            path.insert(path.len() - 1, *into);
        }
    }
    path
}

/// Whether an office of a place may hold the ledgers of another place.
pub fn may_hold_ledger(world: &World, office: u8, place: u8) -> bool {
    path_of(world, place).contains(&office)
}

fn may_hold_directives(world: &World, office: u8, place: u8) -> bool {
    path_of(world, place).contains(&office) || path_of(world, office).contains(&place)
}

/// Judges a world at rest; gives what is broken.
pub fn judge(player: &mut Player) -> Vec<String> {
    let mut broken = player.world.broken.clone();
    let world = &player.world;
    scope(world, &mut broken);
    forks(world, &mut broken);
    seals(world, &mut broken);
    convergence(world, &mut broken);
    player.registers.judge(world, &mut broken);
    lines(player, &mut broken);
    payments(player, &mut broken);
    if player.forged {
        never_shown(world, "FORGED", &mut broken);
        evidence(player, &mut broken);
    }
    if player.revoked.is_some() {
        never_shown(world, "REVOKED", &mut broken);
    }
    past::judge(player, &mut broken);
    receipts::judge(&player.world, &mut broken);
    rights::judge(player, &mut broken);
    broken
}

fn scope(world: &World, broken: &mut Vec<String>) {
    for replica in &world.replicas {
        let office = replica.place.0[0];
        let Some(db) = open(&replica.folder, "ledger.db") else { continue };
        let mut query = db.prepare("SELECT DISTINCT is_ledger, place FROM feed").expect("own SQL");
        let rows = query
            .query_map([], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .expect("own SQL");
        for (is_ledger, place) in rows.flatten() {
            let byte = place.first().copied().unwrap_or(0);
            let allowed = if is_ledger {
                may_hold_ledger(world, office, byte)
            } else {
                may_hold_directives(world, office, byte)
            };
            if !allowed {
                let kind = if is_ledger { "ledger" } else { "directive" };
                broken.push(format!("{} holds the {kind} slice of place {byte}", replica.name));
            }
        }
    }
}

/// One feed, one number, one hash, whichever replica: what counts of a forked feed is the same line.
fn forks(world: &World, broken: &mut Vec<String>) {
    let mut seen: BTreeMap<String, (Vec<u8>, &str)> = BTreeMap::new();
    // A revoked replica is out: nobody tells it any more which branch counts.
    let inside = world.replicas.iter().enumerate().filter(|(node, _)| world.revoked != Some(*node));
    for (_, replica) in inside {
        let Some(db) = open(&replica.folder, "ledger.db") else { continue };
        let sql = "SELECT is_ledger || hex(place) || lane || hex(author_key) || hex(epoch) || '#' \
                   || number, hash FROM segment JOIN feed USING (feed_id)";
        let mut query = db.prepare(sql).expect("own SQL");
        let rows = query
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))
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
    let copied: BTreeSet<SealKey> = world.copied.iter().map(|(key, _)| *key).collect();
    for key in forked(world).difference(&copied) {
        broken.push(format!("a feed of {key} forked although its folder was never copied"));
    }
}

fn forked(world: &World) -> BTreeSet<SealKey> {
    let mut keys = BTreeSet::new();
    for replica in &world.replicas {
        let db = open(&replica.folder, "ledger.db").expect("ledger.db opens");
        let sql = "SELECT DISTINCT author_key FROM feed WHERE epoch <> real_epoch";
        let mut query = db.prepare(sql).expect("own SQL");
        let found = query.query_map([], |row| row.get::<_, [u8; 32]>(0)).expect("own SQL");
        keys.extend(found.map(|key| SealKey(key.expect("a key"))));
    }
    keys
}

/// Every segment on every disk carries a good seal of the key under which it is filed.
fn seals(world: &World, broken: &mut Vec<String>) {
    for replica in &world.replicas {
        let Some(db) = open(&replica.folder, "ledger.db") else { continue };
        let sql = "SELECT plain, seal, author_key FROM segment JOIN feed USING (feed_id)";
        let mut query = db.prepare(sql).expect("own SQL");
        let rows = query
            .query_map([], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?))
            })
            .expect("own SQL");
        for (plain, seal, key) in rows.flatten() {
            if !is_sealed(&plain, &seal, key) {
                broken.push(format!("{} holds a segment with a bad seal", replica.name));
            }
        }
    }
}

fn is_sealed(plain: &[u8], seal: &[u8], key: Vec<u8>) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang segment v1");
    hasher.update(plain);
    let (Ok(key), Ok(seal)) = (<[u8; 32]>::try_from(key), <[u8; 64]>::try_from(seal)) else {
        return false;
    };
    let seal = ed25519_dalek::Signature::from_bytes(&seal);
    ed25519_dalek::VerifyingKey::from_bytes(&key)
        .is_ok_and(|key| key.verify_strict(hasher.finalize().as_bytes(), &seal).is_ok())
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
            let (office, byte) = (replica.place.0[0], slice.place.0[0]);
            let holds = match slice.kind {
                SliceKind::Ledger => may_hold_ledger(world, office, byte),
                SliceKind::Directive => may_hold_directives(world, office, byte),
            };
            // A revoked replica is out: nobody talks to it any more.
            let out = world.revoked == Some(node);
            let Some(engine) = replica.engine.as_ref().filter(|_| holds && !out) else { continue };
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

fn count_rows(folder: &Path, sql: &str, key: &[&dyn rusqlite::ToSql]) -> i64 {
    let db = open(folder, "derived.db").expect("derived.db opens");
    db.query_row(sql, key, |row| row.get(0)).expect("own SQL")
}

/// Replicas that must show a place's records, and are still part of the network.
pub(crate) fn holders(world: &World, place: u8) -> impl Iterator<Item = &crate::world::Replica> {
    world.replicas.iter().enumerate().filter_map(move |(node, replica)| {
        let holds = may_hold_ledger(world, replica.place.0[0], place);
        (holds && world.revoked != Some(node)).then_some(replica)
    })
}

/// Every acknowledged line stands, once, at every holder.
fn lines(player: &Player, broken: &mut Vec<String>) {
    for (record, place, text) in &player.lines {
        for replica in holders(&player.world, *place) {
            let shown = row_of(&replica.folder, &record.0);
            let entries = shown["logs"]["entries"].as_array().into_iter().flatten();
            let times = entries.filter(|line| line["columns"]["what"] == text.as_str()).count();
            if times != 1 {
                broken.push(format!(
                    "{} shows the acknowledged line {text} {times} times",
                    replica.name
                ));
            }
        }
    }
}

fn row_of(folder: &Path, record: &[u8]) -> serde_json::Value {
    let sql = "SELECT row FROM record WHERE record = ?1";
    open(folder, "derived.db")
        .and_then(|db| db.query_row(sql, [record], |row| row.get::<_, String>(0)).ok())
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// A payment is a fact: whatever crosses it, every holder shows it.
fn payments(player: &Player, broken: &mut Vec<String>) {
    for (record, place) in &player.paid {
        for replica in holders(&player.world, *place) {
            let state = row_of(&replica.folder, &record.0)["state"]["state"].clone();
            if state != "paid" {
                broken.push(format!("{} shows a paid grant as {state}", replica.name));
            }
        }
    }
}

/// Nothing of an entry that must not count shows in any row.
fn never_shown(world: &World, text: &str, broken: &mut Vec<String>) {
    let sql = "SELECT count(*) FROM record WHERE instr(row, ?1) > 0";
    for (node, replica) in world.replicas.iter().enumerate() {
        let out = world.revoked == Some(node);
        if !out && count_rows(&replica.folder, sql, &[&text]) > 0 {
            broken.push(format!(
                "{} shows a value ({text}) that its author had no authority to write",
                replica.name
            ));
        }
    }
}

/// A void entry that arrived stays in the record as evidence, or is shown as held back.
fn evidence(player: &Player, broken: &mut Vec<String>) {
    let logged = "SELECT count(*) FROM record WHERE instr(log, ?1) > 0";
    let parked = "SELECT count(*) FROM parked WHERE arrival = ?1";
    let arrived = "SELECT arrival FROM segment WHERE instr(plain, ?1) > 0";
    for (hash, bytes, place) in &player.evidence {
        for replica in holders(&player.world, *place) {
            let Some(db) = open(&replica.folder, "ledger.db") else { continue };
            let Ok(came) = db.query_row(arrived, [bytes], |row| row.get::<_, i64>(0)) else {
                continue;
            };
            if count_rows(&replica.folder, logged, &[&hash.0]) == 0
                && count_rows(&replica.folder, parked, &[&came]) == 0
            {
                broken.push(format!("{} removed a void entry instead of masking it", replica.name));
            }
        }
    }
}
