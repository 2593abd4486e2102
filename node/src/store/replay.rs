//! Segments as they stand, one after another: for recomputing what was made from some of them.

use std::path::Path;

use taizhang_core::feed::segment::{Sealed, Segment};
use taizhang_core::id::Hash;
use taizhang_core::time::UtcMillis;

use super::branch::Filed;
use super::read::{Reader, Readers};
use super::{Store, StoreError, rows};

/// A segment as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Local arrival position.
    pub arrival: u64,
    /// Hash under which it was stored.
    pub hash: Hash,
    /// Bytes and seal.
    pub sealed: Sealed,
}

/// Segments read at a time.
const PAGE: i64 = 256;

/// How the names of folders begin in which segments are recomputed.
pub const COPIES: &str = "verify-";

/// Every segment in order of arrival, page by page on snapshots of their own: segments never change, and a
/// long snapshot would keep the log from being taken in.
pub fn each_segment<E: From<StoreError>>(
    readers: &Readers,
    mut visit: impl FnMut(Stored) -> Result<(), E>,
) -> Result<(), E> {
    let mut after = 0;
    loop {
        let page = readers.with(|reader| reader.segments(after))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.arrival;
        for one in page {
            visit(one)?;
        }
    }
}

/// A key and its certificates, as they are stored.
type Chain = ([u8; 32], Vec<u8>);

impl Reader<'_> {
    fn segments(&self, after: u64) -> Result<Vec<Stored>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT arrival, hash, plain, seal FROM ledger.segment WHERE arrival > ?1 \
             ORDER BY arrival LIMIT ?2",
        )?;
        let found = query.query_map([rows::signed(after), PAGE], |row| {
            let sealed = Sealed { plain: row.get(2)?, seal: rows::array(row, 3)? };
            Ok(Stored { arrival: rows::count(row, 0)?, hash: rows::hash(row, 1)?, sealed })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Certificate chains by key, as they are stored.
    fn chains(&self) -> Result<Vec<Chain>, StoreError> {
        let mut query =
            self.db.prepare_cached("SELECT seal_key, certificates FROM ledger.chain")?;
        let found = query.query_map([], |row| Ok((rows::array(row, 0)?, row.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

impl Store {
    /// Takes the certificate chains of another store.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn copy_chains(&self, from: &Reader<'_>) -> Result<(), StoreError> {
        for (key, chain) in from.chains()? {
            let sql = "INSERT OR IGNORE INTO chain VALUES (?1, ?2)";
            self.ledger.prepare_cached(sql)?.execute(rusqlite::params![key, chain])?;
        }
        Ok(())
    }

    /// Takes a segment of another store, those before it taken already.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; damaged if it does not follow them.
    pub(crate) fn replay(&self, one: &Stored) -> Result<(), StoreError> {
        let damaged = || StoreError::Damaged(format!("segment {}", one.arrival));
        let header = Segment::header(&one.sealed.plain).map_err(|_| damaged())?;
        let (feed, number, previous) = (header.feed, header.number, header.previous);
        match self.file_segment(&feed, number, previous, &one.sealed, None, UtcMillis(0))? {
            Filed::New { .. } | Filed::Held(..) => Ok(()),
            _ => Err(damaged()),
        }
    }
}

/// Removes what a recomputation left behind that was broken off.
pub(super) fn remove_copies(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let left =
        entries.flatten().filter(|one| one.file_name().to_string_lossy().starts_with(COPIES));
    for one in left {
        if let Err(error) = std::fs::remove_dir_all(one.path()) {
            tracing::warn!(%error, "a folder of a verification could not be removed");
        }
    }
}
