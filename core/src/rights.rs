//! Rights: shares of a budget, cap, number series or irrevocable office, each held by exactly one author.
//!
//! Everything a holder does with a right stands in its one feed in the urgent lane of its own place's
//! ledger slice, so it cannot be spent twice while apart: a share is spent where it is held, and it
//! moves only between authors of one place or of a place and its ancestor. Source: bounded counters,
//! Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants",
//! SRDS 2015.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{AuthorId, PlaceId, RecordId, hex};

/// Rights entries of an office's own authors.
pub const RIGHT: &str = "sys_right";
/// The repetition of a transfer in the lower place's directive slice: the receiver spends from then on.
pub const GRANT: &str = "sys_grant";

/// What an entry does with a right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RightOp {
    /// Makes a pool; its author holds all of it.
    Open,
    /// Uses up an amount for good.
    Spend,
    /// Gives an amount to another author.
    Transfer,
    /// A person states that a holder's machine is gone: its remainder comes back.
    WriteOff,
}

impl RightOp {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Spend => "spend",
            Self::Transfer => "transfer",
            Self::WriteOff => "write_off",
        }
    }

    /// The operation of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Open, Self::Spend, Self::Transfer, Self::WriteOff]
            .into_iter()
            .find(|op| op.name() == word)
    }
}

/// A pool's record id: two openings of one name at one place are one record.
pub fn pool_id(owner: PlaceId, name: &str) -> RecordId {
    id_of(&[b"taizhang pool v1", &owner.0, name.as_bytes()])
}

/// A spend's record id: one for each pool, record and step, so that a repetition counts once.
pub fn spend_id(pool: RecordId, record: RecordId, step: &str) -> RecordId {
    id_of(&[b"taizhang spend v1", &pool.0, &record.0, step.as_bytes()])
}

fn id_of(parts: &[&[u8]]) -> RecordId {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut id = RecordId::default();
    id.0.copy_from_slice(&hasher.finalize().as_bytes()[..RecordId::LEN]);
    id
}

/// The text form of an author in records.
pub fn author_text(author: AuthorId) -> String {
    format!("{}{}", hex(&author.key.0), hex(&author.epoch.0))
}

/// Reads what [`author_text`] wrote.
pub fn author_of(text: &str) -> Option<AuthorId> {
    let (key, epoch) = text.split_at_checked(64)?;
    Some(AuthorId { key: key.parse().ok()?, epoch: epoch.parse().ok()? })
}

/// A run of numbers of a series: first and count.
pub type Run = (i64, i64);

/// The runs left of what came in (`have`) after what went out: numbers that came in more often than
/// they went out, since a run may go and come back.
pub fn subtract(have: &[Run], out: &[Run]) -> Vec<Run> {
    let mut edges: BTreeMap<i64, i64> = BTreeMap::new();
    for (runs, step) in [(have, 1), (out, -1)] {
        for (first, count) in runs {
            *edges.entry(*first).or_default() += step;
            *edges.entry(first + count).or_default() -= step;
        }
    }
    let (mut left, mut depth, mut start) = (Vec::new(), 0, None);
    for (at, step) in edges {
        depth += step;
        match (start, depth > 0) {
            (None, true) => start = Some(at),
            (Some(first), false) => {
                left.push((first, at - first));
                start = None;
            }
            _ => {}
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_at_both_ends_and_in_the_middle() {
        assert_eq!(subtract(&[(1, 10)], &[(1, 3)]), [(4, 7)]);
        assert_eq!(subtract(&[(1, 10)], &[(8, 3)]), [(1, 7)]);
        assert_eq!(subtract(&[(1, 10)], &[(4, 2)]), [(1, 3), (6, 5)]);
        assert_eq!(subtract(&[(1, 10)], &[(1, 10)]), []);
        assert_eq!(subtract(&[(1, 3), (7, 2)], &[(2, 6)]), [(1, 1), (8, 1)]);
        assert_eq!(subtract(&[(1, 3)], &[(9, 2)]), [(1, 3)]);
        assert_eq!(subtract(&[(1, 10), (1, 4)], &[(1, 4), (5, 3)]), [(1, 4), (8, 3)]);
    }

    #[test]
    fn authors_and_ids_have_one_text_each() {
        let author =
            AuthorId { key: crate::id::SealKey([7; 32]), epoch: crate::id::Epoch([8; 16]) };
        assert_eq!(author_of(&author_text(author)), Some(author));
        let place = PlaceId([1; 8]);
        assert_ne!(pool_id(place, "a"), pool_id(place, "b"));
        let pool = pool_id(place, "a");
        assert_eq!(spend_id(pool, pool, "paid"), spend_id(pool, pool, "paid"));
    }
}
