//! What rights entries mean: one line a movement, balances as sums over them.

use rusqlite::params;
use taizhang_core::id::{AuthorId, RecordId};
use taizhang_core::rights::{RightOp, Run};

use super::rows::{self, signed};
use super::{Store, StoreError};

/// One movement of a right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Movement {
    /// The transfer, spend or opening: a transfer and its repetition are one.
    pub id: RecordId,
    /// The pool.
    pub pool: RecordId,
    /// The pool's name.
    pub name: String,
    /// What it does.
    pub op: RightOp,
    /// Who gives.
    pub from: Option<AuthorId>,
    /// Who gets.
    pub to: Option<AuthorId>,
    /// How much, in the pool's unit.
    pub amount: i64,
    /// First number, of a series.
    pub first: i64,
}

/// What an author holds of a pool.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Balance {
    /// The pool.
    pub pool: RecordId,
    /// Its name.
    pub name: String,
    /// The holder.
    pub holder: AuthorId,
    /// What it holds; below zero is an uncovered spend.
    pub amount: i64,
}

fn bytes(author: Option<AuthorId>) -> Option<Vec<u8>> {
    author.map(|author| [&author.key.0[..], &author.epoch.0[..]].concat())
}

fn author(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<AuthorId>> {
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>(at)? else { return Ok(None) };
    let wrong =
        || rusqlite::Error::InvalidColumnType(at, "author".into(), rusqlite::types::Type::Blob);
    let (key, epoch) = bytes.split_at_checked(32).ok_or_else(wrong)?;
    let key = taizhang_core::id::SealKey::from_slice(key).ok_or_else(wrong)?;
    let epoch = taizhang_core::id::Epoch::from_slice(epoch).ok_or_else(wrong)?;
    Ok(Some(AuthorId { key, epoch }))
}

const COLUMNS: &str = "id, pool, name, op, giver, taker, amount, first";

fn movement(row: &rusqlite::Row<'_>) -> rusqlite::Result<Movement> {
    Ok(Movement {
        id: rows::record(row, 0)?,
        pool: rows::record(row, 1)?,
        name: row.get(2)?,
        op: RightOp::parse(&row.get::<_, String>(3)?).unwrap_or(RightOp::Spend),
        from: author(row, 4)?,
        to: author(row, 5)?,
        amount: row.get(6)?,
        first: row.get(7)?,
    })
}

impl Store {
    /// Replaces what the record at `source` says; `None` takes it back. A transfer stands as long as
    /// one of its two records does.
    pub fn set_movement(
        &self,
        source: RecordId,
        movement: Option<&Movement>,
    ) -> Result<(), StoreError> {
        self.derived
            .prepare_cached("DELETE FROM right_move WHERE source = ?1")?
            .execute([source.0])?;
        if let Some(one) = movement {
            let sql = "INSERT INTO right_move VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            self.derived.prepare_cached(sql)?.execute(params![
                source.0,
                one.id.0,
                one.pool.0,
                one.name,
                one.op.name(),
                bytes(one.from),
                bytes(one.to),
                one.amount,
                one.first
            ])?;
        }
        Ok(())
    }

    /// Movements of a pool, each once.
    pub fn movements(&self, pool: RecordId) -> Result<Vec<Movement>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM right_move WHERE pool = ?1 GROUP BY id ORDER BY id");
        let mut query = self.derived.prepare_cached(&sql)?;
        let found = query.query_map([pool.0], movement)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Pools of a name.
    pub fn pools(&self, name: &str) -> Result<Vec<RecordId>, StoreError> {
        let sql = "SELECT DISTINCT pool FROM right_move WHERE name = ?1 ORDER BY pool";
        let mut query = self.derived.prepare_cached(sql)?;
        let found = query.query_map([name], |row| rows::record(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// What every author holds of every pool; caps have no holder and are left out.
    pub fn balances(&self) -> Result<Vec<Balance>, StoreError> {
        let sql = "WITH once AS (SELECT pool, name, giver, taker, amount FROM right_move GROUP BY id), \
                   flow AS (SELECT pool, name, taker AS holder, amount FROM once \
                   WHERE taker IS NOT NULL UNION ALL SELECT pool, name, giver, -amount FROM once \
                   WHERE giver IS NOT NULL) SELECT pool, name, holder, sum(amount) FROM flow \
                   WHERE name NOT LIKE 'cap:%' GROUP BY pool, holder ORDER BY name, pool, holder";
        let mut query = self.derived.prepare_cached(sql)?;
        let mut found = query.query([])?;
        let mut list = Vec::new();
        while let Some(row) = found.next()? {
            if let Some(holder) = author(row, 2)? {
                let (pool, name) = (rows::record(row, 0)?, row.get(1)?);
                list.push(Balance { pool, name, holder, amount: row.get(3)? });
            }
        }
        Ok(list)
    }

    /// What an author holds of a pool: the amount, and of a series its runs.
    pub fn holding(&self, pool: RecordId, holder: AuthorId) -> Result<(i64, Vec<Run>), StoreError> {
        let (mut amount, mut got, mut gone) = (0_i64, Vec::new(), Vec::new());
        for one in self.movements(pool)? {
            if one.to == Some(holder) {
                amount = amount.saturating_add(one.amount);
                got.push((one.first, one.amount));
            }
            if one.from == Some(holder) {
                amount = amount.saturating_sub(one.amount);
                gone.push((one.first, one.amount));
            }
        }
        got.sort_unstable();
        Ok((amount, taizhang_core::rights::subtract(&got, &gone)))
    }

    /// Whether anything that a key held was written off.
    pub fn is_written_off(&self, key: taizhang_core::id::SealKey) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM right_move WHERE op = ?1 AND substr(giver, 1, 32) = ?2";
        let row = params![RightOp::WriteOff.name(), key.0];
        let count: i64 = self.derived.prepare_cached(sql)?.query_row(row, |row| row.get(0))?;
        Ok(count > 0)
    }

    /// What a key holds of a pool in all its epochs.
    pub fn held_by_key(
        &self,
        pool: RecordId,
        key: taizhang_core::id::SealKey,
    ) -> Result<i64, StoreError> {
        Ok(self.movements(pool)?.iter().fold(0_i64, |sum, one| {
            let of_key = |author: Option<AuthorId>| author.is_some_and(|author| author.key == key);
            let came = if of_key(one.to) { one.amount } else { 0 };
            let went = if of_key(one.from) { one.amount } else { 0 };
            sum.saturating_add(came).saturating_sub(went)
        }))
    }

    /// How much was spent of a pool in all.
    pub fn spent(&self, pool: RecordId) -> Result<i64, StoreError> {
        let moves = self.movements(pool)?;
        let spends = moves.iter().filter(|one| one.op == RightOp::Spend);
        Ok(spends.fold(0, |sum, one| sum.saturating_add(one.amount)))
    }

    /// The newest epoch in which a key has signed a receipt, by time of arrival.
    pub fn last_epoch(
        &self,
        key: taizhang_core::id::SealKey,
    ) -> Result<Option<taizhang_core::id::Epoch>, StoreError> {
        use rusqlite::OptionalExtension as _;
        let sql = "SELECT epoch FROM receipt WHERE issuer = ?1 ORDER BY came_at_ms DESC, number DESC \
                   LIMIT ?2";
        let mut query = self.ledger.prepare_cached(sql)?;
        let found =
            query.query_row(params![key.0, signed(1)], |row| rows::array(row, 0)).optional()?;
        Ok(found.map(taizhang_core::id::Epoch))
    }
}
