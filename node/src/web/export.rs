//! A ledger's table as a spreadsheet: exactly what the list would show to this account, and the audit says who
//! took it. Cells are values, never formulas.

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use taizhang_core::catalogue::{Field, FieldKind, Ledger, LogColumn};
use taizhang_core::record::value::Value;
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

use super::PageError;
use super::ledger::{ListParams, list_query, state_label};
use super::reading::{Reading, open_ledger};
use super::shell::{Visitor, place_name};
use super::words::word;
use crate::driver::Replica;
use crate::engine::command::refuse;
use crate::store::StoreError;
use crate::store::read::{ListQuery, Listed, Reader};
use crate::viewer::Sight;

/// Rows of one export.
const ROWS_MAX: usize = 50_000;
/// Rows of it that are read at a time.
const ROWS_READ: usize = 1000;
/// Whose table is made.
static TURN: Semaphore = Semaphore::const_new(1);
/// Characters of a sheet's name, by Excel.
const SHEET_NAME_CHARS: usize = 31;
/// Money as Excel shows it.
const MONEY: &str = "#,##0.00";

/// The type of a spreadsheet.
pub(super) const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

struct Writing<'a> {
    reading: Reading<'a>,
    ledger: &'a Ledger,
}

impl Writing<'_> {
    fn text(&self, field: &Field, row: &Listed) -> String {
        row.row.as_ref().map(|row| self.reading.text(field, row)).unwrap_or_default()
    }

    fn number(&self, field: &Field, row: &Listed) -> Option<f64> {
        let open = self.reading.viewer.sight(field) == Sight::Full;
        let value = row.row.as_ref()?.fields.get(&field.id).filter(|_| open)?;
        match (&field.kind, value) {
            // Exact up to 90 billion yuan.
            (FieldKind::Money, Value::Int(fen)) => Some(*fen as f64 / 100.0),
            (FieldKind::Int | FieldKind::Year, Value::Int(number)) => Some(*number as f64),
            _ => None,
        }
    }

    fn sheets(&self) -> Result<Sheets<'_>, XlsxError> {
        let english = self.reading.english;
        let is_log = |field: &&Field| matches!(field.kind, FieldKind::Log(_));
        let fields: Vec<&Field> = self.ledger.fields.iter().filter(|one| !is_log(one)).collect();
        let (mut table, bold) = (Worksheet::new(), Format::new().set_bold());
        let t = |key: &str| word(key, english).to_owned();
        let mut heads = vec![t("places.place")];
        heads.extend(fields.iter().map(|field| field.label.in_lang(english).to_owned()));
        heads.extend([t("list.state"), t("list.changed")]);
        for (column, head) in (0..).zip(&heads) {
            table.write_string_with_format(0, column, head, &bold)?;
        }
        table.set_freeze_panes(1, 0)?;
        let logs = self.ledger.fields.iter().filter_map(|field| match &field.kind {
            FieldKind::Log(columns) => Some(LogSheet::new(field, columns, english)),
            _ => None,
        });
        Ok(Sheets {
            fields,
            table,
            rows: 0,
            logs: logs.collect::<Result<_, _>>()?,
            money: Format::new().set_num_format(MONEY),
        })
    }

    fn row(&self, sheets: &mut Sheets<'_>, row: &Listed) -> Result<(), XlsxError> {
        sheets.rows += 1;
        let (at, sheet) = (sheets.rows, &mut sheets.table);
        sheet.write_string(at, 0, place_name(self.reading.directives, row.slice.place))?;
        for (column, field) in (1..).zip(&sheets.fields) {
            match (self.number(field, row), &field.kind) {
                (Some(number), FieldKind::Money) => {
                    sheet.write_number_with_format(at, column, number, &sheets.money)?;
                }
                (Some(number), _) => drop(sheet.write_number(at, column, number)?),
                (None, _) => drop(sheet.write_string(at, column, self.text(field, row))?),
            }
        }
        let last = u16::try_from(sheets.fields.len()).unwrap_or(u16::MAX - 2) + 1;
        let state = state_label(self.ledger, &row.state, self.reading.english);
        sheet.write_string(at, last, state)?;
        sheet.write_string(at, last + 1, row.changed.local_text())?;
        sheets.logs.iter_mut().try_for_each(|log| self.lines(log, row))
    }

    /// The lines of a log, each with the title of its record.
    fn lines(&self, log: &mut LogSheet<'_>, row: &Listed) -> Result<(), XlsxError> {
        let title = self.reading.viewer.title(&row.title, self.ledger);
        let Some(row) = &row.row else { return Ok(()) };
        for line in self.reading.lines(log.field, log.columns, row) {
            log.rows += 1;
            log.sheet.write_string(log.rows, 0, &title)?;
            for (column, cell) in (1..).zip(&line) {
                log.sheet.write_string(log.rows, column, cell)?;
            }
        }
        Ok(())
    }

    /// The rows of a query, some at a time: rows as they are read take far more room than cells.
    fn book(
        &self,
        reader: &Reader<'_>,
        mut query: ListQuery,
        total: u64,
    ) -> Result<Result<Vec<u8>, XlsxError>, StoreError> {
        let mut sheets = match self.sheets() {
            Ok(sheets) => sheets,
            Err(error) => return Ok(Err(error)),
        };
        query.limit = ROWS_READ;
        while u64::from(sheets.rows) < total {
            query.offset = sheets.rows as usize;
            let (rows, _) = reader.list(&query)?;
            if rows.is_empty() {
                break;
            }
            if let Err(error) = rows.iter().try_for_each(|row| self.row(&mut sheets, row)) {
                return Ok(Err(error));
            }
        }
        Ok(sheets.save())
    }
}

/// A log on a sheet of its own.
struct LogSheet<'a> {
    field: &'a Field,
    columns: &'a [LogColumn],
    sheet: Worksheet,
    rows: u32,
}

impl<'a> LogSheet<'a> {
    fn new(field: &'a Field, columns: &'a [LogColumn], english: bool) -> Result<Self, XlsxError> {
        let name: String = field.label.in_lang(english).chars().take(SHEET_NAME_CHARS).collect();
        let (mut sheet, bold) = (Worksheet::new(), Format::new().set_bold());
        sheet.set_name(name.replace(['[', ']', ':', '*', '?', '/', '\\'], " "))?;
        sheet.write_string_with_format(0, 0, word("list.title", english), &bold)?;
        for (at, column) in (1..).zip(columns) {
            sheet.write_string_with_format(0, at, column.label.in_lang(english), &bold)?;
        }
        Ok(Self { field, columns, sheet, rows: 0 })
    }
}

/// The sheets of a table while they are written.
struct Sheets<'a> {
    fields: Vec<&'a Field>,
    table: Worksheet,
    rows: u32,
    logs: Vec<LogSheet<'a>>,
    money: Format,
}

impl Sheets<'_> {
    fn save(self) -> Result<Vec<u8>, XlsxError> {
        let mut book = Workbook::new();
        for mut sheet in
            std::iter::once(self.table).chain(self.logs.into_iter().map(|log| log.sheet))
        {
            sheet.autofit();
            book.push_worksheet(sheet);
        }
        book.save_to_buffer()
    }
}

/// The table as the list would show it, all pages of it.
///
/// # Errors
///
/// [`PageError::NotFound`] for an unknown ledger; a refusal if it is too long.
pub async fn table(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(params): Query<ListParams>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &id)?;
    let (viewer, english) = (visitor.viewer(&replica), visitor.english);
    let query = list_query(&replica, ledger, &params, viewer, 0, 0)?;
    // One after the other: what a table takes of memory counts once.
    let turn = TURN.acquire().await.map_err(|error| PageError::Sheet(error.to_string()))?;
    let (_, total) = block_in_place(|| replica.readers().with(|reader| reader.list(&query)))?;
    if total > ROWS_MAX as u64 {
        return refuse(
            format!("超过{ROWS_MAX}行,请先筛选"),
            format!("more than {ROWS_MAX} rows; narrow the list first"),
        )
        .map_err(PageError::Command);
    }
    let reading = Reading { replica: &replica, directives: &directives, viewer, english };
    let writing = Writing { reading, ledger };
    let readers = replica.readers();
    let made = block_in_place(|| readers.with(|reader| writing.book(reader, query, total)))?;
    let bytes = made.map_err(|error| PageError::Sheet(error.to_string()))?;
    drop(turn);
    let text = format!("{} took {total} rows of {id}", visitor.login());
    replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?)).await?;
    let name = format!("attachment; filename=\"{id}.xlsx\"");
    Ok(([(header::CONTENT_TYPE, XLSX), (header::CONTENT_DISPOSITION, name.as_str())], bytes)
        .into_response())
}
