//! Accounts and sessions.

use rusqlite::{OptionalExtension as _, Row, params};
use taizhang_core::id::Hash;
use taizhang_core::time::UtcMillis;

use super::read::Reader;
use super::{Store, StoreError, rows};
use crate::account::{Account, Duty, FAILURES_MAX, LOCK_MS, SESSION_MS, Session};

const COLUMNS: &str = "a.login, a.name, a.role, a.duty, a.password, a.failures, a.locked_until_ms, \
                       a.disabled_ms IS NOT NULL";

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let duty: String = row.get(3)?;
    Ok(Account {
        login: row.get(0)?,
        name: row.get(1)?,
        role: row.get(2)?,
        // An unknown word gives the least.
        duty: Duty::of_word(&duty).unwrap_or(Duty::Inspector),
        password: row.get(4)?,
        failures: rows::count(row, 5)?,
        locked_until: UtcMillis(row.get(6)?),
        disabled: row.get(7)?,
    })
}

impl Store {
    /// Keeps a new account; gives whether the login was free.
    pub fn put_account(&self, one: &Account, now: UtcMillis) -> Result<bool, StoreError> {
        let added = self
            .ledger
            .prepare_cached(
                "INSERT OR IGNORE INTO account (login, name, role, duty, password, created_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                one.login,
                one.name,
                one.role,
                one.duty.word(),
                one.password,
                now.0
            ])?;
        Ok(added == 1)
    }

    /// How many accounts there are.
    pub fn account_count(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM account";
        Ok(self.ledger.prepare_cached(sql)?.query_row([], |row| rows::count(row, 0))?)
    }

    /// Replaces a password, opens a lock and ends the sessions; gives whether there is such an account.
    pub fn set_password(&self, login: &str, password: &str) -> Result<bool, StoreError> {
        self.end_sessions(login)?;
        let sql =
            "UPDATE account SET password = ?2, failures = 0, locked_until_ms = 0 WHERE login = ?1";
        Ok(self.ledger.prepare_cached(sql)?.execute(params![login, password])? == 1)
    }

    /// Closes an account and its sessions, or opens it again.
    pub fn disable_account(
        &self,
        login: &str,
        disabled: bool,
        now: UtcMillis,
    ) -> Result<bool, StoreError> {
        self.end_sessions(login)?;
        let sql = "UPDATE account SET disabled_ms = ?2 WHERE login = ?1";
        let when = disabled.then_some(now.0);
        Ok(self.ledger.prepare_cached(sql)?.execute(params![login, when])? == 1)
    }

    /// Notes a wrong password; the last of a row locks the account.
    pub fn note_failure(&self, login: &str, now: UtcMillis) -> Result<(), StoreError> {
        let sql = "UPDATE account SET failures = failures + 1, locked_until_ms = \
                   CASE WHEN (failures + 1) % ?2 = 0 THEN ?3 ELSE locked_until_ms END WHERE login = ?1";
        let key = params![login, rows::signed(FAILURES_MAX), now.plus(LOCK_MS).0];
        self.ledger.prepare_cached(sql)?.execute(key)?;
        Ok(())
    }

    /// Opens a session, and forgets those that are over.
    pub fn put_session(
        &self,
        token: Hash,
        login: &str,
        csrf: &str,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let right = "UPDATE account SET failures = 0 WHERE login = ?1";
        self.ledger.prepare_cached(right)?.execute([login])?;
        let over = "DELETE FROM web_session WHERE started_ms < ?1";
        self.ledger.prepare_cached(over)?.execute([now.plus(-SESSION_MS).0])?;
        self.ledger
            .prepare_cached("INSERT INTO web_session VALUES (?1, ?2, ?3, ?4, ?4)")?
            .execute(params![token.0, login, csrf, now.0])?;
        Ok(())
    }

    /// Notes that a session was seen.
    pub fn touch_session(&self, token: Hash, now: UtcMillis) -> Result<(), StoreError> {
        let sql = "UPDATE web_session SET seen_ms = ?2 WHERE token_hash = ?1";
        self.ledger.prepare_cached(sql)?.execute(params![token.0, now.0])?;
        Ok(())
    }

    /// Ends a session.
    pub fn end_session(&self, token: Hash) -> Result<(), StoreError> {
        let sql = "DELETE FROM web_session WHERE token_hash = ?1";
        self.ledger.prepare_cached(sql)?.execute([token.0])?;
        Ok(())
    }

    fn end_sessions(&self, login: &str) -> Result<(), StoreError> {
        self.ledger.prepare_cached("DELETE FROM web_session WHERE login = ?1")?.execute([login])?;
        Ok(())
    }
}

impl Reader<'_> {
    /// All accounts, by login.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ledger.account a ORDER BY a.login");
        let mut query = self.db.prepare_cached(&sql)?;
        let found = query.query_map([], account)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// One account.
    pub fn account(&self, login: &str) -> Result<Option<Account>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ledger.account a WHERE a.login = ?1");
        Ok(self.db.prepare_cached(&sql)?.query_row([login], account).optional()?)
    }

    /// The session of a token.
    pub fn session(&self, token: Hash) -> Result<Option<Session>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, s.csrf, s.started_ms, s.seen_ms FROM ledger.web_session s \
             JOIN ledger.account a USING (login) WHERE s.token_hash = ?1"
        );
        let session = |row: &Row<'_>| {
            Ok(Session {
                account: account(row)?,
                csrf: row.get(8)?,
                started: UtcMillis(row.get(9)?),
                seen: UtcMillis(row.get(10)?),
            })
        };
        Ok(self.db.prepare_cached(&sql)?.query_row([token.0], session).optional()?)
    }
}
