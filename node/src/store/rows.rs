//! Between SQLite's columns and the domain's types.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use taizhang_core::id::{
    AuthorId, Epoch, FeedId, Hash, Lane, PlaceId, RecordId, SealKey, SliceId, SliceKind,
};

/// Reads a fixed-size column; a wrong size is a conversion error of that column.
pub(super) fn array<const N: usize>(row: &Row<'_>, at: usize) -> rusqlite::Result<[u8; N]> {
    match row.get_ref(at)? {
        ValueRef::Blob(bytes) => bytes.try_into().map_err(|_| {
            rusqlite::Error::InvalidColumnType(at, "wrong size".into(), rusqlite::types::Type::Blob)
        }),
        other => Err(rusqlite::Error::InvalidColumnType(at, "blob".into(), other.data_type())),
    }
}

pub(super) fn hash(row: &Row<'_>, at: usize) -> rusqlite::Result<Hash> {
    array(row, at).map(Hash)
}

pub(super) fn place(row: &Row<'_>, at: usize) -> rusqlite::Result<PlaceId> {
    array(row, at).map(PlaceId)
}

pub(super) fn record(row: &Row<'_>, at: usize) -> rusqlite::Result<RecordId> {
    array(row, at).map(RecordId)
}

pub(super) fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(|value| u64::try_from(value).unwrap_or(0))
}

/// Two columns: kind and place.
pub(super) fn slice(row: &Row<'_>, at: usize) -> rusqlite::Result<SliceId> {
    let kind = if row.get::<_, bool>(at)? { SliceKind::Ledger } else { SliceKind::Directive };
    Ok(SliceId { kind, place: place(row, at + 1)? })
}

/// Two columns: key and epoch.
pub(super) fn author(row: &Row<'_>, at: usize) -> rusqlite::Result<AuthorId> {
    Ok(AuthorId { key: SealKey(array(row, at)?), epoch: Epoch(array(row, at + 1)?) })
}

/// Five columns: kind, place, lane, key, epoch.
pub(super) fn feed(row: &Row<'_>, at: usize) -> rusqlite::Result<FeedId> {
    let lane = row.get::<_, u8>(at + 2)?;
    Ok(FeedId {
        slice: slice(row, at)?,
        lane: Lane::from_code(lane).unwrap_or(Lane::Ordinary),
        author: author(row, at + 3)?,
    })
}

pub(super) fn is_ledger(slice: SliceId) -> bool {
    slice.kind == SliceKind::Ledger
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
