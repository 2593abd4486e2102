//! Blobs: photos and scans as files beside the ledger, and which records name them.
//!
//! `blobs/HASH` is whole and was synced before its name; `blobs/HASH.part` is what came so far. Which records name a blob is derived, and so is whether it is here.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::id::{Hash, RecordId, SliceId, hex};
use taizhang_core::limits;
use taizhang_core::record::attachment::BlobRef;
use taizhang_core::sync::blobs::MissingBlob;

use super::rows::{self, is_ledger};
use super::{Store, StoreError};
use crate::whole;

/// The file of a blob in a data folder.
pub fn blob_path(folder: &Path, hash: Hash) -> PathBuf {
    folder.join("blobs").join(hex(&hash.0))
}

fn part_path(folder: &Path, hash: Hash) -> PathBuf {
    folder.join("blobs").join(format!("{}.part", hex(&hash.0)))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

impl Store {
    /// Keeps bytes as a blob: on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`], disk full included.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<BlobRef, StoreError> {
        let blob = BlobRef::of(bytes);
        let path = blob_path(&self.folder, blob.hash);
        if length(&path) < blob.bytes {
            self.room()?;
            whole::write(&path, bytes, whole::Readable::Owner)
                .map_err(|error| StoreError::file(&path, error))?;
        }
        Ok(blob)
    }

    /// Writes a part of a blob behind what is here of it. Gives how much is here then: all of it if
    /// its hash is right, nothing if it is wrong; none if the room that is left is for this office.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn take_blob_part(
        &self,
        blob: BlobRef,
        from: u64,
        bytes: &[u8],
    ) -> Result<Option<u64>, StoreError> {
        let have = self.have_of(blob);
        if have >= blob.bytes || have != from {
            return Ok(Some(have));
        }
        if self.room_beyond(limits::BLOB_RESERVE_BYTES).is_err() {
            return Ok(None);
        }
        let path = part_path(&self.folder, blob.hash);
        let at = |error| StoreError::file(&path, error);
        let mut options = OpenOptions::new();
        let mut file = match from {
            0 => options.create(true).write(true).truncate(true).open(&path).map_err(at)?,
            _ => options.append(true).open(&path).map_err(at)?,
        };
        file.write_all(bytes).map_err(at)?;
        drop(file);
        if length(&path) < blob.bytes {
            return Ok(Some(length(&path)));
        }
        let whole = fs::read(&path).map_err(at)?;
        if BlobRef::of(&whole) != blob {
            fs::remove_file(&path).map_err(at)?;
            return Ok(Some(0));
        }
        self.put_blob(&whole).map(|blob| Some(blob.bytes))
    }

    /// Bytes of a blob that are here: all of them, or what came so far.
    pub fn have_of(&self, blob: BlobRef) -> u64 {
        let part = || length(&part_path(&self.folder, blob.hash));
        match length(&blob_path(&self.folder, blob.hash)) {
            // A part that is complete was not looked at: a crash came between. It comes again.
            0 => Some(part()).filter(|part| *part < blob.bytes).unwrap_or(0),
            whole => whole,
        }
    }

    /// A part of a blob that a record of the slice names; empty if none does, or it is not here.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn read_blob(&self, slice: SliceId, hash: Hash, from: u64) -> Result<Vec<u8>, StoreError> {
        let sql = "SELECT 1 FROM blob_name WHERE is_ledger = ?1 AND place = ?2 AND hash = ?3";
        let key = params![is_ledger(slice), slice.place.0, hash.0];
        let named = self.derived.prepare_cached(sql)?.query_row(key, |_| Ok(())).optional()?;
        let path = blob_path(&self.folder, hash);
        if named.is_none() || from >= length(&path) {
            return Ok(Vec::new());
        }
        let read = || {
            let mut file = fs::File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.take(limits::BLOB_PART_BYTES as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error| StoreError::file(&path, error))
    }

    /// What is named under a hash.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn named_blob(&self, hash: Hash) -> Result<Option<BlobRef>, StoreError> {
        let sql = "SELECT bytes FROM blob_name WHERE hash = ?1";
        let mut query = self.derived.prepare_cached(sql)?;
        let bytes = query.query_row([hash.0], |row| rows::count(row, 0)).optional()?;
        Ok(bytes.map(|bytes| BlobRef { hash, bytes }))
    }

    /// The blobs that a record names and that are here.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn blobs_of(&self, slice: SliceId, record: RecordId) -> Result<Vec<BlobRef>, StoreError> {
        let sql = "SELECT hash, bytes FROM blob_name WHERE is_ledger = ?1 AND place = ?2 \
                   AND record = ?3 AND held = 1 ORDER BY bytes";
        let mut query = self.derived.prepare_cached(sql)?;
        let key = params![is_ledger(slice), slice.place.0, record.0];
        let found = query.query_map(key, |row| {
            Ok(BlobRef { hash: rows::hash(row, 0)?, bytes: rows::count(row, 1)? })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Notes which blobs a record names; gives those that are not here.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn set_blob_names(
        &self,
        slice: SliceId,
        record: RecordId,
        blobs: &[BlobRef],
    ) -> Result<Vec<MissingBlob>, StoreError> {
        let (kind, place, id) = (is_ledger(slice), slice.place.0, record.0);
        let sql = "DELETE FROM blob_name WHERE is_ledger = ?1 AND place = ?2 AND record = ?3";
        self.derived.prepare_cached(sql)?.execute(params![kind, place, id])?;
        let mut missing = Vec::new();
        for blob in blobs {
            let have = self.have_of(*blob);
            let held = have >= blob.bytes;
            let sql = "INSERT OR IGNORE INTO blob_name (is_ledger, place, record, hash, bytes, held) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let key = params![kind, place, id, blob.hash.0, rows::signed(blob.bytes), held];
            self.derived.prepare_cached(sql)?.execute(key)?;
            if !held {
                missing.push(MissingBlob { slice, blob: *blob, have });
            }
        }
        Ok(missing)
    }

    /// Notes that a blob is here; gives the slices that name it and did not know.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn mark_blob_held(&self, blob: BlobRef) -> Result<Vec<SliceId>, StoreError> {
        let key = params![blob.hash.0, rows::signed(blob.bytes)];
        let sql = "SELECT DISTINCT is_ledger, place FROM blob_name \
                   WHERE hash = ?1 AND bytes <= ?2 AND held = 0";
        let mut query = self.derived.prepare_cached(sql)?;
        let found = query.query_map(key, |row| rows::slice(row, 0))?;
        let slices: Vec<SliceId> = found.collect::<Result<_, _>>()?;
        if !slices.is_empty() {
            let sql = "UPDATE blob_name SET held = 1 WHERE hash = ?1 AND bytes <= ?2";
            self.derived.prepare_cached(sql)?.execute(key)?;
        }
        Ok(slices)
    }

    /// The smallest blobs that records of some slices name and that are not here.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn missing_blobs(
        &self,
        wanted: impl Fn(SliceId) -> bool,
    ) -> Result<Vec<MissingBlob>, StoreError> {
        let sql =
            "SELECT is_ledger, place, hash, bytes FROM blob_name WHERE held = 0 ORDER BY bytes";
        let mut query = self.derived.prepare_cached(sql)?;
        let mut found = query.query([])?;
        let mut missing = Vec::new();
        while let Some(row) = found.next()?.filter(|_| missing.len() < limits::BLOBS_WANTED_MAX) {
            let slice = rows::slice(row, 0)?;
            if wanted(slice) {
                let blob = BlobRef { hash: rows::hash(row, 2)?, bytes: rows::count(row, 3)? };
                missing.push(MissingBlob { slice, blob, have: self.have_of(blob) });
            }
        }
        Ok(missing)
    }
}
