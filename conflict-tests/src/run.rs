//! Plays one seed: faults and edits first, then everything heals and the oracles judge.

use std::fmt;

use taizhang_core::Sabotage;
use taizhang_core::feed::entry::{Action, Entry, RecordChange};
use taizhang_core::feed::segment::{Sealed, Segment};
use taizhang_core::id::{AuthorId, Epoch, FeedId, Hash, Lane, Level, RecordId, SliceId};
use taizhang_core::record::edit::{compose, creation};
use taizhang_core::record::log::RecordLog;
use taizhang_core::sync::message::Message;

use crate::chance::Dice;
use crate::oracle::register::{Registers, shown};
use crate::oracle::{judge, may_hold_ledger};
use crate::world::{OFFICES, Weather, World, clerk};

/// What a seed drew.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Offices, 2 to 6.
    pub offices: usize,
    /// Actions of the workload.
    pub actions: u64,
    /// How links behave.
    pub weather: Weather,
    /// Percent of commits that crash.
    pub crash_percent: u64,
    /// Whether a hostile peer takes part.
    pub hostile: bool,
}

/// The result of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was drawn.
    pub plan: Plan,
    /// Acknowledged edits that were judged.
    pub edits: usize,
    /// Promises broken.
    pub broken: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {:?}, {} edits", self.seed, self.plan, self.edits)?;
        for line in &self.broken {
            writeln!(f, "  broken: {line}")?;
        }
        Ok(())
    }
}

/// Draws the plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let mut dice = Dice::new(seed, "plan");
    Plan {
        offices: if dice.percent(15) { 2 + dice.index(2) } else { 4 + dice.index(3) },
        actions: 20 + dice.below(40),
        weather: Weather { reorder: dice.below(25), duplicate: dice.below(25) },
        crash_percent: if dice.percent(50) { dice.below(20) } else { 0 },
        hostile: dice.percent(40),
    }
}

struct Player {
    world: World,
    registers: Registers,
    records: Vec<(RecordId, u8)>,
    counter: u32,
    forged: bool,
}

/// Plays a seed, with a defect if one is chosen.
pub fn play(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let plan = plan(seed);
    let mut world = World::new(seed, plan.offices, sabotage);
    world.weather = plan.weather;
    let mut player = Player {
        world,
        registers: Registers::default(),
        records: Vec::new(),
        counter: 0,
        forged: false,
    };
    for _ in 0..30 {
        player.world.step();
    }
    player.world.crash_percent = plan.crash_percent;
    for _ in 0..plan.actions {
        player.act(plan.hostile);
        for _ in 0..player.world.dice.below(12) {
            player.world.step();
        }
    }
    player.finish(seed, plan)
}

impl Player {
    fn act(&mut self, hostile: bool) {
        let offices = self.world.replicas.len();
        let node = self.world.dice.index(offices);
        let low = 2.min(offices - 1) + self.world.dice.index(offices.saturating_sub(2).max(1));
        match self.world.dice.below(20) {
            0..=3 => self.create(low),
            4..=11 => self.edit(low),
            12 | 13 => {
                let index = self.world.dice.index(self.world.links.len());
                let up = !self.world.links[index].up;
                self.world.set_link(index, up);
            }
            14 => self.world.crash(node),
            15 | 16 => self.world.restart(node),
            17 => self.publish(node),
            18 if hostile => self.forge(),
            19 if hostile => self.trespass(),
            _ => {
                for _ in 0..20 {
                    self.world.step();
                }
            }
        }
    }

    fn runs(&self, node: usize) -> bool {
        self.world.replicas[node].engine.is_some()
    }

    fn create(&mut self, node: usize) {
        if !self.runs(node) || self.world.replicas[node].level != Level::Village {
            return;
        }
        self.counter += 1;
        let name = format!("户{}", self.counter);
        let inputs = [
            ("head_name", name.as_str()),
            ("group_no", "一组"),
            ("household_kind", "general"),
            ("main_cause", "illness"),
        ];
        let record = self.world.create(node, "poor_household", &inputs);
        let place = OFFICES[node].1;
        self.registers.created(record, place);
        self.records.push((record, place));
    }

    fn edit(&mut self, node: usize) {
        if self.records.is_empty() || !self.runs(node) {
            return;
        }
        let (record, place) = self.records[self.world.dice.index(self.records.len())];
        let level = self.world.replicas[node].level;
        if !may_hold_ledger(node, place) || level > Level::Township {
            return;
        }
        let field = "bank_holder";
        let Some(seen) = shown(&self.world, node, record, field) else { return };
        self.counter += 1;
        let value = format!("v{}", self.counter);
        if self.world.set(node, record, field, &value) {
            self.registers.wrote((record, field), place, &value, level, &seen);
        }
    }

    fn publish(&mut self, node: usize) {
        if self.runs(node) && self.world.replicas[node].level >= Level::County {
            self.counter += 1;
            let value = 2 + i64::from(self.counter % 5);
            let doc_no = format!("模拟〔{}〕号", self.counter);
            self.world.publish(node, &doc_no, "min_income_measures_per_household", value);
        }
    }

    /// A village key signs what only the township may write, in an epoch of its own.
    fn forge(&mut self) {
        let Some(node) = (3..self.world.replicas.len()).find(|node| self.runs(*node)) else {
            return;
        };
        let now = self.world.now;
        let mut random = [0; 32];
        self.world.dice.fill(&mut random);
        let engine = self.world.engine(node);
        let mut epoch = Epoch::default();
        epoch.0.copy_from_slice(&random[..16]);
        let mut record = RecordId::default();
        record.0.copy_from_slice(&random[16..]);
        let author = AuthorId { key: engine.author.key, epoch };
        let keys = [
            creation("income_measure"),
            ("detail".into(), Some("FORGED".into())),
            ("verify_note".into(), Some("FORGED".into())),
        ];
        let Ok(bytes) = compose(&RecordLog::default(), author.actor(), now, &keys) else { return };
        let slice = SliceId::ledger(engine.place());
        let sees = engine.directives.applied.iter();
        let segment = Segment {
            feed: FeedId { slice, lane: Lane::Ordinary, author },
            number: 0,
            first_entry: 0,
            previous: Hash::default(),
            sees: sees.map(|((slice, author), count)| (*slice, *author, *count)).collect(),
            entries: vec![Entry {
                time: now,
                person: clerk(),
                action: Action::Create,
                lamport: 1,
                policy_seen: 0,
                import: None,
                changes: vec![RecordChange { record, bytes }],
            }],
        };
        let sealed = segment.seal(&engine.identity.seal);
        let index = self.world.links.iter().position(|link| link.child == node);
        if let Some(index) = index.filter(|index| self.world.is_connected(*index)) {
            self.world.inject(index, false, Message::Segment(sealed));
            self.forged = true;
        }
    }

    /// A parent sends a village what belongs to another village.
    fn trespass(&mut self) {
        if self.world.replicas.len() < 5 || !self.runs(2) {
            return;
        }
        let (from, to) = if self.world.dice.percent(50) { (3, 4) } else { (4, 3) };
        let place = self.world.replicas[from].place;
        let mut found: Option<(Sealed, Vec<Vec<u8>>)> = None;
        let engine = self.world.engine(2);
        for stored in engine.store.segments_after(0, 10_000).unwrap_or_default() {
            if let Ok(header) = Segment::header(&stored.sealed.plain)
                && header.feed.slice == SliceId::ledger(place)
                && header.number == 0
            {
                let chain = engine.store.chain(header.feed.author.key).ok().flatten();
                found = Some((stored.sealed, chain.unwrap_or_default()));
                break;
            }
        }
        let index = self.world.links.iter().position(|link| link.child == to);
        if let (Some((sealed, chain)), Some(index)) = (found, index)
            && self.world.is_connected(index)
        {
            self.world.inject(index, true, Message::Chain(chain));
            self.world.inject(index, true, Message::Segment(sealed));
        }
    }

    fn finish(mut self, seed: u64, plan: Plan) -> Outcome {
        self.world.crash_percent = 0;
        self.world.weather = Weather::default();
        for node in 0..self.world.replicas.len() {
            self.world.restart(node);
        }
        for index in 0..self.world.links.len() {
            self.world.set_link(index, false);
            self.world.set_link(index, true);
        }
        let quiet = self.world.settle(5_000);
        let mut broken = judge(&self.world, &self.registers, self.forged);
        if !quiet {
            broken.push("the network did not come to rest".into());
        }
        Outcome { seed, plan, edits: self.registers.len(), broken }
    }
}
