//! What a policy version would change, before it is published: records that would get or lose findings,
//! figures that would move, local values that would be covered.
//!
//! Everything here is evaluated on snapshots of readers, a step at a time and off the engine's thread; nothing
//! is written. Only ledgers whose rules name a changed parameter are looked at, and of their rows only
//! those for whose business date the value changes; then those whose rules read a figure that this moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use taizhang_core::catalogue::{Catalogue, Ledger, Rule, Uses};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, RecordId, SliceId};
use taizhang_core::policy::{InForce, PolicyVersion};
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::Value;
use taizhang_core::rules::figures::Additions;
use taizhang_core::rules::{Evaluator, Outcome, Surroundings};
use taizhang_core::time::{Date, UtcMillis};

use crate::driver::{Replica, clock};
use crate::engine::around::Around;
use crate::engine::command::{CommandError, refuse};
use crate::engine::draft::Draft;
use crate::engine::twins::{reach, twins_of};
use crate::store::StoreError;
use crate::store::lookup::Lookup;
use crate::store::read::Reader;

/// Rows evaluated in one snapshot.
const STEP_ROWS: u64 = 2_000;
/// Rows evaluated in all: beyond them the preview is a sample, and says so.
const ROWS_MAX: u64 = 200_000;
/// Records listed.
const RECORDS_MAX: usize = 50;
/// Previews kept.
const KEPT_MAX: usize = 16;

/// Findings that would come and go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// How many would come.
    pub gained: u64,
    /// How many would go.
    pub lost: u64,
}

/// A record whose findings would change.
#[derive(Clone, Debug)]
pub struct Touched {
    /// The record.
    pub record: RecordId,
    /// Its place.
    pub place: PlaceId,
    /// Its ledger.
    pub ledger: String,
    /// Its title, not masked.
    pub title: String,
    /// Findings that would come.
    pub gained: Vec<(String, Outcome)>,
    /// Findings that would go.
    pub lost: Vec<(String, Outcome)>,
}

/// What publishing a draft would change, as far as it is known by now.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// When it began.
    pub started: UtcMillis,
    /// Whether it is complete.
    pub is_done: bool,
    /// Why it ended early; empty if it did not.
    pub error: String,
    /// Rows looked at.
    pub rows: u64,
    /// Rows to look at.
    pub total: u64,
    /// Whether only some places were looked at.
    pub is_sample: bool,
    /// By rule and outcome.
    pub rules: BTreeMap<(String, Outcome), Tally>,
    /// By child of the office, or the office itself.
    pub places: BTreeMap<PlaceId, Tally>,
    /// Differences of indicators at the office, all periods together.
    pub figures: BTreeMap<String, i64>,
    /// Records whose findings change.
    pub touched: u64,
    /// The first of them.
    pub records: Vec<Touched>,
}

/// Previews of this process, by draft.
#[derive(Default)]
pub struct Previews {
    kept: Mutex<BTreeMap<RecordId, Preview>>,
}

impl Previews {
    /// The preview of a draft, as far as it is.
    pub fn of(&self, draft: RecordId) -> Option<Preview> {
        self.kept.lock().ok()?.get(&draft).cloned()
    }

    fn put(&self, draft: RecordId, preview: Preview) {
        let Ok(mut kept) = self.kept.lock() else { return };
        kept.insert(draft, preview);
        while kept.len() > KEPT_MAX {
            let done = kept.iter().filter(|(_, one)| one.is_done);
            let oldest = done.min_by_key(|(_, one)| one.started).map(|(id, _)| *id);
            let Some(oldest) = oldest else { return };
            kept.remove(&oldest);
        }
    }

    /// Notes that the preview of a draft begins. Gives whether it does: it may run already.
    fn begin(&self, draft: RecordId, preview: Preview) -> Result<bool, CommandError> {
        let Ok(mut kept) = self.kept.lock() else { return Ok(false) };
        match kept.iter().find(|(_, one)| !one.is_done) {
            None => {}
            Some((id, _)) if *id == draft => return Ok(false),
            Some(_) => {
                return refuse(
                    "另一预览正在进行,请稍后再试",
                    "another preview is running; try again later",
                );
            }
        }
        kept.insert(draft, preview);
        Ok(true)
    }
}

/// A preview beside the pages: it ends as one that failed unless it says otherwise, so that none seems to run
/// for ever.
struct Running {
    replica: Replica,
    draft: RecordId,
    last: Preview,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.last.is_done = true;
        self.replica.previews().put(self.draft, std::mem::take(&mut self.last));
    }
}

/// A parameter of a draft beside what is in force on its first day.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The parameter.
    pub param: String,
    /// What is in force at the office.
    pub before: InForce,
    /// What would be.
    pub after: InForce,
    /// The value of the draft.
    pub proposed: Value,
    /// Another version of the office sets it from the same day on: the later one holds (R-PAR-02).
    pub same_day: bool,
}

/// A county's own value under the draft.
#[derive(Clone, Debug)]
pub struct Local {
    /// The county.
    pub county: PlaceId,
    /// The parameter.
    pub param: String,
    /// In force there now.
    pub before: InForce,
    /// In force there afterwards.
    pub after: InForce,
    /// From this day on.
    pub day: Date,
}

fn first_day(draft: &Draft) -> Date {
    Date::parse(&draft.policy.effective_from).unwrap_or(Date { year: 9999, month: 12, day: 31 })
}

/// The draft beside the version in force, parameter by parameter.
pub fn compare(before: &Directives, after: &Directives, draft: &Draft) -> Vec<Compared> {
    let day = first_day(draft);
    let own: &[PolicyVersion] = before.policies.get(&draft.place).map_or(&[], Vec::as_slice);
    let compared = draft.policy.values.iter().map(|(param, proposed)| Compared {
        param: param.clone(),
        before: before.param(param, draft.place, day),
        after: after.param(param, draft.place, day),
        proposed: proposed.clone(),
        same_day: own.iter().any(|version| {
            version.effective_from == draft.policy.effective_from
                && version.values.contains_key(param)
                && version.signed.draft != draft.record.to_string()
        }),
    });
    compared.collect()
}

/// Days on which what holds at a county may change: the draft's first, and those from which the county's own
/// versions set the parameter later.
fn days(before: &Directives, county: PlaceId, param: &str, first: Date) -> Vec<Date> {
    let own = before.policies.get(&county).into_iter().flatten();
    let setting = own.filter(|version| version.values.contains_key(param));
    let later = setting.filter_map(|version| Date::parse(&version.effective_from));
    let mut days: Vec<Date> = later.filter(|day| *day > first).chain([first]).collect();
    days.sort_unstable();
    days.dedup();
    days
}

/// Local values that a draft would cover, clamp or free, by county, also those that begin after it.
pub fn locals(before: &Directives, after: &Directives, draft: &Draft) -> Vec<Local> {
    let first = first_day(draft);
    let tree = &before.tree;
    let is_county =
        |id: &PlaceId| tree.place(*id).is_some_and(|place| place.level == Level::County);
    let mut found = Vec::new();
    for county in tree.children(draft.place).into_iter().filter(is_county) {
        let params = draft.policy.values.keys();
        let asked = params.flat_map(|param| {
            days(before, county, param, first).into_iter().map(move |day| (param, day))
        });
        for (param, day) in asked {
            let one = Local {
                county,
                param: param.clone(),
                before: before.param(param, county, day),
                after: after.param(param, county, day),
                day,
            };
            let has_local = one.before.local.is_some() || one.after.local.is_some();
            let changes = one.before.value != one.after.value
                || one.before.overridden != one.after.overridden;
            if has_local && (changes || one.after.overridden) {
                found.push(one);
            }
        }
    }
    found
}

fn names(rule: &Rule, params: &[String]) -> bool {
    !rule.about_place && rule.params.iter().any(|param| params.contains(param))
}

/// Figures that a change of some parameters may move: those of ledgers whose rules name one.
fn movable(catalogue: &Catalogue, params: &[String]) -> BTreeSet<String> {
    let named = |ledger: &&Arc<Ledger>| ledger.rules.iter().any(|rule| names(rule, params));
    let ledgers = catalogue.ledgers_for_people().filter(named);
    ledgers.flat_map(|ledger| ledger.indicators.iter().map(|one| one.id.clone())).collect()
}

/// Differences of standing figures, by place and indicator.
type Moved = BTreeMap<(PlaceId, String), i64>;

/// What rules may ask, with figures as far as they have moved.
struct Asked<'a> {
    around: Around<'a>,
    moved: Option<&'a Moved>,
}

impl Surroundings for Asked<'_> {
    fn related(&self, subject: Option<(&Row, RecordId)>, uses: &Uses) -> Vec<(RecordId, Row)> {
        self.around.related(subject, uses)
    }

    fn param(&self, id: &str, day: Date) -> Option<Value> {
        self.around.param(id, day)
    }

    fn is_set(&self, id: &str) -> bool {
        self.around.is_set(id)
    }

    fn ledger(&self, id: &str) -> Option<Arc<Ledger>> {
        self.around.ledger(id)
    }

    fn knows_below(&self) -> bool {
        self.around.knows_below()
    }

    fn figure(&self, id: &str) -> i64 {
        let key = (self.around.slice.place, id.to_owned());
        let moved = self.moved.and_then(|moved| moved.get(&key)).copied();
        self.around.figure(id).saturating_add(moved.unwrap_or(0))
    }
}

/// One ledger of one place.
struct Part {
    slice: SliceId,
    ledger: Arc<Ledger>,
}

/// A preview under way.
struct Work {
    own: PlaceId,
    place: PlaceId,
    before: Arc<Directives>,
    after: Directives,
    params: Vec<String>,
    /// Figures that the draft may move.
    movable: BTreeSet<String>,
    /// Those that it moves.
    moved: Moved,
    as_of: Date,
    evaluator: Evaluator,
    found: Preview,
}

impl Work {
    fn new(replica: &Replica, draft: &Draft, now: UtcMillis) -> Self {
        let before = replica.directives();
        let level = replica.identity().checked.name.level();
        let params: Vec<String> = draft.policy.values.keys().cloned().collect();
        Self {
            own: replica.place(),
            place: draft.place,
            after: draft.published_in(&before, level),
            movable: movable(&before.catalogue, &params),
            moved: Moved::new(),
            before,
            params,
            as_of: now.date(),
            evaluator: Evaluator::default(),
            found: Preview { started: now, ..Preview::default() },
        }
    }

    fn reads_movable(&self, rule: &Rule) -> bool {
        !rule.about_place && rule.figures.iter().any(|id| self.movable.contains(id))
    }

    /// The rules of a ledger that name one of the parameters, or read a figure that these may move.
    fn rules_of<'a>(&self, ledger: &'a Ledger) -> Vec<&'a Rule> {
        let rules = ledger.rules.iter().map(|rule| &**rule);
        rules.filter(|rule| names(rule, &self.params) || self.reads_movable(rule)).collect()
    }

    /// What is to be looked at: places below the office, ledger by ledger, those that read figures last;
    /// every n-th of them if all would be too much.
    fn parts(&mut self, reader: &Reader<'_>) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        let catalogue = Arc::clone(&self.before.catalogue);
        for ledger in catalogue.ledgers_for_people() {
            if self.rules_of(ledger).is_empty() {
                continue;
            }
            for (place, count) in reader.lookup().places_with(&ledger.id)? {
                if self.before.tree.is_above_or_same(self.place, place) {
                    self.found.total += count;
                    let slice = SliceId { kind: ledger.slice, place };
                    parts.push(Part { slice, ledger: Arc::clone(ledger) });
                }
            }
        }
        parts.sort_by_key(|part| part.ledger.rules.iter().any(|rule| self.reads_movable(rule)));
        let every = usize::try_from(self.found.total.div_ceil(ROWS_MAX)).unwrap_or(1).max(1);
        self.found.is_sample = every > 1;
        Ok(parts.into_iter().step_by(every).collect())
    }

    /// Looks at one ledger of one place.
    fn part(&mut self, reader: &Reader<'_>, part: &Part) -> Result<(), StoreError> {
        let rows = reader.lookup().rows_of(part.slice, &part.ledger.id)?;
        for (id, row) in &rows {
            self.found.rows += 1;
            if row.moved.is_none() && self.is_affected(part, row) {
                self.row(reader, part, *id, row)?;
            }
        }
        Ok(())
    }

    /// Whether any value changes for the row's own business date, or a figure that its rules read.
    fn is_affected(&self, part: &Part, row: &Row) -> bool {
        let (day, place) = (row.business_date(&part.ledger), part.slice.place);
        let has_moved = |id: &String| {
            self.moved.get(&(place, id.clone())).is_some_and(|difference| *difference != 0)
        };
        let mut read = part.ledger.rules.iter().flat_map(|rule| &rule.figures);
        self.params.iter().any(|id| {
            self.before.param(id, place, day).value != self.after.param(id, place, day).value
        }) || read.any(has_moved)
    }

    fn around<'a>(&'a self, lookup: Lookup<'a>, after: bool, slice: SliceId) -> Asked<'a> {
        let directives = if after { &self.after } else { &*self.before };
        let around = Around { store: lookup, directives, own: self.own, slice };
        Asked { around, moved: after.then_some(&self.moved) }
    }

    fn row(
        &mut self,
        reader: &Reader<'_>,
        part: &Part,
        id: RecordId,
        row: &Row,
    ) -> Result<(), StoreError> {
        let ledger = part.ledger.as_ref();
        let day = row.business_date(ledger);
        let (mut gained, mut lost) = (Vec::new(), Vec::new());
        for rule in self.rules_of(ledger) {
            let [before, after] = [false, true].map(|after| {
                let around = self.around(reader.lookup(), after, part.slice);
                let subject = Some((ledger, row, id));
                let found = self.evaluator.apply(rule, subject, &around, day, self.as_of);
                found.map(|(outcome, _)| outcome)
            });
            if before != after {
                gained.extend(after.map(|outcome| (rule.id.clone(), outcome)));
                lost.extend(before.map(|outcome| (rule.id.clone(), outcome)));
            }
        }
        if gained.is_empty() && lost.is_empty() {
            return Ok(());
        }
        self.figures(reader.lookup(), part, id, row)?;
        self.note(reader, part, id, gained, lost)
    }

    /// Moves the figures of the office, and those that rules read, by what a row would add otherwise. Counts
    /// of different values need their whole slice, and are left out.
    fn figures(
        &mut self,
        lookup: Lookup<'_>,
        part: &Part,
        id: RecordId,
        row: &Row,
    ) -> Result<(), StoreError> {
        let ledger = part.ledger.as_ref();
        let [before, after] = [false, true].map(|after| -> Additions {
            let around = self.around(lookup, after, part.slice);
            let as_of = self.as_of;
            self.evaluator.findings_and_additions(ledger, row, id, &around, as_of, None).1
        });
        if before == after {
            return Ok(());
        }
        let place = part.slice.place;
        let twins = twins_of(lookup, &self.before, place, id, ledger, row)?;
        let path = self.before.tree.path(place);
        let counted = path.iter().rev().take(reach(&self.before, place, &twins));
        let counted: Vec<PlaceId> = counted.copied().collect();
        for (additions, sign) in [(after, 1), (before, -1)] {
            for (at, value) in additions.into_iter().filter(|(at, _)| at.value.is_empty()) {
                if at.period.is_empty() && self.movable.contains(&at.indicator) {
                    for place in &counted {
                        let moved = self.moved.entry((*place, at.indicator.clone())).or_default();
                        *moved += sign * value;
                    }
                }
                if counted.contains(&self.place) {
                    *self.found.figures.entry(at.indicator).or_default() += sign * value;
                }
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        reader: &Reader<'_>,
        part: &Part,
        record: RecordId,
        gained: Vec<(String, Outcome)>,
        lost: Vec<(String, Outcome)>,
    ) -> Result<(), StoreError> {
        let place = part.slice.place;
        let path = self.before.tree.path(place);
        let own = path.iter().position(|one| *one == self.place);
        let below = own.and_then(|at| path.get(at + 1)).copied().unwrap_or(self.place);
        for (key, is_gain) in
            gained.iter().map(|key| (key, true)).chain(lost.iter().map(|key| (key, false)))
        {
            let rule = self.found.rules.entry(key.clone()).or_default();
            let place = self.found.places.entry(below).or_default();
            for tally in [rule, place] {
                if is_gain { tally.gained += 1 } else { tally.lost += 1 }
            }
        }
        self.found.touched += 1;
        if self.found.records.len() < RECORDS_MAX {
            let title = reader.title(record)?.map(|(title, _)| title).unwrap_or_default();
            let ledger = part.ledger.id.clone();
            self.found.records.push(Touched { record, place, ledger, title, gained, lost });
        }
        Ok(())
    }
}

impl Replica {
    /// What publishing a draft would change; `progress` hears of every step. Blocks: not for the threads of
    /// pages.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn previewed(
        &self,
        draft: &Draft,
        now: UtcMillis,
        progress: impl Fn(&Preview),
    ) -> Result<Preview, StoreError> {
        let mut work = Work::new(self, draft, now);
        let mut parts = self.readers().with(|reader| work.parts(reader))?.into_iter();
        let mut next = parts.next();
        while next.is_some() && work.found.rows < ROWS_MAX {
            let end = work.found.rows + STEP_ROWS;
            self.readers().with(|reader| {
                while let Some(part) = next.take() {
                    work.part(reader, &part)?;
                    next = parts.next();
                    if work.found.rows >= end {
                        break;
                    }
                }
                Ok(())
            })?;
            progress(&work.found);
        }
        work.found.is_sample |= next.is_some();
        work.found.figures.retain(|_, difference| *difference != 0);
        work.found.is_done = true;
        Ok(work.found)
    }

    /// Begins the preview of a draft beside the pages; one that runs already goes on.
    ///
    /// # Errors
    ///
    /// That another draft is being previewed: each takes a thread for minutes.
    pub fn begin_preview(&self, draft: Draft) -> Result<(), CommandError> {
        let now = clock::now();
        let started = Preview { started: now, ..Preview::default() };
        if !self.previews().begin(draft.record, started.clone())? {
            return Ok(());
        }
        let broken = "预览中断,请重试 / the preview broke off; try again";
        let last = Preview { error: broken.into(), ..started };
        let running = Running { replica: self.clone(), draft: draft.record, last };
        tokio::task::spawn_blocking(move || {
            let mut running = running;
            let replica = running.replica.clone();
            let put = |found: &Preview| replica.previews().put(draft.record, found.clone());
            match replica.previewed(&draft, now, put) {
                Ok(done) => running.last = done,
                Err(error) => {
                    tracing::error!(%error, "a preview failed");
                    running.last.error = error.to_string();
                }
            }
        });
        Ok(())
    }
}
