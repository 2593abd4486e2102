//! A ledger's table as a spreadsheet: exactly what the list would show to this account, and the audit says who
//! took it. Cells are values, never formulas.

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use taizhang_core::catalogue::{Field, FieldKind, Ledger};
use taizhang_core::record::value::Value;

use super::PageError;
use super::ledger::{ListParams, list_query, state_label};
use super::shell::{Visitor, place_name};
use super::words::word;
use crate::driver::Replica;
use crate::engine::command::refuse;
use crate::engine::values::{HIDDEN, shown};
use crate::store::read::Listed;
use crate::viewer::{Sight, Viewer};

/// Rows of one export.
const ROWS_MAX: usize = 50_000;
/// Money as Excel shows it.
const MONEY: &str = "#,##0.00";

struct Writing<'a> {
    replica: &'a Replica,
    ledger: &'a Ledger,
    viewer: Viewer,
    english: bool,
}

impl Writing<'_> {
    fn text(&self, field: &Field, row: &Listed) -> String {
        let directives = self.replica.directives();
        let catalogue = &directives.catalogue;
        let Some(found) = &row.row else { return String::new() };
        match &field.kind {
            FieldKind::Set(vocab) => {
                let names = found.sets.get(&field.id).into_iter().flatten();
                let names: Vec<String> =
                    names.map(|one| catalogue.value_label(vocab, one, self.english)).collect();
                match self.viewer.sight(field) {
                    Sight::Full => names.join("、"),
                    _ if names.is_empty() => String::new(),
                    _ => HIDDEN.into(),
                }
            }
            _ => {
                let value = found.fields.get(&field.id);
                let show = |value| shown(field, value, self.viewer, catalogue, self.english);
                value.map(show).unwrap_or_default()
            }
        }
    }

    fn number(&self, field: &Field, row: &Listed) -> Option<f64> {
        let open = self.viewer.sight(field) == Sight::Full;
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
        let t = |key: &str| word(key, self.english).to_owned();
        let mut heads = vec![t("places.place")];
        heads.extend(fields.iter().map(|field| field.label.in_lang(self.english).to_owned()));
        heads.extend([t("list.state"), t("list.changed")]);
        for (column, head) in (0..).zip(&heads) {
            sheet.write_string_with_format(0, column, head, &bold)?;
        }
        sheet.set_freeze_panes(1, 0)?;
        let directives = self.replica.directives();
        for (at, row) in (1..).zip(rows) {
            sheet.write_string(at, 0, place_name(&directives, row.slice.place))?;
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
            sheet.write_string(at, last, state_label(self.ledger, &row.state, self.english))?;
            sheet.write_string(at, last + 1, row.changed.local_text())?;
        }
        sheet.autofit();
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
    let ledger = directives.catalogue.ledger(&id).ok_or(PageError::NotFound)?;
    let query = list_query(&replica, ledger, &params, 0, ROWS_MAX);
    let (rows, total) = replica.readers().with(|reader| reader.list(&query))?;
    if total > ROWS_MAX as u64 {
        return refuse(
            format!("超过{ROWS_MAX}行,请先筛选"),
            format!("more than {ROWS_MAX} rows; narrow the list first"),
        )
        .map_err(PageError::Command);
    }
    let viewer = visitor.viewer(&replica);
    let writing = Writing { replica: &replica, ledger, viewer, english: visitor.english };
    let made = tokio::task::block_in_place(|| writing.book(&rows));
    let bytes = made.map_err(|error| PageError::Sheet(error.to_string()))?;
    let text = format!("{} took {} rows of {id}", visitor.login(), rows.len());
    replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?)).await?;
    let name = format!("attachment; filename=\"{id}.xlsx\"");
    let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name.as_str())], bytes)
        .into_response())
}
