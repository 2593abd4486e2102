//! One record: values, conflicts, findings, steps, receipts, history.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{Html, Redirect};
use serde::Deserialize;
use taizhang_core::catalogue::{FieldKind, Ledger};
use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::RecordId;
use taizhang_core::record::fold::{Conflict, ConflictKind, Row};
use taizhang_core::record::log::RecordLog;
use taizhang_core::record::value::{STATE_FIELD, Value, split_key};

use super::access::Need;
use super::shell::{Shell, Visitor, level_word, place_name};
use super::words::word;
use super::{Page, PageError, Posted};
use crate::driver::Replica;
use crate::engine::command::Choice;
use crate::engine::values::{HIDDEN, shown};
use crate::viewer::{Sight, Viewer};

/// A title as somebody may see it.
pub fn title(text: &str, ledger: &Ledger, viewer: Viewer) -> String {
    let first = ledger.title.first().and_then(|id| ledger.field(id));
    let first = first.filter(|field| field.kind == FieldKind::Text);
    match first.map_or(Sight::Full, |field| viewer.sight(field)) {
        Sight::Full => text.to_owned(),
        _ => text.chars().next().map(|first| format!("{first}**")).unwrap_or_default(),
    }
}

/// Reads a record id from an address.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub fn record_id(text: &str) -> Result<RecordId, PageError> {
    RecordId::from_str(text).map_err(|_| PageError::NotFound)
}

struct ReceiptLine {
    label: String,
    done: bool,
    time: String,
}

struct CandidateLine {
    index: usize,
    value: String,
    shown: bool,
    who: String,
    place: String,
    time: String,
    device: String,
}

struct ConflictCard {
    field: String,
    field_id: String,
    kind: String,
    resolve: String,
    may_decide: bool,
    candidates: Vec<CandidateLine>,
}

struct FindingLine {
    rule: String,
    text: String,
    note: String,
    class: &'static str,
}

struct FieldLine {
    label: String,
    value: String,
    link: String,
}

struct StepLine {
    to: String,
    label: String,
    reason: bool,
    allowed: bool,
    by: String,
}

struct HistoryLine {
    time: String,
    who: String,
    place: String,
    device: String,
    what: String,
    counted: bool,
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    shell: Shell,
    id: String,
    title: String,
    ledger_label: String,
    place: String,
    saved: String,
    may_write: bool,
    may_reveal: bool,
    is_void: bool,
    void_reason: String,
    receipts: Vec<ReceiptLine>,
    state: String,
    recheck: bool,
    conflicts: Vec<ConflictCard>,
    findings: Vec<FindingLine>,
    fields: Vec<FieldLine>,
    steps: Vec<StepLine>,
    history: Vec<HistoryLine>,
}

/// What the address bar says after a post.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct After {
    saved: String,
}

struct View<'a> {
    directives: &'a Directives,
    ledger: &'a Ledger,
    row: &'a Row,
    viewer: Viewer,
    /// Whether this account takes steps and decides.
    decides: bool,
    english: bool,
}

/// Shows a record.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn show(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(after): Query<After>,
    visitor: Visitor,
) -> Page {
    let viewer = visitor.viewer(&replica);
    page(&replica, &visitor, record_id(&id)?, after.saved, viewer)
}

/// Shows what is masked of one record, and says so in the audit.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn reveal(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Page {
    let record = record_id(&id)?;
    let text = format!("{} saw record {record}", visitor.login());
    replica.run(move |engine, now| Ok(engine.store.audit("revealed", &text, now)?)).await?;
    let viewer = Viewer { revealed: true, ..visitor.viewer(&replica) };
    page(&replica, &visitor, record, String::new(), viewer)
}

fn page(replica: &Replica, visitor: &Visitor, id: RecordId, saved: String, viewer: Viewer) -> Page {
    let directives = replica.directives();
    let detail = replica.readers().with(|reader| reader.detail(id))?.ok_or(PageError::NotFound)?;
    let ledger = directives.catalogue.ledger(&detail.ledger).ok_or(PageError::NotFound)?;
    let english = visitor.english;
    let (level, decides) = (viewer.level, visitor.may(Need::Decide, replica));
    let row = &detail.row;
    let view = View { directives: &directives, ledger, row, viewer, decides, english };
    let receipts = replica
        .record_receipts(detail.slice, &detail.log)?
        .into_iter()
        .map(|(at, time)| ReceiptLine {
            label: if at == level { word("record.here", english) } else { level_word(at, english) }
                .to_owned(),
            done: time.is_some(),
            time: time.map(|time| time.local_text()).unwrap_or_default(),
        })
        .collect();
    let page = RecordPage {
        shell: Shell::new(replica, visitor)?,
        id: id.to_string(),
        title: title(
            &crate::engine::derive::title_of(ledger, &detail.row, &directives.catalogue),
            ledger,
            viewer,
        ),
        may_write: visitor.may(Need::Write, replica),
        may_reveal: ledger.fields.iter().any(|field| viewer.may_reveal(field)),
        ledger_label: ledger.label.in_lang(english).to_owned(),
        place: place_name(&directives, detail.slice.place),
        saved,
        is_void: detail.row.void.is_some(),
        void_reason: detail.row.void.clone().unwrap_or_default(),
        receipts,
        state: view.state_label(detail.row.state_id().unwrap_or_default()),
        recheck: detail.row.state.as_ref().is_some_and(|state| state.needs_recheck),
        conflicts: detail.row.conflicts.iter().map(|one| view.conflict(one)).collect(),
        findings: view.findings(&detail.findings),
        fields: view.fields(),
        steps: view.steps(),
        history: view.history(&detail.log),
    };
    Ok(Html(page.render()?))
}

impl View<'_> {
    fn state_label(&self, id: &str) -> String {
        let state = self
            .ledger
            .workflow
            .as_ref()
            .and_then(|workflow| workflow.states.iter().find(|state| state.id == id));
        state.map_or_else(|| id.to_owned(), |state| state.label.in_lang(self.english).to_owned())
    }

    fn value(&self, field: &str, value: &Value) -> String {
        match self.ledger.field(field) {
            Some(field) => {
                shown(field, value, self.viewer, &self.directives.catalogue, self.english)
            }
            None => value.to_string(),
        }
    }

    /// A writer with the role by its name.
    fn person(&self, person: &Person) -> String {
        let role = self.directives.catalogue.roles.get(&person.role);
        let role = role.map_or(person.role.as_str(), |role| role.label.in_lang(self.english));
        if role.is_empty() { person.name.clone() } else { format!("{} ({role})", person.name) }
    }

    /// Whether elements and lines of a field stay out of sight.
    fn hides(&self, field: &str) -> bool {
        let field = self.ledger.field(field);
        let many = field.filter(|one| matches!(one.kind, FieldKind::Set(_) | FieldKind::Log(_)));
        many.is_some_and(|field| self.viewer.sight(field) != Sight::Full)
    }

    fn field_label(&self, id: &str) -> String {
        match self.ledger.field(id) {
            Some(field) => field.label.in_lang(self.english).to_owned(),
            None if id == STATE_FIELD => word("list.state", self.english).to_owned(),
            None => word("record.void_it", self.english).to_owned(),
        }
    }

    fn conflict(&self, conflict: &Conflict) -> ConflictCard {
        let kind = match conflict.kind {
            ConflictKind::AfterMove => "conflict.after_move",
            ConflictKind::Line => "conflict.line",
            ConflictKind::Superseded => "conflict.superseded",
            ConflictKind::Values => "conflict.values",
            ConflictKind::Void => "conflict.void",
        };
        let writable = self
            .ledger
            .field(&conflict.field)
            .is_some_and(|field| field.write.contains(&self.viewer.level));
        let candidates = conflict.candidates.iter().enumerate();
        ConflictCard {
            field: self.field_label(&conflict.field),
            field_id: conflict.field.clone(),
            kind: word(kind, self.english).to_owned(),
            resolve: level_word(conflict.resolve, self.english).to_owned(),
            may_decide: conflict.kind == ConflictKind::Values
                && self.viewer.level >= conflict.resolve
                && self.decides
                && writable,
            candidates: candidates
                .map(|(index, one)| CandidateLine {
                    index,
                    value: self.value(&conflict.field, &one.value),
                    shown: index == 0 && conflict.kind == ConflictKind::Values,
                    who: self.person(&one.writer.person),
                    place: place_name(self.directives, one.writer.place),
                    time: one.writer.time.local_text(),
                    device: one.writer.author.key.short(),
                })
                .collect(),
        }
    }

    fn findings(&self, findings: &[(String, String, String, String)]) -> Vec<FindingLine> {
        findings
            .iter()
            .map(|(rule, severity, outcome, reason)| {
                let found = self.ledger.rules.iter().find(|one| one.id == *rule);
                let text = found.map(|one| one.text.in_lang(self.english).to_owned());
                let unchecked = outcome != "failed";
                let note = if unchecked {
                    format!("{}: {reason}", word("home.unchecked", self.english))
                } else {
                    reason.clone()
                };
                let class = match (unchecked, severity.as_str()) {
                    (true, _) => "soft",
                    (false, "warn") => "warn",
                    (false, _) => "bad",
                };
                FindingLine { rule: rule.clone(), text: text.unwrap_or_default(), note, class }
            })
            .collect()
    }

    fn fields(&self) -> Vec<FieldLine> {
        let empty = word("record.empty", self.english);
        self.ledger
            .fields
            .iter()
            .map(|field| {
                let label = field.label.in_lang(self.english).to_owned();
                let mut link = String::new();
                let value = match &field.kind {
                    FieldKind::Set(vocab) => {
                        let set = self.row.sets.get(&field.id).into_iter().flatten();
                        let names = set.map(|one| {
                            self.directives.catalogue.value_label(vocab, one, self.english)
                        });
                        names.collect::<Vec<_>>().join("、")
                    }
                    FieldKind::Log(columns) => {
                        let lines = self.row.logs.get(&field.id).into_iter().flatten();
                        let texts = lines.map(|line| {
                            let cells = columns.iter().filter_map(|column| {
                                let value = line.columns.get(&column.id)?;
                                Some(crate::engine::values::display(
                                    &column.kind,
                                    value,
                                    &self.directives.catalogue,
                                    self.english,
                                ))
                            });
                            cells.collect::<Vec<_>>().join(" ")
                        });
                        texts.collect::<Vec<_>>().join("；")
                    }
                    kind => {
                        let value = self.row.fields.get(&field.id);
                        if let (FieldKind::Ref(_), Some(value)) = (kind, value) {
                            link = value.to_string();
                        }
                        value.map(|value| self.value(&field.id, value)).unwrap_or_default()
                    }
                };
                let value = match value.as_str() {
                    "" => empty.to_owned(),
                    _ if self.hides(&field.id) => HIDDEN.to_owned(),
                    _ => value,
                };
                FieldLine { label, value, link }
            })
            .collect()
    }

    fn steps(&self) -> Vec<StepLine> {
        let state = self.row.state_id().unwrap_or_default();
        let steps = self.ledger.workflow.iter().flat_map(|workflow| &workflow.transitions);
        steps
            .filter(|step| step.from.iter().any(|from| from == state))
            .map(|step| {
                let by: Vec<&str> =
                    step.by.iter().map(|level| level_word(*level, self.english)).collect();
                StepLine {
                    to: step.to.clone(),
                    label: step.label.in_lang(self.english).to_owned(),
                    reason: step.reason,
                    allowed: self.decides && step.by.contains(&self.viewer.level),
                    by: by.join("、"),
                }
            })
            .collect()
    }

    fn history(&self, log: &RecordLog) -> Vec<HistoryLine> {
        log.changes
            .iter()
            .rev()
            .map(|change| {
                let what: Vec<String> = change
                    .ops
                    .iter()
                    .filter(|op| !op.key.starts_with("_ledger"))
                    .map(|op| self.operation(&op.key, op.value.as_ref()))
                    .collect();
                let origin = &change.origin;
                HistoryLine {
                    time: origin.time.local_text(),
                    who: self.person(&origin.person),
                    place: place_name(self.directives, origin.place),
                    device: origin.author.key.short(),
                    what: what.join("；"),
                    counted: origin.counted,
                }
            })
            .collect()
    }

    fn operation(&self, key: &str, value: Option<&Value>) -> String {
        let (field, element) = split_key(key);
        let label = self.field_label(field);
        if self.hides(field) {
            return format!("{label}: {HIDDEN}");
        }
        let text = match (element, value) {
            (_, None) => format!("− {}", element.unwrap_or_default()),
            (Some(_), Some(value)) if field == STATE_FIELD => {
                let line: Option<taizhang_core::record::state::TransitionLine> =
                    value.as_text().and_then(|text| serde_json::from_str(text).ok());
                line.map_or_else(String::new, |line| {
                    let (from, to) = (self.state_label(&line.from), self.state_label(&line.to));
                    format!("{from} → {to} {}", line.reason)
                })
            }
            (Some(element), Some(Value::Bool(_))) => format!("+ {element}"),
            (_, Some(value)) => self.value(field, value),
        };
        format!("{label}: {text}")
    }
}

/// A step.
#[derive(Deserialize)]
pub struct ActForm {
    to: String,
    #[serde(default)]
    reason: String,
}

fn saved(id: &str) -> Redirect {
    let time = crate::driver::clock::now().local_text().replace(' ', "%20");
    Redirect::to(&format!("/records/{id}?saved={time}"))
}

/// Takes a step.
///
/// # Errors
///
/// Says what would have to hold.
pub async fn act(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<ActForm>,
) -> Posted {
    let record = record_id(&id)?;
    let person = visitor.person;
    replica
        .run(move |engine, now| engine.act(record, &form.to, &form.reason, &person, now))
        .await?;
    Ok(saved(&id))
}

/// Settles a conflict.
///
/// # Errors
///
/// Says who decides.
pub async fn resolve(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Posted {
    let record = record_id(&id)?;
    let field = form.get("field").cloned().unwrap_or_default();
    let choice = match form.get("take").and_then(|take| take.parse().ok()) {
        Some(at) => Choice::Candidate(at),
        None => Choice::Other(form.get("value").cloned().unwrap_or_default()),
    };
    let person = visitor.person;
    replica.run(move |engine, now| engine.resolve(record, &field, &choice, &person, now)).await?;
    Ok(saved(&id))
}

/// Voids a record, or takes the void back.
///
/// # Errors
///
/// If there is no reason.
pub async fn void(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Posted {
    let record = record_id(&id)?;
    let reason = form.get("reason").cloned();
    let person = visitor.person;
    replica.run(move |engine, now| engine.void(record, reason.as_deref(), &person, now)).await?;
    Ok(saved(&id))
}

struct ConflictRow {
    id: String,
    title: String,
    ledger: String,
    place: String,
    what: String,
}

#[derive(Template)]
#[template(path = "conflicts.html")]
struct ConflictsPage {
    shell: Shell,
    rows: Vec<ConflictRow>,
}

/// All records with conflicts.
///
/// # Errors
///
/// [`PageError`].
pub async fn conflicts(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let directives = replica.directives();
    let viewer = visitor.viewer(&replica);
    let rows = replica.readers().with(|reader| reader.conflicts())?;
    let rows = rows
        .into_iter()
        .filter_map(|listed| {
            let ledger = directives.catalogue.ledger(&listed.ledger)?;
            let row = listed.row.as_ref()?;
            let (decides, english) = (false, visitor.english);
            let view = View { directives: &directives, ledger, row, viewer, decides, english };
            let what: Vec<String> = row
                .conflicts
                .iter()
                .map(|one| {
                    let card = view.conflict(one);
                    let values: Vec<String> =
                        card.candidates.iter().map(|one| one.value.clone()).collect();
                    format!("{}: {}", card.field, values.join(" | "))
                })
                .collect();
            Some(ConflictRow {
                id: listed.record.to_string(),
                title: title(&listed.title, ledger, viewer),
                ledger: ledger.label.in_lang(visitor.english).to_owned(),
                place: place_name(&directives, listed.slice.place),
                what: what.join("；"),
            })
        })
        .collect();
    let page = ConflictsPage { shell: Shell::new(&replica, &visitor)?, rows };
    Ok(Html(page.render()?))
}
