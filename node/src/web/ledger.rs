//! Lists: search, pages, marks.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use serde::Deserialize;
use taizhang_core::catalogue::{Field, FieldKind, Ledger, Required, Text};

use super::access::Need;
use super::home::{Chapter, chapters};
use super::reading::{Reading, ledger_of, may_list};
use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use super::{Page, PageError};
use crate::driver::Replica;
use crate::engine::command::refuse;
use crate::engine::values::{self, Source};
use crate::store::StoreError;
use crate::store::figures::Counted;
use crate::store::read::{ListQuery, Listed, Order, Reader};
use crate::viewer::{Scope, Sight, Viewer};

/// Rows a page.
const ROWS: usize = 50;
/// Pages that can be asked for.
const PAGES_MAX: usize = 1_000_000;
/// Fields shown in a list beside the title.
const COLUMNS: usize = 4;

#[derive(Template)]
#[template(path = "ledgers.html")]
struct Index {
    shell: Shell,
    chapters: Vec<Chapter>,
}

/// All ledgers.
///
/// # Errors
///
/// [`PageError`].
pub async fn index(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let shell = Shell::new(&replica, &visitor)?;
    let page = Index { shell, chapters: chapters(&replica, visitor.english)? };
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
    /// Only what must be reviewed or signed again.
    recheck: String,
    /// A field, and what must stand in it.
    field: String,
    value: String,
    /// Indicators, separated by commas: only records that count in them.
    figure: String,
    /// First and last period of these.
    from: String,
    to: String,
    /// A place: only records of it and of places below.
    place: String,
    /// Column by which it is sorted, `-` before it from the other end.
    sort: String,
    page: usize,
}

impl ListParams {
    fn figures(&self) -> Vec<String> {
        self.figure.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect()
    }

    /// The filter again, for other pages of the same list.
    fn filter(&self) -> String {
        let pairs = [
            ("q", &self.q),
            ("state", &self.state),
            ("rule", &self.rule),
            ("due", &self.due),
            ("turn", &self.turn),
            ("recheck", &self.recheck),
            ("field", &self.field),
            ("value", &self.value),
            ("figure", &self.figure),
            ("from", &self.from),
            ("to", &self.to),
            ("place", &self.place),
        ];
        let set = pairs.iter().filter(|(_, text)| !text.is_empty());
        set.map(|(name, text)| format!("{name}={}", quoted(text))).collect::<Vec<_>>().join("&")
    }
}

/// A text as an address carries it.
fn quoted(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A column's name, and the list sorted by it: the other way if it is already.
fn head(params: &ListParams, ledger: &Ledger, by: &str, label: &str) -> Head {
    let mark = match params.sort.strip_prefix('-') {
        Some(sorted) if sorted == by => " ▼",
        None if params.sort == by && !by.is_empty() => " ▲",
        _ => "",
    };
    let turned = if params.sort == by { "-" } else { "" };
    Head {
        label: format!("{label}{mark}"),
        link: format!("/ledgers/{}?{}&sort={turned}{by}", ledger.id, params.filter()),
    }
}

/// The states of a ledger, and the fields in which this account may look for a text.
fn choices(
    ledger: &Ledger,
    params: &ListParams,
    viewer: Viewer,
    english: bool,
) -> (Vec<Choice>, Vec<Choice>) {
    let choice = |id: &str, label: &Text, chosen: &str| Choice {
        id: id.to_owned(),
        label: label.in_lang(english).to_owned(),
        chosen: id == chosen,
    };
    // A reference holds no text: titles are found by the search.
    let scalar = |field: &&Field| {
        use FieldKind::{Attach, Log, Ref, Set};
        !matches!(field.kind, Attach | Log(_) | Ref(_) | Set(_))
            && viewer.sight(field) == Sight::Full
    };
    let states = ledger.workflow.iter().flat_map(|workflow| &workflow.states);
    let fields = ledger.fields.iter().filter(scalar);
    (
        states.map(|one| choice(&one.id, &one.label, &params.state)).collect(),
        fields.map(|one| choice(&one.id, &one.label, &params.field)).collect(),
    )
}

/// A column's name, and the list sorted by it.
struct Head {
    label: String,
    link: String,
}

struct Choice {
    id: String,
    label: String,
    chosen: bool,
}

struct Line {
    number: usize,
    id: String,
    title: String,
    place: String,
    cells: Vec<String>,
    state: String,
    conflicts: u64,
    /// Rules that failed, of those that may be told.
    findings: usize,
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
    /// Whether the ledger takes no data yet.
    closed: bool,
    may_create: bool,
    total: u64,
    heads: Vec<Head>,
    title_head: Head,
    state_head: Head,
    changed_head: Head,
    states: Vec<Choice>,
    fields: Vec<Choice>,
    value: String,
    /// The rest of the filter, which a search keeps.
    kept: Vec<(&'static str, String)>,
    rows: Vec<Line>,
    previous: String,
    next: String,
    export: String,
}

struct Lines<'a> {
    reading: Reading<'a>,
    ledger: &'a Ledger,
    columns: &'a [&'a Field],
    scope: Scope,
}

impl Lines<'_> {
    fn line(&self, row: &Listed, failed: &[String], number: usize) -> Line {
        let Reading { replica, directives, viewer, english } = self.reading;
        let viewer = viewer.at(row.slice.place, &self.scope);
        let reading = Reading { replica, directives, viewer, english };
        let told = |rule: &str| viewer.may_tell(self.ledger, rule, &directives.catalogue);
        let cells = self
            .columns
            .iter()
            .map(|field| row.row.as_ref().map(|row| reading.text(field, row)).unwrap_or_default());
        Line {
            number,
            id: row.record.to_string(),
            title: reading.title(&row.title, self.ledger, row.record),
            place: place_name(directives, row.slice.place),
            cells: cells.collect(),
            state: state_label(self.ledger, &row.state, english),
            conflicts: row.conflicts,
            findings: failed.iter().filter(|rule| told(rule)).count(),
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

/// The field looked into, and the text as the row keeps it: an amount in fen, a choice by its id.
fn filter(replica: &Replica, ledger: &Ledger, params: &ListParams) -> (String, String) {
    let directives = replica.directives();
    let kept = ledger.field(&params.field).and_then(|field| {
        let read = values::parse(field, &params.value, Source::People, &directives.catalogue);
        read.ok().flatten()
    });
    let value = kept.map_or_else(|| params.value.clone(), |value| value.to_string());
    (params.field.clone(), value)
}

/// The records that make a figure of a place.
fn counted(replica: &Replica, params: &ListParams) -> Counted {
    let place = params.place.parse().unwrap_or_else(|_| replica.place());
    let depth = replica.directives().tree.path(place).len();
    Counted::of(&params.figures(), &params.from, &params.to, depth)
}

/// What the address bar asks of the store.
pub(super) fn list_query(
    replica: &Replica,
    ledger: &Ledger,
    params: &ListParams,
    viewer: Viewer,
    offset: usize,
    limit: usize,
) -> Result<ListQuery, PageError> {
    let directives = replica.directives();
    let figures = params.figures();
    let named = figures.iter().filter_map(|id| directives.catalogue.indicator(id));
    if named.into_iter().any(|(_, one)| !may_list(viewer, ledger, one, &directives.catalogue))
        || !viewer.may_tell(ledger, &params.rule, &directives.catalogue)
    {
        return refuse(
            "该数字涉及敏感信息,只报合计,不列名单",
            "only the sum of this figure shows here, not whom it counts",
        )
        .map_err(PageError::Command);
    }
    let turn = !params.turn.is_empty();
    let (by, reversed) = match params.sort.strip_prefix('-') {
        Some(by) => (by, true),
        None => (params.sort.as_str(), false),
    };
    let seen = |id: &str| ledger.field(id).is_some_and(|one| viewer.sight(one) == Sight::Full);
    let filters = !params.value.is_empty() && seen(&params.field);
    let sorts = match by {
        "title" => ledger.title.iter().all(|part| seen(part)),
        "state" => true,
        field => seen(field),
    };
    let mut query = ListQuery {
        ledger: ledger.id.clone(),
        search: params.q.clone(),
        state: params.state.clone(),
        rule: params.rule.clone(),
        to_recheck: !params.recheck.is_empty(),
        due: super::worklist::due(replica, ledger, &params.due)?.unwrap_or_default(),
        places: match params.place.parse() {
            Ok(place) if place == replica.place() && !turn => None,
            Ok(place) => Some(replica.directives().tree.subtree(place)),
            Err(_) => turn.then(|| super::worklist::places(replica, ledger, &params.state)),
        },
        field: if filters { filter(replica, ledger, params) } else { Default::default() },
        counted: counted(replica, params),
        order: Order { by: if sorts { by.to_owned() } else { String::new() }, reversed },
        offset,
        limit,
        ..ListQuery::default()
    };
    // Words were indexed for the office's level: an inspector finds people by them in a round only.
    if let Some(seen) = super::inspection::searched(replica, viewer, &params.q)? {
        match &mut query.places {
            Some(places) => places.retain(|place| seen.contains(place)),
            none => *none = Some(seen),
        }
    }
    Ok(query)
}

/// The fields shown beside the title.
fn columns_of(ledger: &Ledger) -> Vec<&Field> {
    ledger
        .fields
        .iter()
        .filter(|field| !ledger.title.contains(&field.id))
        .filter(|field| field.required == Required::Always)
        .filter(|field| !matches!(field.kind, FieldKind::Attach | FieldKind::Log(_)))
        .take(COLUMNS)
        .collect()
}

/// Rows, the rules that failed for each, and how many rows there are in all.
type Found = (Vec<Listed>, Vec<Vec<String>>, u64);

/// What a query finds.
fn listed(reader: &Reader<'_>, query: &ListQuery) -> Result<Found, StoreError> {
    let (rows, total) = reader.list(query)?;
    let failed = rows.iter().map(|row| reader.failed(row.slice, row.record));
    let failed = failed.collect::<Result<Vec<_>, _>>()?;
    Ok((rows, failed, total))
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
    let ledger = ledger_of(&directives, &id)?;
    let level = replica.identity().checked.name.level();
    let params = ListParams { page: params.page.min(PAGES_MAX), ..params };
    let viewer = visitor.viewer(&replica);
    let scope = super::inspection::scope_of(&replica, viewer)?;
    super::inspection::note_table(&replica, &visitor, &id, &scope).await?;
    let query = list_query(&replica, ledger, &params, viewer, params.page * ROWS, ROWS)?;
    let read = || replica.readers().with(|reader| listed(reader, &query));
    let (rows, failed, total) = tokio::task::block_in_place(read)?;
    let columns = columns_of(ledger);
    let reading = Reading { replica: &replica, directives: &directives, viewer, english };
    let view = Lines { reading, ledger, columns: &columns, scope };
    let first = params.page * ROWS + 1;
    let lines = rows.iter().zip(&failed).zip(first..);
    let lines = lines.map(|((row, failed), number)| view.line(row, failed, number)).collect();
    let (filter, sort) = (params.filter(), quoted(&params.sort));
    let link = |page: usize| format!("/ledgers/{id}?{filter}&sort={sort}&page={page}");
    let head = |by: &str, label: &str| head(&params, ledger, by, label);
    let (states, fields) = choices(ledger, &params, viewer, english);
    let more = total > ((params.page + 1) * ROWS) as u64;
    let page = List {
        shell: Shell::new(&replica, &visitor)?,
        label: ledger.label.in_lang(english).to_owned(),
        closed: ledger.closed,
        may_create: visitor.may_in(Need::Write, &replica, &id)
            && !ledger.closed
            && ledger.may_create(level)
            && ledger.scope.contains(&level),
        heads: columns.iter().map(|one| head(&one.id, one.label.in_lang(english))).collect(),
        title_head: head("title", word("list.title", english)),
        state_head: head("state", word("list.state", english)),
        changed_head: head("", word("list.changed", english)),
        states,
        fields,
        value: params.value.clone(),
        kept: vec![
            ("rule", params.rule.clone()),
            ("due", params.due.clone()),
            ("turn", params.turn.clone()),
            ("recheck", params.recheck.clone()),
            ("figure", params.figure.clone()),
            ("from", params.from.clone()),
            ("to", params.to.clone()),
            ("place", params.place.clone()),
            ("sort", params.sort.clone()),
        ],
        previous: if params.page > 0 { link(params.page - 1) } else { String::new() },
        next: if more { link(params.page + 1) } else { String::new() },
        export: format!("/ledgers/{id}/export?{filter}&sort={sort}"),
        q: params.q.clone(),
        rule: params.rule.clone(),
        id: id.clone(),
        total,
        rows: lines,
    };
    Ok(Html(page.render()?))
}
