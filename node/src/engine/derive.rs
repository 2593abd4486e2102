//! From changed logs to rows, links, findings and roll-ups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taizhang_core::catalogue::{FieldKind, Ledger};
use taizhang_core::id::{AuthorId, Hash, PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::record::fold::{Row, fold};
use taizhang_core::record::log::RecordLog;
use taizhang_core::record::moved::MOVED_KEY;
use taizhang_core::rights;
use taizhang_core::rules::figures::Additions;
use taizhang_core::rules::{Finding, Surroundings as _};
use taizhang_core::time::{Date, UtcMillis};

use super::Engine;
use super::around::Around;
use super::dependents::Changed;
use super::rights::movement_of;
use super::twins::{self, twins_of};
use crate::store::StoreError;
use crate::store::derived::{RecordUpdate, parse_row};

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
pub(super) struct Written {
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
            let before = self.store.lookup().text_ever(slice, record)?;
            if let Some((ledger, links, row)) = self.write_row(slice, record, &one)? {
                let text = row.as_ref().map(|row| row.text.as_str()).unwrap_or_default();
                let is_as_before = before.as_deref() == Some(text) && old == links;
                rows.extend(row.map(|row| ((slice, record), row)));
                if !is_as_before {
                    let links = [old, links].concat();
                    let changed = Changed { slice, record, ledger: &ledger, links: &links };
                    self.dependents(changed, &mut affected)?;
                }
            }
            affected.insert((slice, record));
        }
        if std::mem::take(&mut self.rules_due) {
            self.store.set_derived_meta(CURSOR, 0)?;
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
            self.store.set_movement(slice, record, movement.as_ref())?;
        }
        self.store.set_links(slice.place, &id, record, &links)?;
        self.note_blobs(slice, record, ledger.as_deref(), row.as_ref())?;
        let written = row.map(|row| Written { row, text });
        Ok(ledger.map(|ledger| (ledger, links, written)))
    }

    /// Evaluates rules and indicators of one row, just written or as stored, and writes what follows.
    /// Gives the standing indicators to which the row now adds something else.
    pub(super) fn evaluate(
        &mut self,
        slice: SliceId,
        record: RecordId,
        written: Option<Written>,
        as_of: Date,
    ) -> Result<BTreeSet<String>, StoreError> {
        let written = match written {
            Some(written) => Some(written),
            // What names a record that is not here, touches no other of its place with that id.
            None => match self.store.lookup().text_ever(slice, record)? {
                Some(text) => parse_row(&text)?.map(|row| Written { row, text }),
                None => return Ok(BTreeSet::new()),
            },
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
