//! Tables that are written to a folder once a day, for whoever takes files only: ledgers and figures as
//! sheets and as CSV, in one folder a day that is there whole or not at all. Nobody is signed in then, so
//! they carry what a paper may carry, seen with the eyes of whoever sees the least.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde::{Deserialize, Serialize};
use taizhang_core::catalogue::{Field, FieldKind, Ledger, Text};
use taizhang_core::directives::Directives;
use taizhang_core::id::Level;
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::Value;
use taizhang_core::time::{Date, UtcMillis};

use super::ledger::state_label;
use super::reading::Reading;
use super::shell::place_name;
use super::words::word;
use crate::account::Duty;
use crate::driver::{Replica, clock};
use crate::ops::query::{FigureRow, hide_small};
use crate::small::{SMALL, Small};
use crate::store::read::Reader;
use crate::store::since::Since;
use crate::viewer::{Sight, Viewer};
use crate::whole::{self, Readable};

/// How often it is asked whether it is time.
const STEP: Duration = Duration::from_secs(60);
/// Minutes until another try after one that failed.
const AGAIN_STEPS: u32 = 10;
/// Records read at once.
const ROWS: usize = 1000;
/// Rows of a sheet, which is made in memory; longer tables are CSV only.
const SHEET_ROWS_MAX: usize = 50_000;
/// By this file a folder is known for one that was written here: no other is ever removed.
pub const MARKER: &str = ".taizhang-export";
/// What is known of the last time, in the data folder.
const STATUS: &str = "export.json";

/// What is written, when and where.
#[derive(Clone, Debug)]
pub struct Schedule {
    folder: PathBuf,
    minute: i64,
    ledgers: Vec<String>,
    keep: usize,
}

/// What is known of the last time.
#[derive(Deserialize, Serialize)]
struct Noted {
    folder: PathBuf,
    time: UtcMillis,
    error: String,
}

impl Schedule {
    /// Reads what an operator wrote: a time such as `02:00`, ledgers separated by commas, folders to keep.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(folder: &Path, at: &str, ledgers: &str, keep: usize) -> Result<Self, String> {
        let wrong = || format!("{at} is no time such as 02:00 / 时间应如 02:00");
        let (hour, minute) = at.split_once(':').ok_or_else(wrong)?;
        let part = |text: &str, below: i64| {
            text.parse().ok().filter(|part: &i64| (0..below).contains(part)).ok_or_else(wrong)
        };
        let minute = part(hour, 24)? * 60 + part(minute, 60)?;
        if keep == 0 {
            return Err("at least one day is kept / 至少保留一天".into());
        }
        let ledgers = ledgers.split(',').map(str::trim).filter(|id| !id.is_empty());
        let ledgers = ledgers.map(str::to_owned).collect();
        Ok(Self { folder: folder.to_owned(), minute, ledgers, keep })
    }

    fn of_day(&self, day: Date) -> PathBuf {
        self.folder.join(day.to_string())
    }

    /// Removes the oldest days; what cannot be removed stays.
    fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_own = |name: &String| {
            Date::parse(name).is_some() && self.folder.join(name).join(MARKER).is_file()
        };
        let mut days: Vec<String> = names.filter(is_own).collect();
        days.sort_unstable();
        days.truncate(days.len().saturating_sub(self.keep));
        for day in days {
            if let Err(error) = fs::remove_dir_all(self.folder.join(&day)) {
                tracing::warn!(%error, day, "an old export stays");
            }
        }
    }
}

/// Writes each day after its time, until the replica closes. A day missed while it was off is made up for.
pub async fn keep_exporting(replica: Replica, schedule: Schedule) {
    let mut wait = 0;
    loop {
        let now = clock::now();
        let day = now.date();
        let due = now.since(day.start()) >= schedule.minute * 60_000;
        if due && wait == 0 && !schedule.of_day(day).exists() {
            let result = export(&replica, &schedule, day).await;
            wait = if result.is_err() { AGAIN_STEPS } else { 0 };
            note(&replica, &schedule, now, result.err().unwrap_or_default());
        } else {
            wait = wait.saturating_sub(1);
        }
        tokio::select! {
            () = replica.closed() => return,
            () = tokio::time::sleep(STEP) => {}
        }
    }
}

fn note(replica: &Replica, schedule: &Schedule, time: UtcMillis, error: String) {
    if !error.is_empty() {
        tracing::warn!(error, "the export failed");
    }
    let noted = Noted { folder: schedule.folder.clone(), time, error };
    let bytes = serde_json::to_vec(&noted).unwrap_or_default();
    if let Err(error) = whole::write(&replica.folder().join(STATUS), &bytes, Readable::Owner) {
        tracing::warn!(%error, "the state of exports could not be kept");
    }
}

/// How the last export went, for the page about sync; empty if there was none.
pub(super) fn status(replica: &Replica, english: bool) -> String {
    let read = fs::read(replica.folder().join(STATUS)).ok();
    let Some(noted) = read.and_then(|bytes| serde_json::from_slice::<Noted>(&bytes).ok()) else {
        return String::new();
    };
    let (time, folder) = (noted.time.local_text(), noted.folder.display());
    match noted.error.as_str() {
        "" => format!("{} {time} → {folder}", word("sync.export", english)),
        error => format!("{} {time} → {folder}: {error}", word("sync.export_failed", english)),
    }
}

/// Writes the folder of a day; the audit says so.
///
/// # Errors
///
/// In words; then the folder is not there.
pub async fn export(replica: &Replica, schedule: &Schedule, day: Date) -> Result<(), String> {
    let (worker, plan) = (replica.clone(), schedule.clone());
    let work = tokio::task::spawn_blocking(move || write(&worker, &plan, day));
    let records = work.await.map_err(|error| error.to_string())??;
    let text = format!("the schedule wrote {records} records of {}", schedule.ledgers.join(","));
    let audit = replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?));
    audit.await.map_err(|error| error.to_string())
}

fn write(replica: &Replica, schedule: &Schedule, day: Date) -> Result<usize, String> {
    let part = schedule.folder.join(format!(".part-{day}"));
    let failed = |error: std::io::Error| format!("{}: {error}", part.display());
    if part.exists() {
        fs::remove_dir_all(&part).map_err(failed)?;
    }
    fs::create_dir_all(&part).map_err(failed)?;
    File::create(part.join(MARKER)).map_err(failed)?;
    let directives = replica.directives();
    let mut records = 0;
    for id in &schedule.ledgers {
        let ledger = directives.catalogue.ledger(id).filter(|one| !one.closed);
        let ledger = ledger.ok_or_else(|| format!("no open ledger {id} / 没有台账{id}"))?;
        records += Exporting::new(replica, &directives, ledger).write(&part)?;
    }
    figures(replica, &directives, &part)?;
    fs::rename(&part, schedule.of_day(day)).map_err(failed)?;
    // Not every file system syncs a folder; the files are synced.
    if let Ok(folder) = File::open(&schedule.folder) {
        drop(folder.sync_all());
    }
    schedule.tidy();
    Ok(records)
}

/// One cell.
enum Cell {
    /// As people read it.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// 分, written as 元.
    Money(i64),
}

/// A text as CSV carries it: what a spreadsheet would take for a formula gets an apostrophe.
pub(super) fn no_formula(text: &str) -> String {
    let mark = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("{mark}{text}")
}

impl Cell {
    /// As CSV carries it.
    fn csv(&self) -> String {
        match self {
            Self::Text(text) => no_formula(text),
            Self::Whole(number) => number.to_string(),
            Self::Money(fen) => {
                let sign = if *fen < 0 { "-" } else { "" };
                format!("{sign}{}.{:02}", (fen / 100).abs(), (fen % 100).abs())
            }
        }
    }
}

/// A table on its way into its two files.
struct Table {
    csv: csv::Writer<File>,
    path: PathBuf,
    heads: Vec<String>,
    rows: Vec<Vec<Cell>>,
    count: usize,
}

impl Table {
    fn new(folder: &Path, name: &str, heads: Vec<String>) -> Result<Self, String> {
        let path = folder.join(name);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = File::create(path.with_extension("csv")).map_err(failed)?;
        // The mark by which spreadsheets know UTF-8.
        file.write_all(b"\xef\xbb\xbf").map_err(failed)?;
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(&heads).map_err(|error| error.to_string())?;
        Ok(Self { csv, path, heads, rows: Vec::new(), count: 0 })
    }

    fn push(&mut self, row: Vec<Cell>) -> Result<(), String> {
        self.csv.write_record(row.iter().map(Cell::csv)).map_err(|error| error.to_string())?;
        self.count += 1;
        if self.count <= SHEET_ROWS_MAX {
            self.rows.push(row);
        } else {
            self.rows.clear();
        }
        Ok(())
    }

    fn finish(self) -> Result<usize, String> {
        let file = self.csv.into_inner().map_err(|error| error.to_string())?;
        file.sync_all().map_err(|error| error.to_string())?;
        if self.count <= SHEET_ROWS_MAX {
            let book = book(&self.heads, &self.rows).map_err(|error| error.to_string())?;
            whole::write(&self.path.with_extension("xlsx"), &book, Readable::Others)
                .map_err(|error| error.to_string())?;
        }
        Ok(self.count)
    }
}

fn book(heads: &[String], rows: &[Vec<Cell>]) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let (bold, money) = (Format::new().set_bold(), Format::new().set_num_format("#,##0.00"));
    for (column, head) in (0..).zip(heads) {
        sheet.write_string_with_format(0, column, head, &bold)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    for (at, row) in (1..).zip(rows) {
        for (column, cell) in (0..).zip(row) {
            match cell {
                Cell::Text(text) => drop(sheet.write_string(at, column, text)?),
                Cell::Whole(number) => drop(sheet.write_number(at, column, *number as f64)?),
                Cell::Money(fen) => {
                    let yuan = *fen as f64 / 100.0;
                    sheet.write_number_with_format(at, column, yuan, &money)?;
                }
            }
        }
    }
    sheet.autofit();
    book.save_to_buffer()
}

/// One ledger's table.
struct Exporting<'a> {
    reading: Reading<'a>,
    ledger: &'a Ledger,
    fields: Vec<&'a Field>,
}

impl<'a> Exporting<'a> {
    fn new(replica: &'a Replica, directives: &'a Directives, ledger: &'a Ledger) -> Self {
        let (level, duty) = (Level::City, Some(Duty::Administrator));
        let viewer = Viewer { level, duty, revealed: false, inspects: false };
        let reading = Reading { replica, directives, viewer, english: false };
        let fields = ledger.fields.iter().filter(|field| field.is_printed()).collect();
        Self { reading, ledger, fields }
    }

    fn cell(&self, field: &Field, row: &Row) -> Cell {
        let open = self.reading.viewer.sight(field) == Sight::Full;
        match (&field.kind, row.fields.get(&field.id)) {
            (FieldKind::Money, Some(Value::Int(fen))) if open => Cell::Money(*fen),
            (FieldKind::Int | FieldKind::Year, Some(Value::Int(number))) if open => {
                Cell::Whole(*number)
            }
            _ => Cell::Text(self.reading.text(field, row)),
        }
    }

    fn write(&self, folder: &Path) -> Result<usize, String> {
        let label = |text: &Text| text.zh.clone();
        let mut heads = vec![word("places.place", false).to_owned()];
        heads.extend(self.fields.iter().map(|field| label(&field.label)));
        heads.extend(["list.state", "list.changed"].map(|key| word(key, false).to_owned()));
        let mut table = Table::new(folder, &self.ledger.id, heads)?;
        // One snapshot for the whole table.
        let readers = self.reading.replica.readers();
        let written = readers.with(|reader| Ok(self.rows(reader, &mut table)));
        written.map_err(|error| error.to_string())??;
        table.finish()
    }

    fn rows(&self, reader: &Reader<'_>, table: &mut Table) -> Result<(), String> {
        let mut after = 0;
        loop {
            let since = Since { ledger: &self.ledger.id, after, limit: ROWS, ..Since::default() };
            let rows = reader.since(&since).map_err(|error| error.to_string())?;
            for one in rows.iter().filter(|one| one.row.void.is_none()) {
                let place = place_name(self.reading.directives, one.slice.place);
                let state = one.row.state_id().unwrap_or_default();
                let mut cells = vec![Cell::Text(place)];
                cells.extend(self.fields.iter().map(|field| self.cell(field, &one.row)));
                cells.push(Cell::Text(state_label(self.ledger, state, false)));
                cells.push(Cell::Text(one.changed.local_text()));
                table.push(cells)?;
            }
            match rows.last() {
                Some(last) if rows.len() == ROWS => after = last.touched,
                _ => return Ok(()),
            }
        }
    }
}

/// Figures of the office and its children, each with its coverage.
fn figures(replica: &Replica, directives: &Directives, folder: &Path) -> Result<(), String> {
    let heads = [
        "places.code",
        "places.place",
        "export.indicator",
        "export.value",
        "places.coverage",
        "places.oldest",
        "places.missing",
        "places.parked",
    ];
    let heads = heads.map(|key| word(key, false).to_owned()).to_vec();
    let mut table = Table::new(folder, "figures", heads)?;
    let view = replica.view().map_err(|error| error.to_string())?;
    let own = replica.place();
    let small = Small::at(directives, own, clock::now().date());
    let places = std::iter::once(own).chain(directives.tree.children(own));
    let mut rows = Vec::new();
    for place in places {
        let sums = replica.readers().with(|reader| reader.rollup(place));
        rows.push(FigureRow {
            place,
            name: place_name(directives, place),
            values: sums.map_err(|error| error.to_string())?.into_iter().collect(),
            hidden: Vec::new(),
            coverage: view.cover(place),
        });
    }
    hide_small(&small, &mut rows);
    for row in rows {
        let code = directives.tree.place(row.place).map(|place| place.code().to_owned());
        let missing: Vec<&str> = row.coverage.missing.iter().map(|one| one.name.as_str()).collect();
        let (code, missing) = (code.unwrap_or_default(), missing.join("、"));
        let shown = row.values.iter().map(|(id, value)| (id, Some(*value)));
        for (id, value) in shown.chain(row.hidden.iter().map(|id| (id, None))) {
            let Some((_, indicator)) = directives.catalogue.indicator(id) else { continue };
            let whole = |number: u64| Cell::Whole(i64::try_from(number).unwrap_or(i64::MAX));
            table.push(vec![
                Cell::Text(code.clone()),
                Cell::Text(row.name.clone()),
                Cell::Text(indicator.label.zh.clone()),
                match value {
                    None => Cell::Text(SMALL.to_owned()),
                    Some(value) if indicator.is_money => Cell::Money(value),
                    Some(value) => Cell::Whole(value),
                },
                Cell::Text(format!("{}/{}", row.coverage.reported, row.coverage.places)),
                Cell::Text(Replica::when(row.coverage.oldest)),
                Cell::Text(missing.clone()),
                whole(row.coverage.parked),
            ])?;
        }
    }
    table.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_has_a_time_of_day_and_keeps_something() {
        let new = |at: &str, keep| Schedule::new(Path::new("x"), at, "a, b,", keep);
        let schedule = new("02:30", 3).unwrap();
        assert_eq!((schedule.minute, schedule.ledgers.len()), (150, 2));
        for wrong in ["2", "24:00", "02:60", "-1:00", "aa:bb"] {
            assert!(new(wrong, 3).is_err(), "{wrong}");
        }
        assert!(new("02:30", 0).is_err());
    }

    #[test]
    fn cells_are_never_formulas() {
        assert_eq!(Cell::Text("=1+1".into()).csv(), "'=1+1");
        assert_eq!(Cell::Money(-305).csv(), "-3.05");
        assert_eq!(Cell::Money(5).csv(), "0.05");
    }
}
