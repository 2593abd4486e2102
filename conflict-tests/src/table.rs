//! Which seed finds which deliberate defect: a check that no sabotage can fail is not a check.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use taizhang_core::sabotage::Sabotage;

use crate::plan::{Profile, plan};
use crate::run::play_plan;

/// Seeds within which every defect is found.
pub const FOUND_WITHIN: u64 = 200;

/// One defect.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub sabotage: Sabotage,
    /// The first seed that finds it, and what the oracle said.
    pub found: Option<(u64, String)>,
}

/// Plays every defect until it is found, on two threads, in the profile in which every fault happens.
pub fn find_all(within: u64) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(sabotage) = Sabotage::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = Row { sabotage: *sabotage, found: find(*sabotage, within) };
                    rows.lock().unwrap().push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|row| row.sabotage.name());
    rows
}

/// The first seed that finds a defect.
pub fn find(sabotage: Sabotage, within: u64) -> Option<(u64, String)> {
    (0..within).find_map(|seed| {
        // A defect may also make the program itself notice: that is found as well.
        let play = || play_plan(seed, plan(seed, Profile::Storm), Some(sabotage));
        match std::panic::catch_unwind(play) {
            Ok(outcome) => outcome.broken.into_iter().next().map(|said| (seed, said)),
            Err(_) => Some((seed, "the program stopped by itself".into())),
        }
    })
}

/// The table for people.
pub fn markdown(rows: &[Row]) -> String {
    let mut text =
        String::from("| sabotage | found by seed | what the oracle said |\n|---|---|---|\n");
    for row in rows {
        let (seed, said) = match &row.found {
            Some((seed, said)) => (seed.to_string(), plain(said)),
            None => ("not found".into(), String::new()),
        };
        text.push_str(&format!("| {} | {seed} | {said} |\n", row.sabotage.name()));
    }
    text
}

/// The words without ids, which differ from version to version.
fn plain(said: &str) -> String {
    let words = said.split_whitespace().map(|word| {
        let hex = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let long = hex.len() >= 16 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if long { "…" } else { word }
    });
    words.take(14).collect::<Vec<_>>().join(" ").replace('|', "/")
}
