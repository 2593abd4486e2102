//! A ledger's table as a spreadsheet: exactly what the list would show to this account, and the audit says who
//! took it. Cells are values, never formulas.

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use taizhang_core::catalogue::{Field, FieldKind, Ledger, LogColumn};
use taizhang_core::record::value::Value;

use super::PageError;
use super::ledger::{ListParams, list_query, state_label};
use super::reading::{Reading, open_ledger};
use super::shell::{Visitor, place_name};
use super::words::word;
use crate::driver::Replica;
use crate::engine::command::refuse;
use crate::store::read::Listed;
use crate::viewer::Sight;

/// Rows of one export.
const ROWS_MAX: usize = 50_000;
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

    fn book(&self, rows: &[Listed]) -> Result<Vec<u8>, XlsxError> {
        let mut book = Workbook::new();
        let sheet = book.add_worksheet();
        let (bold, money) = (Format::new().set_bold(), Format::new().set_num_format(MONEY));
        let fields: Vec<&Field> = self
            .ledger
            .fields
            .iter()
            .filter(|field| !matches!(field.kind, FieldKind::Log(_)))
            .collect();
        let english = self.reading.english;
        let t = |key: &str| word(key, english).to_owned();
        let mut heads = vec![t("places.place")];
        heads.extend(fields.iter().map(|field| field.label.in_lang(english).to_owned()));
        heads.extend([t("list.state"), t("list.changed")]);
        for (column, head) in (0..).zip(&heads) {
            sheet.write_string_with_format(0, column, head, &bold)?;
        }
        sheet.set_freeze_panes(1, 0)?;
        for (at, row) in (1..).zip(rows) {
            sheet.write_string(at, 0, place_name(self.reading.directives, row.slice.place))?;
            for (column, field) in (1..).zip(&fields) {
                match (self.number(field, row), &field.kind) {
                    (Some(number), FieldKind::Money) => {
                        sheet.write_number_with_format(at, column, number, &money)?;
                    }
                    (Some(number), _) => drop(sheet.write_number(at, column, number)?),
                    (None, _) => drop(sheet.write_string(at, column, self.text(field, row))?),
                }
            }
            let last = u16::try_from(fields.len()).unwrap_or(u16::MAX - 2) + 1;
            sheet.write_string(at, last, state_label(self.ledger, &row.state, english))?;
            sheet.write_string(at, last + 1, row.changed.local_text())?;
        }
        sheet.autofit();
        for field in &self.ledger.fields {
            if let FieldKind::Log(columns) = &field.kind {
                self.lines(&mut book, field, columns, rows)?;
            }
        }
        book.save_to_buffer()
    }

    /// The lines of a log on a sheet of their own, each with the title of its record.
    fn lines(
        &self,
        book: &mut Workbook,
        field: &Field,
        columns: &[LogColumn],
        rows: &[Listed],
    ) -> Result<(), XlsxError> {
        let english = self.reading.english;
        let name: String = field.label.in_lang(english).chars().take(SHEET_NAME_CHARS).collect();
        let sheet = book.add_worksheet();
        sheet.set_name(name.replace(['[', ']', ':', '*', '?', '/', '\\'], " "))?;
        let bold = Format::new().set_bold();
        sheet.write_string_with_format(0, 0, word("list.title", english), &bold)?;
        for (at, column) in (1..).zip(columns) {
            sheet.write_string_with_format(0, at, column.label.in_lang(english), &bold)?;
        }
        let mut at = 0;
        for row in rows {
            let title = self.reading.viewer.title(&row.title, self.ledger);
            let Some(row) = &row.row else { continue };
            for line in self.reading.lines(field, columns, row) {
                at += 1;
                sheet.write_string(at, 0, &title)?;
                for (column, cell) in (1..).zip(&line) {
                    sheet.write_string(at, column, cell)?;
                }
            }
        }
        sheet.autofit();
        Ok(())
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
    let query = list_query(&replica, ledger, &params, viewer, 0, ROWS_MAX)?;
    let (rows, total) = replica.readers().with(|reader| reader.list(&query))?;
    if total > ROWS_MAX as u64 {
        return refuse(
            format!("超过{ROWS_MAX}行,请先筛选"),
            format!("more than {ROWS_MAX} rows; narrow the list first"),
        )
        .map_err(PageError::Command);
    }
    let reading = Reading { replica: &replica, directives: &directives, viewer, english };
    let writing = Writing { reading, ledger };
    let made = tokio::task::block_in_place(|| writing.book(&rows));
    let bytes = made.map_err(|error| PageError::Sheet(error.to_string()))?;
    let text = format!("{} took {} rows of {id}", visitor.login(), rows.len());
    replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?)).await?;
    let name = format!("attachment; filename=\"{id}.xlsx\"");
    Ok(([(header::CONTENT_TYPE, XLSX), (header::CONTENT_DISPOSITION, name.as_str())], bytes)
        .into_response())
}
