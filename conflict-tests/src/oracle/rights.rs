//! Rights, recomputed from the rows as text: no author gives or spends more than it got, and what the
//! product says of the whole equals that.

use std::collections::BTreeMap;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use taizhang_core::id::hex;

use crate::player::Player;

#[derive(Default)]
struct Book {
    got: i64,
    gone: i64,
}

/// Judges the rights as the city, which holds everything, sees them.
pub(super) fn judge(player: &mut Player, broken: &mut Vec<String>) {
    let folder = player.world.replicas[0].folder.clone();
    let mut books: BTreeMap<(String, String), Book> = BTreeMap::new();
    let mut opened: BTreeMap<String, i64> = BTreeMap::new();
    let mut spent: BTreeMap<String, i64> = BTreeMap::new();
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
            "open" => {
                books.entry((name.clone(), author)).or_default().got += amount;
                *opened.entry(name.clone()).or_default() += amount;
            }
            "transfer" => {
                books.entry((name.clone(), author)).or_default().gone += amount;
                books.entry((name.clone(), text("to"))).or_default().got += amount;
            }
            "spend" => {
                books.entry((name.clone(), author)).or_default().gone += amount;
                *spent.entry(name.clone()).or_default() += amount;
            }
            _ => {}
        }
    }
    for ((name, author), book) in &books {
        if book.gone > book.got {
            let (got, gone) = (book.got, book.gone);
            broken.push(format!("{author} gave and spent {gone} of {name} but had {got}"));
        }
    }
    let Some(engine) = player.world.replicas[0].engine.as_mut() else { return };
    let mut shown: BTreeMap<String, i64> = BTreeMap::new();
    for balance in engine.balances().expect("balances") {
        *shown.entry(balance.name).or_default() += balance.amount;
    }
    for (name, total) in &opened {
        let left = total - spent.get(name).copied().unwrap_or(0);
        let found = shown.get(name).copied().unwrap_or(0);
        if found != left {
            broken.push(format!("{name}: {found} are said to be left, {left} are"));
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
