//! What rights entries mean: one line a movement, balances as sums over them.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use taizhang_core::id::{AuthorId, RecordId, SliceId};
use taizhang_core::rights::{RightOp, Run, subtract};

use super::rows::{self, is_ledger, signed};
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

/// Movements of one pool, and from whom a holding is only taken as far as it is covered.
struct Covered<'a, F> {
    moves: &'a [Movement],
    is_series: bool,
    is_checked: F,
}

impl<F: Fn(AuthorId, AuthorId) -> bool> Covered<'_, F> {
    /// What an author holds; the runs that it got, and those that went.
    fn of(&self, holder: AuthorId, asked: &mut BTreeSet<AuthorId>) -> (i64, Vec<Run>, Vec<Run>) {
        let (mut amount, mut got, mut gone) = (0_i64, Vec::new(), Vec::new());
        let mut checked: BTreeMap<AuthorId, Vec<Run>> = BTreeMap::new();
        for one in self.moves {
            let run = (one.first, one.amount);
            if one.from == Some(holder) {
                amount = amount.saturating_sub(one.amount);
                gone.push(run);
            }
            match one.from {
                _ if one.to != Some(holder) => {}
                Some(giver) if (self.is_checked)(giver, holder) => {
                    checked.entry(giver).or_default().push(run);
                }
                _ => {
                    amount = amount.saturating_add(one.amount);
                    got.push(run);
                }
            }
        }
        for (giver, runs) in checked {
            let given = runs.iter().fold(0_i64, |sum, run| sum.saturating_add(run.1));
            let lacking = if asked.insert(giver) { self.lacking(giver, asked) } else { i64::MAX };
            amount = amount.saturating_add(given.saturating_sub(lacking).max(0));
            if lacking == 0 {
                got.extend(runs);
            }
        }
        got.sort_unstable();
        (amount, got, gone)
    }

    /// How much more an author gave and spent than it had; of a series, all if it gave any such number.
    fn lacking(&self, giver: AuthorId, asked: &mut BTreeSet<AuthorId>) -> i64 {
        let (amount, got, gone) = self.of(giver, asked);
        if self.is_series && !subtract(&gone, &got).is_empty() {
            return i64::MAX;
        }
        amount.saturating_neg().max(0)
    }
}

impl Store {
    /// Replaces what the record at `source` says; `None` takes it back. A transfer stands as long as
    /// one of its two records does.
    pub fn set_movement(
        &self,
        slice: SliceId,
        source: RecordId,
        movement: Option<&Movement>,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM right_move WHERE is_ledger = ?1 AND place = ?2 AND source = ?3";
        let key = params![is_ledger(slice), slice.place.0, source.0];
        self.derived.prepare_cached(sql)?.execute(key)?;
        if let Some(one) = movement {
            let sql =
                "INSERT INTO right_move VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
            self.derived.prepare_cached(sql)?.execute(params![
                is_ledger(slice),
                slice.place.0,
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
            format!("SELECT DISTINCT {COLUMNS} FROM right_move WHERE pool = ?1 ORDER BY {COLUMNS}");
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
        let sql = "WITH once AS (SELECT DISTINCT pool, name, giver, taker, amount, first, id, op \
                   FROM right_move), \
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

    /// What an author holds of a pool: the amount, and of a series its runs. What an author got from one
    /// for whom `is_checked` holds counts only as far as the giver had it: an entry alone makes no right.
    pub fn holding(
        &self,
        pool: RecordId,
        holder: AuthorId,
        is_series: bool,
        is_checked: impl Fn(AuthorId, AuthorId) -> bool,
    ) -> Result<(i64, Vec<Run>), StoreError> {
        let moves = self.movements(pool)?;
        let covered = Covered { moves: &moves, is_series, is_checked };
        let (amount, got, gone) = covered.of(holder, &mut BTreeSet::new());
        Ok((amount, subtract(&got, &gone)))
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

    /// How much was spent of a pool by those authors for whom `counts` holds.
    pub fn spent(
        &self,
        pool: RecordId,
        counts: impl Fn(AuthorId) -> bool,
    ) -> Result<i64, StoreError> {
        let moves = self.movements(pool)?;
        let spends = moves.iter().filter(|one| one.op == RightOp::Spend);
        let counted = spends.filter(|one| one.from.is_some_and(&counts));
        Ok(counted.fold(0, |sum, one| sum.saturating_add(one.amount)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use taizhang_core::id::{Epoch, SealKey};

    const POOL: RecordId = RecordId([9; 16]);

    fn author(byte: u8) -> AuthorId {
        AuthorId { key: SealKey([byte; 32]), epoch: Epoch([0; 16]) }
    }

    fn moved(id: u8, op: RightOp, from: Option<u8>, to: Option<u8>, run: Run) -> Movement {
        let (from, to) = (from.map(author), to.map(author));
        let id = RecordId([id; 16]);
        Movement {
            id,
            pool: POOL,
            name: "numbers".into(),
            op,
            from,
            to,
            amount: run.1,
            first: run.0,
        }
    }

    /// Authors bear their level: those with a greater byte are below.
    fn held(moves: &[Movement], holder: u8, is_series: bool) -> (i64, Vec<Run>) {
        let is_checked = |giver: AuthorId, taker: AuthorId| giver.key.0 > taker.key.0;
        let covered = Covered { moves, is_series, is_checked };
        let (amount, got, gone) = covered.of(author(holder), &mut BTreeSet::new());
        (amount, subtract(&got, &gone))
    }

    #[test]
    fn what_is_handed_up_counts_as_far_as_it_was_there() {
        use RightOp::{Open, Transfer};
        let mut moves = vec![
            moved(1, Open, None, Some(1), (1, 100)),
            moved(2, Transfer, Some(1), Some(2), (1, 40)),
            moved(3, Transfer, Some(2), Some(1), (1, 10)),
        ];
        assert_eq!(held(&moves, 1, false).0, 70);
        assert_eq!(held(&moves, 1, true), (70, vec![(1, 10), (41, 60)]));
        moves.push(moved(4, Transfer, Some(2), Some(1), (1, 1_000_000)));
        assert_eq!(held(&moves, 1, false).0, 100, "it had 30 more, and no million");
        assert_eq!(
            held(&moves, 1, true),
            (60, vec![(41, 60)]),
            "a number given twice is no number"
        );
        // Two below that help one another.
        moves.pop();
        moves.push(moved(5, Transfer, Some(3), Some(2), (1, 1_000_000)));
        moves.push(moved(6, Transfer, Some(2), Some(1), (1, 1_000_000)));
        assert_eq!(held(&moves, 1, false).0, 100);
    }
}
