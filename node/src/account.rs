//! Accounts of the people at one office: duties, passwords, sessions. What they mean for pages is in
//! `web/access.rs`, for personal data in `ops/mask.rs`.

use argon2::Argon2;
use serde::{Deserialize, Serialize};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Hash, hex, unhex};
use taizhang_core::time::UtcMillis;

/// Characters of a password at least.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Characters of a password at most: longer ones cost the hash nothing, but memory.
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Characters of a login or a name at most.
pub const NAME_CHARS_MAX: usize = 40;
/// Wrong passwords in a row after which an account is locked.
pub const FAILURES_MAX: u64 = 5;
/// Milliseconds that it stays locked: a quarter of an hour.
pub const LOCK_MS: i64 = 900_000;
/// Milliseconds after which a session ends whatever happens: a working day.
pub const SESSION_MS: i64 = 12 * 3_600_000;
/// Milliseconds without a request after which it ends.
pub const IDLE_MS: i64 = 2 * 3_600_000;
/// Milliseconds between two notes of when a session was last seen.
pub const SEEN_STEP_MS: i64 = 300_000;

/// Memory in KiB, passes and lanes of Argon2id: the minimum of OWASP's password storage cheat sheet.
const PASSWORD_COST: (u32, u32, u32) = (19_456, 2, 1);

/// What a person is there for; each account has one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Keeps accounts, replicas and links; sees no sensitive data.
    Administrator,
    /// Writes records.
    Clerk,
    /// Reads, and follows tickets; writes rounds, findings and tickets at a county or the city.
    Inspector,
    /// Writes records, takes steps above the village, decides conflicts, publishes policy.
    Reviewer,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Administrator, Self::Clerk, Self::Inspector, Self::Reviewer];

    /// The word in the database and in forms.
    pub fn word(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Clerk => "clerk",
            Self::Inspector => "inspector",
            Self::Reviewer => "reviewer",
        }
    }

    /// By its word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duty| duty.word() == word)
    }
}

/// One account.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Account {
    /// What is typed at sign-in.
    pub login: String,
    /// The person's name, as entries carry it.
    pub name: String,
    /// A role of the catalogue.
    pub role: String,
    /// What for.
    pub duty: Duty,
    /// Its hash.
    #[serde(skip)]
    pub password: String,
    /// Wrong passwords in a row.
    pub failures: u64,
    /// Until when it is locked.
    pub locked_until: UtcMillis,
    /// Whether it was closed.
    pub disabled: bool,
}

impl Account {
    /// Who acts.
    pub fn person(&self) -> Person {
        Person { name: self.name.clone(), role: self.role.clone() }
    }
}

/// A session in a browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Whose.
    pub account: Account,
    /// The word that its forms carry.
    pub csrf: String,
    /// When it began.
    pub started: UtcMillis,
    /// When it was last noted as seen.
    pub seen: UtcMillis,
}

impl Session {
    /// Whether it still holds at a time.
    pub fn holds(&self, now: UtcMillis) -> bool {
        // A clock that was put back ends nothing.
        now.since(self.started) < SESSION_MS
            && now.since(self.seen) < IDLE_MS
            && !self.account.disabled
    }
}

/// What is kept of a session's token.
pub fn token_hash(token: &str) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang session v1");
    hasher.update(token.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

fn argon(password: &str, salt: &[u8], cost: (u32, u32, u32)) -> Option<[u8; 32]> {
    let params = argon2::Params::new(cost.0, cost.1, cost.2, Some(32)).ok()?;
    let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut hash = [0; 32];
    argon.hash_password_into(password.as_bytes(), salt, &mut hash).ok()?;
    Some(hash)
}

/// Hashes a password with 16 random bytes: `argon2id$m$t$p$salt$hash`. Takes some 20 ms.
pub fn hash_password(password: &str, salt: [u8; 16]) -> String {
    let (m, t, p) = PASSWORD_COST;
    let hash = argon(password, &salt, PASSWORD_COST).unwrap_or_default();
    format!("argon2id${m}${t}${p}${}${}", hex(&salt), hex(&hash))
}

/// Whether a password is the one of a hash. Takes as long for a hash that cannot be read.
pub fn is_password(password: &str, kept: &str) -> bool {
    let parts: Vec<&str> = kept.split('$').collect();
    let read = || {
        let [kind, m, t, p, salt, hash] = parts.as_slice() else { return None };
        let cost = (m.parse().ok()?, t.parse().ok()?, p.parse().ok()?);
        (*kind == "argon2id").then_some((cost, unhex(salt)?, unhex(hash)?))
    };
    let Some((cost, salt, hash)) = read() else {
        argon(password, &[0; 16], PASSWORD_COST);
        return false;
    };
    // Compared as hashes: that takes the same time wherever they differ.
    argon(password, &salt, cost).is_some_and(|found| blake3::hash(&found) == blake3::hash(&hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other() {
        let kept = hash_password("正确的口令", [7; 16]);
        assert!(is_password("正确的口令", &kept));
        assert!(!is_password("正确的口令 ", &kept));
        assert!(!is_password("", "argon2id$1"));
    }

    #[test]
    fn sessions_end_when_idle_old_or_closed() {
        let account = Account {
            login: "a".into(),
            name: "甲".into(),
            role: "village_clerk".into(),
            duty: Duty::Clerk,
            password: String::new(),
            failures: 0,
            locked_until: UtcMillis(0),
            disabled: false,
        };
        let now = UtcMillis(SESSION_MS * 3);
        let session = Session { account, csrf: String::new(), started: now, seen: now };
        assert!(session.holds(now.plus(IDLE_MS - 1)) && session.holds(now.plus(-IDLE_MS)));
        assert!(!session.holds(now.plus(IDLE_MS)));
        let busy = Session { seen: now.plus(SESSION_MS - 1), ..session.clone() };
        assert!(busy.holds(now.plus(SESSION_MS - 1)) && !busy.holds(now.plus(SESSION_MS)));
        let mut closed = session;
        closed.account.disabled = true;
        assert!(!closed.holds(now));
    }
}
