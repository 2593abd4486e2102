//! Boards: tables that the catalogue derives from records, for a wall or a screen (DOMAIN.md S03, S56).
//! Public ones need no account and show no personal data, which the catalogue's check makes sure of; each
//! says until when its data reach.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde::Deserialize;
use taizhang_core::catalogue::Board;
use taizhang_core::catalogue::Ledger;
use taizhang_core::catalogue::board::{BoardColumn, Shows};
use taizhang_core::id::{RecordId, SliceId, SliceKind};
use taizhang_core::record::fold::Row;
use taizhang_core::rules::Evaluator;

use super::below::coverage_line;
use super::export::XLSX;
use super::ledger::state_label;
use super::reading::{Reading, open_ledger};
use super::shell::{Frame, Visitor, place_name};
use super::{Page, PageError};
use crate::driver::{Replica, clock};
use crate::engine::around::Around;
use crate::store::StoreError;

/// Rows of a board; a wall has no room for more.
const ROWS_MAX: usize = 2_000;

/// In which form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct How {
    /// `xlsx` for a sheet.
    r#as: String,
}

/// A board as it stands now.
struct Made {
    title: String,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Rows left out.
    more: usize,
    coverage: String,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    frame: Frame,
    made: Made,
    printed: String,
}

struct Entry {
    link: String,
    label: String,
    ledger: String,
}

#[derive(Template)]
#[template(path = "boards.html")]
struct BoardsPage {
    frame: Frame,
    entries: Vec<Entry>,
}

fn listed(replica: &Replica, visitor: &Visitor, only_public: bool) -> Page {
    let (directives, english) = (replica.directives(), visitor.english);
    let folder = if only_public { "public" } else { "boards" };
    let open = directives.catalogue.ledgers_for_people().filter(|ledger| !ledger.closed);
    let entries = open.flat_map(|ledger| {
        let shown = ledger.boards.iter().filter(move |board| board.public || !only_public);
        shown.map(move |board| Entry {
            link: format!("/{folder}/{}/{}", ledger.id, board.id),
            label: board.label.in_lang(english).to_owned(),
            ledger: ledger.label.in_lang(english).to_owned(),
        })
    });
    let entries = entries.collect();
    Ok(Html(BoardsPage { frame: Frame::new(replica, visitor), entries }.render()?))
}

/// Boards that anybody may see.
///
/// # Errors
///
/// [`PageError`].
pub async fn public_index(State(replica): State<Replica>, visitor: Visitor) -> Page {
    listed(&replica, &visitor, true)
}

/// All boards.
///
/// # Errors
///
/// [`PageError`].
pub async fn index(State(replica): State<Replica>, visitor: Visitor) -> Page {
    listed(&replica, &visitor, false)
}

struct Making<'a> {
    reading: Reading<'a>,
    ledger: &'a Ledger,
    board: &'a Board,
    evaluator: Evaluator,
}

impl Making<'_> {
    fn cell(&self, column: &BoardColumn, around: &Around<'_>, id: RecordId, row: &Row) -> String {
        if let Shows::Field(field) = &column.shows {
            return match (field.as_str(), self.ledger.field(field)) {
                ("_place", _) => place_name(self.reading.directives, around.slice.place),
                ("_state", _) => {
                    let state = row.state_id().unwrap_or_default();
                    state_label(self.ledger, state, self.reading.english)
                }
                (_, Some(field)) => self.reading.text(field, row),
                (_, None) => String::new(),
            };
        }
        let (columns, subject) = ((self.board, &column.shows), (self.ledger, row, id));
        let found = self.evaluator.number_of(columns, subject, around, clock::now().date());
        match found {
            None => String::new(),
            Some((number, None)) => number.to_string(),
            Some((_, Some(0))) => "—".to_owned(),
            Some((number, Some(per))) => format!("{:.1} %", number as f64 * 100.0 / per as f64),
        }
    }

    fn rows(&self) -> Result<(Vec<Vec<String>>, usize), StoreError> {
        let (replica, directives) = (self.reading.replica, self.reading.directives);
        let (own, tree) = (replica.place(), &directives.tree);
        let mut places = tree.subtree(own);
        if self.ledger.slice == SliceKind::Directive {
            places.extend(tree.path(own).into_iter().filter(|place| *place != own));
        }
        let (mut rows, mut more) = (Vec::new(), 0);
        replica.readers().with(|reader| {
            for place in places {
                let slice = SliceId { kind: self.ledger.slice, place };
                let around = Around { store: reader.lookup(), directives, own, slice };
                for (id, row) in reader.lookup().rows_of(slice, &self.ledger.id)? {
                    let day = clock::now().date();
                    if !self.evaluator.selects(&self.board.filter, self.ledger, &row, id, day) {
                        continue;
                    }
                    if rows.len() == ROWS_MAX {
                        more += 1;
                        continue;
                    }
                    let columns = self.board.columns.iter();
                    rows.push(columns.map(|one| self.cell(one, &around, id, &row)).collect());
                }
            }
            Ok(())
        })?;
        Ok((rows, more))
    }
}

fn made(
    replica: &Replica,
    visitor: &Visitor,
    (ledger, board): (&str, &str),
    only_public: bool,
) -> Result<Made, PageError> {
    let (directives, english) = (replica.directives(), visitor.english);
    let ledger = open_ledger(&directives, ledger)?;
    let found = ledger.boards.iter().find(|one| one.id == board && (one.public || !only_public));
    let board = found.ok_or(PageError::NotFound)?;
    let reading =
        Reading { replica, directives: &directives, viewer: visitor.viewer(replica), english };
    let making = Making { reading, ledger, board, evaluator: Evaluator::default() };
    let (rows, more) = tokio::task::block_in_place(|| making.rows())?;
    let view = replica.view()?;
    let label = |column: &BoardColumn| column.label.in_lang(english).to_owned();
    Ok(Made {
        title: board.label.in_lang(english).to_owned(),
        heads: board.columns.iter().map(label).collect(),
        rows,
        more,
        coverage: coverage_line(&view.cover(replica.place()), view.at, english),
    })
}

fn answer(
    replica: &Replica,
    visitor: &Visitor,
    made: Made,
    how: &How,
) -> Result<Response, PageError> {
    if how.r#as == "xlsx" {
        let bytes = tokio::task::block_in_place(|| sheet(&made))
            .map_err(|error| PageError::Sheet(error.to_string()))?;
        let name = "attachment; filename=\"board.xlsx\"";
        let head = [(header::CONTENT_TYPE, XLSX), (header::CONTENT_DISPOSITION, name)];
        return Ok((head, bytes).into_response());
    }
    let (frame, printed) = (Frame::new(replica, visitor), clock::now().local_text());
    Ok(Html(BoardPage { frame, made, printed }.render()?).into_response())
}

/// A board that anybody may see.
///
/// # Errors
///
/// [`PageError::NotFound`] for one that is not public.
pub async fn public(
    State(replica): State<Replica>,
    Path((ledger, board)): Path<(String, String)>,
    Query(how): Query<How>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let made = made(&replica, &visitor, (&ledger, &board), true)?;
    answer(&replica, &visitor, made, &how)
}

/// A board; the audit says who took it as a sheet.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn show(
    State(replica): State<Replica>,
    Path((ledger, board)): Path<(String, String)>,
    Query(how): Query<How>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let made = made(&replica, &visitor, (&ledger, &board), false)?;
    if how.r#as == "xlsx" {
        let text = format!("{} took board {board} of {ledger}", visitor.login());
        replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?)).await?;
    }
    answer(&replica, &visitor, made, &how)
}

fn sheet(made: &Made) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let bold = Format::new().set_bold();
    sheet.write_string_with_format(0, 0, &made.title, &bold)?;
    sheet.write_string(1, 0, &made.coverage)?;
    for (column, head) in (0..).zip(&made.heads) {
        sheet.write_string_with_format(2, column, head, &bold)?;
    }
    for (at, row) in (3..).zip(&made.rows) {
        for (column, cell) in (0..).zip(row) {
            sheet.write_string(at, column, cell)?;
        }
    }
    sheet.autofit();
    book.save_to_buffer()
}
