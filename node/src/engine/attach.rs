//! Attachments: which blobs records name, and the bytes that come and go.

use taizhang_core::catalogue::{Field, FieldKind, Ledger, Text};
use taizhang_core::id::{PlaceId, RecordId, SliceId};
use taizhang_core::place::is_shared;
use taizhang_core::record::attachment::{Attachment, BlobRef};
use taizhang_core::record::edit::KeyWrite;
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::Value;
use taizhang_core::sync::blobs::MissingBlob;

use super::values::FieldError;
use super::{Engine, Event};
use crate::store::{Store, StoreError};

/// The key of an attachment that is added, or with `-` before it taken away again.
///
/// # Errors
///
/// [`FieldError`] for what names no attachment, or one whose bytes are not on disk here: nobody else
/// would have them.
pub(super) fn keys(
    store: &Store,
    field: &Field,
    text: &str,
    row: Option<&Row>,
) -> Result<Vec<KeyWrite>, FieldError> {
    let (member, add) = text.strip_prefix('-').map_or((text, true), |member| (member, false));
    if member.is_empty() {
        return Ok(Vec::new());
    }
    let here = |one: Attachment| one.blobs().all(|blob| store.have_of(blob) == blob.bytes);
    if !Attachment::parse(member).is_some_and(|one| !add || here(one)) {
        return Err(FieldError {
            field: field.id.clone(),
            reason: Text {
                zh: format!("「{}」请在记录页面上传照片或扫描件", field.label.zh),
                en: format!("{}: add photos and scans on the record's page", field.label.en),
            },
        });
    }
    let shown = row.and_then(|row| row.sets.get(&field.id));
    if shown.is_some_and(|shown| shown.contains(member)) == add {
        return Ok(Vec::new());
    }
    Ok(vec![(format!("{}/{member}", field.id), add.then_some(Value::Bool(true)))])
}

/// The attachments of a row, with their fields.
pub fn attachments<'a>(
    ledger: &'a Ledger,
    row: &'a Row,
) -> impl Iterator<Item = (&'a Field, Attachment)> {
    ledger.fields.iter().filter(|field| field.kind == FieldKind::Attach).flat_map(|field| {
        let members = row.sets.get(&field.id).into_iter().flatten();
        members.filter_map(|one| Attachment::parse(one)).map(move |one| (field, one))
    })
}

impl Engine {
    /// Notes which blobs a row names, and asks for those that are not here.
    pub(super) fn note_blobs(
        &mut self,
        slice: SliceId,
        record: RecordId,
        ledger: Option<&Ledger>,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        let Some(ledger) = ledger else { return Ok(()) };
        if !ledger.fields.iter().any(|field| field.kind == FieldKind::Attach) {
            return Ok(());
        }
        let named = row.into_iter().flat_map(|row| attachments(ledger, row));
        let blobs: Vec<BlobRef> =
            named.flat_map(|(_, one)| one.blobs().collect::<Vec<_>>()).collect();
        let missing = self.store.set_blob_names(slice, record, &blobs)?;
        // Bytes that a clerk put here may be what other records name and peers asked for in vain.
        for blob in blobs.iter().filter(|blob| missing.iter().all(|one| one.blob != **blob)) {
            self.held(*blob)?;
        }
        if !missing.is_empty() {
            self.events.push(Event::BlobsMissing(missing));
        }
        Ok(())
    }

    /// Blobs that are missing here of slices shared with a peer.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn missing_blobs(&self, peer: PlaceId) -> Result<Vec<MissingBlob>, StoreError> {
        let (own, tree) = (self.place(), &self.directives.tree);
        self.store.missing_blobs(|slice| is_shared(own, peer, slice, tree))
    }

    /// Takes a part of a blob; gives how much of it is here then, or none if there is no room.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn take_blob(
        &mut self,
        blob: BlobRef,
        from: u64,
        part: &[u8],
    ) -> Result<Option<u64>, StoreError> {
        let have = self.store.take_blob_part(blob, from, part)?;
        if have == Some(blob.bytes) {
            self.held(blob)?;
        }
        Ok(have)
    }

    fn held(&mut self, blob: BlobRef) -> Result<(), StoreError> {
        for slice in self.store.mark_blob_held(blob)? {
            self.events.push(Event::BlobHeld(slice, blob));
        }
        Ok(())
    }
}
