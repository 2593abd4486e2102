//! Bringing in a sheet: upload, say which column is which field, look, then import all or nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use askama::Template;
use axum::Form;
use axum::extract::{Multipart, Path, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use taizhang_core::catalogue::Ledger;
use taizhang_core::id::{hex, unhex};

use super::reading::open_ledger;
use super::shell::{Shell, Visitor};
use super::words::word;
use super::{Page, PageError};
use crate::driver::Replica;
use crate::engine::command::refuse;
use crate::ops::mapping::{self, Mapping, letters};
use crate::ops::sheet_import::{
    Asker, CellError, Difference, Outcome, Prepared, prepare, remember,
};
use crate::ops::silent;
use crate::whole::{self, Readable};

/// Folder of sheets under way, in the data folder.
const FOLDER: &str = "uploads";
/// Milliseconds after which a sheet that nobody came back to is deleted: a day.
const KEPT_MS: i64 = 86_400_000;
/// Sheet rows shown beside the mapping.
const SAMPLE_ROWS: usize = 3;
/// Cells in error that a page lists.
const ERRORS_SHOWN: usize = 500;

struct ChoiceLine {
    id: String,
    label: String,
    chosen: bool,
}

struct ColumnLine {
    number: usize,
    letters: String,
    header: String,
    samples: Vec<String>,
    choices: Vec<ChoiceLine>,
    is_key: bool,
}

struct ErrorLine {
    row: usize,
    column: String,
    text: String,
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    shell: Shell,
    heading: String,
    ledger: String,
    /// Address of this sheet's page; empty before the upload.
    action: String,
    columns: Vec<ColumnLine>,
    outcome: Option<Outcome>,
    errors: Vec<ErrorLine>,
    differences: Vec<Difference>,
    imported: bool,
}

fn heading(ledger: &Ledger, english: bool) -> String {
    format!("{} · {}", word("import.title", english), ledger.label.in_lang(english))
}

fn asker(replica: &Replica, visitor: &Visitor) -> Asker {
    Asker { person: visitor.person.clone(), viewer: visitor.viewer(replica) }
}

/// The form for a file.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn form(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Page {
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &id)?;
    forget_old(&replica.folder().join(FOLDER));
    let page = ImportPage {
        shell: Shell::new(&replica, &visitor)?,
        heading: heading(ledger, visitor.english),
        ledger: id,
        action: String::new(),
        columns: Vec::new(),
        outcome: None,
        errors: Vec::new(),
        differences: Vec::new(),
        imported: false,
    };
    Ok(Html(page.render()?))
}

/// Where a sheet under way lies: its name is random, so nobody comes upon another's.
fn place(replica: &Replica, token: &str) -> Result<PathBuf, PageError> {
    let (name, extension) = token.split_once('.').ok_or(PageError::NotFound)?;
    let known = unhex(name).is_some_and(|bytes| bytes.len() == 16);
    let sheet = ["xlsx", "xls", "ods", "csv"].contains(&extension);
    if !known || !sheet {
        return Err(PageError::NotFound);
    }
    Ok(replica.folder().join(FOLDER).join(token))
}

fn forget_old(folder: &std::path::Path) {
    let oldest = crate::driver::clock::now().plus(-KEPT_MS).0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let written = entry.metadata().and_then(|data| data.modified());
        let age = written.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        if age.is_some_and(|age| age.as_millis() < u128::from(oldest.unsigned_abs())) {
            // The next upload tries again.
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Takes a file.
///
/// # Errors
///
/// If it is no spreadsheet.
pub async fn upload(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    mut parts: Multipart,
) -> Result<Response, PageError> {
    let failed = |error: String| PageError::Sheet(error);
    while let Some(part) = parts.next_field().await.map_err(|error| failed(error.to_string()))? {
        if part.name() != Some("file") {
            continue;
        }
        let name = part.file_name().unwrap_or_default().to_lowercase();
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_owned());
        let bytes = part.bytes().await.map_err(|error| failed(error.to_string()))?;
        let mut random = [0; 16];
        crate::driver::machine::chance()(&mut random);
        let token = format!("{}.{}", hex(&random), extension.unwrap_or_default());
        let Ok(path) = place(&replica, &token) else {
            let (zh, en) =
                ("请选择 xlsx、xls、ods 或 csv 文件", "choose an xlsx, xls, ods or csv file");
            return refuse(zh, en).map_err(PageError::Command);
        };
        let folder = replica.folder().join(FOLDER);
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| whole::write(&path, &bytes, Readable::Owner));
        forget_old(&folder);
        written.map_err(|error| failed(error.to_string()))?;
        return Ok(Redirect::to(&format!("/ledgers/{id}/import/{token}")).into_response());
    }
    refuse("请选择文件", "choose a file").map_err(PageError::Command)
}

fn columns(prepared: &Prepared, ledger: &Ledger, english: bool) -> Vec<ColumnLine> {
    let rows = prepared.sheet.rows.iter().skip(prepared.mapping.header + 1).take(SAMPLE_ROWS);
    let rows: Vec<&Vec<String>> = rows.collect();
    let line = |(number, column): (usize, &mapping::Column)| {
        let choice = |field: &taizhang_core::catalogue::Field| ChoiceLine {
            id: field.id.clone(),
            label: field.label.in_lang(english).to_owned(),
            chosen: field.id == column.field,
        };
        ColumnLine {
            number,
            letters: letters(number),
            header: column.header.clone(),
            samples: rows.iter().filter_map(|row| row.get(number)).cloned().collect(),
            choices: mapping::fields(ledger).map(choice).collect(),
            is_key: column.is_key,
        }
    };
    prepared.mapping.columns.iter().enumerate().map(line).collect()
}

/// The mapping as a person left it in the form, which offers what a sheet can fill.
fn corrected(mapping: &Mapping, ledger: &Ledger, form: &BTreeMap<String, String>) -> Mapping {
    let mut mapping = mapping.clone();
    for (number, column) in mapping.columns.iter_mut().enumerate() {
        if let Some(field) = form.get(&format!("column{number}")) {
            let field = Some(field).filter(|field| mapping::fills(ledger, field));
            column.field = field.cloned().unwrap_or_default();
        }
        column.is_key = form.contains_key(&format!("key{number}")) && !column.field.is_empty();
    }
    mapping
}

/// The columns of an uploaded sheet, as guessed or remembered.
///
/// # Errors
///
/// [`PageError`].
pub async fn show(
    State(replica): State<Replica>,
    Path((id, token)): Path<(String, String)>,
    visitor: Visitor,
) -> Page {
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &id)?;
    let path = place(&replica, &token)?;
    let prepared = prepare(&replica, &path, ledger).await?;
    let seen = prepared.import(&replica, ledger, true, asker(&replica, &visitor), silent()).await?;
    sheet_page(&replica, &visitor, ledger, &prepared, &token, seen, false)
}

fn sheet_page(
    replica: &Replica,
    visitor: &Visitor,
    ledger: &Ledger,
    prepared: &Prepared,
    token: &str,
    mut outcome: Outcome,
    imported: bool,
) -> Page {
    let english = visitor.english;
    let line = |error: &CellError| ErrorLine {
        row: error.row,
        column: error.column.clone(),
        text: error.reason.in_lang(english).to_owned(),
    };
    for one in &mut outcome.differences {
        if let Some(field) = ledger.field(&one.field) {
            field.label.in_lang(english).clone_into(&mut one.field);
        }
    }
    let page = ImportPage {
        shell: Shell::new(replica, visitor)?,
        heading: heading(ledger, english),
        ledger: ledger.id.clone(),
        action: format!("/ledgers/{}/import/{token}", ledger.id),
        columns: columns(prepared, ledger, english),
        errors: outcome.errors.iter().take(ERRORS_SHOWN).map(line).collect(),
        differences: std::mem::take(&mut outcome.differences),
        outcome: Some(outcome),
        imported,
    };
    Ok(Html(page.render()?))
}

/// Looks again with the columns as they are in the form, or imports.
///
/// # Errors
///
/// [`PageError`]; bad cells show on the page.
pub async fn play(
    State(replica): State<Replica>,
    Path((id, token)): Path<(String, String)>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Page {
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &id)?;
    let path = place(&replica, &token)?;
    let mut prepared = prepare(&replica, &path, ledger).await?;
    prepared.mapping = corrected(&prepared.mapping, ledger, &form);
    remember(&replica, &ledger.id, &prepared.mapping).await?;
    let preview = !form.contains_key("import");
    let asker = asker(&replica, &visitor);
    let outcome = prepared.import(&replica, ledger, preview, asker, silent()).await?;
    let imported = !preview && outcome.errors.is_empty();
    if imported {
        // It is in the ledger now; a copy that stays is deleted with the next upload.
        drop(std::fs::remove_file(&path));
    }
    sheet_page(&replica, &visitor, ledger, &prepared, &token, outcome, imported)
}
