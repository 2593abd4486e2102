//! Everything below the hub, made beforehand on a few threads: keys, roster entries, villages' feeds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use taizhang_core::directives::{Directives, ROSTER, chain_to_text};
use taizhang_core::feed::entry::{Action, Entry, RecordChange};
use taizhang_core::id::{AuthorId, FeedId, Lane, PlaceId, RecordId, SliceId};
use taizhang_core::place::judging_slices;
use taizhang_core::record::edit::{compose, creation};
use taizhang_core::record::log::RecordLog;
use taizhang_core::time::UtcMillis;
use taizhang_core::verdict::SeesMap;
use taizhang_node::engine::Engine;

use super::chains::{Issuer, Keys};
use super::feeds::{Archive, Feed, FeedWriter, LOAD, PROBE, STORM};
use super::network::Founded;
use super::records::households_for;
use super::village::{self, Counts, Task};
use super::{Plan, words};
use crate::chance::Dice;

/// Threads: the machines that are named in the figures have two cores.
const THREADS: usize = 2;

/// What one child of the hub holds from below.
#[derive(Default)]
pub struct Stock {
    /// Feeds that the hub lacks.
    pub feeds: Vec<Feed>,
    /// Offices below the child.
    pub offices: Vec<Keys>,
}

/// A feed that grows by one record between load and storm.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Which child has it.
    pub child: usize,
    /// Which of its feeds.
    pub feed: usize,
    /// Segments it has then.
    pub count: usize,
}

/// All that is played.
pub struct Load {
    /// By child.
    pub stocks: Vec<Stock>,
    /// Feeds whose single edit is timed.
    pub probes: Vec<Probe>,
    /// Records by ledger, new in each phase.
    pub records: Counts,
}

impl Load {
    /// Segments and bytes at the end of a phase.
    pub fn size(&self, phase: usize) -> (usize, usize) {
        let feeds = self.stocks.iter().flat_map(|stock| &stock.feeds);
        feeds.fold((0, 0), |(segments, bytes), feed| {
            let count = feed.marks[phase];
            (segments + count, bytes + feed.bytes(count))
        })
    }

    /// Records by ledger at the end of a phase.
    pub fn records_at(&self, phase: usize) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for counts in self.records.iter().take(phase + 1) {
            add(&mut sums, counts);
        }
        sums
    }

    /// Entries of all phases.
    pub fn entries(&self) -> u64 {
        self.stocks.iter().flat_map(|stock| &stock.feeds).map(|feed| feed.entries).sum()
    }
}

/// One township with its villages.
struct Unit {
    child: usize,
    township: PlaceId,
    villages: Vec<PlaceId>,
    /// Number of the first of them.
    first: usize,
}

type Made = (Stock, Counts);

/// How far a path is applied: what the hub's directives say, and what was written since.
fn sees(directives: &Directives, slice: SliceId, since: &[((SliceId, AuthorId), u64)]) -> SeesMap {
    let path = judging_slices(slice, &directives.tree);
    let known = directives.applied.iter().filter(|((seen, _), _)| path.contains(seen));
    known.map(|(feed, count)| (*feed, *count)).chain(since.iter().copied()).collect()
}

/// The roster entry of a new office, in its directive slice, by the office above it.
fn roster(
    by: &Keys,
    subject: &Keys,
    sees: &SeesMap,
    policy_seen: u64,
    now: UtcMillis,
    (archive, dice): (&mut Archive, &mut Dice),
) -> Result<Feed, String> {
    let mut record = RecordId::default();
    dice.fill(&mut record.0);
    let keys = [
        creation(ROSTER),
        ("place".into(), Some(subject.place.to_string().into())),
        ("replica".into(), Some(subject.replica.to_string().into())),
        ("chain".into(), Some(chain_to_text(&subject.chain).into())),
    ];
    let bytes = compose(&RecordLog::default(), by.author.actor(), now, &keys).map_err(words)?;
    let entry = Entry {
        time: now,
        person: Engine::program(),
        action: Action::Directive,
        // The child list of a hub stands in the slice before it.
        lamport: 2,
        policy_seen,
        import: None,
        changes: vec![RecordChange { record, bytes }],
    };
    let slice = SliceId::directive(subject.place);
    let id = FeedId { slice, lane: Lane::Directive, author: by.author };
    let mut writer = FeedWriter::new(id, by, sees, archive);
    writer.push(entry, archive)?;
    for phase in [LOAD, PROBE, STORM] {
        writer.mark(phase, archive)?;
    }
    Ok(writer.finish())
}

struct Workshop<'a> {
    plan: &'a Plan,
    founded: &'a Founded,
    households: usize,
    villages: usize,
}

impl Workshop<'_> {
    fn units(&self) -> Vec<Unit> {
        let tree = &self.founded.directives.tree;
        let mut units = Vec::new();
        let mut first = 0;
        for (child, one) in self.founded.children.iter().enumerate() {
            let below = tree.children(one.keys.place);
            let is_township = below.iter().all(|place| tree.children(*place).is_empty());
            let townships = if is_township { vec![one.keys.place] } else { below };
            for township in townships {
                let villages = tree.children(township);
                let count = villages.len();
                units.push(Unit { child, township, villages, first });
                first += count;
            }
        }
        units
    }

    /// The records of a village of that number, so that all together are as many as wanted.
    fn records_of(&self, number: usize) -> usize {
        let (each, rest) = (self.plan.records / self.villages, self.plan.records % self.villages);
        each + usize::from(number < rest)
    }

    fn is_probe(&self, number: usize) -> bool {
        let probes = self.plan.probes.clamp(1, self.villages);
        let step = self.villages / probes;
        self.plan.probes > 0 && number.is_multiple_of(step) && number / step < probes
    }

    fn make(&self, unit: &Unit, archive: &mut Archive) -> Result<Made, String> {
        let (directives, now) = (&*self.founded.directives, self.founded.now);
        let mut dice = Dice::new(self.plan.seed, &format!("bench township {}", unit.first));
        let child = &self.founded.children[unit.child];
        let (mut stock, mut records) = (Stock::default(), Counts::default());
        let mut since = Vec::new();
        let mut issuer = Issuer::of(&child.identity, now.0.div_euclid(1000))?;
        let mut town = None;
        if child.keys.place != unit.township {
            let (keys, below) = issuer.hub(unit.township, &mut dice)?;
            issuer = below;
            let slice = SliceId::directive(unit.township);
            let (seen, policy) =
                (sees(directives, slice, &[]), directives.policy_seen(unit.township));
            let tools = (&mut *archive, &mut dice);
            stock.feeds.push(roster(&child.keys, &keys, &seen, policy, now, tools)?);
            since.push(((slice, child.keys.author), 1));
            town = Some(keys);
        }
        for (nth, place) in unit.villages.iter().enumerate() {
            let by = town.as_ref().unwrap_or(&child.keys);
            let keys = issuer.office(*place, &mut dice)?;
            let slice = SliceId::directive(*place);
            let (mut seen, policy) =
                (sees(directives, slice, &since), directives.policy_seen(*place));
            let tools = (&mut *archive, &mut dice);
            stock.feeds.push(roster(by, &keys, &seen, policy, now, tools)?);
            seen.insert((slice, by.author), 1);
            let number = unit.first + nth;
            let task = Task {
                directives,
                sees: seen,
                seed: self.plan.seed,
                number,
                records: self.records_of(number),
                households: self.households,
                edits: self.plan.edits,
                probe: self.is_probe(number),
                now,
            };
            let (feeds, counts) = village::write(&task, &keys, archive)?;
            stock.feeds.extend(feeds);
            stock.offices.push(keys);
            add_all(&mut records, &counts);
        }
        stock.offices.extend(town);
        Ok((stock, records))
    }
}

fn add(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (id, count) in more {
        *sums.entry(id.clone()).or_default() += count;
    }
}

fn add_all(sums: &mut Counts, more: &Counts) {
    for (sums, more) in sums.iter_mut().zip(more) {
        add(sums, more);
    }
}

/// Makes everything below the hub.
///
/// # Errors
///
/// What the first village that failed could not do.
pub fn generate(plan: &Plan, founded: &Founded) -> Result<Load, String> {
    let households = households_for(plan.records.div_ceil(plan.villages));
    let workshop = Workshop { plan, founded, households, villages: plan.villages };
    let units = workshop.units();
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, Result<Made, String>>> = Mutex::default();
    let work = || {
        let mut archive = Archive::open();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(unit) = units.get(at) else { return };
            let made = match &mut archive {
                Ok(archive) => workshop.make(unit, archive),
                Err(error) => Err(error.clone()),
            };
            if made.is_err() {
                // The others stop at their next unit.
                next.store(units.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(at, made);
            if at.is_multiple_of(20) {
                eprintln!("made {at} of {} townships", units.len());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let mut stocks: Vec<Stock> = founded.children.iter().map(|_| Stock::default()).collect();
    let mut records = Counts::default();
    for (at, made) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let (stock, counts) = made?;
        let all = &mut stocks[units[at].child];
        all.feeds.extend(stock.feeds);
        all.offices.extend(stock.offices);
        add_all(&mut records, &counts);
    }
    let mut probes = Vec::new();
    for (child, stock) in stocks.iter().enumerate() {
        for (feed, one) in stock.feeds.iter().enumerate() {
            let count = one.marks[PROBE];
            if count > one.marks[LOAD] {
                probes.push(Probe { child, feed, count });
            }
        }
    }
    Ok(Load { stocks, probes, records })
}
