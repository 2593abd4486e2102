//! Importing a sheet: every bad cell is named, all or nothing, and a sheet that comes again changes only what is
//! different.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

use serde::Serialize;
use taizhang_core::catalogue::{FieldKind, Ledger, Text};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{ImportId, PlaceId, RecordId, SliceId};
use taizhang_core::record::fold::Row;
use taizhang_core::time::UtcMillis;

use super::import::PREVIEW;
use super::mapping::{Mapping, Remembered, fills, letters};
use super::sheet::{self, Sheet};
use super::{OpsError, Progress};
use crate::driver::Replica;
use crate::engine::Engine;
use crate::engine::command::{CommandError, Inputs, refuse};
use crate::engine::values::{Source, display, parse, parse_set, shown};
use crate::viewer::Viewer;

/// Bad cells that an import names; it reads on, but a sheet with more has a wrong column.
const ERRORS_KEPT: usize = 10_000;
/// Differences that are listed; the counts are always whole.
const DIFFERENCES_SHOWN: usize = 200;
/// Refusal by which the job tells bad cells from other refusals.
const BAD_CELLS: &str = "bad cells";

/// A cell, or a row, that cannot be imported.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CellError {
    /// Row number in the file, from 1.
    pub row: usize,
    /// Column letters; empty if the whole row is meant.
    pub column: String,
    /// What is wrong and what to do.
    pub reason: Text,
}

/// A value that the sheet changes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    /// Row number in the file.
    pub row: usize,
    /// Record.
    pub record: RecordId,
    /// Field id.
    pub field: String,
    /// What stands.
    pub old: String,
    /// What the sheet says.
    pub new: String,
}

/// What an import does, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Records made.
    pub created: u64,
    /// Records changed.
    pub changed: u64,
    /// Records that say the same already.
    pub unchanged: u64,
    /// Values that change.
    pub differences: Vec<Difference>,
    /// Bad cells; with any of them nothing is imported.
    pub errors: Vec<CellError>,
}

/// A sheet with its columns understood.
pub struct Prepared {
    /// Its cells.
    pub sheet: Sheet,
    /// Its columns.
    pub mapping: Mapping,
}

/// Who brings a sheet, and what of the records that stand shows to them.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The person that the entries name.
    pub person: Person,
    /// What shows.
    pub viewer: Viewer,
}

/// One row of the sheet as fields, with the column of each.
struct Line {
    row: usize,
    inputs: Inputs,
    columns: BTreeMap<String, usize>,
}

/// Reads a sheet and takes for its columns what is remembered of such headers.
///
/// # Errors
///
/// If it cannot be read, or no row names a field of the ledger.
pub async fn prepare(
    replica: &Replica,
    path: &Path,
    ledger: &Ledger,
) -> Result<Prepared, OpsError> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || sheet::read(&file)).await;
    let sheet =
        read.map_err(|error| OpsError::File { path: path.to_owned(), reason: error.to_string() })??;
    let unnamed = || OpsError::File {
        path: path.to_owned(),
        reason: format!(
            "没有一行是「{}」的列名,请检查表头 / no row names the columns of {}",
            ledger.label.zh, ledger.label.en
        ),
    };
    let guess = Mapping::of_sheet(&sheet, ledger, &Remembered::default()).ok_or_else(unnamed)?;
    let key = guess.key(&ledger.id);
    let kept = replica.run(move |engine, _| Ok(engine.store.meta(&key)?)).await?;
    let kept: Remembered =
        kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mapping = Mapping::of_sheet(&sheet, ledger, &kept).ok_or_else(unnamed)?;
    Ok(Prepared { sheet, mapping })
}

/// Remembers how a person understood such headers.
///
/// # Errors
///
/// If the store fails.
pub async fn remember(replica: &Replica, ledger: &str, mapping: &Mapping) -> Result<(), OpsError> {
    let key = mapping.key(ledger);
    let bytes = serde_json::to_vec(&mapping.remembered()).unwrap_or_default();
    Ok(replica.run(move |engine, _| Ok(engine.store.set_meta(&key, &bytes)?)).await?)
}

impl Prepared {
    fn lines(&self, ledger: &Ledger) -> Vec<Line> {
        let columns = self.mapping.columns.iter().enumerate();
        let known: Vec<(usize, &str)> = columns
            .map(|(at, column)| (at, column.field.as_str()))
            .filter(|(_, field)| fills(ledger, field))
            .collect();
        let mut lines = Vec::new();
        for (at, row) in self.sheet.rows.iter().enumerate().skip(self.mapping.header + 1) {
            let (mut inputs, mut columns) = (Inputs::new(), BTreeMap::new());
            for (column, field) in &known {
                let text = row.get(*column).map_or("", |text| text.trim());
                if !text.is_empty() {
                    inputs.insert((*field).to_owned(), text.to_owned());
                    columns.insert((*field).to_owned(), *column);
                }
            }
            if !inputs.is_empty() {
                lines.push(Line { row: self.sheet.first_row + at, inputs, columns });
            }
        }
        lines
    }

    /// Imports it into the own place's slice, or only says what that would do.
    ///
    /// # Errors
    ///
    /// If the store fails; bad cells are in the outcome.
    pub async fn import(
        &self,
        replica: &Replica,
        ledger: &Ledger,
        preview: bool,
        asker: Asker,
        progress: Progress,
    ) -> Result<Outcome, OpsError> {
        let keys = self.mapping.columns.iter().filter(|one| one.is_key && !one.field.is_empty());
        let mut import = Import {
            ledger: ledger.clone(),
            place: replica.place(),
            keys: keys.map(|one| one.field.clone()).collect(),
            asker,
            known: BTreeMap::new(),
            seen: BTreeMap::new(),
            outcome: Outcome::default(),
        };
        let lines = self.lines(ledger);
        let (sender, outcome) = mpsc::channel();
        let done = replica
            .run(move |engine, now| {
                import.play(engine, lines, now, &progress)?;
                let bad = !import.outcome.errors.is_empty();
                // The asker waits for this answer.
                drop(sender.send(import.outcome));
                match (bad, preview) {
                    (true, _) => refuse(BAD_CELLS, BAD_CELLS),
                    (false, true) => refuse(PREVIEW, PREVIEW),
                    (false, false) => Ok(()),
                }
            })
            .await;
        match (done, outcome.try_recv()) {
            (Ok(()), Ok(outcome)) => Ok(outcome),
            (Err(CommandError::Refused(_)), Ok(outcome)) => Ok(outcome),
            (Err(error), _) => Err(error.into()),
            (Ok(()), Err(_)) => Ok(Outcome::default()),
        }
    }
}

struct Import {
    ledger: Ledger,
    place: PlaceId,
    /// Fields by which a row's record is found.
    keys: Vec<String>,
    asker: Asker,
    /// Records by their keys' values.
    known: BTreeMap<Vec<String>, Vec<(RecordId, Row)>>,
    /// Rows of this sheet by their keys' values.
    seen: BTreeMap<Vec<String>, usize>,
    outcome: Outcome,
}

impl Import {
    fn slice(&self) -> SliceId {
        SliceId { kind: self.ledger.slice, place: self.place }
    }

    fn play(
        &mut self,
        engine: &mut Engine,
        lines: Vec<Line>,
        now: UtcMillis,
        progress: &Progress,
    ) -> Result<(), CommandError> {
        let import = ImportId(engine.random());
        for (record, row) in engine.rows_of(self.slice(), &self.ledger.id)? {
            let text =
                |key: &String| row.fields.get(key).map(ToString::to_string).unwrap_or_default();
            let key: Vec<String> = self.keys.iter().map(text).collect();
            self.known.entry(key).or_default().push((record, row));
        }
        let total = lines.len() as u64;
        for (number, line) in lines.into_iter().enumerate() {
            if number % 500 == 0 {
                progress("import", number as u64, total);
            }
            match self.line(engine, line, import, now) {
                Err(CommandError::Store(error)) => return Err(CommandError::Store(error)),
                other => other?,
            }
        }
        progress("import", total, total);
        Ok(())
    }

    fn error(&mut self, row: usize, column: Option<usize>, reason: Text) {
        if self.outcome.errors.len() < ERRORS_KEPT {
            let column = column.map(letters).unwrap_or_default();
            self.outcome.errors.push(CellError { row, column, reason });
        }
    }

    /// Names in reference columns become records.
    fn references(&mut self, engine: &mut Engine, line: &mut Line) -> Result<bool, CommandError> {
        let mut good = true;
        for field in self.ledger.fields.clone() {
            let FieldKind::Ref(target) = &field.kind else { continue };
            let Some(text) = line.inputs.get(&field.id).cloned() else { continue };
            if text.parse::<RecordId>().is_ok() {
                continue;
            }
            match engine.by_title(self.place, target, &text, &field.label) {
                Ok(id) => drop(line.inputs.insert(field.id, id.to_string())),
                Err(CommandError::Refused(reason)) => {
                    good = false;
                    let column = line.columns.get(&field.id).copied();
                    self.error(line.row, column, reason);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(good)
    }

    /// Names what is wrong with the cells of a row that refer to nothing.
    fn other_cells(&mut self, engine: &Engine, line: &Line) {
        let catalogue = &engine.directives.catalogue;
        for (id, text) in &line.inputs {
            let Some(field) = self.ledger.field(id) else { continue };
            let checked = match &field.kind {
                FieldKind::Ref(_) => continue,
                FieldKind::Set(_) => parse_set(field, text, catalogue).map(|_| ()),
                _ => parse(field, text, Source::People, catalogue).map(|_| ()),
            };
            if let Err(error) = checked {
                self.error(line.row, line.columns.get(id).copied(), error.reason);
            }
        }
    }

    /// The values of a row's keys, as they would stand in its record.
    fn key(&self, engine: &Engine, inputs: &Inputs) -> Vec<String> {
        let value = |id: &String| {
            let text = inputs.get(id).map_or("", String::as_str);
            let field = self.ledger.field(id)?;
            let parsed = parse(field, text, Source::People, &engine.directives.catalogue).ok()?;
            parsed.map(|value| value.to_string())
        };
        self.keys.iter().map(|id| value(id).unwrap_or_default()).collect()
    }

    fn line(
        &mut self,
        engine: &mut Engine,
        mut line: Line,
        import: ImportId,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        if !self.references(engine, &mut line)? {
            // The row is not tried, but a person corrects all of its cells at once.
            self.other_cells(engine, &line);
            return Ok(());
        }
        let key = self.key(engine, &line.inputs);
        let is_found_by_key = key.iter().any(|value| !value.is_empty());
        if is_found_by_key && let Some(first) = self.seen.insert(key.clone(), line.row) {
            let reason = Text {
                zh: format!("与第{first}行是同一条记录,请只保留一行"),
                en: format!("the same record as row {first}; keep one of them"),
            };
            self.error(line.row, None, reason);
            return Ok(());
        }
        let found = if is_found_by_key { self.known.get(&key) } else { None };
        let done = match found.map(Vec::as_slice) {
            Some([(record, row)]) => {
                let (record, row) = (*record, row.clone());
                self.change(engine, record, &row, &line, now)
            }
            Some([_, _, ..]) => refuse(
                "有多条记录与本行相同,请增加识别列",
                "several records match this row; mark another column as key",
            ),
            _ => {
                let (id, slice) = (RecordId(engine.random()), self.slice());
                let (ledger, inputs) = (self.ledger.id.as_str(), &line.inputs);
                let (source, import) = (Source::People, Some(import));
                let person = &self.asker.person;
                engine
                    .create_as(id, slice, ledger, inputs, source, person, import, now)
                    .map(|()| self.outcome.created += 1)
            }
        };
        match done {
            Ok(()) => {}
            Err(CommandError::Fields(errors)) => {
                for error in errors {
                    let column = line.columns.get(&error.field).copied();
                    self.error(line.row, column, error.reason);
                }
            }
            Err(CommandError::Refused(reason)) => self.error(line.row, None, reason),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Writes what is different; cells that are empty change nothing.
    fn change(
        &mut self,
        engine: &mut Engine,
        record: RecordId,
        row: &Row,
        line: &Line,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        if !engine.set(record, &line.inputs, Source::People, &self.asker.person, now)? {
            self.outcome.unchanged += 1;
            return Ok(());
        }
        self.outcome.changed += 1;
        let catalogue = &engine.directives.catalogue;
        for (id, text) in &line.inputs {
            let Some(field) = self.ledger.field(id) else { continue };
            let (old, new) = (row.fields.get(id), parse(field, text, Source::People, catalogue));
            let new = new.ok().flatten();
            // What stands may be more than whoever brings the sheet sees of it.
            let show = |value| shown(field, value, self.asker.viewer, catalogue, false);
            let differ = old != new.as_ref();
            let old = old.map(show).unwrap_or_default();
            let show = |value| display(&field.kind, value, catalogue, false);
            let new = new.as_ref().map_or_else(|| text.clone(), show);
            if differ && self.outcome.differences.len() < DIFFERENCES_SHOWN {
                let (row, field) = (line.row, id.clone());
                self.outcome.differences.push(Difference { row, record, field, old, new });
            }
        }
        Ok(())
    }
}
