//! Forms from the catalogue: what was typed survives a refused save.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Response};
use taizhang_core::catalogue::{Field, FieldKind, Ledger, Merge, Required, Text};
use taizhang_core::directives::Directives;
use taizhang_core::id::{PlaceId, SliceId, SliceKind};
use taizhang_core::record::fold::Row;

use super::deeds::saved;
use super::inspection::note_look;
use super::reading::{Reading, group_heading, open_ledger, opened};
use super::record::record_id;
use super::shell::{Shell, Visitor, level_word};
use super::words::word;
use super::{Page, PageError};
use crate::driver::Replica;
use crate::engine::command::{CommandError, Inputs, is_of_rounds};
use crate::engine::titles::marked;
use crate::engine::values::{FieldError, Source, form_text, masked};
use crate::store::read::{ListQuery, Listed};
use crate::viewer::{Sight, Viewer};

/// Records offered in a reference picker; any other is found by its whole title.
const PICKER_ROWS: usize = 500;
/// Empty lines under a log's own.
const EMPTY_LINES: usize = 3;

struct OptionLine {
    id: String,
    label: String,
    chosen: bool,
}

/// One cell of a new line of a log.
struct CellLine {
    name: String,
    label: String,
    value: String,
    options: Vec<OptionLine>,
}

struct FormField {
    group: String,
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
    /// What stood there when the form was made; none if it does not show.
    was: Option<String>,
    error: String,
    options: Vec<OptionLine>,
    /// Of a log: empty lines, or those typed before.
    lines: Vec<Vec<CellLine>>,
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
    directives: &'a Directives,
    /// Place of the record: what it may refer to stands there or above.
    place: PlaceId,
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
    fn field(&self, at: usize, field: &Field) -> Result<FormField, PageError> {
        let level = self.viewer.level;
        let writers: Vec<&str> =
            field.write.iter().map(|level| level_word(*level, self.english)).collect();
        let present = self.present(field);
        let fixed = self.row.is_some() && field.merge == Merge::Fixed;
        let writable = field.write.contains(&level) && !fixed;
        let secret = self.row.is_some() && is_secret(field, self.viewer);
        let value = match self.typed.and_then(|typed| typed.get(&field.id)) {
            Some(typed) => typed.clone(),
            None if !writable => self.read_only(field),
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
            FieldKind::Set(_) => ("checks", "text"),
            FieldKind::Int | FieldKind::Year | FieldKind::BankNo => ("text", "numeric"),
            FieldKind::Money => ("text", "decimal"),
            FieldKind::Phone => ("text", "tel"),
            _ => ("text", "text"),
        };
        let lines = self.lines(field, &value)?;
        Ok(FormField {
            group: group_heading(self.ledger, at, self.english),
            id: field.id.clone(),
            label: field.label.in_lang(self.english).to_owned(),
            help,
            required: field.required == Required::Always,
            was: (self.row.is_some() && !secret).then_some(present),
            writable,
            writers: writers.join("、"),
            widget,
            inputmode,
            list: format!("{}-list", field.id),
            error: error
                .map(|error| error.reason.in_lang(self.english).to_owned())
                .unwrap_or_default(),
            options: self.options(&field.kind, &value)?,
            lines,
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
            FieldKind::Attach | FieldKind::Log(_) => String::new(),
            kind => {
                let text = row.fields.get(&field.id).map(|value| form_text(kind, value));
                let text = text.unwrap_or_default();
                match kind {
                    FieldKind::Ref(_) => self.named(&text).unwrap_or(text),
                    _ => text,
                }
            }
        }
    }

    /// The title of the record that a reference names, as the picker offers it.
    fn named(&self, id: &str) -> Option<String> {
        let record = id.parse().ok()?;
        let (title, ledger) = self.replica.readers().with(|one| one.title(record)).ok()??;
        let title = self.viewer.title(&title, self.directives.catalogue.ledger(&ledger)?);
        let shared = self.choices(&ledger).ok()?.iter().filter(|one| one.title == title).count();
        (!title.is_empty()).then(|| if shared > 1 { marked(&title, record) } else { title })
    }

    /// Records that a reference may name.
    fn choices(&self, ledger: &str) -> Result<Vec<Listed>, PageError> {
        let kind = self.directives.catalogue.ledger(ledger).map(|ledger| ledger.slice);
        let places = match kind {
            Some(SliceKind::Directive) => self.directives.tree.path(self.place),
            _ => vec![self.place],
        };
        let query = ListQuery {
            ledger: ledger.to_owned(),
            places: Some(places),
            limit: PICKER_ROWS,
            ..ListQuery::default()
        };
        Ok(self.replica.readers().with(|reader| reader.list(&query))?.0)
    }

    /// A field that this office does not write, as on the record's page.
    fn read_only(&self, field: &Field) -> String {
        let Self { replica, directives, viewer, english, .. } = *self;
        let reading = Reading { replica, directives, viewer, english };
        self.row.map(|row| reading.text(field, row)).unwrap_or_default()
    }

    /// Leaves out what was not touched, and names what somebody else has changed since the form was made.
    fn changed(&self, form: &Sent, typed: &Inputs) -> (Inputs, Vec<FieldError>) {
        let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
        let (mut values, mut errors) = (Inputs::new(), Vec::new());
        for (id, text) in typed {
            let Some(field) = self.ledger.field(id) else { continue };
            let name = format!("was.{id}");
            let was = form.iter().find(|(sent, _)| *sent == name).map(|(_, was)| plain(was));
            let (text, now) = (plain(text), plain(&self.present(field)));
            match was {
                Some(was) if was == text => {}
                Some(was) if was != now && text != now => errors.push(self.meanwhile(field)),
                // What does not show is only added to.
                None if matches!(field.kind, FieldKind::Set(_)) && !now.is_empty() => {
                    values.insert(id.clone(), format!("{now},{text}"));
                }
                _ => drop(values.insert(id.clone(), text)),
            }
        }
        (values, errors)
    }

    fn meanwhile(&self, field: &Field) -> FieldError {
        let (label, now) = (&field.label, self.read_only(field));
        let reason = Text {
            zh: format!("「{}」在您打开后已改为「{now}」,请核对后再保存", label.zh),
            en: format!("{}: meanwhile changed to {now}; check it and save again", label.en),
        };
        FieldError { field: field.id.clone(), reason }
    }

    fn options(&self, kind: &FieldKind, value: &str) -> Result<Vec<OptionLine>, PageError> {
        let line = |id: &str, label: &str| OptionLine {
            id: id.to_owned(),
            label: label.to_owned(),
            chosen: value.split(',').any(|one| one == id),
        };
        Ok(match kind {
            FieldKind::Bool => {
                vec![
                    line("true", if self.english { "yes" } else { "是" }),
                    line("false", if self.english { "no" } else { "否" }),
                ]
            }
            FieldKind::Enum(vocab) | FieldKind::Set(vocab) => {
                let values = self.directives.catalogue.vocabs.get(vocab).map(|vocab| &vocab.values);
                let values = values.into_iter().flatten();
                values.map(|(id, label)| line(id, label.in_lang(self.english))).collect()
            }
            FieldKind::Ref(ledger) => {
                let rows = self.choices(ledger)?;
                let bears = |title: &str| rows.iter().filter(|row| row.title == title).count();
                let offered = rows.iter().map(|row| match bears(&row.title) {
                    1 => row.title.clone(),
                    _ => marked(&row.title, row.record),
                });
                offered.map(|title| line(&title, &title)).collect()
            }
            _ => Vec::new(),
        })
    }

    /// Lines to fill in: those typed before, and empty ones.
    fn lines(&self, field: &Field, typed: &str) -> Result<Vec<Vec<CellLine>>, PageError> {
        let FieldKind::Log(columns) = &field.kind else { return Ok(Vec::new()) };
        let typed: Vec<Inputs> = serde_json::from_str(typed).unwrap_or_default();
        let empty = Inputs::new();
        let count = typed.len() + EMPTY_LINES;
        let line = |at: usize| {
            let cells = columns.iter().map(|column| {
                let value = typed.get(at).unwrap_or(&empty).get(&column.id);
                let value = value.cloned().unwrap_or_default();
                Ok(CellLine {
                    name: format!("{}.{at}.{}", field.id, column.id),
                    label: column.label.in_lang(self.english).to_owned(),
                    options: self.options(&column.kind, &value)?,
                    value,
                })
            });
            cells.collect::<Result<Vec<_>, PageError>>()
        };
        (0..count).map(line).collect()
    }

    fn page(&self, shell: Shell, heading: String, action: String) -> Page {
        let shown = self.ledger.fields.iter().enumerate();
        let shown = shown.filter(|(_, field)| {
            field.kind != FieldKind::Attach && !is_of_rounds(self.ledger, &field.id)
        });
        let fields =
            shown.map(|(at, field)| self.field(at, field)).collect::<Result<Vec<_>, _>>()?;
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

/// What a browser sends: a name may come more than once.
pub type Sent = Vec<(String, String)>;

/// Texts of a form: lines of a log become one JSON text, the members of a set one list.
fn inputs(ledger: &Ledger, form: &Sent, viewer: Viewer, is_new: bool) -> Inputs {
    let mut inputs = Inputs::new();
    for field in ledger.fields.iter().filter(|field| !is_of_rounds(ledger, &field.id)) {
        if let FieldKind::Log(columns) = &field.kind {
            let mut lines: BTreeMap<usize, Inputs> = BTreeMap::new();
            for (name, text) in form.iter().filter(|(_, text)| !text.trim().is_empty()) {
                let rest = name.strip_prefix(&field.id).and_then(|rest| rest.strip_prefix('.'));
                let Some((at, column)) = rest.and_then(|rest| rest.split_once('.')) else {
                    continue;
                };
                let known = columns.iter().any(|one| one.id == column);
                if let (Ok(at), true) = (at.parse(), known) {
                    lines.entry(at).or_default().insert(column.to_owned(), text.clone());
                }
            }
            let lines: Vec<Inputs> = lines.into_values().collect();
            if !lines.is_empty() {
                inputs.insert(field.id.clone(), serde_json::to_string(&lines).unwrap_or_default());
            }
            continue;
        }
        let sent: Vec<&str> = form
            .iter()
            .filter(|(name, _)| *name == field.id)
            .map(|(_, text)| text.as_str())
            .collect();
        let Some(last) = sent.last() else { continue };
        let text = match &field.kind {
            FieldKind::Set(_) => {
                // In the order in which a row lists them.
                let members = sent.iter().copied().filter(|one| !one.is_empty());
                members.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
            }
            _ => (*last).to_owned(),
        };
        let keeps = !is_new && is_secret(field, viewer) && text.trim().is_empty();
        if !keeps {
            inputs.insert(field.id.clone(), text);
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
    let ledger = open_ledger(&directives, id)?;
    let english = visitor.english;
    let filling = Filling {
        replica,
        ledger,
        directives: &directives,
        place: replica.place(),
        row: None,
        typed,
        errors,
        viewer: visitor.viewer(replica),
        english,
    };
    let heading = format!("{} · {}", word("list.new", english), ledger.label.in_lang(english));
    filling.page(Shell::new(replica, visitor)?, heading, format!("/ledgers/{id}/new"))
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
    Form(form): Form<Sent>,
) -> Result<Response, PageError> {
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &id)?;
    let typed = inputs(ledger, &form, visitor.viewer(&replica), true);
    let slice = SliceId { kind: ledger.slice, place: replica.place() };
    let (mut values, person, name) = (typed.clone(), visitor.person.clone(), id.clone());
    let made = replica
        .run(move |engine, now| {
            let ledger = engine.ledger(&name)?;
            engine.name_references(slice.place, &ledger, &mut values)?;
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
    note_look(&replica, &visitor, record_id(&id)?).await?;
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
    let detail = opened(replica, record)?;
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &detail.ledger)?;
    let english = visitor.english;
    let filling = Filling {
        replica,
        ledger,
        directives: &directives,
        place: detail.slice.place,
        row: Some(&detail.row),
        typed,
        errors,
        viewer: visitor.viewer_at(replica, detail.slice.place)?,
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
    Form(form): Form<Sent>,
) -> Result<Response, PageError> {
    let record = record_id(&id)?;
    // A form that comes back shows the record.
    note_look(&replica, &visitor, record).await?;
    let detail = opened(&replica, record)?;
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &detail.ledger)?;
    let viewer = visitor.viewer_at(&replica, detail.slice.place)?;
    let mut typed = inputs(ledger, &form, viewer, false);
    let filling = Filling {
        replica: &replica,
        ledger,
        directives: &directives,
        place: detail.slice.place,
        row: Some(&detail.row),
        typed: None,
        errors: &[],
        viewer,
        english: visitor.english,
    };
    let (mut values, errors) = filling.changed(&form, &typed);
    // A form that comes back keeps what was typed, and shows the rest as it is now: sent again, it must
    // take nothing of what others wrote meanwhile back.
    typed.retain(|id, _| values.contains_key(id) || errors.iter().any(|one| one.field == *id));
    if !errors.is_empty() {
        return Ok(edit_page(&replica, &visitor, &id, Some(&typed), &errors)?.into_response());
    }
    let person = visitor.person.clone();
    let (place, name) = (detail.slice.place, detail.ledger.clone());
    let written = replica
        .run(move |engine, now| {
            let ledger = engine.ledger(&name)?;
            engine.name_references(place, &ledger, &mut values)?;
            engine.set(record, &values, Source::People, &person, now)
        })
        .await;
    match written {
        Ok(_) => Ok(saved(&id).into_response()),
        Err(CommandError::Fields(errors)) => {
            Ok(edit_page(&replica, &visitor, &id, Some(&typed), &errors)?.into_response())
        }
        Err(error) => Err(error.into()),
    }
}
