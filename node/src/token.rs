//! Tokens of other systems: what one may read, with whose eyes, and until when. Like accounts they belong
//! to one replica and do not sync.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde::Serialize;
use taizhang_core::id::{Hash, Level, PlaceId};
use taizhang_core::time::UtcMillis;

use crate::account::{Duty, FAILURES_MAX, LOCK_MS};
use crate::viewer::Viewer;

/// How every secret begins, so that a secret that lies in a file is known for one.
pub const SECRET_MARK: &str = "tzt_";
/// The word of a scope for figures, policy and reports.
pub const FIGURES: &str = "figures";
/// The word of a scope for the state of this replica.
pub const METRICS: &str = "metrics";
/// Days of a token at most: two years.
pub const DAYS_MAX: i64 = 731;
/// Tokens of a replica that hold, at most.
pub const TOKENS_MAX: usize = 100;

/// A token, without its secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Token {
    /// What people call it.
    pub name: String,
    /// What it may read: [`FIGURES`], [`METRICS`], ids of ledgers.
    pub scope: BTreeSet<String>,
    /// The place whose subtree it may read.
    pub place: PlaceId,
    /// The duty with whose eyes it sees fields.
    pub duty: Duty,
    /// When it was made.
    pub created: UtcMillis,
    /// From when on it holds no longer.
    pub expires: UtcMillis,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
    /// When it was last noted as used; 0 if never.
    pub used: UtcMillis,
}

impl Token {
    /// Whether it still holds at a time.
    pub fn holds(&self, now: UtcMillis) -> bool {
        !self.withdrawn && now < self.expires
    }

    /// Whether its scope has a word; every scope has the empty one.
    pub fn allows(&self, word: &str) -> bool {
        word.is_empty() || self.scope.contains(word)
    }

    /// Whether it reads records, in which people are named.
    pub fn is_personal(&self) -> bool {
        self.scope.iter().any(|word| word != FIGURES && word != METRICS)
    }

    /// What it may see of fields at an office of a level: what its duty sees there, and nothing revealed.
    pub fn viewer(&self, level: Level) -> Viewer {
        Viewer { level, duty: Some(self.duty), revealed: false, inspects: false }
    }
}

/// What is kept of a secret. A plain hash is enough: a secret has 256 random bits, so no list of guesses
/// finds it, as one finds passwords.
pub fn secret_hash(secret: &str) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang token v1");
    hasher.update(secret.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

/// The secret in an `authorization` header; none if it carries no token.
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, secret) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// Wrong tokens of late at one door. A right one always gets in: it cannot be guessed, and whoever sends
/// wrong ones must not lock the others out.
#[derive(Debug, Default)]
pub struct WrongTokens(Mutex<(u64, UtcMillis)>);

impl WrongTokens {
    /// Notes a wrong one; gives whether there were too many within [`LOCK_MS`].
    pub fn note(&self, now: UtcMillis) -> bool {
        let Ok(mut state) = self.0.lock() else { return true };
        if now.since(state.1) >= LOCK_MS {
            *state = (0, now);
        }
        state.0 = state.0.saturating_add(1);
        state.0 > FAILURES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_are_too_many_for_a_while() {
        let (wrong, now) = (WrongTokens::default(), UtcMillis(LOCK_MS * 9));
        let first: Vec<bool> = (0..=FAILURES_MAX).map(|_| wrong.note(now)).collect();
        assert!(first.iter().rev().skip(1).all(|many| !many) && first.last() == Some(&true));
        assert!(wrong.note(now.plus(LOCK_MS - 1)));
        assert!(!wrong.note(now.plus(LOCK_MS)));
    }

    #[test]
    fn a_header_carries_a_token_or_none() {
        assert_eq!(bearer("Bearer tzt_00"), Some("tzt_00"));
        assert_eq!(bearer("bearer  tzt_00 "), Some("tzt_00"));
        assert_eq!(bearer("Basic dGVzdA=="), None);
        assert_eq!(bearer("tzt_00"), None);
    }
}
