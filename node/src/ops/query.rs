//! What other systems read, the same over HTTP and gRPC: places, figures, records, policy, as far as a
//! token's scope goes, and with what its duty may not see masked as on the pages. Nothing is revealed here.
//!
//! Values are canonical: money in 分, ISO dates, ids of choices and records. A masked value is never among
//! the values: it stands apart, as the pages show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taizhang_core::catalogue::{Field, FieldKind, Ledger};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::place::holds;
use taizhang_core::record::attachment::Attachment;
use taizhang_core::record::fold::{LogLine, Row, well_typed};
use taizhang_core::time::Date;
use tokio::task::block_in_place;

use super::{OpsError, find_place};
use crate::driver::{Replica, clock};
use crate::engine::values::{HIDDEN, shown};
use crate::health::Cover;
use crate::reach;
use crate::small::{Close, Small};
use crate::store::StoreError;
use crate::store::read::Detail;
use crate::store::since::{Since, Taken};
use crate::token::{FIGURES, Token};
use crate::viewer::{Sight, Viewer};

/// Records of one answer, if none are asked for.
const ROWS: usize = 100;
/// Records of one answer at most.
pub const ROWS_MAX: usize = 1000;
/// The ledger of reports that were filed.
pub const REPORTS: &str = "report_filing";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A cursor of an older making of the derived data.
    #[error("游标已失效,请从头读取 / the cursor is of an older state; read from the start")]
    Cursor,
    /// Something malformed.
    #[error("参数{0}不正确 / parameter {0} is malformed")]
    Malformed(&'static str),
    /// Nothing there, or nothing that the token may know of.
    #[error("没有找到 / not found")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// Outside of the token's scope.
    #[error("令牌的范围不包括此项 / outside of the token's scope")]
    Scope,
    /// More rows than one answer has.
    #[error("每页最多{}条 / a page has at most {} records", ROWS_MAX, ROWS_MAX)]
    TooMany,
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Ops(OpsError::Store(error))
    }
}

/// A place.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceRow {
    /// Id.
    pub id: PlaceId,
    /// Statistical code.
    pub code: String,
    /// Name.
    pub name: String,
    /// Level.
    pub level: Level,
    /// The place above; none for the city.
    pub parent: Option<PlaceId>,
}

/// Figures of one place.
#[derive(Clone, Debug, Serialize)]
pub struct FigureRow {
    /// Place.
    pub place: PlaceId,
    /// Its name.
    pub name: String,
    /// Sums by indicator; none if no data ever came, which is not zero.
    pub values: BTreeMap<String, i64>,
    /// Indicators whose sum is of so few people that it does not show.
    pub hidden: Vec<String>,
    /// How complete and fresh they are.
    pub coverage: Cover,
}

/// Figures of a place and its children.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// When they were read.
    pub as_of_ms: i64,
    /// First month or year; empty for what stands and all that ever happened.
    pub from: String,
    /// Last month or year.
    pub to: String,
    /// The place itself, then its children.
    pub rows: Vec<FigureRow>,
}

/// Takes small numbers of people out: the first row is the sum of the others.
pub(crate) fn hide_small(small: &Small<'_>, rows: &mut [FigureRow]) {
    let ids: BTreeSet<String> = rows.iter().flat_map(|row| row.values.keys().cloned()).collect();
    for id in ids {
        let of = std::slice::from_ref(&id);
        let value = |row: &FigureRow| (row.values.get(&id).copied().unwrap_or(0), None);
        let cells: Vec<_> = rows.iter().skip(1).chain(rows.first()).map(value).collect();
        let hidden = small.column(&Close { of, per: &[] }, &cells);
        let sum = hidden.last().copied().unwrap_or(false);
        for (row, hidden) in rows.iter_mut().zip(std::iter::once(sum).chain(hidden)) {
            if hidden && row.values.remove(&id).is_some() {
                row.hidden.push(id.clone());
            }
        }
    }
}

/// One record.
#[derive(Clone, Debug, Serialize)]
pub struct RecordRow {
    /// Its id.
    pub record: RecordId,
    /// The place of its slice.
    pub place: PlaceId,
    /// The kind of its slice.
    pub slice: SliceKind,
    /// What it is called, as far as that shows.
    pub title: String,
    /// State of its workflow; empty without one.
    pub state: String,
    /// Whether it is void.
    pub void: bool,
    /// Conflict items.
    pub conflicts: usize,
    /// Last change, by the writer's clock.
    pub changed_ms: i64,
    /// Values by field.
    pub fields: Map<String, Value>,
    /// What stands for masked values, by field.
    pub masked: BTreeMap<String, String>,
    /// Fields whose value is not of their kind, which is left out.
    pub mistyped: Vec<String>,
}

/// Which records.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RecordsAsked {
    /// Id or code of a place whose subtree counts; all of the token's if empty.
    pub place: String,
    /// State id, or empty.
    pub state: String,
    /// Where an earlier answer ended; from the start if empty.
    pub since: String,
    /// Records at most.
    pub limit: String,
}

/// Some records, in the order in which this replica took up their changes.
#[derive(Clone, Debug, Serialize)]
pub struct RecordsPage {
    /// Records.
    pub rows: Vec<RecordRow>,
    /// Where to go on from, now or later.
    pub next: String,
    /// Whether there are more now.
    pub more: bool,
}

/// One token's questions.
pub struct Asking<'a> {
    replica: &'a Replica,
    token: &'a Token,
    directives: Arc<Directives>,
    viewer: Viewer,
}

/// Reads `2018-05` or `2018`.
fn is_period(text: &str) -> bool {
    let year = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    year || Date::parse(&format!("{text}-01")).is_some()
}

fn page_size(text: &str) -> Result<usize, QueryError> {
    match text.parse() {
        _ if text.is_empty() => Ok(ROWS),
        Ok(0) | Err(_) => Err(QueryError::Malformed("limit")),
        Ok(many) if many > ROWS_MAX => Err(QueryError::TooMany),
        Ok(many) => Ok(many),
    }
}

/// The position that a cursor names.
fn position(cursor: &str, generation: i64) -> Result<u64, QueryError> {
    if cursor.is_empty() {
        return Ok(0);
    }
    let malformed = || QueryError::Malformed("since");
    let (of, at) = cursor.split_once('-').ok_or_else(malformed)?;
    let of = i64::from_str_radix(of, 16).map_err(|_| malformed())?;
    let at: u64 = at.parse().map_err(|_| malformed())?;
    if of == generation { Ok(at) } else { Err(QueryError::Cursor) }
}

impl<'a> Asking<'a> {
    /// Questions of a token to a replica.
    pub fn new(replica: &'a Replica, token: &'a Token) -> Self {
        let viewer = token.viewer(replica.identity().checked.name.level());
        Self { replica, token, directives: replica.directives(), viewer }
    }

    /// An open ledger of the scope; filed reports are figures.
    fn readable(&self, id: &str) -> Result<&Arc<Ledger>, QueryError> {
        let mut open = self.directives.catalogue.ledgers_for_people().filter(|one| !one.closed);
        let ledger = open.find(|one| one.id == id).ok_or(QueryError::NotFound)?;
        let allowed = self.token.allows(id) || (id == REPORTS && self.token.allows(FIGURES));
        if allowed { Ok(ledger) } else { Err(QueryError::Scope) }
    }

    fn needs_figures(&self) -> Result<(), QueryError> {
        if self.token.allows(FIGURES) { Ok(()) } else { Err(QueryError::Scope) }
    }

    /// A place of the token's subtree, by id or code.
    fn place(&self, text: &str) -> Result<PlaceId, QueryError> {
        if text.is_empty() {
            return Ok(self.token.place);
        }
        let place = find_place(&self.directives, text).map_err(|_| QueryError::NotFound)?;
        let below = self.directives.tree.is_above_or_same(self.token.place, place);
        if below { Ok(place) } else { Err(QueryError::NotFound) }
    }

    /// Open ledgers with their fields, and whether the token reads them.
    pub fn ledgers(&self) -> Value {
        let open = self.directives.catalogue.ledgers_for_people().filter(|one| !one.closed);
        let rows = open.map(|ledger| {
            json!({
                "id": ledger.id, "version": ledger.version, "zh": ledger.label.zh,
                "en": ledger.label.en, "clause": ledger.clause,
                "fields": ledger.fields.iter().map(|field| field.id.as_str()).collect::<Vec<_>>(),
                "readable": self.token.allows(&ledger.id),
            })
        });
        json!({"rows": rows.collect::<Vec<_>>()})
    }

    /// Places of the token's subtree, parents before children.
    pub fn places(&self) -> Vec<PlaceRow> {
        let tree = &self.directives.tree;
        let places = tree.subtree(self.token.place).into_iter();
        places
            .filter_map(|id| tree.place(id))
            .map(|one| PlaceRow {
                id: one.id,
                code: one.code().to_owned(),
                name: one.name().to_owned(),
                level: one.level,
                parent: tree.parent(one.id),
            })
            .collect()
    }

    /// What is counted.
    pub fn indicators(&self) -> Value {
        let ledgers = self.directives.catalogue.ledgers.values();
        let rows = ledgers.flat_map(|ledger| {
            ledger.indicators.iter().map(|one| {
                json!({
                    "id": one.id, "zh": one.label.zh, "en": one.label.en, "ledger": ledger.id,
                    "flow": one.is_flow(), "money": one.is_money,
                })
            })
        });
        json!({"rows": rows.collect::<Vec<_>>()})
    }

    /// Figures of a place and its children: what stands and all that ever happened, or what happened in
    /// some months.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn figures(&self, place: &str, from: &str, to: &str) -> Result<Figures, QueryError> {
        self.needs_figures()?;
        let place = self.place(place)?;
        let whole = from.is_empty() && to.is_empty();
        for (name, text) in [("from", from), ("to", to)] {
            if !whole && !is_period(text) {
                return Err(QueryError::Malformed(name));
            }
        }
        let small = Small::at(&self.directives, self.replica.place(), clock::now().date());
        let mut rows = self.figure_rows(place, from, to)?;
        hide_small(&small, &mut rows);
        for id in self.hidden_above(&small, place, from, to)? {
            for row in rows.iter_mut().filter(|row| row.values.contains_key(&id)) {
                row.values.remove(&id);
                row.hidden.push(id.clone());
            }
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        Ok(Figures { as_of_ms: clock::now().0, from, to, rows })
    }

    /// Figures of a place, then of its children, with nothing hidden yet.
    fn figure_rows(
        &self,
        place: PlaceId,
        from: &str,
        to: &str,
    ) -> Result<Vec<FigureRow>, QueryError> {
        let whole = from.is_empty() && to.is_empty();
        let view = self.replica.view()?;
        let catalogue = &self.directives.catalogue;
        let indicators = catalogue.ledgers.values().flat_map(|ledger| &ledger.indicators);
        let indicators: Vec<_> = indicators.filter(|one| whole || one.is_flow()).collect();
        let mut rows = Vec::new();
        for id in std::iter::once(place).chain(self.directives.tree.children(place)) {
            let sums = self.replica.readers().with(|reader| match whole {
                true => reader.rollup(id),
                false => reader.rollup_between(id, from, to),
            })?;
            let sums: BTreeMap<String, i64> = sums.into_iter().collect();
            let coverage = view.cover(id);
            let known = indicators.iter().filter(|_| coverage.has_data || !sums.is_empty());
            let values = known.map(|one| (one.id.clone(), sums.get(&one.id).copied().unwrap_or(0)));
            let name = self.directives.tree.place(id).map(|one| one.name().to_owned());
            rows.push(FigureRow {
                place: id,
                name: name.unwrap_or_default(),
                values: values.collect(),
                hidden: Vec::new(),
                coverage,
            });
        }
        Ok(rows)
    }

    /// Indicators that do not show at a place among those beside it, nor at a place above it: its own sums
    /// and those below it would tell them.
    fn hidden_above(
        &self,
        small: &Small<'_>,
        place: PlaceId,
        from: &str,
        to: &str,
    ) -> Result<BTreeSet<String>, QueryError> {
        let (own, mut found) = (self.replica.place(), BTreeSet::new());
        let path = self.directives.tree.path(place);
        let below: Vec<PlaceId> = path.into_iter().skip_while(|id| *id != own).collect();
        for pair in below.windows(2) {
            let mut rows = self.figure_rows(pair[0], from, to)?;
            hide_small(small, &mut rows);
            found.extend(
                rows.into_iter().filter(|row| row.place == pair[1]).flat_map(|row| row.hidden),
            );
        }
        Ok(found)
    }

    /// Places whose records of a ledger the token may read; none means all that are here.
    fn places_of(&self, ledger: &Ledger, place: &str) -> Result<Option<Vec<PlaceId>>, QueryError> {
        let tree = &self.directives.tree;
        if !place.is_empty() {
            return Ok(Some(tree.subtree(self.place(place)?)));
        }
        if self.token.place == self.replica.place() {
            return Ok(None);
        }
        let held = |place: &PlaceId| {
            holds(self.token.place, SliceId { kind: ledger.slice, place: *place }, tree)
        };
        Ok(Some(tree.iter().map(|one| one.id).filter(held).collect()))
    }

    /// Records of a ledger, from a cursor on.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub async fn records(
        &self,
        ledger: &str,
        asked: &RecordsAsked,
    ) -> Result<RecordsPage, QueryError> {
        let ledger = self.readable(ledger)?;
        let limit = page_size(&asked.limit)?;
        let generation = generation(self.replica).await?;
        let after = position(&asked.since, generation)?;
        let places = self.places_of(ledger, asked.place.trim())?;
        let state = asked.state.as_str();
        let since = Since { ledger: &ledger.id, after, places, state, limit: limit + 1 };
        let readers = self.replica.readers();
        let found = block_in_place(|| readers.with(|reader| reader.since(&since)));
        let mut found = found?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map_or(after, |one| one.touched);
        let rows = block_in_place(|| found.iter().map(|one| self.row(ledger, one)).collect());
        Ok(RecordsPage { rows, next: format!("{generation:x}-{last}"), more })
    }

    /// One record, with its findings and what is in conflict.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn record(&self, place: &str, record: &str) -> Result<Value, QueryError> {
        let id: RecordId = record.parse().map_err(|_| QueryError::NotFound)?;
        let detail = self.replica.readers().with(|reader| reader.detail(id))?;
        let detail = detail.ok_or(QueryError::NotFound)?;
        let here = detail.slice.place.to_string() == place;
        let tree = &self.directives.tree;
        let held =
            self.token.place == self.replica.place() || holds(self.token.place, detail.slice, tree);
        if !here || !held {
            return Err(QueryError::NotFound);
        }
        let ledger = self.readable(&detail.ledger)?;
        Ok(self.whole(ledger, id, detail))
    }

    fn whole(&self, ledger: &Ledger, record: RecordId, detail: Detail) -> Value {
        let counted = detail.log.changes.iter().filter(|change| change.origin.counted);
        let changed = counted.map(|change| change.origin.time).max().unwrap_or_default();
        let findings: Vec<Value> = detail
            .findings
            .iter()
            .filter(|(rule, ..)| self.viewer.may_tell(ledger, rule, &self.directives.catalogue))
            .map(|(rule, severity, outcome, _)| {
                json!({"rule": rule, "severity": severity, "outcome": outcome})
            })
            .collect();
        let items: Vec<Value> = detail
            .row
            .conflicts
            .iter()
            .map(|one| json!({"field": one.field, "kind": one.kind, "resolve": one.resolve}))
            .collect();
        let (slice, title, row) = (detail.slice, detail.title, detail.row);
        let taken = Taken { touched: 0, slice, record, title, changed, row };
        let mut answer = serde_json::to_value(self.row(ledger, &taken)).unwrap_or_default();
        if let Value::Object(map) = &mut answer {
            map.insert("ledger".into(), json!(ledger.id));
            map.insert("findings".into(), Value::Array(findings));
            map.insert("conflict_items".into(), Value::Array(items));
        }
        answer
    }

    fn row(&self, ledger: &Ledger, taken: &Taken) -> RecordRow {
        let row = &taken.row;
        let (mut fields, mut masked, mut mistyped) = (Map::new(), BTreeMap::new(), Vec::new());
        for field in &ledger.fields {
            let id = &field.id;
            let stands = row.fields.contains_key(id)
                || row.sets.get(id).is_some_and(|set| !set.is_empty())
                || row.logs.get(id).is_some_and(|lines| !lines.is_empty());
            if !stands {
                continue;
            }
            if self.viewer.sight(field) != Sight::Full {
                masked.insert(id.clone(), self.masked(field, row));
                continue;
            }
            match canonical(field, row) {
                Some(value) => drop(fields.insert(id.clone(), value)),
                None => mistyped.push(id.clone()),
            }
        }
        RecordRow {
            record: taken.record,
            place: taken.slice.place,
            slice: taken.slice.kind,
            title: self.viewer.title(&taken.title, ledger),
            state: row.state_id().unwrap_or_default().to_owned(),
            void: row.void.is_some(),
            conflicts: row.conflicts.len(),
            changed_ms: taken.changed.0,
            fields,
            masked,
            mistyped,
        }
    }

    /// What the pages show of a field that does not show in full.
    fn masked(&self, field: &Field, row: &Row) -> String {
        let Some(value) = row.fields.get(&field.id) else { return HIDDEN.to_owned() };
        match (&field.kind, value.as_text()) {
            (FieldKind::Ref(_), Some(id)) if field.privacy == 1 => self.name(id),
            (FieldKind::Ref(_), _) => HIDDEN.to_owned(),
            _ => shown(field, value, self.viewer, &self.directives.catalogue, false),
        }
    }

    /// The title of a record that a reference names, as far as it shows.
    fn name(&self, id: &str) -> String {
        let found = id.parse().ok().and_then(|record: RecordId| {
            let (title, ledger) =
                self.replica.readers().with(|reader| reader.title(record)).ok()??;
            let ledger = self.directives.catalogue.ledger(&ledger)?;
            Some(self.viewer.title(&title, ledger))
        });
        found.filter(|title| !title.is_empty()).unwrap_or_else(|| HIDDEN.to_owned())
    }

    /// Policy versions that the token's place knows, and what holds there today.
    ///
    /// # Errors
    ///
    /// [`QueryError::Scope`].
    pub fn policy(&self) -> Result<Value, QueryError> {
        self.needs_figures()?;
        let (directives, tree) = (&self.directives, &self.directives.tree);
        let known = |place: PlaceId| holds(self.token.place, SliceId::directive(place), tree);
        let versions = directives.policies.values().flatten().filter(|one| known(one.place));
        let versions = versions.map(|one| {
            json!({
                "record": one.record, "doc_no": one.doc_no, "title": one.title,
                "place": one.place, "effective_from": one.effective_from, "values": one.values,
            })
        });
        let today = clock::now().date();
        let params = directives.catalogue.params.values().map(|param| {
            let found = directives.param(&param.id, self.token.place, today);
            json!({
                "id": param.id, "zh": param.label.zh, "en": param.label.en, "unit": param.unit.zh,
                "value": found.value, "local": found.local.map(|(value, _)| value),
                "overridden": found.overridden,
            })
        });
        Ok(json!({
            "place": self.token.place,
            "versions": versions.collect::<Vec<_>>(),
            "params": params.collect::<Vec<_>>(),
        }))
    }

    /// Which places of the token's subtree hold and have applied a policy version; times are 0 where
    /// nothing is known.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn reach(&self, record: &str) -> Result<Value, QueryError> {
        self.needs_figures()?;
        let record: RecordId = record.parse().map_err(|_| QueryError::NotFound)?;
        let (tree, under) = (&self.directives.tree, self.token.place);
        let found = reach::version(&self.directives, record);
        let found = found.filter(|one| holds(under, SliceId::directive(one.place), tree));
        let version = found.ok_or(QueryError::NotFound)?;
        let marks = self.replica.marks(&self.directives, version, under)?;
        let rows = marks.iter().filter_map(|(id, mark)| {
            let place = tree.place(*id)?;
            Some(json!({
                "place": id, "name": place.name(), "level": place.level,
                "held_ms": mark.held, "applied_ms": mark.applied,
            }))
        });
        Ok(json!({
            "record": version.record, "doc_no": version.doc_no, "title": version.title,
            "effective_from": version.effective_from, "rows": rows.collect::<Vec<_>>(),
        }))
    }

    /// Reports that were filed in the token's subtree, from a cursor on: rows of [`REPORTS`].
    ///
    /// # Errors
    ///
    /// [`QueryError`]; nothing is found while that ledger is not in force.
    pub async fn reports(&self, asked: &RecordsAsked) -> Result<RecordsPage, QueryError> {
        self.needs_figures()?;
        self.records(REPORTS, asked).await
    }

    /// One filed report.
    ///
    /// # Errors
    ///
    /// [`QueryError`].
    pub fn report(&self, record: &str) -> Result<Value, QueryError> {
        self.needs_figures()?;
        let id: RecordId = record.parse().map_err(|_| QueryError::NotFound)?;
        let detail = self.replica.readers().with(|reader| reader.detail(id))?;
        let detail = detail.filter(|one| one.ledger == REPORTS).ok_or(QueryError::NotFound)?;
        let place = detail.slice.place.to_string();
        self.record(&place, record)
    }
}

/// The name of the present derived data, to which cursors belong.
async fn generation(replica: &Replica) -> Result<i64, OpsError> {
    if let Some(known) = replica.readers().with(|reader| reader.generation())? {
        return Ok(known);
    }
    Ok(replica.run(|engine, now| Ok(engine.store.generation(now)?)).await?)
}

/// A field's value in full; none if it is not of its kind.
fn canonical(field: &Field, row: &Row) -> Option<Value> {
    let members = || row.sets.get(&field.id).into_iter().flatten();
    match &field.kind {
        FieldKind::Attach => {
            let known = members().filter_map(|one| Attachment::parse(one));
            let files = known.map(|one| {
                json!({
                    "hash": one.blob.hash, "bytes": one.blob.bytes, "media": one.media.mime(),
                    "name": one.name,
                })
            });
            Some(Value::Array(files.collect()))
        }
        FieldKind::Set(_) => Some(members().map(|one| json!(one)).collect()),
        FieldKind::Log(columns) => {
            let cells = |line: &LogLine| {
                let typed = columns.iter().filter_map(|column| {
                    let value = line.columns.get(&column.id)?;
                    well_typed(&column.kind, value).then(|| (column.id.clone(), json!(value)))
                });
                Value::Object(typed.collect())
            };
            let lines = row.logs.get(&field.id).into_iter().flatten();
            Some(lines.map(cells).collect())
        }
        kind => {
            let value = row.fields.get(&field.id)?;
            well_typed(kind, value).then(|| json!(value))
        }
    }
}
