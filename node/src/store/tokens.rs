//! Tokens of other systems.

use rusqlite::{OptionalExtension as _, Row, params};
use taizhang_core::id::Hash;
use taizhang_core::time::UtcMillis;

use super::read::Reader;
use super::{Store, StoreError, rows};
use crate::account::Duty;
use crate::token::Token;

const COLUMNS: &str = "name, scope, place, duty, created_ms, expires_ms, withdrawn_ms IS NOT NULL, \
                       used_ms";

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let (scope, duty): (String, String) = (row.get(1)?, row.get(3)?);
    Ok(Token {
        name: row.get(0)?,
        scope: scope.split(',').map(str::to_owned).collect(),
        place: rows::place(row, 2)?,
        // An unknown word sees the least.
        duty: Duty::of_word(&duty).unwrap_or(Duty::Administrator),
        created: UtcMillis(row.get(4)?),
        expires: UtcMillis(row.get(5)?),
        withdrawn: row.get(6)?,
        used: UtcMillis(row.get(7)?),
    })
}

impl Store {
    /// Keeps a new token; gives whether its name was free.
    pub fn put_token(&self, secret: Hash, one: &Token) -> Result<bool, StoreError> {
        let scope = one.scope.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let sql = "INSERT OR IGNORE INTO token (token_hash, name, scope, place, duty, created_ms, \
                   expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = params![
            secret.0,
            one.name,
            scope,
            one.place.0,
            one.duty.word(),
            one.created.0,
            one.expires.0
        ];
        Ok(self.ledger.prepare_cached(sql)?.execute(row)? == 1)
    }

    /// How many tokens hold at a time.
    pub fn token_count(&self, now: UtcMillis) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM token WHERE withdrawn_ms IS NULL AND expires_ms > ?1";
        Ok(self.ledger.prepare_cached(sql)?.query_row([now.0], |row| rows::count(row, 0))?)
    }

    /// Withdraws a token; gives whether one of that name held.
    pub fn withdraw_token(&self, name: &str, now: UtcMillis) -> Result<bool, StoreError> {
        let sql = "UPDATE token SET withdrawn_ms = ?2 WHERE name = ?1 AND withdrawn_ms IS NULL";
        Ok(self.ledger.prepare_cached(sql)?.execute(params![name, now.0])? == 1)
    }

    /// Notes that a token was used; gives whether it is the first time that day.
    pub fn touch_token(&self, secret: Hash, now: UtcMillis) -> Result<bool, StoreError> {
        let sql = "SELECT used_ms FROM token WHERE token_hash = ?1";
        let mut query = self.ledger.prepare_cached(sql)?;
        let before: Option<i64> = query.query_row([secret.0], |row| row.get(0)).optional()?;
        let sql = "UPDATE token SET used_ms = ?2 WHERE token_hash = ?1";
        self.ledger.prepare_cached(sql)?.execute(params![secret.0, now.0])?;
        Ok(before.is_some_and(|before| UtcMillis(before).date() != now.date()))
    }
}

impl Reader<'_> {
    /// All tokens, by name.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ledger.token ORDER BY name");
        let mut query = self.db.prepare_cached(&sql)?;
        let found = query.query_map([], token)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The token of a secret.
    pub fn token(&self, secret: Hash) -> Result<Option<Token>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM ledger.token WHERE token_hash = ?1");
        Ok(self.db.prepare_cached(&sql)?.query_row([secret.0], token).optional()?)
    }
}
