//! What people do: create, set, act, resolve, void. The same for pages, command line and imports.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Ledger, LogColumn, Required, Text};
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::id::{ImportId, Level, RecordId, SliceId, SliceKind, hex};
use taizhang_core::record::edit::{KeyWrite, creation};
use taizhang_core::record::fold::{Row, fold};
use taizhang_core::record::value::{VOID_KEY, Value};
use taizhang_core::time::UtcMillis;

use super::save::{LocalEntry, SaveError};
use super::{Engine, attach};

use super::values::{FieldError, Source, parse, parse_set};
use crate::store::StoreError;

/// The ledger of what rounds of inspection found.
pub const FINDING: &str = "finding";
/// The ledger of rounds of inspection.
pub const ROUND: &str = "supervision_round";

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Fields that cannot be saved as typed.
    #[error("{}", join(.0))]
    Fields(Vec<FieldError>),
    /// Not allowed, or not possible now; says what would have to hold.
    #[error("{} / {}", .0.zh, .0.en)]
    Refused(Text),
    /// Too many wait for the same; nothing was tried.
    #[error("{} / {}", .0.zh, .0.en)]
    Busy(Text),
    /// The save failed.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn join(errors: &[FieldError]) -> String {
    let lines: Vec<String> =
        errors.iter().map(|error| format!("{} / {}", error.reason.zh, error.reason.en)).collect();
    lines.join("; ")
}

/// Shorthand for a refusal in both languages.
pub fn refuse<T>(zh: impl Into<String>, en: impl Into<String>) -> Result<T, CommandError> {
    Err(CommandError::Refused(Text { zh: zh.into(), en: en.into() }))
}

/// A refusal whose words stand in both languages already, as `中文 / English`.
pub fn refuse_as<T>(words: impl std::fmt::Display) -> Result<T, CommandError> {
    let text = words.to_string();
    match text.split_once(" / ") {
        Some((zh, en)) => refuse(zh, en),
        None => refuse(text.clone(), text),
    }
}

/// Whether the page of rounds alone writes a field: what shows whom its inspectors see, and what they found
/// there.
pub fn is_of_rounds(ledger: &Ledger, field: &str) -> bool {
    ledger.id == ROUND && matches!(field, "pins" | "places")
}

/// Fields as typed: field id to text; a log field's text is a JSON object of its columns.
pub type Inputs = BTreeMap<String, String>;

/// A decision on a conflict.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The candidate at that position, 0 is the shown one.
    Candidate(usize),
    /// Another value, as typed.
    Other(String),
}

/// A record with everything a command needs.
pub struct Found {
    /// Its slice.
    pub slice: SliceId,
    /// Its id.
    pub id: RecordId,
    /// Its ledger.
    pub ledger: Arc<Ledger>,
    /// Its row.
    pub row: Row,
}

impl Engine {
    pub(crate) fn level(&self) -> Level {
        self.identity.checked.name.level()
    }

    /// A ledger by id.
    ///
    /// # Errors
    ///
    /// Says which ledgers there are.
    pub fn ledger(&self, id: &str) -> Result<Arc<Ledger>, CommandError> {
        let catalogue = &self.directives.catalogue;
        if let Some(ledger) = catalogue.ledger(id).filter(|one| !one.id.starts_with("sys_")) {
            return Ok(Arc::clone(ledger));
        }
        let known: Vec<&str> =
            catalogue.ledgers_for_people().map(|ledger| ledger.id.as_str()).collect();
        let known = known.join(", ");
        refuse(
            format!("没有台账「{id}」;现有:{known}"),
            format!("no ledger `{id}`; there are: {known}"),
        )
    }

    /// Finds a record by id, with its row as of now.
    ///
    /// # Errors
    ///
    /// If this replica holds no such record.
    pub fn find(&mut self, id: RecordId) -> Result<Found, CommandError> {
        let mut slices = self.store.slices_of(id)?;
        let pending = self.working.keys().filter(|(_, record)| *record == id);
        slices.extend(pending.map(|(slice, _)| *slice));
        let Some(slice) = slices.first().copied() else {
            return refuse(format!("没有记录{id}"), format!("no record {id} is held here"));
        };
        let catalogue = Arc::clone(&self.directives.catalogue);
        let working = self.working(slice, id)?;
        let ledger = working.log.ledger().and_then(|id| catalogue.ledger(id)).cloned();
        let row = ledger.as_ref().and_then(|ledger| fold(&working.log, ledger));
        match (ledger, row) {
            (Some(ledger), Some(row)) => Ok(Found { slice, id, ledger, row }),
            _ => refuse("该记录所属台账尚未下发", "the record's ledger is not known here yet"),
        }
    }

    /// Refuses the registers of the program itself: it alone writes them, each in its own way.
    fn check_register(found: &Found) -> Result<(), CommandError> {
        if found.ledger.id.starts_with("sys_") {
            return refuse("系统登记不能在此修改", "a register of the system is not changed here");
        }
        Ok(())
    }

    /// Refuses an office below the one that found it to change, void, send back or verify a finding.
    pub(crate) fn check_finder(&self, found: &Found) -> Result<(), CommandError> {
        let finder = found.row.created.level;
        if found.ledger.id == FINDING && self.level() < finder {
            return refuse(
                format!("该督查发现由{}登记,只能由其修改、退回、核验或作废", finder.zh()),
                format!("this finding is the {} level's to change, verify or void", finder.name()),
            );
        }
        Ok(())
    }

    /// Records of a ledger in a slice whose field has that value, those under work included.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn by_field(
        &mut self,
        slice: SliceId,
        ledger: &str,
        field: &str,
        value: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.settle()?;
        let rows = self.store.rows_with(slice, ledger, value)?;
        Ok(rows.into_iter().filter(|(_, row)| row.text(field) == value).map(|(id, _)| id).collect())
    }

    /// Records of a ledger in a slice that are not void, with what this group of jobs has written.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn rows_of(
        &mut self,
        slice: SliceId,
        ledger: &str,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        self.settle()?;
        self.store.rows_of(slice, ledger)
    }

    /// Creates a record.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing is saved then.
    #[expect(clippy::too_many_arguments, reason = "the parts of one form")]
    pub fn create(
        &mut self,
        slice: SliceId,
        ledger: &str,
        inputs: &Inputs,
        source: Source,
        person: &Person,
        import: Option<ImportId>,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        let id = RecordId(self.random());
        self.create_as(id, slice, ledger, inputs, source, person, import, now)?;
        Ok(id)
    }

    /// Creates a record under an id drawn before, so that records of one import can refer to it.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing is saved then.
    #[expect(clippy::too_many_arguments, reason = "the parts of one form")]
    pub fn create_as(
        &mut self,
        id: RecordId,
        slice: SliceId,
        ledger: &str,
        inputs: &Inputs,
        source: Source,
        person: &Person,
        import: Option<ImportId>,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let ledger = self.ledger(ledger)?;
        let place = self.directives.tree.place(slice.place).map(|place| place.level);
        if ledger.slice != slice.kind || place.is_none_or(|level| !ledger.scope.contains(&level)) {
            return refuse(
                format!("「{}」不在这一级登记", ledger.label.zh),
                format!("{} is not kept at this level", ledger.label.en),
            );
        }
        let mut keys = vec![creation(&ledger.id)];
        let mut errors = Vec::new();
        for field in &ledger.fields {
            let text = inputs.get(&field.id).map_or("", String::as_str);
            if text.trim().is_empty() {
                if field.required == Required::Always && field.write.contains(&self.level()) {
                    errors.push(missing(field));
                }
                continue;
            }
            match self.keys_for(field, text, None, source) {
                Ok(more) => keys.extend(more),
                Err(error) => errors.push(error),
            }
        }
        unknown_fields(&ledger, inputs, &mut errors);
        fields_of_rounds(&ledger, inputs, source, &mut errors);
        if !errors.is_empty() {
            return Err(CommandError::Fields(errors));
        }
        let action = if import.is_some() { Action::Import } else { Action::Create };
        let local = LocalEntry { slice, lane: ledger.lane, action, person, import };
        Ok(self.save(&local, &[(id, keys)], now)?)
    }

    /// Writes the fields that differ from what is shown. Gives whether anything did.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub fn set(
        &mut self,
        id: RecordId,
        inputs: &Inputs,
        source: Source,
        person: &Person,
        now: UtcMillis,
    ) -> Result<bool, CommandError> {
        let found = self.find(id)?;
        Self::check_register(&found)?;
        // Offices inspected reply; others between them and the finder only read.
        if self.level() >= Level::County {
            self.check_finder(&found)?;
        }
        if let Some(moved) = &found.row.moved {
            let to = self.directives.tree.full_name(moved.to);
            return refuse(
                format!("该记录已迁出→{to},请在新记录中修改"),
                format!("the record has moved to {to}; edit it there"),
            );
        }
        let mut keys = Vec::new();
        let mut errors = Vec::new();
        for (name, text) in inputs {
            let Some(field) = found.ledger.field(name) else { continue };
            match self.keys_for(field, text, Some(&found.row), source) {
                Ok(more) => {
                    let clears = matches!(more.as_slice(), [(_, None)]);
                    if clears && field.required == Required::Always {
                        errors.push(missing(field));
                    }
                    keys.extend(more);
                }
                Err(error) => errors.push(error),
            }
        }
        unknown_fields(&found.ledger, inputs, &mut errors);
        fields_of_rounds(&found.ledger, inputs, source, &mut errors);
        if !errors.is_empty() {
            return Err(CommandError::Fields(errors));
        }
        if keys.is_empty() {
            return Ok(false);
        }
        self.check_unconfirmed(&found, &keys, now)?;
        self.write(&found, Action::Set, person, keys, now)?;
        Ok(true)
    }

    pub(crate) fn write(
        &mut self,
        found: &Found,
        action: Action,
        person: &Person,
        keys: Vec<KeyWrite>,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let (slice, lane) = (found.slice, found.ledger.lane);
        if slice.kind == SliceKind::Directive && slice.place != self.place() {
            let owner = self.directives.tree.full_name(slice.place);
            return refuse(
                format!("该登记由{owner}维护,本单位不能修改"),
                format!("{owner} keeps this register; it cannot be changed here"),
            );
        }
        let local = LocalEntry { slice, lane, action, person, import: None };
        Ok(self.save(&local, &[(found.id, keys)], now)?)
    }

    /// The root keys that a field's text means; those equal to what is shown are left out.
    fn keys_for(
        &mut self,
        field: &Field,
        text: &str,
        row: Option<&Row>,
        source: Source,
    ) -> Result<Vec<KeyWrite>, FieldError> {
        if !field.write.contains(&self.level()) {
            return Err(not_writable(field, Level::words(&field.write)));
        }
        let catalogue = Arc::clone(&self.directives.catalogue);
        match &field.kind {
            FieldKind::Attach => attach::keys(&self.store, field, text, row),
            FieldKind::Set(_) => {
                let wanted = parse_set(field, text, &catalogue)?;
                let shown = row.and_then(|row| row.sets.get(&field.id));
                let key = |element: &str| format!("{}/{element}", field.id);
                let added = wanted
                    .iter()
                    .filter(|one| shown.is_none_or(|shown| !shown.contains(*one)))
                    .map(|one| (key(one), Some(Value::Bool(true))));
                let removed = shown
                    .into_iter()
                    .flatten()
                    .filter(|one| !wanted.contains(one))
                    .map(|one| (key(one), None));
                Ok(added.chain(removed).collect())
            }
            FieldKind::Log(columns) => {
                let mut keys = Vec::new();
                for line in lines(field, text)? {
                    keys.extend(self.line_keys(field, columns, &line, source, &catalogue)?);
                }
                let standing = row.and_then(|row| row.logs.get(&field.id));
                Ok(keys.into_iter().filter(|key| !is_standing(key, standing)).collect())
            }
            _ => {
                let value = parse(field, text, source, &catalogue)?;
                if value.as_ref() == row.and_then(|row| row.fields.get(&field.id)) {
                    return Ok(Vec::new());
                }
                if field.merge == taizhang_core::catalogue::Merge::Fixed && row.is_some() {
                    return Err(not_writable(
                        field,
                        ("仅在新建时".into(), "only when created".into()),
                    ));
                }
                Ok(vec![(field.id.clone(), value)])
            }
        }
    }

    /// The key and text of a new line of a log field.
    fn line_keys(
        &mut self,
        field: &Field,
        columns: &[LogColumn],
        inputs: &Inputs,
        source: Source,
        catalogue: &Catalogue,
    ) -> Result<Vec<KeyWrite>, FieldError> {
        let mut line = BTreeMap::new();
        for column in columns {
            let as_field =
                Field { label: column.label.clone(), kind: column.kind.clone(), ..field.clone() };
            let text = inputs.get(&column.id).map_or("", String::as_str);
            match parse(&as_field, text, source, catalogue)? {
                Some(value) => drop(line.insert(column.id.clone(), value)),
                None if column.required => return Err(missing(&as_field)),
                None => {}
            }
        }
        if line.is_empty() {
            return Ok(Vec::new());
        }
        let text = serde_json::to_string(&line).unwrap_or_default();
        if field.once_by.is_empty() {
            return Ok(vec![(self.line_key(&field.id, &text), Some(text.into()))]);
        }
        // A repetition counts once; differing contents under one line are a conflict item.
        let key: Vec<(&String, Option<&Value>)> =
            field.once_by.iter().map(|column| (column, line.get(column))).collect();
        let hash = blake3::hash(&serde_json::to_vec(&key).unwrap_or_default());
        Ok(vec![(format!("{}/{}", field.id, hex(&hash.as_bytes()[..16])), Some(text.into()))])
    }

    /// The key of a new line: the hash of its text and 16 random bytes.
    pub(crate) fn line_key(&mut self, field: &str, text: &str) -> String {
        let nonce: [u8; 16] = self.random();
        let mut hasher = blake3::Hasher::new();
        hasher.update(text.as_bytes());
        hasher.update(&nonce);
        format!("{field}/{}", hex(&hasher.finalize().as_bytes()[..16]))
    }

    /// Settles concurrent values of a field.
    ///
    /// # Errors
    ///
    /// If there is no such conflict, or another level decides it.
    pub fn resolve(
        &mut self,
        id: RecordId,
        field: &str,
        choice: &Choice,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let found = self.find(id)?;
        Self::check_register(&found)?;
        let conflict = found.row.conflicts.iter().find(|one| one.field == field).cloned();
        let (Some(conflict), Some(definition)) = (conflict, found.ledger.field(field)) else {
            return refuse("该字段没有待处理的冲突", "this field has no conflict");
        };
        if self.level() < conflict.resolve {
            let level = conflict.resolve;
            return refuse(
                format!("该冲突由{}裁定", level.zh()),
                format!("this conflict is decided at the {} level", level.name()),
            );
        }
        if !definition.write.contains(&self.level()) {
            return Err(CommandError::Fields(vec![not_writable(
                definition,
                Level::words(&definition.write),
            )]));
        }
        let value = match choice {
            Choice::Candidate(at) => match conflict.candidates.get(*at) {
                Some(candidate) => Some(candidate.value.clone()),
                None => return refuse("没有这个选项", "there is no such candidate"),
            },
            Choice::Other(text) => {
                parse(definition, text, Source::People, &self.directives.catalogue)
                    .map_err(|error| CommandError::Fields(vec![error]))?
            }
        };
        self.write(&found, Action::Resolve, person, vec![(field.to_owned(), value)], now)
    }

    /// Voids a record, or takes the void back when `reason` is `None`.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub fn void(
        &mut self,
        id: RecordId,
        reason: Option<&str>,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let found = self.find(id)?;
        Self::check_register(&found)?;
        self.check_finder(&found)?;
        let value = match reason.map(str::trim) {
            Some("") => return refuse("作废须填写原因", "a void needs a reason"),
            Some(_) if found.row.void.is_some() => {
                return refuse("该记录已作废", "the record is void already");
            }
            None if found.row.void.is_none() => {
                return refuse("该记录未作废", "the record is not void");
            }
            reason => reason.map(Value::from),
        };
        self.write(&found, Action::Void, person, vec![(VOID_KEY.into(), value)], now)
    }
}

/// Whether a line of the same id and content is there already.
fn is_standing(key: &KeyWrite, lines: Option<&Vec<taizhang_core::record::fold::LogLine>>) -> bool {
    let element = key.0.rsplit('/').next().unwrap_or_default();
    let text = key.1.as_ref().map(Value::to_string).unwrap_or_default();
    lines.into_iter().flatten().any(|line| {
        line.id == element && serde_json::to_string(&line.columns).is_ok_and(|one| one == text)
    })
}

/// New lines of a log: one as a JSON object of its columns, or several as an array.
fn lines(field: &Field, text: &str) -> Result<Vec<Inputs>, FieldError> {
    let several = serde_json::from_str::<Vec<Inputs>>(text);
    let found = several.or_else(|_| serde_json::from_str(text).map(|one| vec![one]));
    found.map_err(|_| FieldError {
        field: field.id.clone(),
        reason: Text {
            zh: format!("「{}」的一行应为各列的JSON", field.label.zh),
            en: format!("{}: a line is a JSON object of its columns", field.label.en),
        },
    })
}

pub(crate) fn missing(field: &Field) -> FieldError {
    let reason = Text {
        zh: format!("请填写「{}」", field.label.zh),
        en: format!("{} must be filled", field.label.en),
    };
    FieldError { field: field.id.clone(), reason }
}

fn not_writable(field: &Field, (zh, en): (String, String)) -> FieldError {
    let reason = Text {
        zh: format!("「{}」不由本级填写(填写:{zh})", field.label.zh),
        en: format!("{} is not written at this level (written: {en})", field.label.en),
    };
    FieldError { field: field.id.clone(), reason }
}

/// Names what no form and no sheet writes.
fn fields_of_rounds(
    ledger: &Ledger,
    inputs: &Inputs,
    source: Source,
    errors: &mut Vec<FieldError>,
) {
    let forms = ledger.fields.iter().filter(|_| source == Source::People);
    let of_rounds = |field: &&Field| is_of_rounds(ledger, &field.id);
    for field in forms.filter(of_rounds).filter(|field| inputs.contains_key(&field.id)) {
        errors.push(FieldError {
            field: field.id.clone(),
            reason: Text {
                zh: format!("「{}」只在督查页面填写", field.label.zh),
                en: format!("{} is written on the page of rounds only", field.label.en),
            },
        });
    }
}

fn unknown_fields(ledger: &Ledger, inputs: &Inputs, errors: &mut Vec<FieldError>) {
    for name in inputs.keys().filter(|name| ledger.field(name).is_none()) {
        errors.push(FieldError {
            field: name.clone(),
            reason: Text {
                zh: format!("「{}」没有字段{name}", ledger.label.zh),
                en: format!("{} has no field {name}", ledger.label.en),
            },
        });
    }
}
