//! The scenarios of DOMAIN.md §6, each played under calm and rough links, and its segments given again
//! in other orders to fresh replicas: the same slice hashes, findings and conflict ids every time.

use std::collections::BTreeMap;

use taizhang_core::id::{RecordId, SliceId};
use taizhang_core::record::fold::{Conflict, Row};
use taizhang_core::sync::inbound::{Batch, Verified};
use taizhang_node::engine::act::Asked;
use taizhang_node::engine::command::Choice;
use taizhang_node::engine::{Engine, Surroundings};
use taizhang_node::store::Durability;

use crate::chance::Dice;
use crate::oracle::facts::{Facts, facts};
use crate::world::{Node, Weather, World, clerk};

/// The city.
pub const CITY: Node = 0;
/// The county.
pub const COUNTY: Node = 1;
/// The township.
pub const TOWNSHIP: Node = 2;
/// The first village's PC.
pub const VILLAGE: Node = 3;
/// The second village.
pub const OTHER: Node = 4;
/// The first village's second PC.
pub const SECOND: Node = 5;
/// The county's second PC.
pub const COUNTY_2: Node = 6;

/// One scenario: what a person reads of it, and the script.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Number in DOMAIN.md §6.
    pub number: u32,
    /// Title, Chinese and English.
    pub title: (&'static str, &'static str),
    /// What the system does, in a person's words.
    pub outcome: (&'static str, &'static str),
    /// The script; panics where the outcome is another.
    pub play: fn(&mut Stage),
}

/// A world with the words that scripts need.
pub struct Stage {
    /// The world.
    pub world: World,
}

impl Stage {
    /// All offices, in sync.
    pub fn new(seed: u64, weather: Weather) -> Self {
        let mut world = World::new(seed, 7, None);
        world.weather = weather;
        Self { world }
    }

    /// Cuts an office off.
    pub fn cut(&mut self, node: Node) {
        self.link(node, false);
    }

    /// Restores its link and waits until everything has arrived.
    ///
    /// # Panics
    ///
    /// If the network does not come to rest.
    pub fn heal(&mut self, node: Node) {
        self.link(node, true);
        self.sync();
    }

    fn link(&mut self, node: Node, up: bool) {
        for index in 0..self.world.links.len() {
            if self.world.links[index].child == node {
                self.world.set_link(index, up);
            }
        }
    }

    /// Waits until everything has arrived that can.
    ///
    /// # Panics
    ///
    /// If the network does not come to rest.
    pub fn sync(&mut self) {
        if !self.world.settle(20_000) {
            let tail = self.world.trace.story(60);
            panic!("the network does not come to rest: {tail:#?}");
        }
    }

    /// Sets the true date; clocks of offices keep their error.
    ///
    /// # Panics
    ///
    /// If it is no date.
    pub fn date(&mut self, text: &str) {
        let date = taizhang_core::time::Date::parse(text).expect("a date");
        let noon = date.start().plus(12 * 3_600_000);
        if noon > self.world.now {
            self.world.now = noon;
        }
    }

    /// A household in a village.
    pub fn household(&mut self, node: Node, name: &str) -> RecordId {
        self.world.household(node, name)
    }

    /// A record.
    pub fn create(&mut self, node: Node, ledger: &str, inputs: &[(&str, &str)]) -> RecordId {
        self.world.create(node, ledger, inputs)
    }

    /// Sets a field.
    ///
    /// # Panics
    ///
    /// If it is refused, or changes nothing.
    pub fn set(&mut self, node: Node, id: RecordId, field: &str, value: &str) {
        let set = self.try_set(node, id, field, value);
        assert_eq!(set, Ok(true), "{field} = {value}");
    }

    /// Sets a field; the refusal if there is one.
    ///
    /// # Errors
    ///
    /// What a person would read.
    pub fn try_set(
        &mut self,
        node: Node,
        id: RecordId,
        field: &str,
        value: &str,
    ) -> Result<bool, String> {
        let inputs = BTreeMap::from([(field.to_owned(), value.to_owned())]);
        let source = taizhang_node::engine::values::Source::People;
        self.world.job(node, |engine, now| engine.set(id, &inputs, source, &clerk(), now))
    }

    /// Adds a line to a log field: columns as JSON.
    pub fn add(&mut self, node: Node, id: RecordId, field: &str, line: serde_json::Value) {
        self.set(node, id, field, &line.to_string());
    }

    /// Takes a step.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn act(&mut self, node: Node, id: RecordId, to: &str) {
        self.try_act(node, id, to).unwrap_or_else(|error| panic!("{to}: {error}"));
    }

    /// Takes a step with a date.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn act_on(&mut self, node: Node, id: RecordId, to: &str, date: &str) {
        let asked = Asked { to, reason: "按规定", date };
        self.world
            .job(node, |engine, now| engine.act_on(id, asked, &clerk(), now))
            .unwrap_or_else(|error| panic!("{to}: {error}"));
    }

    /// Takes a step; the refusal if there is one.
    ///
    /// # Errors
    ///
    /// What a person would read.
    pub fn try_act(&mut self, node: Node, id: RecordId, to: &str) -> Result<(), String> {
        let person = self.world.holder(node, id, to);
        self.world.job(node, |engine, now| engine.act(id, to, "按规定", &person, now))
    }

    /// Takes the value at a position of a conflict.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn resolve(&mut self, node: Node, id: RecordId, field: &str, value: &str) {
        let choice = Choice::Other(value.to_owned());
        self.world
            .job(node, |engine, now| engine.resolve(id, field, &choice, &clerk(), now))
            .unwrap_or_else(|error| panic!("{field}: {error}"));
    }

    /// The row as an office shows it.
    ///
    /// # Panics
    ///
    /// If the office does not hold it.
    pub fn row(&mut self, node: Node, id: RecordId) -> Row {
        self.world.job(node, |engine, _| engine.find(id)).map(|found| found.row).expect("a record")
    }

    /// The state as an office shows it.
    pub fn state(&mut self, node: Node, id: RecordId) -> String {
        self.row(node, id).state_id().unwrap_or_default().to_owned()
    }

    /// The conflict items of a record as an office shows them.
    pub fn conflicts(&mut self, node: Node, id: RecordId) -> Vec<Conflict> {
        self.row(node, id).conflicts
    }

    /// Asserts a state at the village, the township, the county and the city.
    ///
    /// # Panics
    ///
    /// If one shows another.
    pub fn everywhere(&mut self, id: RecordId, state: &str) {
        for node in [VILLAGE, TOWNSHIP, COUNTY, CITY] {
            let found = self.state(node, id);
            assert_eq!(found, state, "{}", self.world.replicas[node].name);
        }
    }

    /// Rules that failed on a record at an office.
    pub fn failed(&mut self, node: Node, id: RecordId) -> Vec<String> {
        let folder = self.world.replicas[node].folder.clone();
        self.sync();
        facts(&folder).failed_of(id)
    }
}

/// How a scenario's links behave, by variant.
fn weathers() -> [(u64, Weather); 3] {
    [
        (1, Weather::default()),
        (2, Weather { reorder: 30, duplicate: 30 }),
        (3, Weather { reorder: 60, duplicate: 10 }),
    ]
}

/// Plays a scenario in every variant, and checks that order and repetition change nothing.
///
/// # Panics
///
/// If the outcome is another, or depends on the order.
pub fn check(scenario: &Scenario) {
    for (seed, weather) in weathers() {
        let mut stage = Stage::new(u64::from(scenario.number) * 10 + seed, weather);
        (scenario.play)(&mut stage);
        stage.world.weather = Weather::default();
        stage.sync();
        for node in [VILLAGE, TOWNSHIP, CITY] {
            for order in 0..3 {
                replay(&mut stage, node, seed * 10 + order);
            }
        }
    }
}

/// Gives everything that an office holds to a fresh replica, in another order and partly twice.
fn replay(stage: &mut Stage, node: Node, order: u64) {
    let world = &mut stage.world;
    let expected = facts(&world.replicas[node].folder);
    let now = world.now_at(node);
    let engine = world.engine(node);
    engine.begin().expect("begin");
    engine.flush(now).expect("flush");
    engine.commit().expect("commit");
    let batches = shuffled(engine, order);
    // Somebody else of the same place, who has nothing of its own to write again.
    let reader = if node == VILLAGE { SECOND } else { node };
    let identity = (*world.engine(reader).identity).clone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut dice = Dice::new(order, "replay");
    let chance = Box::new(move |bytes: &mut [u8]| dice.fill(bytes));
    let outside = Surroundings { durability: Durability::Simulated, machine: [9; 32], chance };
    let mut fresh = Engine::open(folder.path(), identity, outside, now).expect("a folder");
    for batch in batches {
        fresh.begin().expect("begin");
        fresh.ingest(&batch, now).expect("ingest");
        fresh.project(now, 8).expect("project");
        fresh.commit().expect("commit");
    }
    loop {
        fresh.begin().expect("begin");
        let more = fresh.project(now, 64).expect("project");
        fresh.commit().expect("commit");
        if !more {
            break;
        }
    }
    if fresh.needs_healing() {
        fresh.heal(now).expect("heal");
    }
    let found = facts(folder.path());
    if std::env::var_os("REPLAY_DEBUG").is_some() {
        for one in fresh.held_back().expect("entries") {
            println!(
                "node {node} order {order}: {} {} {} {:?} {:?}",
                one.slice,
                one.kind,
                one.reason,
                one.place,
                one.writes.iter().map(|w| w.0.clone()).collect::<Vec<_>>()
            );
        }
    }
    expected.assert_same(&found, &format!("node {node}, order {order}"));
}

/// Batches of a replica's segments: feeds interleaved by chance, each in its own order, some twice.
fn shuffled(engine: &Engine, order: u64) -> Vec<Batch> {
    let mut dice = Dice::new(order, "shuffle");
    let mut feeds: BTreeMap<SliceIdOrder, Vec<Verified>> = BTreeMap::new();
    for stored in engine.store.segments_after(0, 1_000_000).expect("segments") {
        let segment = stored.sealed.open().expect("a good segment");
        let verified = Verified {
            feed: segment.feed,
            number: segment.number,
            previous: segment.previous,
            hash: stored.sealed.hash(),
            sealed: stored.sealed,
        };
        let feed = (segment.feed.slice, format!("{:?}{}", segment.feed.lane, segment.feed.author));
        feeds.entry(feed).or_default().push(verified);
    }
    let chains: Vec<_> = engine
        .store
        .chain_keys()
        .expect("keys")
        .into_iter()
        .filter_map(|key| engine.store.chain(key).expect("a chain"))
        .collect();
    let mut queues: Vec<Vec<Verified>> = feeds.into_values().collect();
    queues.iter_mut().for_each(|queue| queue.reverse());
    let mut batches = vec![Batch { chains, segments: Vec::new() }];
    while !queues.is_empty() {
        // The first order prefers the last feeds: about the reverse of how they came.
        let at = if order.is_multiple_of(3) { queues.len() - 1 } else { dice.index(queues.len()) };
        let Some(one) = queues[at].pop() else {
            queues.swap_remove(at);
            continue;
        };
        let twice = dice.percent(20).then(|| one.clone());
        let segments = std::iter::once(one).chain(twice).collect();
        batches.push(Batch { chains: Vec::new(), segments });
    }
    batches
}

type SliceIdOrder = (SliceId, String);

impl Facts {
    fn assert_same(&self, other: &Self, what: &str) {
        let kept = |key: &&String| !key.starts_with("dated");
        for (key, value) in self.0.iter().filter(|(key, _)| kept(key)) {
            assert_eq!(other.0.get(key), Some(value), "{what}: {key}");
        }
        for key in other.0.keys().filter(kept) {
            assert!(self.0.contains_key(key), "{what}: only the replay has {key}");
        }
    }
}
