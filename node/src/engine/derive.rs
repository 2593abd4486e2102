//! From changed logs to rows, links, findings and roll-ups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taizhang_core::catalogue::{FieldKind, Ledger, Uses};
use taizhang_core::directives::Directives;
use taizhang_core::id::{AuthorId, Hash, PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::record::fold::{Row, fold};
use taizhang_core::record::log::RecordLog;
use taizhang_core::record::moved::MOVED_KEY;
use taizhang_core::record::value::Value;
use taizhang_core::rights;
use taizhang_core::rules::figures::Additions;
use taizhang_core::rules::{Finding, Surroundings};
use taizhang_core::time::{Date, UtcMillis};

use super::Engine;
use super::rights::movement_of;
use super::twins::{self, twins_of};
use crate::store::StoreError;
use crate::store::derived::RecordUpdate;
use crate::store::lookup::Lookup;

/// A record under work in the present group.
#[derive(Debug, Default)]
pub(crate) struct Working {
    pub(crate) log: RecordLog,
    pub(crate) origin: Option<(AuthorId, u64)>,
    pub(crate) dirty: bool,
}

impl Working {
    /// Notes in which segment an own change went out.
    pub(crate) fn set_arrival(&mut self, hash: Hash, arrival: Option<u64>) {
        if let Some(at) = self.log.position(hash)
            && arrival.is_some()
            && self.log.changes[at].origin.arrival != arrival
        {
            self.log.changes[at].origin.arrival = arrival;
            self.dirty = true;
        }
    }
}

/// A row just written, and its text.
struct Written {
    row: Row,
    text: String,
}

/// What rules and indicators say of a row.
pub(super) struct Judged {
    pub(super) findings: Vec<Finding>,
    pub(super) additions: Additions,
    /// Places from its own upward in which it counts.
    pub(super) reach: usize,
}

/// Rows re-evaluated in one step.
const STEP_ROWS: usize = 200;
const CURSOR: &str = "re-evaluate";
const AS_OF: &str = "as_of";

/// What rules of one row may ask: of the engine's store, or of a reader's snapshot.
pub(crate) struct Around<'a> {
    pub(crate) store: Lookup<'a>,
    pub(crate) directives: &'a Directives,
    /// The place of this replica.
    pub(crate) own: PlaceId,
    pub(crate) slice: SliceId,
}

impl Surroundings for Around<'_> {
    fn related(&self, subject: Option<(&Row, RecordId)>, uses: &Uses) -> Vec<(RecordId, Row)> {
        let result = self.related_rows(subject, uses);
        result.unwrap_or_else(|error| {
            tracing::error!(%error, "related rows could not be read");
            Vec::new()
        })
    }

    fn param(&self, id: &str, day: Date) -> Option<Value> {
        self.directives.param(id, self.slice.place, day).value
    }

    fn is_set(&self, id: &str) -> bool {
        self.directives.catalogue.is_set_param(id)
    }

    fn ledger(&self, id: &str) -> Option<Arc<Ledger>> {
        self.directives.catalogue.ledger(id).cloned()
    }

    fn knows_below(&self) -> bool {
        self.directives.tree.is_above_or_same(self.own, self.slice.place)
    }

    fn figure(&self, id: &str) -> i64 {
        let sum = self.store.standing(self.slice.place, id);
        sum.unwrap_or_else(|error| {
            tracing::error!(%error, "a figure could not be read");
            0
        })
    }
}

impl Around<'_> {
    fn related_rows(
        &self,
        subject: Option<(&Row, RecordId)>,
        uses: &Uses,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let keys = match subject {
            None => vec![String::new()],
            Some((row, id)) if uses.eq == "_id" => self.names_of(row, id)?,
            Some((row, _)) => vec![row.text(&uses.eq)],
        };
        if uses.below {
            return self.rows_below(uses, &keys);
        }
        let slices: Vec<SliceId> = if uses.path {
            let path = self.directives.tree.path(self.slice.place);
            path.into_iter().map(SliceId::directive).collect()
        } else {
            vec![self.slice]
        };
        let mut found = Vec::new();
        for slice in slices {
            if uses.by.is_empty() {
                found.extend(self.store.rows_of(slice, &uses.ledger)?);
                continue;
            }
            for key in keys.iter().filter(|key| !key.is_empty()) {
                let records = match uses.by.as_str() {
                    "_id" => key.parse().into_iter().collect(),
                    by => self.store.linked(slice.place, &uses.ledger, by, key)?,
                };
                for record in records {
                    if let Some(row) = self.store.row(slice, record)?
                        && row.ledger == uses.ledger
                    {
                        found.push((record, row));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Rows of the places below whose field has one of the values.
    fn rows_below(&self, uses: &Uses, keys: &[String]) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let mut found = Vec::new();
        for key in keys.iter().filter(|key| !key.is_empty()) {
            for (place, record) in self.store.linked_anywhere(&uses.ledger, &uses.by, key)? {
                if self.directives.tree.is_above_or_same(self.slice.place, place)
                    && let Some(row) = self.store.row(SliceId::ledger(place), record)?
                {
                    found.push((record, row));
                }
            }
        }
        Ok(found)
    }

    /// A record's own id, and those of its duplicates in the slice if it is the one that counts: what
    /// refers to any of them is attached to it.
    fn names_of(&self, row: &Row, id: RecordId) -> Result<Vec<String>, StoreError> {
        let mut names = vec![id.to_string()];
        let Some(ledger) = self.directives.catalogue.ledger(&row.ledger) else { return Ok(names) };
        let place = self.slice.place;
        let twins = twins_of(self.store, self.directives, place, id, ledger, row)?;
        let counted = twins.iter().filter(|twin| twin.place == place && twin.same != Some(false));
        let counted: Vec<_> = counted.collect();
        if counted.iter().all(|twin| !twin.first) {
            names.extend(counted.iter().map(|twin| twin.record.to_string()));
        }
        Ok(names)
    }
}

fn links_of(ledger: &Ledger, row: &Row) -> Vec<(String, String)> {
    if row.void.is_some() || row.moved.is_some() {
        return Vec::new();
    }
    ledger
        .indexed
        .iter()
        .filter_map(|field| Some((field.clone(), row.fields.get(field)?.to_string())))
        .collect()
}

/// The day of a row's deadline while it must be met.
fn due_on(ledger: &Ledger, row: &Row) -> String {
    let Some(due) = &ledger.due else { return String::new() };
    let state = row.state_id().unwrap_or_default();
    let ended = row.void.is_some() || row.moved.is_some();
    let met = ended || due.done.iter().any(|done| done == state);
    if met { String::new() } else { row.text(&due.field) }
}

fn row_hash(text: &str, findings: &[Finding]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(text.as_bytes()).as_bytes());
    for finding in findings.iter().filter(|finding| !finding.dated) {
        hasher.update(&serde_json::to_vec(finding).unwrap_or_default());
    }
    Hash(*hasher.finalize().as_bytes())
}

impl Engine {
    /// The record under work, read from the store at first use.
    pub(crate) fn working(
        &mut self,
        slice: SliceId,
        record: RecordId,
    ) -> Result<&mut Working, StoreError> {
        match self.working.entry((slice, record)) {
            std::collections::btree_map::Entry::Occupied(found) => Ok(found.into_mut()),
            std::collections::btree_map::Entry::Vacant(gap) => {
                let log = self.store.record(slice, record)?.map(|stored| stored.log);
                let log = log.unwrap_or_default();
                Ok(gap.insert(Working { log, origin: None, dirty: false }))
            }
        }
    }

    /// Writes rows of everything under work, then findings and roll-ups of these and of the rows
    /// whose rules read them.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        let working = std::mem::take(&mut self.working);
        let mut affected: BTreeSet<(SliceId, RecordId)> = BTreeSet::new();
        let mut rows: BTreeMap<(SliceId, RecordId), Written> = BTreeMap::new();
        for ((slice, record), one) in working.into_iter().filter(|(_, one)| one.dirty) {
            if one.log.changes.iter().any(|change| change.ops.iter().any(|op| op.key == MOVED_KEY))
            {
                let referring = self.referring_to(slice, record)?;
                affected.extend(referring.into_iter().map(|id| (slice, id)));
            }
            let old = self.store.links_of(slice.place, record)?;
            let row = self.write_row(slice, record, &one)?;
            if let Some((ledger, links, row)) = row {
                rows.extend(row.map(|row| ((slice, record), row)));
                let links = [old, links].concat();
                self.neighbours(slice, record, &ledger, &links, &mut affected)?;
                self.twins_touched(slice, record, &ledger, &links, &mut affected)?;
            }
            affected.insert((slice, record));
        }
        let as_of = self.as_of()?;
        if std::mem::take(&mut self.recount_due) {
            self.store.recount(|place| self.above(SliceId::ledger(place)))?;
        }
        let mut moved = BTreeSet::new();
        for (slice, record) in affected {
            let written = rows.remove(&(slice, record));
            let figures = self.evaluate(slice, record, written, as_of)?;
            let above = if figures.is_empty() { Vec::new() } else { self.above(slice) };
            for figure in figures {
                moved.extend(above.iter().map(|place| (*place, figure.clone())));
            }
        }
        self.evaluate_readers(&moved, as_of)
    }

    /// Evaluates the rows whose rules read sums that have changed. Their own figures are read by no rule,
    /// which the catalogue's check makes sure of.
    fn evaluate_readers(
        &mut self,
        moved: &BTreeSet<(PlaceId, String)>,
        as_of: Date,
    ) -> Result<(), StoreError> {
        let catalogue = Arc::clone(&self.directives.catalogue);
        let mut readers = BTreeSet::new();
        for (place, figure) in moved {
            for ledger in catalogue.readers_of_figure(figure) {
                let slice = SliceId { kind: ledger.slice, place: *place };
                let records = self.store.lookup().records_of(slice, &ledger.id)?;
                readers.extend(records.into_iter().map(|record| (slice, record)));
            }
        }
        for (slice, record) in readers {
            self.evaluate(slice, record, None, as_of)?;
        }
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "a ledger, links and row")]
    fn write_row(
        &mut self,
        slice: SliceId,
        record: RecordId,
        one: &Working,
    ) -> Result<Option<(Arc<Ledger>, Vec<(String, String)>, Option<Written>)>, StoreError> {
        let id = one.log.ledger().unwrap_or_default().to_owned();
        let catalogue = Arc::clone(&self.directives.catalogue);
        let ledger = catalogue.ledger(&id).cloned();
        let row = ledger.as_ref().and_then(|ledger| fold(&one.log, ledger));
        let (mut title, mut search, mut links) = Default::default();
        if let (Some(ledger), Some(row)) = (&ledger, &row) {
            (title, search) = self.texts_of(slice.place, ledger, row);
            links = links_of(ledger, row);
        }
        let due_on = match (&ledger, &row) {
            (Some(ledger), Some(row)) => due_on(ledger, row),
            _ => String::new(),
        };
        let text = row.as_ref().map(Row::to_text).unwrap_or_default();
        let update = RecordUpdate {
            log: &one.log,
            row: row.as_ref(),
            text: &text,
            ledger: &id,
            hash: Hash::default(),
            title: &title,
            due_on: &due_on,
            search: &search,
            origin: one.origin,
        };
        let before = self.store.title(slice, record)?;
        self.store.put_record(slice, record, &update)?;
        if before.as_deref() != Some(title.as_str()) {
            self.retitle(slice, record, &id, 0)?;
        }
        if matches!(id.as_str(), rights::RIGHT | rights::GRANT) {
            let movement = row.as_ref().and_then(|row| movement_of(record, row, &self.directives));
            self.store.set_movement(record, movement.as_ref())?;
        }
        self.store.set_links(slice.place, &id, record, &links)?;
        self.note_blobs(slice, record, ledger.as_deref(), row.as_ref())?;
        let written = row.map(|row| Written { row, text });
        Ok(ledger.map(|ledger| (ledger, links, written)))
    }

    /// Records with the identity of a changed one, and those that a changed decision names.
    fn twins_touched(
        &self,
        slice: SliceId,
        record: RecordId,
        ledger: &Ledger,
        links: &[(String, String)],
        affected: &mut BTreeSet<(SliceId, RecordId)>,
    ) -> Result<(), StoreError> {
        if ledger.id == taizhang_core::record::twin::SAME {
            let row = self.store.record(slice, record)?.and_then(|stored| stored.row);
            for field in ["one", "other"] {
                let text = row.as_ref().map(|row| row.text(field)).unwrap_or_default();
                let pair = text.split_once('/');
                let pair = pair.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                affected.extend(pair.map(|(place, id)| (SliceId::ledger(place), id)));
            }
        }
        let Some(identity) = &ledger.identity else { return Ok(()) };
        for (_, value) in links.iter().filter(|(field, _)| field == identity) {
            let twins = self.store.with_value(&ledger.id, identity, value)?;
            let slice_of = |place| SliceId { kind: ledger.slice, place };
            affected.extend(twins.into_iter().map(|(place, id)| (slice_of(place), id)));
        }
        Ok(())
    }

    /// Rows whose rules read a record with these link values.
    fn neighbours(
        &self,
        slice: SliceId,
        record: RecordId,
        ledger: &Ledger,
        links: &[(String, String)],
        affected: &mut BTreeSet<(SliceId, RecordId)>,
    ) -> Result<(), StoreError> {
        let own_id = record.to_string();
        for (reader, uses) in self.directives.catalogue.readers_of(&ledger.id) {
            let values: Vec<&str> = if uses.by == "_id" {
                vec![&own_id]
            } else {
                let of_field = links.iter().filter(|(field, _)| *field == uses.by);
                of_field.map(|(_, value)| value.as_str()).collect()
            };
            if uses.by.is_empty() && !uses.path {
                let readers = self.store.lookup().records_of(slice, &reader.id)?;
                affected.extend(readers.into_iter().map(|id| (slice, id)));
                continue;
            }
            let places: Vec<PlaceId> = match (uses.path, uses.below) {
                (true, _) => self.directives.tree.subtree(slice.place),
                (_, true) => self.directives.tree.path(slice.place),
                _ => vec![slice.place],
            };
            for place in places {
                let kind = if uses.path || uses.below { reader.slice } else { slice.kind };
                for value in &values {
                    if uses.eq == "_id" {
                        affected.extend(value.parse().ok().map(|id| (SliceId { kind, place }, id)));
                        continue;
                    }
                    let found = self.store.linked(place, &reader.id, &uses.eq, value)?;
                    affected.extend(found.into_iter().map(|id| (SliceId { kind, place }, id)));
                }
            }
        }
        Ok(())
    }

    /// Evaluates rules and indicators of one row, just written or as stored, and writes what follows.
    /// Gives the standing indicators to which the row now adds something else.
    fn evaluate(
        &mut self,
        slice: SliceId,
        record: RecordId,
        written: Option<Written>,
        as_of: Date,
    ) -> Result<BTreeSet<String>, StoreError> {
        let written = match written {
            Some(written) => Some(written),
            None => {
                let row = self.store.lookup().row_ever(slice, record)?;
                row.map(|row| Written { text: row.to_text(), row })
            }
        };
        let catalogue = Arc::clone(&self.directives.catalogue);
        let ledger = written.as_ref().and_then(|one| catalogue.ledger(&one.row.ledger));
        let (Some(Written { row, text }), Some(ledger)) = (written, ledger) else {
            self.store.set_findings(slice, record, &[])?;
            let above = self.above(slice);
            return self.store.set_contributions(slice, record, &Additions::new(), &above, 0);
        };
        let Judged { findings, additions, reach } =
            self.judged(slice, record, ledger, &row, as_of)?;
        self.store.set_findings(slice, record, &findings)?;
        let above = self.above(slice);
        let moved = self.store.set_contributions(slice, record, &additions, &above, reach)?;
        self.store.set_record_hash(slice, record, row_hash(&text, &findings))?;
        Ok(moved)
    }

    /// What rules and indicators say of a row, and how far up it counts.
    pub(super) fn judged(
        &self,
        slice: SliceId,
        record: RecordId,
        ledger: &Ledger,
        row: &Row,
        as_of: Date,
    ) -> Result<Judged, StoreError> {
        let around = self.around(slice);
        let left_behind = row.moved.is_none() && self.refers_to_moved(slice, ledger, row)?;
        let more = left_behind.then(Finding::left_behind);
        let (findings, mut additions) =
            self.evaluator.findings_and_additions(ledger, row, record, &around, as_of, more);
        // Registers of the offices above are read here; they count there.
        if slice.kind == SliceKind::Directive && !around.knows_below() {
            additions.clear();
        }
        let twins =
            twins_of(self.store.lookup(), &self.directives, slice.place, record, ledger, row)?;
        let reach =
            if left_behind { 0 } else { twins::reach(&self.directives, slice.place, &twins) };
        Ok(Judged { findings, additions, reach })
    }

    /// Whether a reference of a row names a record of its slice that was moved away, and with which this
    /// one should have gone. What went along with such a record leaves the place's own registers whole.
    pub(super) fn refers_to_moved(
        &self,
        slice: SliceId,
        ledger: &Ledger,
        row: &Row,
    ) -> Result<bool, StoreError> {
        for field in ledger.fields.iter().filter(|one| matches!(one.kind, FieldKind::Ref(_))) {
            let Ok(id) = row.text(&field.id).parse() else { continue };
            let moved = self.store.row(slice, id)?.and_then(|row| row.moved);
            if moved.is_some_and(|moved| !moved.along) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The places whose roll-ups a record of `slice` counts in: its own and those above.
    pub(super) fn above(&self, slice: SliceId) -> Vec<PlaceId> {
        let mut path = self.directives.tree.path(slice.place);
        path.reverse();
        path
    }

    /// What rules of a slice may ask.
    pub(super) fn around(&self, slice: SliceId) -> Around<'_> {
        let (store, own) = (self.store.lookup(), self.place());
        Around { store, directives: &self.directives, own, slice }
    }

    /// The day for which dated findings hold.
    pub(super) fn as_of(&self) -> Result<Date, StoreError> {
        let days = self.store.derived_meta(AS_OF)?.unwrap_or(0);
        Ok(Date::from_days(days))
    }

    /// Evaluates rows again after directives or the day changed, a step at a time; gives whether
    /// more remain.
    pub(crate) fn re_evaluate(&mut self, now: UtcMillis) -> Result<bool, StoreError> {
        if self.as_of()? != now.date() {
            self.store.set_derived_meta(AS_OF, now.date().to_days())?;
            self.store.set_derived_meta(CURSOR, 0)?;
        }
        let Some(cursor) = self.store.derived_meta(CURSOR)?.filter(|cursor| *cursor >= 0) else {
            return Ok(false);
        };
        let records = self.store.records_after(cursor, STEP_ROWS)?;
        let mut last = -1;
        for (rowid, slice, record, ledger) in records {
            last = rowid;
            if ledger.starts_with("sys_") {
                continue;
            }
            self.working(slice, record)?.dirty = true;
        }
        self.store.set_derived_meta(CURSOR, last)?;
        Ok(last >= 0)
    }

    /// Findings of a row as it would be in another state, for steps that a rule blocks.
    pub(crate) fn findings_as(
        &self,
        slice: SliceId,
        record: RecordId,
        ledger: &Ledger,
        row: &Row,
        now: UtcMillis,
    ) -> Vec<Finding> {
        let around = self.around(slice);
        self.evaluator.findings(ledger, row, record, &around, now.date())
    }

    /// Results of rules about places (R-CHN-01) at the villages held here: rule, place, outcome.
    pub fn place_findings(
        &self,
        place: PlaceId,
        now: UtcMillis,
    ) -> Vec<(String, taizhang_core::rules::Outcome, String)> {
        let slice = SliceId { kind: SliceKind::Directive, place };
        let around = self.around(slice);
        let catalogue = &self.directives.catalogue;
        let about = catalogue.ledgers.values().flat_map(|ledger| {
            ledger.rules.iter().filter(|rule| rule.about_place).map(move |rule| (ledger, rule))
        });
        let mut found = Vec::new();
        for (_, rule) in about {
            let outcome = self.evaluator.apply(rule, None, &around, now.date(), now.date());
            if let Some((outcome, reason)) = outcome {
                found.push((rule.id.clone(), outcome, reason));
            }
        }
        found
    }
}
