//! Which issuers of receipts hold and have applied a segment of a directive feed.

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::id::{AuthorId, SealKey, SliceId};
use taizhang_core::time::UtcMillis;

use super::StoreError;
use super::read::Reader;
use super::rows::signed;

/// Since when one issuer holds and has applied a segment, by its own receipts and clock; 0 if it has
/// not said so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Since when it holds it.
    pub held: UtcMillis,
    /// Since when it has applied it.
    pub applied: UtcMillis,
}

impl Reader<'_> {
    /// What each of `issuers` has said of segment `number` of a directive feed: two look-ups each, however
    /// long the feed has become since.
    pub fn reach_of(
        &self,
        slice: SliceId,
        author: AuthorId,
        number: u64,
        issuers: impl IntoIterator<Item = SealKey>,
    ) -> Result<Vec<(SealKey, Mark)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT since_ms FROM ledger.reach WHERE issuer = ?1 AND place = ?2 AND author_key = ?3 \
             AND epoch = ?4 AND applied = ?5 AND count > ?6 ORDER BY count LIMIT 1",
        )?;
        let mut since = |issuer: SealKey, applied: bool| -> Result<UtcMillis, StoreError> {
            let (place, key, epoch) = (slice.place.0, author.key.0, author.epoch.0);
            let row = params![issuer.0, place, key, epoch, applied, signed(number)];
            let found: Option<i64> = query.query_row(row, |row| row.get(0)).optional()?;
            Ok(UtcMillis(found.unwrap_or(0)))
        };
        let mut list = Vec::new();
        for issuer in issuers {
            let mark = Mark { held: since(issuer, false)?, applied: since(issuer, true)? };
            list.push((issuer, mark));
        }
        Ok(list)
    }
}
