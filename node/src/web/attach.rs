//! Photos and scans of a record: shown small, opened whole, added and taken away.

use axum::extract::{Multipart, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::{Form, body};
use serde::Deserialize;
use taizhang_core::catalogue::{Field, FieldKind, Ledger};
use taizhang_core::id::{Hash, hex, unhex};
use taizhang_core::limits;
use taizhang_core::record::attachment::{Attachment, BlobRef, Media};
use taizhang_core::record::fold::Row;

use super::deeds::saved;
use super::inspection::note_look;
use super::reading::{Reading, ledger_of, opened};
use super::record::record_id;
use super::shell::Visitor;
use super::{PageError, Posted};
use crate::driver::Replica;
use crate::engine::attach::attachments;
use crate::engine::command::{Inputs, refuse};
use crate::engine::values::Source;
use crate::report::FILING;
use crate::store::blobs::blob_path;
use crate::store::read::Detail;
use crate::thumbnail::thumbnail;
use crate::viewer::Viewer;

/// One field for photos on a record's page.
pub(super) struct AttachField {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) help: String,
    pub(super) may_add: bool,
    pub(super) hidden: usize,
    pub(super) items: Vec<AttachLine>,
}

pub(super) struct AttachLine {
    pub(super) name: String,
    pub(super) size: String,
    pub(super) hash: String,
    /// The picture shown; empty if there is none.
    pub(super) picture: String,
    /// Whether the whole is here.
    pub(super) here: bool,
    pub(super) member: String,
}

fn is_here(replica: &Replica, blob: BlobRef) -> bool {
    let found = std::fs::metadata(blob_path(replica.folder(), blob.hash));
    found.is_ok_and(|data| data.len() == blob.bytes)
}

/// The fields for photos of a record, with what they hold.
pub(super) fn attach_fields(reading: &Reading<'_>, ledger: &Ledger, row: &Row) -> Vec<AttachField> {
    let fields = ledger.fields.iter().filter(|field| field.kind == FieldKind::Attach);
    let field = |field: &Field| {
        let found = attachments(ledger, row).filter(|(of, _)| of.id == field.id);
        let items: Vec<AttachLine> = found.map(|(_, one)| line(reading.replica, &one)).collect();
        let hides = reading.hides(field);
        AttachField {
            id: field.id.clone(),
            label: field.label.in_lang(reading.english).to_owned(),
            help: field.help.in_lang(reading.english).to_owned(),
            may_add: field.write.contains(&reading.viewer.level),
            hidden: if hides { items.len() } else { 0 },
            items: if hides { Vec::new() } else { items },
        }
    };
    fields.map(field).collect()
}

fn line(replica: &Replica, one: &Attachment) -> AttachLine {
    let small = one.thumb.filter(|thumb| is_here(replica, *thumb));
    let here = is_here(replica, one.blob);
    let whole = Some(one.blob).filter(|_| here && one.media != Media::Pdf && one.thumb.is_none());
    AttachLine {
        name: one.name.clone(),
        size: format!("{} KB", one.blob.bytes.div_ceil(1024)),
        hash: hex(&one.blob.hash.0),
        picture: small.or(whole).map(|blob| hex(&blob.hash.0)).unwrap_or_default(),
        here,
        member: one.member(),
    }
}

/// How a photo is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct How {
    /// From a page that shows what is hidden: the audit says who looked.
    revealed: bool,
}

/// What a record ever named: a page of a past day shows what was taken away since.
fn once_named<'a>(
    ledger: &'a Ledger,
    detail: &'a Detail,
) -> impl Iterator<Item = (&'a Field, Attachment)> {
    let keys = detail.log.changes.iter().flat_map(|change| &change.ops).map(|op| op.key.as_str());
    keys.filter_map(|key| {
        let (id, member) = key.split_once('/')?;
        let field = ledger.field(id).filter(|field| field.kind == FieldKind::Attach)?;
        Some((field, Attachment::parse(member)?))
    })
}

/// The bytes of a photo or its smaller picture, if the record names it and this account may see it.
///
/// # Errors
///
/// [`PageError::NotFound`], also while it is on its way.
pub async fn show(
    State(replica): State<Replica>,
    Path((id, hash)): Path<(String, String)>,
    Query(how): Query<How>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let record = record_id(&id)?;
    let wanted = unhex(&hash).and_then(|bytes| bytes.try_into().ok()).map(Hash);
    let wanted = wanted.ok_or(PageError::NotFound)?;
    note_look(&replica, &visitor, record).await?;
    let detail = opened(&replica, record)?;
    let directives = replica.directives();
    let ledger = ledger_of(&directives, &detail.ledger)?;
    let (viewer, english) = (visitor.viewer_at(&replica, detail.slice.place)?, visitor.english);
    let viewer = Viewer { revealed: how.revealed, ..viewer };
    let reading = Reading { replica: &replica, directives: &directives, viewer, english };
    // Another office's report is shown without what does not show here, never as a file.
    let is_report = detail.ledger == FILING && detail.slice.place != replica.place();
    let of = |(field, one): (&Field, Attachment)| {
        let whole = one.blob.hash == wanted;
        let named = whole || one.thumb.is_some_and(|thumb| thumb.hash == wanted);
        let sees = named && !reading.hides(field) && !(is_report && one.media == Media::Data);
        sees.then_some(if whole { one.media } else { Media::Jpeg })
    };
    let named = attachments(ledger, &detail.row).chain(once_named(ledger, &detail));
    let media = named.filter_map(of).next().ok_or(PageError::NotFound)?;
    if how.revealed {
        let text = format!("{} saw photo {hash} of record {record}", visitor.login());
        replica.run(move |engine, now| Ok(engine.store.audit("revealed", &text, now)?)).await?;
    }
    let bytes = tokio::fs::read(blob_path(replica.folder(), wanted)).await;
    let bytes = bytes.map_err(|_| PageError::NotFound)?;
    let kind = [(header::CONTENT_TYPE, media.mime()), (header::CONTENT_DISPOSITION, "inline")];
    Ok((kind, body::Bytes::from(bytes)).into_response())
}

/// Adds files to a field.
///
/// # Errors
///
/// What a file must be.
pub async fn add(
    State(replica): State<Replica>,
    Path((id, field)): Path<(String, String)>,
    visitor: Visitor,
    mut parts: Multipart,
) -> Posted {
    let record = record_id(&id)?;
    let failed =
        |error: axum::extract::multipart::MultipartError| PageError::Sheet(error.to_string());
    while let Some(part) = parts.next_field().await.map_err(failed)? {
        if part.name() != Some("file") {
            continue;
        }
        let name = part.file_name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(failed)?;
        if bytes.is_empty() {
            continue;
        }
        let Some(media) =
            Media::of(&bytes).filter(|_| bytes.len() as u64 <= limits::BLOB_BYTES_MAX)
        else {
            return refuse(
                format!("「{name}」不是16MB以内的JPG、PNG照片或PDF文件"),
                format!("{name} is no JPG or PNG photo and no PDF of at most 16 MB"),
            )
            .map_err(PageError::Command);
        };
        let small = tokio::task::block_in_place(|| thumbnail(&bytes, media));
        let (person, field) = (visitor.person.clone(), field.clone());
        replica
            .run(move |engine, now| {
                // On disk before the entry that names them.
                let blob = engine.store.put_blob(&bytes)?;
                let thumb = small.map(|small| engine.store.put_blob(&small)).transpose()?;
                let member = Attachment { blob, media, thumb, name }.member();
                let inputs = Inputs::from([(field, member)]);
                engine.set(record, &inputs, Source::People, &person, now)
            })
            .await?;
    }
    Ok(saved(&id))
}

/// Which one.
#[derive(Deserialize)]
pub struct Member {
    member: String,
}

/// Takes a photo away; its bytes and the history stay.
///
/// # Errors
///
/// If this office may not.
pub async fn remove(
    State(replica): State<Replica>,
    Path((id, field)): Path<(String, String)>,
    visitor: Visitor,
    Form(form): Form<Member>,
) -> Posted {
    let record = record_id(&id)?;
    let person = visitor.person;
    let inputs = Inputs::from([(field, format!("-{}", form.member))]);
    replica
        .run(move |engine, now| engine.set(record, &inputs, Source::People, &person, now))
        .await?;
    Ok(saved(&id))
}
