//! Replicas and links in one thread.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use taizhang_core::Sabotage;
use taizhang_core::feed::entry::Person;
use taizhang_core::feed::frontier::Head;
use taizhang_core::id::{FeedId, Level, PlaceId, RecordId, ReplicaId, SliceId};
use taizhang_core::place::{Dated, Place};
use taizhang_core::sync::message::Message;
use taizhang_core::sync::session::{Input, Output, Report, Session};
use taizhang_core::time::UtcMillis;
use taizhang_node::engine::command::{CommandError, Inputs};
use taizhang_node::engine::values::Source;
use taizhang_node::engine::{Engine, Event, Surroundings};
use taizhang_node::identity::found::{NewKeys, found};
use taizhang_node::identity::keys::Identity;
use taizhang_node::store::Durability;

use crate::chance::Dice;

/// Index of a replica in the world.
pub type Node = usize;

/// One simulated office PC.
pub struct Replica {
    /// Name for traces.
    pub name: &'static str,
    /// Its place.
    pub place: PlaceId,
    /// Its level.
    pub level: Level,
    /// The replica that it dials.
    pub parent: Option<Node>,
    /// Its data folder.
    pub folder: PathBuf,
    identity: Identity,
    /// Id of its machine, kept outside its folder.
    machine: [u8; 32],
    /// How wrong its clock is, in milliseconds.
    pub skew_ms: i64,
    /// The engine; none while crashed.
    pub engine: Option<Engine>,
}

/// One direction of a link.
#[derive(Default)]
struct Pipe {
    queue: VecDeque<Message>,
}

/// A link between a child and its parent.
pub struct Link {
    /// The dialling end.
    pub child: Node,
    /// The listening end.
    pub parent: Node,
    /// Whether it can be used.
    pub up: bool,
    sessions: Option<(Session, Session)>,
    to_parent: Pipe,
    to_child: Pipe,
}

/// How unkind links are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Percent of messages swapped with the next one.
    pub reorder: u64,
    /// Percent of messages delivered twice.
    pub duplicate: u64,
}

/// The world.
pub struct World {
    /// Offices.
    pub replicas: Vec<Replica>,
    /// Links.
    pub links: Vec<Link>,
    /// The one clock.
    pub now: UtcMillis,
    /// Chance of links and workload.
    pub dice: Dice,
    /// How links behave.
    pub weather: Weather,
    /// The chosen defect.
    pub sabotage: Option<Sabotage>,
    /// Reports of sessions, for oracles and traces.
    pub reports: Vec<(Node, Report)>,
    /// Promises broken on the way.
    pub broken: Vec<String>,
    seed: u64,
    crashes: u64,
    /// Percent chance that a replica crashes instead of committing a batch.
    pub crash_percent: u64,
    _folder: tempfile::TempDir,
}

/// The offices of every world: (name, place byte, level, parent's index).
pub const OFFICES: [(&str, u8, Level, Option<Node>); 7] = [
    ("city", 1, Level::City, None),
    ("county", 2, Level::County, Some(0)),
    ("township", 4, Level::Township, Some(1)),
    ("village-a", 5, Level::Village, Some(2)),
    ("village-b", 6, Level::Village, Some(2)),
    ("village-a2", 5, Level::Village, Some(2)),
    ("county-2", 2, Level::County, Some(0)),
];

/// Start of simulated time: 2018-06-01 in China.
pub const START: UtcMillis = UtcMillis(1_527_782_400_000);

fn machine_of(name: &str) -> [u8; 32] {
    *blake3::hash(name.as_bytes()).as_bytes()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

fn place_id(byte: u8) -> PlaceId {
    PlaceId([byte; 8])
}

fn place(byte: u8, level: Level) -> Place {
    let dated = |value: String| vec![Dated { from: "2018-01-01".into(), value }];
    Place {
        id: place_id(byte),
        level,
        names: dated(format!("地{byte}")),
        codes: dated(format!("{byte:012}")),
    }
}

/// The person of every simulated edit.
pub fn clerk() -> Person {
    Person { name: "测试员".into(), role: "village_clerk".into() }
}

impl World {
    /// A world of the first `count` offices, all enrolled through codes, fresh from a seed.
    ///
    /// # Panics
    ///
    /// If the machine gives no temporary folder: no simulation is possible then.
    pub fn new(seed: u64, count: usize, sabotage: Option<Sabotage>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut world = Self {
            replicas: Vec::new(),
            links: Vec::new(),
            now: START,
            dice: Dice::new(seed, "world"),
            weather: Weather::default(),
            sabotage,
            reports: Vec::new(),
            broken: Vec::new(),
            seed,
            crashes: 0,
            crash_percent: 0,
            _folder: folder,
        };
        world.found();
        for node in 1..count {
            world.enrol(node);
            world.settle(400);
        }
        world
    }

    fn seed_bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.dice.fill(&mut bytes);
        bytes
    }

    fn open(&mut self, folder: &Path, identity: Identity, machine: [u8; 32], name: &str) -> Engine {
        self.crashes += 1;
        let mut dice = Dice::new(self.seed, &format!("{name} {}", self.crashes));
        let chance = Box::new(move |bytes: &mut [u8]| dice.fill(bytes));
        let outside = Surroundings { durability: Durability::Simulated, machine, chance };
        let mut engine =
            Engine::open(folder, identity, outside, self.now).expect("a data folder opens");
        engine.sabotage = self.sabotage;
        if self.sabotage == Some(Sabotage::SegmentRecut) {
            engine.forget_last_cut().expect("sabotage");
        }
        engine
    }

    fn found(&mut self) {
        let (name, byte, level, _) = OFFICES[0];
        let (replica, seal) = (ReplicaId(self.seed_bytes()), self.seed_bytes());
        let founded = found(place_id(byte), replica, seal, self.now.0 / 1000).expect("a network");
        let folder = self._folder.path().join(name);
        let machine = machine_of(name);
        let mut engine = self.open(&folder, founded.identity.clone(), machine, name);
        let children = vec![
            (place_id(1), vec![place(2, Level::County), place(3, Level::County)]),
            (place_id(2), vec![place(4, Level::Township)]),
            (place_id(4), vec![place(5, Level::Village), place(6, Level::Village)]),
        ];
        let parts = taizhang_core::base_catalogue();
        engine.begin().expect("begin");
        let city = place(1, Level::City);
        engine.found_city(&city, &children, &parts, self.now).expect("the city's directives");
        engine.commit().expect("commit");
        self.replicas.push(Replica {
            name,
            place: place_id(byte),
            level,
            parent: None,
            folder,
            identity: founded.identity,
            machine,
            skew_ms: 0,
            engine: Some(engine),
        });
    }

    fn enrol(&mut self, node: Node) {
        let (name, byte, level, parent) = OFFICES[node];
        let parent = parent.expect("only the city has no parent");
        let keys = NewKeys::generate(self.seed_bytes()).expect("keys");
        let wanted = keys.request().expect("a request");
        let now = self.now;
        let host = self.engine(parent);
        host.begin().expect("begin");
        let code = host.invite(place_id(byte), vec!["sim:1".into()], 72, now).expect("a code");
        let admission = host.admit(&code.secret_text(), &wanted, now).expect("admission");
        host.commit().expect("commit");
        let root = host.identity.root.clone();
        self.spread_events(parent);
        let identity =
            keys.accept(root, admission.certificates, vec!["sim".into()]).expect("an identity");
        let folder = self._folder.path().join(name);
        let machine = machine_of(name);
        let mut engine = self.open(&folder, identity.clone(), machine, name);
        engine.begin().expect("begin");
        engine.take_admission(admission.segments, admission.chains, now).expect("directives");
        engine.commit().expect("commit");
        let engine = Some(engine);
        let place = place_id(byte);
        self.replicas.push(Replica {
            name,
            place,
            level,
            parent: Some(parent),
            folder,
            identity,
            machine,
            skew_ms: 0,
            engine,
        });
        self.links.push(Link::new(node, parent));
    }

    /// The engine of a replica that runs.
    ///
    /// # Panics
    ///
    /// If it is crashed: a mistake of the scenario.
    pub fn engine(&mut self, node: Node) -> &mut Engine {
        self.replicas[node].engine.as_mut().expect("the replica runs")
    }

    /// The time by a replica's own clock.
    pub fn now_at(&self, node: Node) -> UtcMillis {
        self.now.plus(self.replicas[node].skew_ms)
    }

    /// Runs one job in a replica's engine as its driver would; `Err` is the refusal, in words.
    ///
    /// # Errors
    ///
    /// The refusal that a person would read.
    ///
    /// # Panics
    ///
    /// If the store fails.
    pub fn job<T>(
        &mut self,
        node: Node,
        job: impl FnOnce(&mut Engine, UtcMillis) -> Result<T, CommandError>,
    ) -> Result<T, String> {
        let now = self.now_at(node);
        let engine = self.engine(node);
        engine.begin().expect("begin");
        engine.save_point().expect("a save point");
        let result = job(engine, now);
        engine.end_save_point(result.is_ok()).expect("the job ends");
        engine.commit().expect("commit");
        self.spread_events(node);
        result.map_err(|error| error.to_string())
    }

    /// Creates a record in the ledger slice of the replica's own place.
    ///
    /// # Panics
    ///
    /// If the engine refuses: a mistake of the scenario.
    pub fn create(&mut self, node: Node, ledger: &str, inputs: &[(&str, &str)]) -> RecordId {
        let slice = SliceId::ledger(self.replicas[node].place);
        let inputs: Inputs =
            inputs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        self.job(node, |engine, now| {
            engine.create(slice, ledger, &inputs, Source::People, &clerk(), None, now)
        })
        .expect("a record")
    }

    /// Sets one field; gives whether the replica holds the record and anything changed.
    ///
    /// # Panics
    ///
    /// If the store fails.
    pub fn set(&mut self, node: Node, record: RecordId, field: &str, value: &str) -> bool {
        let inputs = Inputs::from([(field.to_owned(), value.to_owned())]);
        self.job(node, |engine, now| engine.set(record, &inputs, Source::People, &clerk(), now))
            .unwrap_or(false)
    }

    /// Publishes a policy value at the city or a county.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn publish(&mut self, node: Node, doc_no: &str, param: &str, value: i64) {
        self.publish_from(node, doc_no, "2018-06-01", param, value).expect("a policy version");
    }

    /// Publishes a policy value that holds from a day on.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn publish_from(
        &mut self,
        node: Node,
        doc_no: &str,
        from: &str,
        param: &str,
        value: i64,
    ) -> Result<RecordId, String> {
        let policy = taizhang_node::engine::policy::NewPolicy {
            doc_no: doc_no.into(),
            title: "模拟".into(),
            effective_from: from.into(),
            values: BTreeMap::from([(param.to_owned(), value.into())]),
        };
        self.job(node, |engine, now| engine.publish_policy(&policy, &clerk(), now))
    }

    /// Kills a replica between two transactions, and loses its links.
    pub fn crash(&mut self, node: Node) {
        self.replicas[node].engine = None;
        for link in self.links.iter_mut().filter(|link| link.child == node || link.parent == node) {
            link.drop_sessions();
        }
    }

    /// Starts a crashed replica again.
    pub fn restart(&mut self, node: Node) {
        if self.replicas[node].engine.is_none() {
            let replica = &self.replicas[node];
            let (folder, identity, name) =
                (replica.folder.clone(), replica.identity.clone(), replica.name);
            let engine = self.open(&folder, identity, replica.machine, name);
            self.replicas[node].engine = Some(engine);
        }
    }

    /// A copy of a replica's data as it is on disk now.
    ///
    /// # Panics
    ///
    /// If the copy fails.
    pub fn image(&mut self, node: Node) -> PathBuf {
        self.crashes += 1;
        let target = self._folder.path().join(format!("image-{}", self.crashes));
        let engine = self.replicas[node].engine.take();
        drop(engine);
        copy(&self.replicas[node].folder, &target);
        self.crash(node);
        self.restart(node);
        target
    }

    /// Puts an older image in place of a replica's data: the machine stays the same.
    ///
    /// # Panics
    ///
    /// If the copy fails.
    pub fn restore(&mut self, node: Node, image: &Path) {
        self.crash(node);
        std::fs::remove_dir_all(&self.replicas[node].folder).expect("a folder");
        copy(image, &self.replicas[node].folder);
        self.restart(node);
    }

    /// Copies a replica's data folder to a second PC, which runs beside it. `found` says whether the
    /// folder notices the other machine at start.
    ///
    /// # Panics
    ///
    /// If the copy fails.
    pub fn clone_replica(&mut self, node: Node, found: bool) -> Node {
        let image = self.image(node);
        let original = &self.replicas[node];
        let (place, level, parent, identity) =
            (original.place, original.level, original.parent, original.identity.clone());
        let machine = if found { *blake3::hash(b"clone").as_bytes() } else { original.machine };
        let clone = self.replicas.len();
        self.replicas.push(Replica {
            name: "clone",
            place,
            level,
            parent,
            folder: image,
            identity,
            machine,
            skew_ms: 0,
            engine: None,
        });
        self.restart(clone);
        let parent = parent.expect("a child");
        self.links.push(Link::new(clone, parent));
        clone
    }

    /// Cuts or heals a link.
    pub fn set_link(&mut self, index: usize, up: bool) {
        self.links[index].up = up;
        if !up {
            self.links[index].drop_sessions();
        }
    }

    /// Puts a message on a link as if `from` had sent it; for hostile peers.
    pub fn inject(&mut self, index: usize, from_parent: bool, message: Message) {
        let link = &mut self.links[index];
        let pipe = if from_parent { &mut link.to_child } else { &mut link.to_parent };
        pipe.queue.push_back(message);
    }

    /// Whether a session runs on a link.
    pub fn is_connected(&self, index: usize) -> bool {
        self.links[index].sessions.is_some()
    }

    /// One round: connects, flushes, projects, delivers a message on every link.
    pub fn step(&mut self) {
        self.now = self.now.plus(10);
        for node in 0..self.replicas.len() {
            self.work(node);
        }
        for index in 0..self.links.len() {
            self.connect(index);
            self.deliver(index, true);
            self.deliver(index, false);
            self.tick(index);
        }
    }

    /// Steps until nothing moves, at most `rounds` rounds; gives whether it became quiet.
    pub fn settle(&mut self, rounds: u32) -> bool {
        let mut quiet = 0;
        for _ in 0..rounds {
            let before = self.activity();
            self.step();
            let idle = self
                .links
                .iter()
                .all(|link| link.to_child.queue.is_empty() && link.to_parent.queue.is_empty());
            quiet = if idle && before == self.activity() { quiet + 1 } else { 0 };
            // What a link lost is asked for again at the next heartbeat.
            let in_sync = self.links.iter().all(Link::is_in_sync);
            if quiet > 3000 || (quiet > 30 && in_sync) {
                return true;
            }
        }
        false
    }

    fn activity(&self) -> Vec<u64> {
        self.replicas
            .iter()
            .filter_map(|replica| replica.engine.as_ref())
            .map(|engine| engine.store.last_arrival().unwrap_or(0))
            .collect()
    }

    fn work(&mut self, node: Node) {
        let now = self.now_at(node);
        let Some(engine) = self.replicas[node].engine.as_mut() else { return };
        if engine.needs_healing() {
            engine.heal(now).expect("heal");
        }
        engine.begin().expect("begin");
        engine.flush(now).expect("flush");
        engine.project(now, 16).expect("project");
        engine.commit().expect("commit");
        if engine.receipts_wait() {
            engine.begin().expect("begin");
            engine.issue_receipts(now).expect("receipts");
            engine.commit().expect("commit");
        }
        self.spread_events(node);
    }

    fn spread_events(&mut self, node: Node) {
        let Some(engine) = self.replicas[node].engine.as_mut() else { return };
        for event in engine.take_events() {
            for index in 0..self.links.len() {
                if matches!(event, Event::Forked(_) | Event::Restart) {
                    let link = &mut self.links[index];
                    if link.child == node || link.parent == node {
                        link.drop_sessions();
                    }
                    continue;
                }
                self.tell(index, node, &event);
            }
        }
    }

    fn tell(&mut self, index: usize, node: Node, event: &Event) {
        let link = &self.links[index];
        if link.sessions.is_none() || (link.child != node && link.parent != node) {
            return;
        }
        let at_child = link.child == node;
        let peer = if at_child { link.parent } else { link.child };
        let peer_place = self.replicas[peer].place;
        let Some(engine) = self.replicas[node].engine.as_ref() else { return };
        let input = match event {
            Event::Advanced(heads) => Input::Advanced(heads.clone()),
            Event::Forked(_) | Event::Restart => return,
            Event::DirectivesChanged => {
                let tree = std::sync::Arc::new(engine.directives.tree.clone());
                Input::ScopeChanged(tree, engine.shared_frontiers(peer_place))
            }
            Event::Receipts(receipts) => {
                Input::SendReceipts(engine.filter_receipts(peer_place, receipts))
            }
        };
        self.feed(index, at_child, input);
    }

    fn connect(&mut self, index: usize) {
        let link = &self.links[index];
        if !link.up || link.sessions.is_some() {
            return;
        }
        let (child, parent) = (link.child, link.parent);
        let config = |world: &Self, node: Node, peer: Node| {
            let engine = world.replicas[node].engine.as_ref()?;
            engine.session_config(world.replicas[peer].place).ok()
        };
        let (Some(one), Some(two)) = (config(self, child, parent), config(self, parent, child))
        else {
            return;
        };
        let sessions =
            (Session::open(one, self.now_at(child)), Session::open(two, self.now_at(parent)));
        self.links[index].sessions = Some(sessions);
        self.drain(index, true);
        self.drain(index, false);
    }

    fn tick(&mut self, index: usize) {
        for at_child in [true, false] {
            let now = self.now_at(self.end(index, at_child));
            let due = self.links[index].session(at_child).and_then(|session| session.deadline());
            if due.is_some_and(|due| due <= now) {
                self.feed(index, at_child, Input::DeadlineReached);
            }
        }
    }

    fn deliver(&mut self, index: usize, at_child: bool) {
        let (reorder, duplicate) = (self.weather.reorder, self.weather.duplicate);
        let (swap, twice) = (self.dice.percent(reorder), self.dice.percent(duplicate));
        let link = &mut self.links[index];
        let pipe = if at_child { &mut link.to_child } else { &mut link.to_parent };
        let settled = |message: &Message| !matches!(message, Message::Hello(_));
        if swap && pipe.queue.len() > 1 && pipe.queue.iter().take(2).all(settled) {
            pipe.queue.swap(0, 1);
        }
        let Some(message) = pipe.queue.pop_front() else { return };
        if link.sessions.is_none() {
            return;
        }
        if twice && settled(&message) {
            self.feed(index, at_child, Input::Received(message.clone()));
        }
        self.feed(index, at_child, Input::Received(message));
    }

    fn feed(&mut self, index: usize, at_child: bool, input: Input) {
        let now = self.now_at(self.end(index, at_child));
        let Some(session) = self.links[index].session(at_child) else { return };
        session.handle(now, input);
        self.drain(index, at_child);
    }

    fn end(&self, index: usize, at_child: bool) -> Node {
        if at_child { self.links[index].child } else { self.links[index].parent }
    }

    /// Carries out what a session asks for: the driver of the simulation.
    fn drain(&mut self, index: usize, at_child: bool) {
        let node = self.end(index, at_child);
        let now = self.now_at(node);
        while let Some(output) = self.links[index].session(at_child).and_then(Session::poll_output)
        {
            match output {
                Output::Send(message) => {
                    if let Message::Ack(feeds) = &message {
                        self.judge_ack(node, feeds);
                    }
                    let link = &mut self.links[index];
                    let pipe = if at_child { &mut link.to_parent } else { &mut link.to_child };
                    pipe.queue.push_back(message);
                }
                Output::ReadChain(chain) => {
                    let read = self.engine(node).read_chain(&chain);
                    self.feed(index, at_child, Input::ChainRead(read));
                }
                Output::Read(wanted) => {
                    let read = self.engine(node).store.read_for_peer(&wanted).expect("a read");
                    self.feed(index, at_child, Input::SegmentsRead(read));
                }
                Output::Commit(id, batch) => {
                    let crash = self.crash_percent;
                    if self.dice.percent(crash) {
                        self.crash(node);
                        return;
                    }
                    let engine = self.engine(node);
                    engine.begin().expect("begin");
                    let stored = engine.ingest(&batch, now).expect("ingest");
                    engine.commit().expect("commit");
                    self.feed(index, at_child, Input::Committed(id, stored));
                    self.spread_events(node);
                }
                Output::TakeReceipts(receipts) => {
                    let engine = self.engine(node);
                    engine.begin().expect("begin");
                    engine.take_receipts(&receipts, now).expect("receipts");
                    engine.commit().expect("commit");
                    self.spread_events(node);
                }
                Output::Report(report) => self.reported(index, at_child, node, report),
                Output::Close(_) => {
                    self.links[index].drop_sessions();
                    return;
                }
            }
        }
    }

    fn reported(&mut self, index: usize, at_child: bool, node: Node, report: Report) {
        if let Report::Greeted { send_receipts: true } = report {
            let link = &self.links[index];
            let peer = if at_child { link.parent } else { link.child };
            let place = self.replicas[peer].place;
            let receipts = self.engine(node).receipts_for(place).expect("receipts");
            self.feed(index, at_child, Input::SendReceipts(receipts));
        }
        self.reports.push((node, report));
    }

    /// An ack is never sent for what is not on disk: asked of the file, with SQL of our own.
    fn judge_ack(&mut self, node: Node, feeds: &[(FeedId, Head)]) {
        for (feed, head) in feeds {
            if !crate::oracle::is_durable(&self.replicas[node].folder, head.hash) {
                self.broken.push(format!(
                    "{} acked {} segments of {feed} but its disk has not the last",
                    self.replicas[node].name, head.count
                ));
            }
        }
    }
}

impl Link {
    fn new(child: Node, parent: Node) -> Self {
        let (to_parent, to_child) = (Pipe::default(), Pipe::default());
        Self { child, parent, up: true, sessions: None, to_parent, to_child }
    }

    fn session(&mut self, at_child: bool) -> Option<&mut Session> {
        let (child, parent) = self.sessions.as_mut()?;
        Some(if at_child { child } else { parent })
    }

    fn is_in_sync(&self) -> bool {
        self.sessions.as_ref().is_none_or(|(one, two)| one.in_sync() && two.in_sync())
    }

    fn drop_sessions(&mut self) {
        self.sessions = None;
        self.to_child.queue.clear();
        self.to_parent.queue.clear();
    }
}
