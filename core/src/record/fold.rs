//! From the operations of counted entries to a row (DESIGN §3, "The fold").
//!
//! An operation *reaches* what it overwrites and, through each reached operation that is void or was
//! not allowed to remove it, what that one overwrites. A value is visible iff no counted operation
//! that may remove it reaches it. The result depends only on the set of changes and their verdicts,
//! never on the order in which they arrived.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::change::OpId;
use super::log::{Origin, RecordLog};
use super::moved::{FROM_FIELD, MOVED_KEY, Moved, MovedFrom};
use super::state::{self, StateFold, Step};
use super::value::{LEDGER_KEY, STATE_FIELD, VOID_KEY, Value, split_key};
use crate::catalogue::{Field, FieldKind, Ledger, Merge};
use crate::feed::entry::Person;
use crate::id::{AuthorId, Hash, Level, PlaceId, hex};
use crate::time::{Date, UtcMillis};

/// Version of the folds: slice hashes compare only under the same one.
pub const FOLD_VERSION: u32 = 2;

/// Who wrote something, for people and for the row.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Writer {
    /// Level of the author's place.
    pub level: Level,
    /// The author's place.
    pub place: PlaceId,
    /// The author.
    pub author: AuthorId,
    /// Person and role as claimed.
    pub person: Person,
    /// Author's wall clock. Annotation only.
    pub time: UtcMillis,
    /// Lamport counter of the entry.
    pub lamport: u64,
}

impl From<&Origin> for Writer {
    fn from(origin: &Origin) -> Self {
        Self {
            level: origin.level,
            place: origin.place,
            author: origin.author,
            person: origin.person.clone(),
            time: origin.time,
            lamport: origin.lamport,
        }
    }
}

/// One of several values that stand side by side.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The value; for a workflow line or a void, its text.
    pub value: Value,
    /// Who wrote it.
    pub writer: Writer,
}

/// What kind of thing a person has to look at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Edits to a record that has moved to another place: to be carried over, or let lie.
    AfterMove,
    /// Two contents under one log line.
    Line,
    /// A workflow step that came too late; not applied.
    Superseded,
    /// Concurrent values of a field.
    Values,
    /// A void that an edit made apart has beaten.
    Void,
}

/// A conflict item.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The same on every replica.
    pub id: String,
    /// The field; `_state` for steps, `_void` for a void.
    pub field: String,
    /// What kind.
    pub kind: ConflictKind,
    /// All values, the shown one first.
    pub candidates: Vec<Candidate>,
    /// The level whose decision settles it.
    pub resolve: Level,
}

/// One line of a log field.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Line id: the part after the slash.
    pub id: String,
    /// Columns.
    pub columns: BTreeMap<String, Value>,
    /// Who wrote it.
    pub writer: Writer,
    /// Whether it was written before, in the record that this one was: it came with the move, or was carried
    /// over later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried: bool,
}

/// A record as people and rules see it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Ledger id.
    pub ledger: String,
    /// Scalar fields.
    pub fields: BTreeMap<String, Value>,
    /// Set fields.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    /// Log fields, in causal order.
    pub logs: BTreeMap<String, Vec<LogLine>>,
    /// The workflow's state, if the ledger has one.
    pub state: Option<StateFold>,
    /// Conflict items.
    pub conflicts: Vec<Conflict>,
    /// Reason of the void that holds.
    pub void: Option<String>,
    /// Where the record went, if it ended here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<MovedFrom>,
    /// Fields whose value has a type that the catalogue does not give them.
    pub mistyped: BTreeSet<String>,
    /// Who created it and when.
    pub created: Writer,
    /// Level that wrote each scalar field last.
    pub levels: BTreeMap<String, Level>,
}

impl Row {
    /// A row without values.
    pub(crate) fn new(ledger: String, created: Writer) -> Self {
        Self {
            ledger,
            fields: BTreeMap::new(),
            sets: BTreeMap::new(),
            logs: BTreeMap::new(),
            state: None,
            conflicts: Vec::new(),
            void: None,
            moved: None,
            from: Vec::new(),
            mistyped: BTreeSet::new(),
            created,
            levels: BTreeMap::new(),
        }
    }

    /// The state's id, if the ledger has a workflow.
    pub fn state_id(&self) -> Option<&str> {
        self.state.as_ref().map(|state| state.state.as_str())
    }

    /// A scalar field's text form; empty if absent.
    pub fn text(&self, field: &str) -> String {
        self.fields.get(field).map(Value::to_string).unwrap_or_default()
    }

    /// The record's own date: its business date field, or the day it was created.
    pub fn business_date(&self, ledger: &Ledger) -> Date {
        ledger
            .business_date
            .as_ref()
            .and_then(|field| match self.fields.get(field)? {
                Value::Int(year) => Date::new(i32::try_from(*year).ok()?, 12, 31),
                Value::Text(date) => {
                    Date::parse(date).or_else(|| Date::parse(&format!("{date}-01")))
                }
                Value::Bool(_) => None,
            })
            .unwrap_or_else(|| self.created.time.date())
    }

    /// Applied steps in order, those of the record that it was before it moved here included.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        let before = self.from.iter().flat_map(|from| &from.steps);
        before.chain(self.state.iter().flat_map(|state| &state.steps))
    }

    /// The row as it is kept, and as its hash in the slice hash sees it.
    ///
    /// # Panics
    ///
    /// Never: a row is plain data with text keys.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a row is plain data with text keys")
    }
}

struct KeyOp<'a> {
    id: OpId,
    change: usize,
    value: Option<&'a Value>,
    preds: &'a [OpId],
    counted: bool,
    first: bool,
}

/// The visible values of one key, the one to show first.
struct Visible<'a> {
    values: Vec<(&'a Value, usize)>,
}

fn ops_by_key(log: &RecordLog) -> BTreeMap<&str, Vec<KeyOp<'_>>> {
    let mut keys: BTreeMap<&str, Vec<KeyOp<'_>>> = BTreeMap::new();
    for (at, change) in log.changes.iter().enumerate() {
        for (op, counter) in change.ops.iter().zip(change.start_op..) {
            keys.entry(op.key.as_str()).or_default().push(KeyOp {
                id: OpId { counter, actor: change.actor },
                change: at,
                value: op.value.as_ref(),
                preds: &op.preds,
                counted: change.origin.counted,
                first: change.deps.is_empty(),
            });
        }
    }
    for ops in keys.values_mut() {
        ops.sort_by_key(|op| op.id);
    }
    keys
}

/// Values that no counted operation removes; `resolve` is the level that may settle.
fn visible<'a>(log: &RecordLog, ops: &[KeyOp<'a>], resolve: Level) -> Visible<'a> {
    let level = |op: &KeyOp<'_>| log.changes[op.change].origin.level;
    let index: BTreeMap<OpId, usize> = ops.iter().enumerate().map(|(at, op)| (op.id, at)).collect();
    let mut passes: Vec<BTreeSet<usize>> = Vec::with_capacity(ops.len());
    let mut removed = BTreeSet::new();
    for op in ops {
        let mut reached = BTreeSet::new();
        for pred in op.preds {
            let Some(at) = index.get(pred).copied() else { continue };
            if ops[at].counted {
                reached.insert(at);
            }
            reached.extend(passes[at].iter().copied());
        }
        if op.counted {
            let decides =
                reached.len() < 2 || level(op) >= resolve || crate::sabotaged!(WriteClosesConflict);
            let (gone, kept): (BTreeSet<usize>, BTreeSet<usize>) =
                reached.into_iter().partition(|at| decides || level(&ops[*at]) == level(op));
            removed.extend(gone);
            passes.push(kept);
        } else {
            passes.push(reached);
        }
    }
    let mut values: Vec<(&Value, usize)> = ops
        .iter()
        .enumerate()
        .filter(|(at, op)| op.counted && !removed.contains(at))
        .filter_map(|(_, op)| Some((op.value?, op.change)))
        .collect();
    if crate::sabotaged!(OrderByWallClock) {
        let time = |change: &usize| log.changes[*change].origin.time;
        let counted = ops.iter().filter(|op| op.counted && op.value.is_some());
        let last = counted.max_by_key(|op| time(&op.change));
        values = last.into_iter().filter_map(|op| Some((op.value?, op.change))).collect();
    }
    values.sort_by_key(|(_, change)| {
        let change = &log.changes[*change];
        std::cmp::Reverse((change.origin.level, change.origin.lamport, change.actor, change.seq))
    });
    Visible { values }
}

/// Whether a value has the type that a field's kind gives it.
pub fn well_typed(kind: &FieldKind, value: &Value) -> bool {
    match (kind, value) {
        (FieldKind::Bool, Value::Bool(_)) => true,
        (FieldKind::Int | FieldKind::Money | FieldKind::Year, Value::Int(_)) => true,
        (FieldKind::Date, Value::Text(text)) => Date::parse(text).is_some(),
        (FieldKind::Month, Value::Text(text)) => Date::parse(&format!("{text}-01")).is_some(),
        (
            FieldKind::Attach
            | FieldKind::Bool
            | FieldKind::Int
            | FieldKind::Money
            | FieldKind::Year
            | FieldKind::Log(_)
            | FieldKind::Set(_),
            _,
        ) => false,
        (_, Value::Text(_)) => true,
        _ => false,
    }
}

struct Folding<'a> {
    log: &'a RecordLog,
    row: Row,
}

/// Folds a record's log into its row; `None` while no counted change has created it.
pub fn fold(log: &RecordLog, ledger: &Ledger) -> Option<Row> {
    let created = log.changes.iter().filter(|change| change.origin.counted).find(|change| {
        change.deps.is_empty() && change.ops.iter().any(|op| op.key == LEDGER_KEY)
    })?;
    let row =
        Row::new(ledger.id.clone(), creator(log).unwrap_or_else(|| Writer::from(&created.origin)));
    let mut folding = Folding { log, row };
    let mut lines = Vec::new();
    for (key, ops) in ops_by_key(log) {
        let (id, element) = split_key(key);
        match (id, element, ledger.field(id)) {
            (STATE_FIELD, Some(_), _) => lines.extend(first_writes(&ops)),
            (VOID_KEY, None, _) => folding.void(&ops, ledger.void_wins),
            (MOVED_KEY, None, _) => folding.moved(&ops),
            (FROM_FIELD, Some(_), _) => {
                let origins = first_writes(&ops).into_iter().filter_map(|(_, value)| {
                    serde_json::from_str::<MovedFrom>(value.as_text()?).ok()
                });
                folding.row.from.extend(origins);
                folding.row.from.sort_by_key(|from| (from.state.is_none(), from.record));
            }
            (_, None, Some(field)) => folding.scalar(field, &ops),
            (_, Some(element), Some(field)) if field.merge == Merge::Set => {
                folding.set(field, element, &ops);
            }
            (_, Some(element), Some(field)) if field.merge == Merge::Log => {
                folding.line(field, element, &ops);
            }
            _ => {}
        }
    }
    let mut row = folding.row;
    for lines in row.logs.values_mut() {
        lines.sort_by(|one, two| (one.writer.lamport, &one.id).cmp(&(two.writer.lamport, &two.id)));
    }
    if let Some(workflow) = &ledger.workflow {
        let start = row.from.iter().find_map(|from| from.state.clone());
        let start = start.unwrap_or_else(|| workflow.initial.clone());
        let (fold, late) =
            state::fold(log, workflow, start, &lines, |fields| certify(&row, fields));
        row.state = Some(fold);
        row.conflicts.extend(late.into_iter().map(|(change, text)| Conflict {
            id: conflict_id(STATE_FIELD, &[log.changes[change].hash]),
            field: STATE_FIELD.into(),
            kind: ConflictKind::Superseded,
            candidates: vec![Candidate {
                value: text.into(),
                writer: Writer::from(&log.changes[change].origin),
            }],
            resolve: log.changes[change].origin.level,
        }));
    }
    row.conflicts.sort_by(|one, two| one.id.cmp(&two.id));
    Some(row)
}

/// The creator does not depend on arrival: of several creating changes, the least in (lamport, actor).
fn creator(log: &RecordLog) -> Option<Writer> {
    log.changes
        .iter()
        .filter(|change| change.origin.counted && change.deps.is_empty())
        .min_by_key(|change| (change.origin.lamport, change.actor))
        .map(|change| Writer::from(&change.origin))
}

fn first_writes<'a>(ops: &[KeyOp<'a>]) -> Vec<(usize, &'a Value)> {
    ops.iter()
        .filter(|op| op.counted && op.preds.is_empty())
        .filter_map(|op| Some((op.change, op.value?)))
        .collect()
}

fn conflict_id(field: &str, hashes: &[Hash]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(field.as_bytes());
    for hash in hashes {
        hasher.update(&hash.0);
    }
    hex(&hasher.finalize().as_bytes()[..8])
}

/// The hash by which a certifying step names the content of fields.
pub fn certify(row: &Row, fields: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(field.as_bytes());
        let content = (row.fields.get(field), row.sets.get(field), row.logs.get(field));
        hasher.update(&serde_json::to_vec(&content).unwrap_or_default());
    }
    hex(&hasher.finalize().as_bytes()[..16])
}

impl Folding<'_> {
    fn candidates(&self, values: &[(&Value, usize)]) -> Vec<Candidate> {
        values
            .iter()
            .map(|(value, change)| Candidate {
                value: (*value).clone(),
                writer: Writer::from(&self.log.changes[*change].origin),
            })
            .collect()
    }

    fn conflict(
        &mut self,
        kind: ConflictKind,
        field: &str,
        values: &[(&Value, usize)],
        resolve: Level,
    ) {
        let mut hashes: Vec<Hash> =
            values.iter().map(|(_, change)| self.log.changes[*change].hash).collect();
        hashes.sort_unstable();
        let candidates = self.candidates(values);
        let id = conflict_id(field, &hashes);
        self.row.conflicts.push(Conflict { id, field: field.into(), kind, candidates, resolve });
    }

    fn scalar(&mut self, field: &Field, ops: &[KeyOp<'_>]) {
        let shown = match field.merge {
            Merge::Max | Merge::Min => {
                let all = ops.iter().filter(|op| op.counted).filter_map(|op| op.value);
                let value = if field.merge == Merge::Max { all.max() } else { all.min() };
                value.cloned()
            }
            Merge::Fixed => {
                let first: Vec<(&Value, usize)> = ops
                    .iter()
                    .filter(|op| op.counted && op.first)
                    .filter_map(|op| Some((op.value?, op.change)))
                    .collect();
                self.settle(field, first)
            }
            _ => {
                let visible = visible(self.log, ops, field.resolve);
                self.settle(field, visible.values)
            }
        };
        let Some(shown) = shown else { return };
        if well_typed(&field.kind, &shown) {
            self.row.fields.insert(field.id.clone(), shown);
        } else {
            self.row.mistyped.insert(field.id.clone());
        }
    }

    fn settle(&mut self, field: &Field, values: Vec<(&Value, usize)>) -> Option<Value> {
        let (shown, change) = *values.first()?;
        self.row.levels.insert(field.id.clone(), self.log.changes[change].origin.level);
        let differ = values.iter().any(|(value, _)| *value != shown);
        let differ = differ
            && !crate::sabotaged!(ConcurrentValueOverwritten)
            && !(field.kind == FieldKind::Money && crate::sabotaged!(LastWriterWinsMoney));
        if differ && field.merge != Merge::Latest {
            self.conflict(ConflictKind::Values, &field.id, &values, field.resolve);
        }
        Some(shown.clone())
    }

    fn set(&mut self, field: &Field, element: &str, ops: &[KeyOp<'_>]) {
        if !visible(self.log, ops, Level::Village).values.is_empty() {
            self.row.sets.entry(field.id.clone()).or_default().insert(element.to_owned());
        }
    }

    fn line(&mut self, field: &Field, element: &str, ops: &[KeyOp<'_>]) {
        let mut writes = first_writes(ops);
        writes.sort_by_key(|(change, _)| {
            let change = &self.log.changes[*change];
            (change.origin.lamport, change.actor)
        });
        let Some((change, value)) = writes.first().copied() else { return };
        if writes.iter().any(|(_, other)| *other != value) {
            let values: Vec<(&Value, usize)> =
                writes.iter().map(|(change, value)| (*value, *change)).collect();
            self.conflict(ConflictKind::Line, &field.id, &values, field.resolve);
        }
        let parsed = value.as_text().and_then(|text| serde_json::from_str(text).ok());
        let Some(columns) = parsed else {
            self.row.mistyped.insert(field.id.clone());
            return;
        };
        let writer = Writer::from(&self.log.changes[change].origin);
        let carried =
            self.log.changes[change].ops.iter().any(|op| split_key(&op.key).0 == FROM_FIELD);
        let line = LogLine { id: element.to_owned(), columns, writer, carried };
        self.row.logs.entry(field.id.clone()).or_default().push(line);
    }

    /// Counted changes made apart from the change at `at`, or after it, that say more than `mark`.
    fn beside(&self, at: usize, mark: &str, after: bool) -> Vec<usize> {
        let before = self.log.ancestors(at);
        let changes = self.log.changes.iter().enumerate();
        changes
            .filter(|(other, change)| {
                *other != at
                    && change.origin.counted
                    && !before.contains(other)
                    && (after || !self.log.ancestors(*other).contains(&at))
                    && change.ops.iter().any(|op| op.key != mark)
            })
            .map(|(other, _)| other)
            .collect()
    }

    /// A moved record stays moved; what is written to it apart or later is listed, not applied there.
    fn moved(&mut self, ops: &[KeyOp<'_>]) {
        let standing = visible(self.log, ops, Level::Township).values;
        let Some((text, at)) = standing.first().copied() else { return };
        self.row.moved = text.as_text().and_then(|text| serde_json::from_str(text).ok());
        let mut late = self.beside(at, MOVED_KEY, true);
        // In an order of their own: that of the log is the order of arrival here.
        late.sort_by_key(|at| self.log.changes[*at].hash);
        let mut values = Vec::new();
        for other in &late {
            values.extend(
                self.log.changes[*other]
                    .ops
                    .iter()
                    .filter_map(|op| Some((op.value.as_ref()?, *other))),
            );
        }
        if !values.is_empty() {
            self.conflict(ConflictKind::AfterMove, MOVED_KEY, &values, Level::Township);
        }
    }

    /// A void holds unless a counted edit was made apart from it (edit beats void), or the ledger
    /// says that a void wins.
    fn void(&mut self, ops: &[KeyOp<'_>], void_wins: bool) {
        let standing = visible(self.log, ops, Level::Village).values;
        let Some((reason, at)) = standing.first().copied() else { return };
        let apart = if void_wins { None } else { self.beside(at, VOID_KEY, false).pop() };
        if apart.is_some() {
            self.conflict(ConflictKind::Void, VOID_KEY, &standing, Level::Township);
        } else {
            self.row.void = Some(reason.to_string());
        }
    }
}
