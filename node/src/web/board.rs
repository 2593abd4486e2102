//! Boards: tables that the catalogue derives from records, for a wall or a screen (DOMAIN.md S03, S56).
//! Public ones need no account and show no personal data, which the catalogue's check makes sure of; each
//! says until when its data reach. Whoever asks for a public one again has nothing made anew until something
//! changed, so that strangers cannot keep an office busy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde::Deserialize;
use taizhang_core::catalogue::board::{BoardColumn, Shows};
use taizhang_core::catalogue::{Board, Field, Ledger};
use taizhang_core::id::{PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::record::fold::Row;
use taizhang_core::rules::Evaluator;
use taizhang_core::time::Date;

use super::below::coverage_line;
use super::export::XLSX;
use super::ledger::state_label;
use super::reading::{Reading, open_ledger};
use super::shell::{Frame, Visitor, place_name};
use super::{Page, PageError};
use crate::driver::{Replica, clock};
use crate::engine::around::Around;
use crate::engine::values::HIDDEN;
use crate::small::{SMALL, Small};
use crate::store::StoreError;
use crate::viewer::Sight;

/// Rows of a board; a wall has no room for more.
const ROWS_MAX: usize = 2_000;
/// A public board is made again after that long also if nothing changed.
const OLD: Duration = Duration::from_secs(60);
/// One that was slow to make is kept for so many times the time that it took, whatever changes: a tenth of
/// one thread goes into boards at most.
const REST: u32 = 10;

/// In which form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct How {
    /// `xlsx` for a sheet.
    r#as: String,
}

/// A board as it stands now.
#[derive(Default)]
struct Made {
    title: String,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Whether there are rows that it does not show.
    is_cut: bool,
    /// Whether a number is too small to show.
    has_small: bool,
    coverage: String,
    /// The same as a workbook, once somebody has asked for it.
    book: OnceLock<Vec<u8>>,
}

/// Which public board: ledger, board, and whether it is in English.
type Key = (String, String, bool);

/// A public board made before.
struct Kept {
    made: Arc<Made>,
    at: Instant,
    took: Duration,
    /// What [`Replica::changes`] had counted when it was begun.
    changes: u64,
}

impl Kept {
    fn is_current(&self, age: Duration, changes: u64) -> bool {
        age < self.took * REST || (age < OLD && self.changes == changes)
    }
}

/// The public boards made last, one at a time.
#[derive(Default)]
pub struct Boards {
    kept: Mutex<BTreeMap<Key, Kept>>,
    maker: tokio::sync::Mutex<()>,
}

impl Boards {
    fn known(&self, key: &Key, changes: u64) -> Option<Arc<Made>> {
        let kept = self.kept.lock().ok()?;
        let found = kept.get(key).filter(|one| one.is_current(one.at.elapsed(), changes));
        found.map(|one| Arc::clone(&one.made))
    }

    /// A public board: as it was made last, or made now.
    async fn public(&self, replica: &Replica, key: Key) -> Result<Arc<Made>, PageError> {
        let counted = replica.changes();
        let changes = *counted.borrow();
        if let Some(found) = self.known(&key, changes) {
            return Ok(found);
        }
        let _one = self.maker.lock().await;
        // Another request may have made it meanwhile.
        let changes = *counted.borrow();
        if let Some(found) = self.known(&key, changes) {
            return Ok(found);
        }
        let (ledger, board, english) = &key;
        // What nobody in particular sees: the same for all who ask.
        let nobody = Visitor::stranger(*english);
        let at = Instant::now();
        let made = Arc::new(made(replica, &nobody, (ledger, board), true)?);
        let kept = Kept { made: Arc::clone(&made), at, took: at.elapsed(), changes };
        if let Ok(mut all) = self.kept.lock() {
            all.insert(key, kept);
        }
        Ok(made)
    }
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    frame: Frame,
    made: Arc<Made>,
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
    small: Small<'a>,
    as_of: Date,
    /// Of each column, whether it tells what whoever looks does not see.
    hidden: Vec<bool>,
}

impl Making<'_> {
    fn field(&self, field: &str, place: PlaceId, row: &Row) -> String {
        match (field, self.ledger.field(field)) {
            ("_place", _) => place_name(self.reading.directives, place),
            ("_state", _) => {
                let state = row.state_id().unwrap_or_default();
                state_label(self.ledger, state, self.reading.english)
            }
            (_, Some(field)) => self.reading.text(field, row),
            (_, None) => String::new(),
        }
    }

    fn number(&self, column: &BoardColumn, found: Option<(i64, Option<i64>)>) -> String {
        let few = |people: i64| column.is_small && self.small.is_too_few(people);
        match found {
            None => String::new(),
            Some((number, per)) if few(number) || per.is_some_and(few) => SMALL.to_owned(),
            Some((number, None)) => number.to_string(),
            Some((_, Some(0))) => "—".to_owned(),
            Some((number, Some(per))) => format!("{:.1} %", number as f64 * 100.0 / per as f64),
        }
    }

    fn cells(&self, around: &Around<'_>, id: RecordId, row: &Row) -> Vec<String> {
        let subject = (self.ledger, row, id);
        let numbers = self.evaluator.numbers_of(self.board, subject, around, self.as_of);
        let columns = self.board.columns.iter().zip(numbers).zip(&self.hidden);
        let cells = columns.map(|((column, number), hidden)| match &column.shows {
            Shows::Field(field) => self.field(field, around.slice.place, row),
            _ if *hidden => HIDDEN.to_owned(),
            _ => self.number(column, number),
        });
        cells.collect()
    }

    /// The rows, and whether there are more.
    fn rows(&self) -> Result<(Vec<Vec<String>>, bool), StoreError> {
        let (replica, directives) = (self.reading.replica, self.reading.directives);
        let (own, tree) = (replica.place(), &directives.tree);
        let mut places = tree.subtree(own);
        if self.ledger.slice == SliceKind::Directive {
            places.extend(tree.path(own).into_iter().filter(|place| *place != own));
        }
        replica.readers().with(|reader| {
            let with = reader.lookup().places_with(&self.ledger.id)?;
            let with: BTreeSet<PlaceId> = with.into_iter().map(|(place, _)| place).collect();
            let mut rows = Vec::new();
            for place in places.iter().copied().filter(|place| with.contains(place)) {
                let slice = SliceId { kind: self.ledger.slice, place };
                let around = Around { store: reader.lookup(), directives, own, slice };
                for (id, row) in reader.lookup().rows_of(slice, &self.ledger.id)? {
                    let filter = &self.board.filter;
                    if !self.evaluator.selects(filter, self.ledger, &row, id, self.as_of) {
                        continue;
                    }
                    if rows.len() == ROWS_MAX {
                        return Ok((rows, true));
                    }
                    rows.push(self.cells(&around, id, &row));
                }
            }
            Ok((rows, false))
        })
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
    let (viewer, as_of) = (visitor.viewer(replica), clock::now().date());
    let is_hidden = |field: &Field| field.privacy >= 2 && viewer.sight(field) != Sight::Full;
    let tells = |column| board.tells(column, ledger, &directives.catalogue, &is_hidden);
    let small = if only_public { Small::for_strangers } else { Small::at };
    let making = Making {
        reading: Reading { replica, directives: &directives, viewer, english },
        ledger,
        board,
        evaluator: Evaluator::default(),
        small: small(&directives, replica.place(), as_of),
        as_of,
        hidden: board.columns.iter().map(tells).collect(),
    };
    let (rows, is_cut) = tokio::task::block_in_place(|| making.rows())?;
    let is_small = |(column, cell): (&BoardColumn, &String)| column.is_small && cell == SMALL;
    let has_small = rows.iter().any(|row| board.columns.iter().zip(row).any(is_small));
    let view = replica.view()?;
    let label = |column: &BoardColumn| column.label.in_lang(english).to_owned();
    Ok(Made {
        title: board.label.in_lang(english).to_owned(),
        heads: board.columns.iter().map(label).collect(),
        rows,
        is_cut,
        has_small,
        coverage: coverage_line(&view.cover(replica.place()), view.at, english),
        book: OnceLock::new(),
    })
}

fn answer(
    replica: &Replica,
    visitor: &Visitor,
    made: Arc<Made>,
    how: &How,
) -> Result<Response, PageError> {
    if how.r#as == "xlsx" {
        let bytes = tokio::task::block_in_place(|| book(&made))
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
    Extension(boards): Extension<Arc<Boards>>,
    Path((ledger, board)): Path<(String, String)>,
    Query(how): Query<How>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let made = boards.public(&replica, (ledger, board, visitor.english)).await?;
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
    let made = Arc::new(made(&replica, &visitor, (&ledger, &board), false)?);
    if how.r#as == "xlsx" {
        let text = format!("{} took board {board} of {ledger}", visitor.login());
        replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?)).await?;
    }
    answer(&replica, &visitor, made, &how)
}

fn book(made: &Made) -> Result<Vec<u8>, XlsxError> {
    if let Some(bytes) = made.book.get() {
        return Ok(bytes.clone());
    }
    let bytes = sheet(made)?;
    Ok(made.book.get_or_init(|| bytes).clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_board_is_made_again_when_something_changed_but_not_all_the_time() {
        let seconds = Duration::from_secs;
        let kept = |took| Kept { made: Arc::default(), at: Instant::now(), took, changes: 7 };
        let quick = kept(Duration::ZERO);
        assert!(quick.is_current(seconds(59), 7));
        assert!(!quick.is_current(seconds(60), 7), "its day and its words grow old");
        assert!(!quick.is_current(seconds(1), 8));
        let slow = kept(seconds(2));
        assert!(slow.is_current(seconds(19), 8), "a slow one rests");
        assert!(!slow.is_current(seconds(20), 8));
    }
}
