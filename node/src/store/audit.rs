//! The audit: who did and saw what, and what was refused. Lines are never deleted, so each is short, and what
//! strangers can ask for as often as they like is counted instead of written each time.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rusqlite::params;
use taizhang_core::limits::{AUDIT_CHARS_MAX, REFUSALS_AUDITED, REFUSALS_MS};
use taizhang_core::time::UtcMillis;

use super::{Store, StoreError};

/// Refusals of one kind since a time.
struct Counted {
    since: UtcMillis,
    count: u64,
}

impl Counted {
    /// How many have no line of their own.
    fn unwritten(&self) -> u64 {
        self.count.saturating_sub(REFUSALS_AUDITED)
    }

    fn is_over(&self, now: UtcMillis) -> bool {
        // A clock that was put back begins anew.
        now.since(self.since).abs() >= REFUSALS_MS
    }
}

/// Refusals of late, by kind; kinds are words of the program.
#[derive(Default)]
pub struct Refusals(RefCell<BTreeMap<&'static str, Counted>>);

/// A text as an audit line holds it.
pub fn cut(text: &str) -> &str {
    text.char_indices().nth(AUDIT_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

impl Store {
    /// Writes an audit line. `text` names no values of people.
    pub fn audit(&self, kind: &str, text: &str, now: UtcMillis) -> Result<(), StoreError> {
        self.ledger
            .prepare_cached("INSERT INTO audit (time_ms, kind, text) VALUES (?1, ?2, ?3)")?
            .execute(params![now.0, kind, cut(text)])?;
        Ok(())
    }

    /// Writes an audit line unless the same one stands there since a time.
    pub fn audit_once(
        &self,
        kind: &str,
        text: &str,
        since: UtcMillis,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit (time_ms, kind, text) SELECT ?1, ?2, ?3 WHERE NOT EXISTS \
                   (SELECT 1 FROM audit WHERE kind = ?2 AND text = ?3 AND time_ms >= ?4)";
        self.ledger.prepare_cached(sql)?.execute(params![now.0, kind, cut(text), since.0])?;
        Ok(())
    }

    /// Writes down that something was refused to somebody who needs no account to ask for it: the first few of
    /// a kind by their words, the rest by their number.
    pub fn audit_refusal(
        &self,
        kind: &'static str,
        text: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        self.sum_up_refusals(now)?;
        let own_line = {
            let mut kinds = self.refusals.0.borrow_mut();
            let counted = kinds.entry(kind).or_insert(Counted { since: now, count: 0 });
            counted.count = counted.count.saturating_add(1);
            counted.count <= REFUSALS_AUDITED
        };
        if own_line { self.audit(kind, text, now) } else { Ok(()) }
    }

    /// Writes how many more there were of each kind whose time is over.
    pub(crate) fn sum_up_refusals(&self, now: UtcMillis) -> Result<(), StoreError> {
        let mut kinds = self.refusals.0.borrow_mut();
        let due = kinds.iter().filter(|(_, one)| one.is_over(now) && one.unwritten() > 0);
        for (kind, one) in due {
            let (more, since) = (one.unwritten(), one.since.local_text());
            self.audit(kind, &format!("{more} more since {since}"), now)?;
        }
        kinds.retain(|_, one| !one.is_over(now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Durability;

    #[test]
    fn lines_are_short_and_refusals_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Durability::Simulated).unwrap();
        let start = UtcMillis(REFUSALS_MS * 9);
        store.audit("sign-in refused", &"长".repeat(100_000), start).unwrap();
        for at in 0..1000 {
            store.audit_refusal("peer refused", "unknown root", start.plus(at)).unwrap();
        }
        store.audit_refusal("sign-in refused", "unknown login", start).unwrap();
        let lines = || {
            let mut query = store.ledger.prepare("SELECT kind, text FROM audit").unwrap();
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<Vec<(String, String)>, _>>().unwrap()
        };
        assert_eq!(lines()[0].1.chars().count(), AUDIT_CHARS_MAX);
        assert_eq!(lines().len() as u64, 2 + REFUSALS_AUDITED);
        store.sum_up_refusals(start.plus(REFUSALS_MS)).unwrap();
        let last = lines().pop().unwrap();
        assert!(last.0 == "peer refused" && last.1.starts_with("995 more since "), "{last:?}");
        store.audit_refusal("peer refused", "unknown root", start.plus(REFUSALS_MS)).unwrap();
        assert_eq!(lines().len() as u64, 4 + REFUSALS_AUDITED, "counted anew");
    }
}
