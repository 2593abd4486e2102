//! What is kept of others: chains, receipts, invitations, contacts.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::codec::{Reader, Writer};
use taizhang_core::feed::receipt::{Receipt, SealedReceipt};
use taizhang_core::id::{AuthorId, Hash, PlaceId, ReplicaId, SealKey, SliceId};
use taizhang_core::limits;
use taizhang_core::time::UtcMillis;

use super::rows::{self, is_ledger, signed};
use super::{Store, StoreError};

/// A receipt with its issuer's key and number.
#[derive(Clone, Debug)]
pub struct StoredReceipt {
    /// Issuer.
    pub issuer: AuthorId,
    /// Slice.
    pub slice: SliceId,
    /// Number within the epoch.
    pub number: u64,
    /// Bytes and seal.
    pub sealed: SealedReceipt,
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Invitation {
    /// It may be used for this place.
    Open(PlaceId),
    /// Used before, by this key, for this place; none in a folder of an older program.
    Used(PlaceId, Option<SealKey>),
    /// Too late.
    Expired,
    /// No such secret.
    Unknown,
}

impl Store {
    /// Keeps a chain.
    pub fn put_chain(&self, key: SealKey, chain: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut writer = Writer::new();
        writer.len(chain.len());
        for der in chain {
            writer.blob(der);
        }
        self.ledger
            .prepare_cached("INSERT OR IGNORE INTO chain VALUES (?1, ?2)")?
            .execute(params![key.0, writer.bytes])?;
        Ok(())
    }

    /// A chain by key.
    pub fn chain(&self, key: SealKey) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let mut query =
            self.ledger.prepare_cached("SELECT certificates FROM chain WHERE seal_key = ?1")?;
        let found: Option<Vec<u8>> = query.query_row([key.0], |row| row.get(0)).optional()?;
        let Some(bytes) = found else { return Ok(None) };
        let damaged = |_| StoreError::Damaged("a certificate chain".into());
        let mut reader = Reader::new(&bytes);
        let mut chain = Vec::new();
        for _ in 0..reader.len(limits::CHAIN_CERTIFICATES_MAX).map_err(damaged)? {
            chain.push(reader.blob(limits::CERTIFICATE_BYTES_MAX).map_err(damaged)?.to_vec());
        }
        Ok(Some(chain))
    }

    /// Keys whose chain is held.
    pub fn chain_keys(&self) -> Result<BTreeSet<SealKey>, StoreError> {
        let mut query = self.ledger.prepare_cached("SELECT seal_key FROM chain")?;
        let found = query.query_map([], |row| rows::array(row, 0).map(SealKey))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Keeps a verified receipt if it replaces the one that is held; gives whether it did.
    pub fn put_receipt(
        &self,
        receipt: &Receipt,
        sealed: &SealedReceipt,
        now: UtcMillis,
    ) -> Result<bool, StoreError> {
        let held = "SELECT plain, seal FROM receipt WHERE issuer = ?1 AND epoch = ?2 \
                    AND is_ledger = ?3 AND place = ?4";
        let (issuer, slice) = (receipt.issuer, receipt.slice);
        let key = params![issuer.key.0, issuer.epoch.0, is_ledger(slice), slice.place.0];
        let held = self.ledger.prepare_cached(held)?.query_row(key, |row| {
            Ok(SealedReceipt { plain: row.get(0)?, seal: rows::array(row, 1)? })
        });
        let held = held.optional()?.and_then(|held| held.open().ok());
        if held.is_some_and(|held| !receipt.replaces(&held)) {
            return Ok(false);
        }
        let sql = "INSERT OR REPLACE INTO receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.ledger.prepare_cached(sql)?.execute(params![
            issuer.key.0,
            issuer.epoch.0,
            is_ledger(slice),
            slice.place.0,
            signed(receipt.number),
            sealed.plain,
            sealed.seal,
            now.0
        ])?;
        if !is_ledger(receipt.slice) {
            self.note_reach(receipt)?;
        }
        Ok(true)
    }

    fn note_reach(&self, receipt: &Receipt) -> Result<(), StoreError> {
        let mut insert = self
            .ledger
            .prepare_cached("INSERT OR IGNORE INTO reach VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        let (issuer, place) = (receipt.issuer.key.0, receipt.slice.place.0);
        for ((_, author), head) in &receipt.held.heads {
            let (key, epoch) = (author.key.0, author.epoch.0);
            let row = params![issuer, place, key, epoch, false, signed(head.count), receipt.time.0];
            insert.execute(row)?;
        }
        for (author, count, since) in &receipt.applied {
            let (key, epoch) = (author.key.0, author.epoch.0);
            insert.execute(params![issuer, place, key, epoch, true, signed(*count), since.0])?;
        }
        Ok(())
    }

    /// Withdraws the receipts that an author signed in an epoch it closed.
    pub fn drop_receipts(&self, author: AuthorId) -> Result<(), StoreError> {
        self.ledger
            .prepare_cached("DELETE FROM receipt WHERE issuer = ?1 AND epoch = ?2")?
            .execute(params![author.key.0, author.epoch.0])?;
        Ok(())
    }

    /// All receipts.
    pub fn receipts(&self) -> Result<Vec<StoredReceipt>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT issuer, epoch, is_ledger, place, number, plain, seal FROM receipt \
             ORDER BY issuer, epoch, is_ledger, place",
        )?;
        let found = query.query_map([], |row| {
            Ok(StoredReceipt {
                issuer: rows::author(row, 0)?,
                slice: rows::slice(row, 2)?,
                number: rows::count(row, 4)?,
                sealed: SealedReceipt { plain: row.get(5)?, seal: rows::array(row, 6)? },
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The number of an issuer's last receipt on a slice.
    pub fn receipt_number(&self, issuer: AuthorId, slice: SliceId) -> Result<u64, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT number FROM receipt WHERE issuer = ?1 AND is_ledger = ?2 AND place = ?3 \
             AND epoch = ?4",
        )?;
        let key = params![issuer.key.0, is_ledger(slice), slice.place.0, issuer.epoch.0];
        Ok(query.query_row(key, |row| rows::count(row, 0)).optional()?.unwrap_or(0))
    }

    /// Keeps an invitation.
    pub fn put_invitation(
        &self,
        secret: Hash,
        place: PlaceId,
        expires: UtcMillis,
    ) -> Result<(), StoreError> {
        self.ledger
            .prepare_cached("INSERT INTO invitation VALUES (?1, ?2, ?3, NULL, NULL)")?
            .execute(params![secret.0, place.0, expires.0])?;
        Ok(())
    }

    /// What an invitation allows now.
    pub fn invitation(&self, secret: Hash, now: UtcMillis) -> Result<Invitation, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT place, expires_ms, used_ms, used_by FROM invitation WHERE secret_hash = ?1",
        )?;
        let found = query
            .query_row([secret.0], |row| {
                let used: Option<i64> = row.get(2)?;
                let used = used.map(|_| row.get::<_, Option<[u8; 32]>>(3)).transpose()?;
                Ok((rows::place(row, 0)?, row.get::<_, i64>(1)?, used))
            })
            .optional()?;
        Ok(match found {
            None => Invitation::Unknown,
            Some((_, expires, _)) if expires < now.0 => Invitation::Expired,
            Some((place, _, Some(by))) => Invitation::Used(place, by.map(SealKey)),
            Some((place, _, None)) => Invitation::Open(place),
        })
    }

    /// Marks an invitation used by a key.
    pub fn use_invitation(
        &self,
        secret: Hash,
        by: SealKey,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        self.ledger
            .prepare_cached(
                "UPDATE invitation SET used_ms = ?2, used_by = ?3 WHERE secret_hash = ?1",
            )?
            .execute(params![secret.0, now.0, by.0])?;
        Ok(())
    }

    /// Notes a successful contact with a peer.
    pub fn put_contact(
        &self,
        replica: ReplicaId,
        place: PlaceId,
        is_parent: bool,
        now: UtcMillis,
        in_sync: bool,
        skew_ms: i64,
    ) -> Result<(), StoreError> {
        let synced = if in_sync { now.0 } else { 0 };
        self.ledger
            .prepare_cached(
                "INSERT INTO contact VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET \
                 place = ?2, is_parent = ?3, last_ms = ?4, synced_ms = max(synced_ms, ?5), skew_ms = ?6",
            )?
            .execute(params![replica.0, place.0, is_parent, now.0, synced, skew_ms])?;
        Ok(())
    }
}

impl Store {
    /// Since when an issuer's receipts say that it has applied a directive feed up to a count.
    pub fn applied_since(
        &self,
        issuer: SealKey,
        slice: SliceId,
        author: AuthorId,
        count: u64,
    ) -> Result<Option<UtcMillis>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT min(since_ms) FROM reach WHERE issuer = ?1 AND place = ?2 AND author_key = ?3 \
             AND epoch = ?4 AND applied = 1 AND count >= ?5",
        )?;
        let key = params![issuer.0, slice.place.0, author.key.0, author.epoch.0, signed(count)];
        let found: Option<i64> = query.query_row(key, |row| row.get(0))?;
        Ok(found.map(UtcMillis))
    }
}
