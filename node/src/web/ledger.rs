//! Lists: search, pages, marks.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use serde::Deserialize;
use taizhang_core::catalogue::{Field, FieldKind, Ledger, Required};
use taizhang_core::directives::Directives;

use super::access::Need;
use super::home::{LedgerLine, ledger_lines};
use super::shell::{Shell, Visitor, place_name};
use super::{Page, PageError};
use crate::driver::Replica;
use crate::engine::values::shown;
use crate::store::read::{ListQuery, Listed};
use crate::viewer::Viewer;

/// Rows a page.
const ROWS: usize = 50;
/// Fields shown in a list beside the title.
const COLUMNS: usize = 4;

#[derive(Template)]
#[template(path = "ledgers.html")]
struct Index {
    shell: Shell,
    ledgers: Vec<LedgerLine>,
}

/// All ledgers.
///
/// # Errors
///
/// [`PageError`].
pub async fn index(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let shell = Shell::new(&replica, &visitor)?;
    let page = Index { shell, ledgers: ledger_lines(&replica, visitor.english)? };
    Ok(Html(page.render()?))
}

/// What the address bar says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ListParams {
    q: String,
    state: String,
    rule: String,
    /// A span of due dates, as [`super::worklist::due`] knows them.
    due: String,
    /// Only what waits for this office.
    turn: String,
    page: usize,
}

struct Line {
    number: usize,
    id: String,
    title: String,
    place: String,
    cells: Vec<String>,
    state: String,
    conflicts: u64,
    findings: u64,
    is_void: bool,
    changed: String,
}

#[derive(Template)]
#[template(path = "ledger.html")]
struct List {
    shell: Shell,
    id: String,
    label: String,
    q: String,
    rule: String,
    may_create: bool,
    total: u64,
    heads: Vec<String>,
    rows: Vec<Line>,
    previous: String,
    next: String,
    export: String,
}

struct Lines<'a> {
    directives: &'a Directives,
    ledger: &'a Ledger,
    columns: &'a [&'a Field],
    viewer: Viewer,
    english: bool,
}

impl Lines<'_> {
    fn line(&self, row: &Listed, number: usize) -> Line {
        let cells = self.columns.iter().map(|field| {
            let value = row.row.as_ref().and_then(|row| row.fields.get(&field.id));
            let catalogue = &self.directives.catalogue;
            value.map(|value| shown(field, value, self.viewer, catalogue, self.english))
        });
        Line {
            number,
            id: row.record.to_string(),
            title: super::record::title(&row.title, self.ledger, self.viewer),
            place: place_name(self.directives, row.slice.place),
            cells: cells.map(Option::unwrap_or_default).collect(),
            state: state_label(self.ledger, &row.state, self.english),
            conflicts: row.conflicts,
            findings: row.findings,
            is_void: row.is_void,
            changed: row.changed.local_text(),
        }
    }
}

/// A state by its name; empty if the ledger has no such state.
pub(super) fn state_label(ledger: &Ledger, id: &str, english: bool) -> String {
    let states = ledger.workflow.iter().flat_map(|workflow| &workflow.states);
    let found = states.into_iter().find(|state| state.id == id);
    found.map(|state| state.label.in_lang(english).to_owned()).unwrap_or_default()
}

/// What the address bar asks of the store.
pub(super) fn list_query(
    replica: &Replica,
    ledger: &Ledger,
    params: &ListParams,
    offset: usize,
    limit: usize,
) -> ListQuery {
    let turn = !params.turn.is_empty();
    ListQuery {
        ledger: ledger.id.clone(),
        search: params.q.clone(),
        state: params.state.clone(),
        rule: params.rule.clone(),
        due: super::worklist::due(ledger, &params.due).unwrap_or_default(),
        places: turn.then(|| super::worklist::places(replica, ledger, &params.state)),
        offset,
        limit,
        ..ListQuery::default()
    }
}

/// One ledger's records.
///
/// # Errors
///
/// [`PageError::NotFound`] for an unknown ledger.
pub async fn show(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(params): Query<ListParams>,
    visitor: Visitor,
) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let ledger = directives.catalogue.ledger(&id).ok_or(PageError::NotFound)?;
    let level = replica.identity().checked.name.level();
    let viewer = visitor.viewer(&replica);
    let query = list_query(&replica, ledger, &params, params.page * ROWS, ROWS);
    let (rows, total) = replica.readers().with(|reader| reader.list(&query))?;
    let columns: Vec<&Field> = ledger
        .fields
        .iter()
        .filter(|field| !ledger.title.contains(&field.id))
        .filter(|field| field.required == Required::Always)
        .filter(|field| !matches!(field.kind, FieldKind::Ref(_)))
        .take(COLUMNS)
        .collect();
    let view = Lines { directives: &directives, ledger, columns: &columns, viewer, english };
    let first = params.page * ROWS + 1;
    let lines = rows.iter().zip(first..).map(|(row, number)| view.line(row, number)).collect();
    let words: String = params.q.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let ListParams { state, rule, due, turn, .. } = &params;
    let filter = format!("q={words}&state={state}&rule={rule}&due={due}&turn={turn}");
    let link = |page: usize| format!("/ledgers/{id}?{filter}&page={page}");
    let more = total > ((params.page + 1) * ROWS) as u64;
    let page = List {
        shell: Shell::new(&replica, &visitor)?,
        label: ledger.label.in_lang(english).to_owned(),
        may_create: visitor.may(Need::Write, &replica)
            && ledger.may_create(level)
            && ledger.scope.contains(&level),
        heads: columns.iter().map(|field| field.label.in_lang(english).to_owned()).collect(),
        previous: if params.page > 0 { link(params.page - 1) } else { String::new() },
        next: if more { link(params.page + 1) } else { String::new() },
        export: format!("/ledgers/{id}/export?{filter}"),
        q: params.q.clone(),
        rule: params.rule.clone(),
        id: id.clone(),
        total,
        rows: lines,
    };
    Ok(Html(page.render()?))
}
