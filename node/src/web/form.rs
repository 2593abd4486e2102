//! Forms from the catalogue: what was typed survives a refused save.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Ledger, Required};
use taizhang_core::id::SliceId;
use taizhang_core::record::fold::Row;

use super::record::record_id;
use super::shell::{Shell, Visitor, level_word};
use super::words::word;
use super::{Page, PageError};
use crate::driver::{Replica, clock};
use crate::engine::command::{CommandError, Inputs};
use crate::engine::values::{FieldError, Source, form_text, masked};
use crate::store::read::ListQuery;
use crate::viewer::{Sight, Viewer};

/// Records offered in a reference picker.
const PICKER_ROWS: usize = 200;

struct OptionLine {
    id: String,
    label: String,
    chosen: bool,
}

struct ColumnLine {
    id: String,
    label: String,
    options: Vec<OptionLine>,
}

struct FormField {
    id: String,
    label: String,
    help: String,
    required: bool,
    writable: bool,
    writers: String,
    widget: &'static str,
    inputmode: &'static str,
    list: String,
    value: String,
    error: String,
    options: Vec<OptionLine>,
    columns: Vec<ColumnLine>,
}

struct ErrorLine {
    field: String,
    text: String,
}

#[derive(Template)]
#[template(path = "form.html")]
struct FormPage {
    shell: Shell,
    heading: String,
    action: String,
    errors: Vec<ErrorLine>,
    fields: Vec<FormField>,
}

struct Filling<'a> {
    replica: &'a Replica,
    ledger: &'a Ledger,
    catalogue: &'a Catalogue,
    row: Option<&'a Row>,
    typed: Option<&'a Inputs>,
    errors: &'a [FieldError],
    viewer: Viewer,
    english: bool,
}

/// Whether a form asks for a new value only, and does not show the present one.
fn is_secret(field: &Field, viewer: Viewer) -> bool {
    viewer.sight(field) != Sight::Full
}

impl Filling<'_> {
    fn field(&self, field: &Field) -> Result<FormField, PageError> {
        let level = self.viewer.level;
        let writers: Vec<&str> =
            field.write.iter().map(|level| level_word(*level, self.english)).collect();
        let present = self.present(field);
        let secret = self.row.is_some() && is_secret(field, self.viewer);
        let value = match self.typed.and_then(|typed| typed.get(&field.id)) {
            Some(typed) => typed.clone(),
            None if secret => String::new(),
            None => present.clone(),
        };
        let mut help = field.help.in_lang(self.english).to_owned();
        if secret && !present.is_empty() {
            let note = word("record.unchanged_if_empty", self.english);
            help = format!("{} · {note} {help}", masked(&field.kind, &present));
        }
        let error = self.errors.iter().find(|error| error.field == field.id);
        let (widget, inputmode) = match &field.kind {
            FieldKind::Note => ("note", "text"),
            FieldKind::Enum(_) | FieldKind::Bool => ("select", "text"),
            FieldKind::Log(_) => ("log", "text"),
            FieldKind::Int | FieldKind::Year | FieldKind::BankNo => ("text", "numeric"),
            FieldKind::Money => ("text", "decimal"),
            FieldKind::Phone => ("text", "tel"),
            _ => ("text", "text"),
        };
        Ok(FormField {
            id: field.id.clone(),
            label: field.label.in_lang(self.english).to_owned(),
            help,
            required: field.required == Required::Always,
            writable: field.write.contains(&level)
                && !(self.row.is_some() && field.merge == taizhang_core::catalogue::Merge::Fixed),
            writers: writers.join("、"),
            widget,
            inputmode,
            list: format!("{}-list", field.id),
            error: error
                .map(|error| error.reason.in_lang(self.english).to_owned())
                .unwrap_or_default(),
            options: self.options(&field.kind, &value)?,
            columns: self.columns(&field.kind)?,
            value,
        })
    }

    fn present(&self, field: &Field) -> String {
        let Some(row) = self.row else { return String::new() };
        match &field.kind {
            FieldKind::Set(_) => {
                let set = row.sets.get(&field.id).into_iter().flatten();
                set.cloned().collect::<Vec<_>>().join(",")
            }
            FieldKind::Log(_) => String::new(),
            kind => {
                row.fields.get(&field.id).map(|value| form_text(kind, value)).unwrap_or_default()
            }
        }
    }

    fn options(&self, kind: &FieldKind, value: &str) -> Result<Vec<OptionLine>, PageError> {
        let line = |id: &str, label: &str| OptionLine {
            id: id.to_owned(),
            label: label.to_owned(),
            chosen: id == value,
        };
        Ok(match kind {
            FieldKind::Bool => {
                vec![
                    line("true", if self.english { "yes" } else { "是" }),
                    line("false", if self.english { "no" } else { "否" }),
                ]
            }
            FieldKind::Enum(vocab) | FieldKind::Set(vocab) => {
                let values = self.catalogue.vocabs.get(vocab).map(|vocab| &vocab.values);
                let values = values.into_iter().flatten();
                values.map(|(id, label)| line(id, label.in_lang(self.english))).collect()
            }
            FieldKind::Ref(ledger) => {
                let query = ListQuery {
                    ledger: ledger.clone(),
                    limit: PICKER_ROWS,
                    ..ListQuery::default()
                };
                let (rows, _) = self.replica.readers().with(|reader| reader.list(&query))?;
                rows.iter().map(|row| line(&row.record.to_string(), &row.title)).collect()
            }
            _ => Vec::new(),
        })
    }

    fn columns(&self, kind: &FieldKind) -> Result<Vec<ColumnLine>, PageError> {
        let FieldKind::Log(columns) = kind else { return Ok(Vec::new()) };
        columns
            .iter()
            .map(|column| {
                Ok(ColumnLine {
                    id: column.id.clone(),
                    label: column.label.in_lang(self.english).to_owned(),
                    options: self.options(&column.kind, "")?,
                })
            })
            .collect()
    }

    fn page(&self, shell: Shell, heading: String, action: String) -> Page {
        let fields =
            self.ledger.fields.iter().map(|field| self.field(field)).collect::<Result<_, _>>()?;
        let errors = self
            .errors
            .iter()
            .map(|error| ErrorLine {
                field: error.field.clone(),
                text: error.reason.in_lang(self.english).to_owned(),
            })
            .collect();
        Ok(Html(FormPage { shell, heading, action, errors, fields }.render()?))
    }
}

/// Texts of a form: columns of a log field become one JSON line.
fn inputs(ledger: &Ledger, form: BTreeMap<String, String>, viewer: Viewer, is_new: bool) -> Inputs {
    let mut inputs = Inputs::new();
    for field in &ledger.fields {
        if let FieldKind::Log(columns) = &field.kind {
            let line: BTreeMap<&str, &String> = columns
                .iter()
                .filter_map(|column| {
                    let text = form.get(&format!("{}.{}", field.id, column.id))?;
                    (!text.trim().is_empty()).then_some((column.id.as_str(), text))
                })
                .collect();
            if !line.is_empty() {
                inputs.insert(field.id.clone(), serde_json::to_string(&line).unwrap_or_default());
            }
        } else if let Some(text) = form.get(&field.id) {
            let keeps = !is_new && is_secret(field, viewer) && text.trim().is_empty();
            if !keeps {
                inputs.insert(field.id.clone(), text.clone());
            }
        }
    }
    inputs
}

/// An empty form.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn new(State(replica): State<Replica>, Path(id): Path<String>, visitor: Visitor) -> Page {
    new_page(&replica, &visitor, &id, None, &[])
}

fn new_page(
    replica: &Replica,
    visitor: &Visitor,
    id: &str,
    typed: Option<&Inputs>,
    errors: &[FieldError],
) -> Page {
    let directives = replica.directives();
    let ledger = directives.catalogue.ledger(id).ok_or(PageError::NotFound)?;
    let english = visitor.english;
    let catalogue = &directives.catalogue;
    let viewer = visitor.viewer(replica);
    let filling = Filling { replica, ledger, catalogue, row: None, typed, errors, viewer, english };
    let heading = format!("{} · {}", word("list.new", english), ledger.label.in_lang(english));
    filling.page(Shell::new(replica, visitor)?, heading, format!("/ledgers/{id}/new"))
}

fn saved(id: &str) -> Redirect {
    let time = clock::now().local_text().replace(' ', "%20");
    Redirect::to(&format!("/records/{id}?saved={time}"))
}

/// Creates a record from a form.
///
/// # Errors
///
/// [`PageError`]; field errors show on the form, with what was typed.
pub async fn create(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Result<Response, PageError> {
    let directives = replica.directives();
    let ledger = directives.catalogue.ledger(&id).ok_or(PageError::NotFound)?;
    let typed = inputs(ledger, form, visitor.viewer(&replica), true);
    let slice = SliceId { kind: ledger.slice, place: replica.place() };
    let (values, person, name) = (typed.clone(), visitor.person.clone(), id.clone());
    let made = replica
        .run(move |engine, now| {
            engine.create(slice, &name, &values, Source::People, &person, None, now)
        })
        .await;
    match made {
        Ok(record) => Ok(saved(&record.to_string()).into_response()),
        Err(CommandError::Fields(errors)) => {
            Ok(new_page(&replica, &visitor, &id, Some(&typed), &errors)?.into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// A form with the present values.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn edit(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Page {
    edit_page(&replica, &visitor, &id, None, &[])
}

fn edit_page(
    replica: &Replica,
    visitor: &Visitor,
    id: &str,
    typed: Option<&Inputs>,
    errors: &[FieldError],
) -> Page {
    let record = record_id(id)?;
    let detail =
        replica.readers().with(|reader| reader.detail(record))?.ok_or(PageError::NotFound)?;
    let directives = replica.directives();
    let ledger = directives.catalogue.ledger(&detail.ledger).ok_or(PageError::NotFound)?;
    let english = visitor.english;
    let filling = Filling {
        replica,
        ledger,
        catalogue: &directives.catalogue,
        row: Some(&detail.row),
        typed,
        errors,
        viewer: visitor.viewer(replica),
        english,
    };
    let heading = format!("{} · {}", word("record.edit", english), ledger.label.in_lang(english));
    filling.page(Shell::new(replica, visitor)?, heading, format!("/records/{id}/edit"))
}

/// Writes the fields that the user changed.
///
/// # Errors
///
/// [`PageError`]; field errors show on the form, with what was typed.
pub async fn update(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Result<Response, PageError> {
    let record = record_id(&id)?;
    let detail =
        replica.readers().with(|reader| reader.detail(record))?.ok_or(PageError::NotFound)?;
    let directives = replica.directives();
    let ledger = directives.catalogue.ledger(&detail.ledger).ok_or(PageError::NotFound)?;
    let typed = inputs(ledger, form, visitor.viewer(&replica), false);
    let (values, person) = (typed.clone(), visitor.person.clone());
    let written = replica
        .run(move |engine, now| engine.set(record, &values, Source::People, &person, now))
        .await;
    match written {
        Ok(_) => Ok(saved(&id).into_response()),
        Err(CommandError::Fields(errors)) => {
            Ok(edit_page(&replica, &visitor, &id, Some(&typed), &errors)?.into_response())
        }
        Err(error) => Err(error.into()),
    }
}
