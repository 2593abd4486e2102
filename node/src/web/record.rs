//! One record: values, conflicts, findings, steps, receipts, history.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use serde::Deserialize;
use taizhang_core::catalogue::{FieldKind, Ledger, LogColumn};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{RecordId, SliceKind};
use taizhang_core::record::attachment::Attachment;
use taizhang_core::record::fold::{Conflict, ConflictKind, Row, fold};
use taizhang_core::record::log::RecordLog;
use taizhang_core::record::moved::{FROM_FIELD, MOVED_KEY};
use taizhang_core::record::value::{STATE_FIELD, VOID_KEY, Value, split_key};
use taizhang_core::rules::rule_of;
use taizhang_core::time::Date;

use super::access::Need;
use super::attach::{AttachField, attach_fields};
use super::reading::{Reading, group_heading, ledger_of, opened};
use super::shell::{Shell, Visitor, level_word, place_name};
use super::words::word;
use super::{Page, PageError};
use crate::driver::Replica;
use crate::engine::command::refuse;
use crate::engine::values::{self, HIDDEN, display};
use crate::store::read::Detail;
use crate::viewer::{Sight, Viewer};

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

pub(super) struct CandidateLine {
    index: usize,
    pub(super) value: String,
    shown: bool,
    who: String,
    place: String,
    time: String,
    device: String,
}

pub(super) struct ConflictCard {
    pub(super) field: String,
    id: String,
    field_id: String,
    kind: String,
    resolve: String,
    may_decide: bool,
    pub(super) candidates: Vec<CandidateLine>,
}

struct FindingLine {
    rule: String,
    text: String,
    note: String,
    class: &'static str,
}

struct FieldLine {
    group: String,
    label: String,
    value: String,
    link: String,
    /// Of a log: columns and lines.
    heads: Vec<String>,
    lines: Vec<Vec<String>>,
    conflict: bool,
    finding: bool,
}

struct FormLink {
    id: String,
    label: String,
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
    /// Whether this page shows what is hidden.
    revealed: bool,
    is_void: bool,
    void_reason: String,
    receipts: Vec<ReceiptLine>,
    state: String,
    recheck: bool,
    lapsed: Vec<String>,
    pending: Vec<String>,
    deadline: String,
    provisional: bool,
    as_of: String,
    conflicts: Vec<ConflictCard>,
    findings: Vec<FindingLine>,
    fields: Vec<FieldLine>,
    attachments: Vec<AttachField>,
    forms: Vec<FormLink>,
    steps: Vec<StepLine>,
    history: Vec<HistoryLine>,
}

/// What the address bar says after a post.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct After {
    saved: String,
    /// A day at whose end the record is shown.
    as_of: String,
}

pub(super) struct View<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) ledger: &'a Ledger,
    pub(super) row: &'a Row,
    /// Rules that failed.
    pub(super) failed: Vec<&'a str>,
    /// Whether this account takes steps and decides.
    pub(super) decides: bool,
    /// The post that it holds.
    pub(super) role: String,
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
    let record = record_id(&id)?;
    super::inspection::note_look(&replica, &visitor, record).await?;
    let viewer = visitor.viewer(&replica);
    page(&replica, &visitor, record, &after, viewer)
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
    super::inspection::note_look(&replica, &visitor, record).await?;
    let viewer = Viewer { revealed: true, ..visitor.viewer(&replica) };
    page(&replica, &visitor, record, &After::default(), viewer)
}

/// The record as it is, or as it was at the end of a day.
fn standing(replica: &Replica, id: RecordId, as_of: &str) -> Result<Detail, PageError> {
    let detail = opened(replica, id)?;
    if as_of.trim().is_empty() {
        return Ok(detail);
    }
    let Some(day) = values::date(as_of.trim()) else {
        return refuse(
            format!("「{as_of}」不是日期,应如2018-06-30"),
            format!("{as_of} is no date such as 2018-06-30"),
        )
        .map_err(PageError::Command);
    };
    let directives = replica.directives();
    let ledger = ledger_of(&directives, &detail.ledger)?;
    let log = detail.log.as_of(day);
    let row = fold(&log, ledger).ok_or(PageError::NotFound)?;
    Ok(Detail { log, row, findings: Vec::new(), ..detail })
}

fn page(replica: &Replica, visitor: &Visitor, id: RecordId, after: &After, viewer: Viewer) -> Page {
    let directives = replica.directives();
    let detail = standing(replica, id, &after.as_of)?;
    let viewer =
        Viewer { revealed: viewer.revealed, ..visitor.viewer_at(replica, detail.slice.place)? };
    let past = !after.as_of.trim().is_empty();
    let ledger = ledger_of(&directives, &detail.ledger)?;
    let english = visitor.english;
    let (row, role) = (&detail.row, visitor.person.role.clone());
    let reading = Reading { replica, directives: &directives, viewer, english };
    let failed = detail.findings.iter().filter(|one| one.2 == "failed").map(|one| one.0.as_str());
    // A register is its own office's to write.
    let ours = detail.slice.kind == SliceKind::Ledger || detail.slice.place == replica.place();
    let decides = visitor.may_in(Need::Decide, replica, &detail.ledger) && !past && ours;
    let failed = failed.collect();
    let view = View { reading: &reading, ledger, row, failed, decides, role };
    let deadline = view.deadline()?;
    let named = |ids: &[String]| ids.iter().map(|id| view.state_label(id)).collect();
    let page = RecordPage {
        shell: Shell::new(replica, visitor)?,
        id: id.to_string(),
        title: reading.title(&detail.title, ledger, id),
        may_write: visitor.may_in(Need::Write, replica, &detail.ledger) && !past && ours,
        may_reveal: !past && ledger.fields.iter().any(|field| viewer.may_reveal(field)),
        revealed: viewer.revealed,
        ledger_label: ledger.label.in_lang(english).to_owned(),
        place: place_name(&directives, detail.slice.place),
        saved: after.saved.clone(),
        is_void: row.void.is_some(),
        void_reason: row.void.clone().unwrap_or_default(),
        receipts: receipts(replica, &detail, viewer, english)?,
        state: view.state_label(row.state_id().unwrap_or_default()),
        recheck: row.state.as_ref().is_some_and(|state| state.needs_recheck),
        lapsed: row.state.as_ref().map(|state| named(&state.lapsed)).unwrap_or_default(),
        pending: row.state.as_ref().map(|state| named(&state.pending)).unwrap_or_default(),
        provisional: deadline.as_ref().is_some_and(|(_, known)| !known),
        deadline: deadline.map(|(day, _)| day).unwrap_or_default(),
        as_of: if past { after.as_of.clone() } else { String::new() },
        conflicts: row.conflicts.iter().map(|one| view.conflict(one)).collect(),
        findings: view.findings(&detail.findings),
        fields: view.fields(),
        attachments: attach_fields(&reading, ledger, row),
        forms: view.forms(),
        steps: if past { Vec::new() } else { view.steps() },
        history: view.history(&detail.log),
    };
    Ok(Html(page.render()?))
}

fn receipts(
    replica: &Replica,
    detail: &Detail,
    viewer: Viewer,
    english: bool,
) -> Result<Vec<ReceiptLine>, PageError> {
    let known = replica.record_receipts(detail.slice, &detail.log)?.into_iter();
    let here = |at| at == viewer.level;
    Ok(known
        .map(|(at, time)| ReceiptLine {
            label: if here(at) { word("record.here", english) } else { level_word(at, english) }
                .to_owned(),
            done: time.is_some(),
            time: time.map(|time| time.local_text()).unwrap_or_default(),
        })
        .collect())
}

impl View<'_> {
    pub(super) fn state_label(&self, id: &str) -> String {
        let state = self
            .ledger
            .workflow
            .as_ref()
            .and_then(|workflow| workflow.states.iter().find(|state| state.id == id));
        state.map_or_else(
            || id.to_owned(),
            |state| state.label.in_lang(self.reading.english).to_owned(),
        )
    }

    fn value(&self, field: &str, value: &Value) -> String {
        match self.ledger.field(field) {
            Some(field) => self.reading.value(field, value),
            None if matches!(field, STATE_FIELD | VOID_KEY) => value.to_string(),
            // Of a field that is not known here, or of several: nobody can say who may see it.
            None => HIDDEN.to_owned(),
        }
    }

    fn role_name<'b>(&'b self, role: &'b str) -> &'b str {
        let known = self.reading.directives.catalogue.roles.get(role);
        known.map_or(role, |role| role.label.in_lang(self.reading.english))
    }

    /// A writer with the role by its name.
    pub(super) fn person(&self, person: &Person) -> String {
        let role = self.role_name(&person.role);
        if role.is_empty() { person.name.clone() } else { format!("{} ({role})", person.name) }
    }

    /// Whether elements and lines stay out of sight: also those of a field that is not known here.
    fn hides(&self, field: &str) -> bool {
        match self.ledger.field(field) {
            Some(field) => self.reading.hides(field),
            None => !matches!(field, STATE_FIELD | VOID_KEY),
        }
    }

    fn field_label(&self, id: &str) -> String {
        match self.ledger.field(id) {
            Some(field) => field.label.in_lang(self.reading.english).to_owned(),
            None => match id {
                STATE_FIELD => word("list.state", self.reading.english).to_owned(),
                VOID_KEY => word("record.void_it", self.reading.english).to_owned(),
                MOVED_KEY | FROM_FIELD => word("record.moved", self.reading.english).to_owned(),
                _ => id.to_owned(),
            },
        }
    }

    pub(super) fn conflict(&self, conflict: &Conflict) -> ConflictCard {
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
            .is_some_and(|field| field.write.contains(&self.reading.viewer.level));
        let candidates = conflict.candidates.iter().enumerate();
        ConflictCard {
            field: self.field_label(&conflict.field),
            id: conflict.id.clone(),
            field_id: conflict.field.clone(),
            kind: word(kind, self.reading.english).to_owned(),
            resolve: level_word(conflict.resolve, self.reading.english).to_owned(),
            may_decide: conflict.kind == ConflictKind::Values
                && self.reading.viewer.level >= conflict.resolve
                && self.decides
                && writable,
            candidates: candidates
                .map(|(index, one)| CandidateLine {
                    index,
                    value: self.value(&conflict.field, &one.value),
                    shown: index == 0 && conflict.kind == ConflictKind::Values,
                    who: self.person(&one.writer.person),
                    place: place_name(self.reading.directives, one.writer.place),
                    time: one.writer.time.local_text(),
                    device: one.writer.author.key.short(),
                })
                .collect(),
        }
    }

    fn may_tell(&self, rule: &str) -> bool {
        let Reading { viewer, directives, .. } = self.reading;
        viewer.may_tell(self.ledger, rule, &directives.catalogue)
    }

    fn findings(&self, findings: &[(String, String, String, String)]) -> Vec<FindingLine> {
        findings
            .iter()
            .filter(|(rule, ..)| self.may_tell(rule))
            .map(|(rule, severity, outcome, reason)| {
                let found = self.ledger.rules.iter().find(|one| one.id == *rule);
                let text = found.map(|one| one.text.in_lang(self.reading.english).to_owned());
                let unchecked = outcome != "failed";
                let note = if unchecked {
                    format!("{}: {reason}", word("home.unchecked", self.reading.english))
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
        let (reading, english) = (self.reading, self.reading.english);
        let fields = self.ledger.fields.iter().enumerate();
        fields
            .map(|(at, field)| {
                let value = self.row.fields.get(&field.id);
                let link = match &field.kind {
                    FieldKind::Ref(_) if reading.viewer.sight(field) == Sight::Full => {
                        value.map(Value::to_string).unwrap_or_default()
                    }
                    _ => String::new(),
                };
                let (mut heads, mut lines) = (Vec::new(), Vec::new());
                if let FieldKind::Log(columns) = &field.kind {
                    lines = reading.lines(field, columns, self.row);
                    let label = |one: &LogColumn| one.label.in_lang(english).to_owned();
                    heads = columns.iter().map(label).collect();
                }
                let text = reading.text(field, self.row);
                let conflict = self.row.conflicts.iter().any(|one| one.field == field.id);
                FieldLine {
                    group: group_heading(self.ledger, at, english),
                    label: field.label.in_lang(english).to_owned(),
                    value: if text.is_empty() {
                        word("record.empty", english).into()
                    } else {
                        text
                    },
                    link,
                    heads,
                    lines,
                    conflict,
                    finding: self.is_marked(&field.id),
                }
            })
            .collect()
    }

    /// Whether a rule that failed names the field, and may be told.
    fn is_marked(&self, field: &str) -> bool {
        let failed = self
            .failed
            .iter()
            .filter(|id| self.may_tell(id))
            .filter_map(|id| rule_of(self.ledger, id));
        failed.into_iter().any(|rule| rule.fields.iter().any(|one| one == field))
    }

    /// Until when it must be dealt with: the day, and whether the calendar reaches so far.
    pub(super) fn deadline(&self) -> Result<Option<(String, bool)>, PageError> {
        let (replica, ledger) = (self.reading.replica, self.ledger);
        let Some(due) = &ledger.due else { return Ok(None) };
        let done = due.done.iter().any(|state| Some(state.as_str()) == self.row.state_id());
        let Some(from) = Date::parse(&self.row.text(&due.field)).filter(|_| !done) else {
            return Ok(None);
        };
        if due.workdays.is_none() {
            return Ok(Some((from.to_string(), true)));
        }
        let Some(workdays) = super::worklist::workdays(replica, ledger) else { return Ok(None) };
        let calendar = replica.readers().with(|reader| reader.calendar())?;
        let until = calendar.after(from, workdays);
        Ok(Some((until.to_string(), calendar.knows(until.year))))
    }

    fn steps(&self) -> Vec<StepLine> {
        let state = self.row.state_id().unwrap_or_default();
        let steps = self.ledger.workflow.iter().flat_map(|workflow| &workflow.transitions);
        steps
            .filter(|step| step.from.iter().any(|from| from == state))
            .map(|step| {
                let by: Vec<&str> =
                    step.by.iter().map(|level| level_word(*level, self.reading.english)).collect();
                StepLine {
                    to: step.to.clone(),
                    label: step.label.in_lang(self.reading.english).to_owned(),
                    reason: step.reason,
                    allowed: self.decides
                        && step.by.contains(&self.reading.viewer.level)
                        && step.role.as_ref().is_none_or(|role| *role == self.role),
                    by: match &step.role {
                        Some(role) => self.role_name(role).to_owned(),
                        None => by.join("、"),
                    },
                }
            })
            .collect()
    }

    fn forms(&self) -> Vec<FormLink> {
        let english = self.reading.english;
        let whole = FormLink {
            id: super::print::WHOLE.into(),
            label: word("record.print", english).to_owned(),
        };
        let own = self.ledger.forms.iter().map(|form| FormLink {
            id: form.id.clone(),
            label: form.label.in_lang(english).to_owned(),
        });
        std::iter::once(whole).chain(own).collect()
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
                    place: place_name(self.reading.directives, origin.place),
                    device: origin.author.key.short(),
                    what: what.join("；"),
                    counted: origin.counted,
                }
            })
            .collect()
    }

    /// An element of a set by its name.
    fn element(&self, field: &str, element: &str) -> String {
        match self.ledger.field(field).map(|field| &field.kind) {
            Some(FieldKind::Set(vocab)) => {
                let catalogue = &self.reading.directives.catalogue;
                catalogue.value_label(vocab, element, self.reading.english)
            }
            Some(FieldKind::Attach) => {
                Attachment::parse(element).map_or_else(|| element.to_owned(), |one| one.name)
            }
            _ => element.to_owned(),
        }
    }

    /// A line of a log by its cells.
    fn line(&self, field: &str, text: &str) -> Option<String> {
        let Some(FieldKind::Log(columns)) = self.ledger.field(field).map(|field| &field.kind)
        else {
            return None;
        };
        let values: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
        let catalogue = &self.reading.directives.catalogue;
        let cells = columns.iter().filter_map(|column| {
            let value = values.get(&column.id)?;
            let label = column.label.in_lang(self.reading.english);
            let text = display(&column.kind, value, catalogue, self.reading.english);
            Some(format!("{label} {text}"))
        });
        Some(cells.collect::<Vec<_>>().join("，"))
    }

    pub(super) fn operation(&self, key: &str, value: Option<&Value>) -> String {
        let (field, element) = split_key(key);
        let label = self.field_label(field);
        if self.hides(field) {
            return format!("{label}: {HIDDEN}");
        }
        let text = match (element, value) {
            (_, None) => format!("− {}", self.element(field, element.unwrap_or_default())),
            (Some(_), Some(value)) if field == STATE_FIELD => {
                let line: Option<taizhang_core::record::state::TransitionLine> =
                    value.as_text().and_then(|text| serde_json::from_str(text).ok());
                line.map_or_else(String::new, |line| {
                    let (from, to) = (self.state_label(&line.from), self.state_label(&line.to));
                    format!("{from} → {to} {}", line.reason)
                })
            }
            (Some(element), Some(Value::Bool(_))) => format!("+ {}", self.element(field, element)),
            (Some(_), Some(Value::Text(text))) => {
                self.line(field, text).unwrap_or_else(|| text.clone())
            }
            (_, Some(value)) => self.value(field, value),
        };
        format!("{label}: {text}")
    }
}
