//! What one village wrote: its records, one more that is timed, and the edits of the storm.

use std::collections::BTreeMap;
use std::sync::Arc;

use taizhang_core::catalogue::Ledger;
use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::{Action, Entry, Person, RecordChange};
use taizhang_core::id::{FeedId, Lane, Level, RecordId, SliceId, SliceKind};
use taizhang_core::record::change::scan;
use taizhang_core::record::edit::compose;
use taizhang_core::record::log::{Origin, RecordLog};
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;
use taizhang_core::verdict::SeesMap;
use taizhang_hub::demo::sample::{self, SampleLine};

use super::chains::Keys;
use super::feeds::{Archive, Feed, FeedWriter, LOAD, PHASES, PROBE, STORM};
use super::records::{Filler, choose, editable, edited};
use super::words;
use crate::chance::Dice;
use crate::world::household;

/// The ledger of the record that is timed: every ticket that is not settled counts in a figure.
const TIMED: &str = "problem_ticket";

/// New records by ledger, of each phase.
pub type Counts = [BTreeMap<String, u64>; PHASES];

/// What one village shall write.
pub struct Task<'a> {
    /// What it has applied.
    pub directives: &'a Directives,
    /// How far it has applied its path.
    pub sees: SeesMap,
    /// The seed of all.
    pub seed: u64,
    /// Its number among all villages.
    pub number: usize,
    /// Records of the initial load.
    pub records: usize,
    /// Households of the sample from which they are taken.
    pub households: usize,
    /// Edits of the storm.
    pub edits: usize,
    /// Whether one more record is written between the two, and timed.
    pub probe: bool,
    /// The time of its entries.
    pub now: UtcMillis,
}

/// A record that edits may change.
struct Made {
    record: RecordId,
    slice: SliceId,
    lane: Lane,
    /// The change that made it.
    bytes: Vec<u8>,
    lamport: u64,
    /// The field that is edited, and its first value.
    field: (String, Value),
    /// Its changes, once it was edited.
    log: RecordLog,
}

struct Maker<'a> {
    task: &'a Task<'a>,
    keys: &'a Keys,
    archive: &'a mut Archive,
    dice: Dice,
    sees: SeesMap,
    policy_seen: u64,
    writers: BTreeMap<(SliceId, Lane), FeedWriter>,
    lamports: BTreeMap<SliceId, u64>,
    ids: BTreeMap<String, RecordId>,
    made: Vec<Made>,
    phase: usize,
    counts: Counts,
}

/// Writes a village's feeds; gives them, and what records each phase makes.
///
/// # Errors
///
/// A line that a village could not write, or a file that takes no more.
pub fn write(
    task: &Task<'_>,
    keys: &Keys,
    archive: &mut Archive,
) -> Result<(Vec<Feed>, Counts), String> {
    let mut maker = Maker {
        task,
        keys,
        archive,
        dice: Dice::new(task.seed, &format!("bench village {}", task.number)),
        sees: task.sees.clone(),
        policy_seen: task.directives.policy_seen(keys.place),
        writers: BTreeMap::new(),
        lamports: BTreeMap::new(),
        ids: BTreeMap::new(),
        made: Vec::new(),
        phase: LOAD,
        counts: Counts::default(),
    };
    let lines = sample::families(task.seed.wrapping_add(task.number as u64), task.households);
    let timed = lines.iter().rfind(|line| line.ledger == TIMED).cloned();
    let lines = choose(lines, task.records, &mut maker.dice);
    maker.load(&lines)?;
    maker.phase = PROBE;
    if let Some(line) = timed.filter(|_| task.probe) {
        maker.probe(line)?;
    }
    maker.mark()?;
    maker.phase = STORM;
    for _ in 0..task.edits {
        maker.edit()?;
    }
    maker.mark()?;
    let feeds = maker.writers.into_values().map(FeedWriter::finish);
    Ok((feeds.filter(|feed| feed.entries > 0).collect(), maker.counts))
}

fn clerk() -> Person {
    Person { name: "村文书".into(), role: "village_clerk".into() }
}

impl Maker<'_> {
    fn record_id(&mut self) -> RecordId {
        let mut id = RecordId::default();
        self.dice.fill(&mut id.0);
        id
    }

    fn ledger(&self, id: &str) -> Result<Arc<Ledger>, String> {
        let ledger = self.task.directives.catalogue.ledger(id);
        let kept = ledger.filter(|one| one.scope.contains(&Level::Village) && !one.closed);
        kept.cloned().ok_or_else(|| format!("a village keeps no ledger {id}"))
    }

    /// Registers first: what other entries refer to, and what they saw of the village's own directives.
    fn load(&mut self, lines: &[SampleLine]) -> Result<(), String> {
        for line in lines {
            let id = self.record_id();
            self.ids.insert(line.id.clone(), id);
        }
        for kind in [SliceKind::Directive, SliceKind::Ledger] {
            for line in lines {
                let ledger = self.ledger(line.ledger)?;
                if ledger.slice == kind {
                    let id = self.ids.get(&line.id).copied().unwrap_or_default();
                    self.create(&ledger, line, id)?;
                }
            }
            self.mark()?;
            for ((slice, _), writer) in &self.writers {
                if slice.kind == SliceKind::Directive {
                    self.sees.insert((*slice, self.keys.author), writer.count());
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), String> {
        let (archive, phase) = (&mut *self.archive, self.phase);
        self.writers.values_mut().try_for_each(|writer| writer.mark(phase, archive))
    }

    /// One more ticket, which refers to nothing.
    fn probe(&mut self, mut line: SampleLine) -> Result<(), String> {
        line.fields.retain(|_, value| value.as_str().is_none_or(|text| !text.starts_with('@')));
        let number = format!("压测-{}", self.task.number);
        line.fields.insert("ticket_no".into(), number.into());
        let ledger = self.ledger(line.ledger)?;
        let id = self.record_id();
        self.create(&ledger, &line, id)
    }

    fn create(&mut self, ledger: &Ledger, line: &SampleLine, id: RecordId) -> Result<(), String> {
        let directives = self.task.directives;
        let filler =
            Filler { catalogue: &directives.catalogue, ids: &self.ids, village: self.task.number };
        let keys = filler.keys(ledger, line, &mut self.dice)?;
        let actor = self.keys.author.actor();
        let bytes = compose(&RecordLog::default(), actor, self.task.now, &keys).map_err(words)?;
        let slice = SliceId { kind: ledger.slice, place: self.keys.place };
        let lane = ledger.lane;
        if let Some(field) = editable(ledger, &keys) {
            let lamport = self.lamports.get(&slice).copied().unwrap_or(0) + 1;
            let (bytes, log) = (bytes.clone(), RecordLog::default());
            self.made.push(Made { record: id, slice, lane, bytes, lamport, field, log });
        }
        *self.counts[self.phase].entry(ledger.id.clone()).or_default() += 1;
        self.push(slice, lane, Action::Create, RecordChange { record: id, bytes })
    }

    fn push(
        &mut self,
        slice: SliceId,
        lane: Lane,
        action: Action,
        change: RecordChange,
    ) -> Result<(), String> {
        let lamport = self.lamports.entry(slice).or_default();
        *lamport += 1;
        let entry = Entry {
            time: self.task.now,
            person: clerk(),
            action,
            lamport: *lamport,
            policy_seen: self.policy_seen,
            import: None,
            changes: vec![change],
        };
        let (keys, sees, archive) = (self.keys, &self.sees, &mut *self.archive);
        let writer = self.writers.entry((slice, lane)).or_insert_with(|| {
            let id = FeedId { slice, lane, author: keys.author };
            FeedWriter::new(id, keys, sees, archive)
        });
        writer.push(entry, archive)
    }

    /// One edit of a record, or a new household if there is nothing to edit.
    fn edit(&mut self) -> Result<(), String> {
        if self.made.is_empty() {
            let fields = household("新户").into_iter();
            let fields = fields.map(|(name, value)| (name.to_owned(), value.into())).collect();
            let (ledger, level) = ("poor_household", Level::Village);
            let line = SampleLine { ledger, id: String::new(), fields, level };
            let (ledger, id) = (self.ledger(line.ledger)?, self.record_id());
            return self.create(&ledger, &line, id);
        }
        let at = self.dice.index(self.made.len());
        let (author, now) = (self.keys.author, self.task.now);
        let mut origin = Origin {
            author,
            level: Level::Village,
            place: self.keys.place,
            lamport: 0,
            time: now,
            person: clerk(),
            arrival: None,
            counted: true,
        };
        let made = &mut self.made[at];
        let (slice, lane, record) = (made.slice, made.lane, made.record);
        if made.log.changes.is_empty() {
            let first = scan(&made.bytes).map_err(words)?;
            made.log.push(first, Vec::new(), Origin { lamport: made.lamport, ..origin.clone() });
        }
        let number = i64::try_from(made.log.changes.len()).map_err(words)?;
        let (key, first) = &made.field;
        let writes = [(key.clone(), Some(edited(first, number)))];
        let bytes = compose(&made.log, author.actor(), now, &writes).map_err(words)?;
        let scanned = scan(&bytes).map_err(words)?;
        let deps = made.log.check(&scanned).map_err(words)?;
        origin.lamport = self.lamports.get(&slice).copied().unwrap_or(0) + 1;
        made.log.push(scanned, deps, origin);
        self.push(slice, lane, Action::Set, RecordChange { record, bytes })
    }
}
