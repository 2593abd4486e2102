//! Rights, recomputed from the rows as text: no author gives or spends more than it got, and what the
//! product says of the whole equals that.

use std::collections::BTreeMap;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use taizhang_core::id::hex;

use crate::player::{Player, SHARE};

/// Hexadecimal characters of a key; an epoch's follow them.
const KEY_CHARS: usize = 64;

#[derive(Default)]
struct Book {
    got: i64,
    gone: i64,
}

/// Judges the rights as the city, which holds everything, sees them.
pub(super) fn judge(player: &mut Player, broken: &mut Vec<String>) {
    let folder = player.world.replicas[0].folder.clone();
    let mut books: BTreeMap<(String, String), Book> = BTreeMap::new();
    for row in rows(&folder.join("derived.db")) {
        let text = |field: &str| row["fields"][field].as_str().unwrap_or_default().to_owned();
        let amount = row["fields"]["amount"].as_i64().unwrap_or(0);
        let author = &row["created"]["author"];
        let author = [&author["key"], &author["epoch"]].map(|one| one.as_str().unwrap_or_default());
        let (author, name) = (author.concat(), text("name"));
        if name.starts_with("cap:") {
            continue;
        }
        match text("op").as_str() {
            "open" => books.entry((name, author)).or_default().got += amount,
            "transfer" => {
                books.entry((name.clone(), author)).or_default().gone += amount;
                books.entry((name.clone(), text("to"))).or_default().got += amount;
            }
            "spend" => books.entry((name, author)).or_default().gone += amount,
            _ => {}
        }
    }
    // What was written again under a later epoch was had in an earlier one: a key's epochs are one holder.
    let mut holders: BTreeMap<(&str, &str), Book> = BTreeMap::new();
    for ((name, author), book) in &books {
        let key = author.get(..KEY_CHARS).unwrap_or(author);
        let whole = holders.entry((name, key)).or_default();
        (whole.got, whole.gone) = (whole.got + book.got, whole.gone + book.gone);
    }
    for ((name, key), Book { got, gone }) in holders {
        if gone > got {
            broken.push(format!("{key} gave and spent {gone} of {name} but had {got}"));
        }
    }
    // Promise 6: an older copy of the holder may spend its share once more, nothing else may.
    let township = player.world.replicas.get(2).map(|office| office.identity.seal_key());
    let copies = player.world.copied.iter().filter(|(key, _)| Some(*key) == township).count();
    let bound = SHARE.unsigned_abs() * (1 + copies as u64);
    if player.spent > bound {
        broken.push(format!("approvals of {} were acknowledged out of {bound}", player.spent));
    }
    let Some(engine) = player.world.replicas[0].engine.as_mut() else { return };
    let balances = engine.balances().expect("balances").into_iter().map(|one| {
        let holder = hex(&one.holder.key.0) + &hex(&one.holder.epoch.0);
        ((one.name, holder), one.amount)
    });
    let balances: BTreeMap<(String, String), i64> = balances.collect();
    for (holding, book) in &books {
        let (found, left) = (balances.get(holding).copied().unwrap_or(0), book.got - book.gone);
        if found != left {
            let (name, author) = holding;
            broken.push(format!("{found} of {name} are said to be left with {author}, {left} are"));
        }
    }
    let grants = grants(&folder.join("derived.db"));
    for (to, amount, name) in grants {
        let book = books.get(&(name.clone(), to.clone())).map_or(0, |book| book.got);
        if book < amount {
            broken.push(format!("{to} was told of {amount} of {name} but was given {book}"));
        }
    }
}

fn rows(path: &std::path::Path) -> Vec<Value> {
    query(path, "sys_right")
}

fn grants(path: &std::path::Path) -> Vec<(String, i64, String)> {
    query(path, "sys_grant")
        .into_iter()
        .map(|row| {
            let text = |field: &str| row["fields"][field].as_str().unwrap_or_default().to_owned();
            (text("to"), row["fields"]["amount"].as_i64().unwrap_or(0), text("name"))
        })
        .collect()
}

fn query(path: &std::path::Path, ledger: &str) -> Vec<Value> {
    let Ok(db) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
        return Vec::new();
    };
    let sql = "SELECT row, record FROM record WHERE ledger = ?1 AND row <> ''";
    let mut query = db.prepare(sql).expect("own SQL");
    let found = query
        .query_map([ledger], |row| Ok((row.get::<_, String>(0)?, hex(&row.get::<_, Vec<u8>>(1)?))))
        .expect("own SQL");
    found.flatten().filter_map(|(text, _)| serde_json::from_str(&text).ok()).collect()
}
