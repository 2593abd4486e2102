//! Replicas and links in one thread: offices here, links in [`net`], slow ones in [`line`].

pub mod line;
pub mod net;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Level, PlaceId, RecordId, ReplicaId, SealKey, SliceId};
use taizhang_core::place::{Dated, Place};
use taizhang_core::record::attachment::{Attachment, BlobRef, Media};
use taizhang_core::sabotage::{self, Sabotage};
use taizhang_core::sync::session::Report;
use taizhang_core::time::UtcMillis;
use taizhang_node::engine::command::{CommandError, Inputs};
use taizhang_node::engine::values::Source;
use taizhang_node::engine::{Engine, Surroundings};
use taizhang_node::identity::found::{NewKeys, found};
use taizhang_node::identity::keys::Identity;
use taizhang_node::store::Durability;

use crate::chance::Dice;
pub use net::{Link, Weather};

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
    /// Its keys.
    pub identity: Identity,
    /// Id of its machine, kept outside its folder.
    machine: [u8; 32],
    /// How wrong its clock is, in milliseconds.
    pub skew_ms: i64,
    /// The engine; none while crashed.
    pub engine: Option<Engine>,
    /// Whether its worker has something to do.
    is_busy: bool,
    /// When it did its last job.
    worked_at: UtcMillis,
    /// Since when receipts wait to be signed.
    receipts_since: Option<UtcMillis>,
    /// What the judges read its disk through; closed with the engine.
    disk: OnceCell<rusqlite::Connection>,
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
    /// What happened.
    pub trace: crate::trace::Trace,
    seed: u64,
    crashes: u64,
    /// Folders that were copied or restored: their key and the place of their office. Only feeds of
    /// such a key may fork.
    pub copied: Vec<(SealKey, u8)>,
    /// The office whose key is revoked: it is out.
    pub revoked: Option<Node>,
    /// Places merged into others: (successor, predecessor), for the oracles.
    pub merged: Vec<(u8, u8)>,
    /// Faults that happened, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Percent chance that a replica crashes instead of committing a batch.
    pub crash_percent: u64,
    _folder: tempfile::TempDir,
}

/// The offices of every world: (name, place byte, level, parent's index).
pub const OFFICES: [(&str, u8, Level, Option<Node>); 9] = [
    ("city", 1, Level::City, None),
    ("county", 2, Level::County, Some(0)),
    ("township", 4, Level::Township, Some(1)),
    ("village-a", 5, Level::Village, Some(2)),
    ("village-b", 6, Level::Village, Some(2)),
    ("village-a2", 5, Level::Village, Some(2)),
    ("county-2", 2, Level::County, Some(0)),
    ("county-b", 3, Level::County, Some(0)),
    ("township-b", 7, Level::Township, Some(7)),
];

/// Start of simulated time: 2018-06-01 in China.
pub const START: UtcMillis = UtcMillis(1_527_782_400_000);

fn machine_of(name: &str) -> [u8; 32] {
    *blake3::hash(name.as_bytes()).as_bytes()
}

/// Copies a data folder with its files and folders; sockets are left out.
///
/// # Panics
///
/// If something cannot be read or written.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            std::fs::copy(path, target).expect("a copy");
        }
    }
}

fn place_id(byte: u8) -> PlaceId {
    PlaceId([byte; 8])
}

/// Codes of the places, each of which continues that of the place above it.
const CODES: [&str; 7] = [
    "411400000000",
    "411426000000",
    "411423000000",
    "411426203000",
    "411426203201",
    "411426203202",
    "411423101000",
];

fn place(byte: u8, level: Level) -> Place {
    let dated = |value: String| vec![Dated { from: "2018-01-01".into(), value }];
    Place {
        id: place_id(byte),
        level,
        names: dated(format!("地{byte}")),
        codes: dated(CODES[usize::from(byte) - 1].to_owned()),
    }
}

/// What a new household needs.
pub const fn household(name: &str) -> [(&str, &str); 4] {
    [
        ("head_name", name),
        ("group_no", "一组"),
        ("household_kind", "general"),
        ("main_cause", "illness"),
    ]
}

/// The person of every simulated edit.
pub fn clerk() -> Person {
    Person { name: "测试员".into(), role: "village_clerk".into() }
}

impl Replica {
    /// Its `ledger.db` as it is on disk, for the judges.
    pub(crate) fn disk(&self) -> &rusqlite::Connection {
        self.disk.get_or_init(|| crate::oracle::open(&self.folder, "ledger.db").expect("ledger.db"))
    }
}

impl World {
    /// A world of the first `count` offices, all enrolled through codes, fresh from a seed.
    ///
    /// # Panics
    ///
    /// If the machine gives no temporary folder: no simulation is possible then.
    pub fn new(seed: u64, count: usize, sabotage: Option<Sabotage>) -> Self {
        Self::with(seed, count, sabotage, &taizhang_core::base_catalogue())
    }

    /// A world whose city publishes other parts.
    ///
    /// # Panics
    ///
    /// As [`Self::new`]; also if the parts are no sound catalogue.
    pub fn with(
        seed: u64,
        count: usize,
        sabotage: Option<Sabotage>,
        parts: &[taizhang_core::catalogue::parse::Part],
    ) -> Self {
        sabotage::choose(sabotage);
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
            trace: Default::default(),
            seed,
            crashes: 0,
            copied: Vec::new(),
            revoked: None,
            merged: Vec::new(),
            faults: BTreeMap::new(),
            crash_percent: 0,
            _folder: folder,
        };
        world.found(parts);
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
        if sabotage::is(Sabotage::SegmentRecut) {
            engine.forget_last_cut().expect("sabotage");
        }
        engine
    }

    fn found(&mut self, parts: &[taizhang_core::catalogue::parse::Part]) {
        let (name, byte, level, _) = OFFICES[0];
        let (replica, seal) = (ReplicaId(self.seed_bytes()), self.seed_bytes());
        let founded = found(place_id(byte), replica, seal, self.now.0 / 1000).expect("a network");
        let folder = self._folder.path().join(name);
        let machine = machine_of(name);
        let mut engine = self.open(&folder, founded.identity.clone(), machine, name);
        let children = vec![
            (place_id(1), vec![place(2, Level::County), place(3, Level::County)]),
            (place_id(2), vec![place(4, Level::Township)]),
            (place_id(3), vec![place(7, Level::Township)]),
            (place_id(4), vec![place(5, Level::Village), place(6, Level::Village)]),
        ];
        engine.begin().expect("begin");
        let city = place(1, Level::City);
        engine.found_city(&city, &children, parts, self.now).expect("the city's directives");
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
            is_busy: true,
            worked_at: START,
            receipts_since: None,
            disk: OnceCell::new(),
        });
    }

    fn enrol(&mut self, node: Node) {
        let (name, byte, level, parent) = OFFICES[node];
        let parent = parent.expect("only the city has no parent");
        let folder = self._folder.path().join(name);
        let (engine, identity) = self.admit(parent, byte, &folder, name);
        let machine = machine_of(name);
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
            is_busy: true,
            worked_at: START,
            receipts_since: None,
            disk: OnceCell::new(),
        });
        self.links.push(Link::new(node, parent));
    }

    /// A new replica of a place, admitted by a code of its parent, in an empty folder.
    fn admit(&mut self, parent: Node, byte: u8, folder: &Path, name: &str) -> (Engine, Identity) {
        let keys = NewKeys::generate(self.seed_bytes()).expect("keys");
        let wanted = keys.request().expect("a request");
        let now = self.now_at(parent);
        let host = self.engine(parent);
        host.begin().expect("begin");
        let code = host.invite(place_id(byte), vec!["sim:1".into()], 72, now).expect("a code");
        let admission = host.admit(&code.secret_text(), &wanted, now).expect("admission");
        host.commit().expect("commit");
        let root = host.identity.root.clone();
        self.spread_events(parent);
        let identity =
            keys.accept(root, admission.certificates, vec!["sim".into()]).expect("an identity");
        let mut engine = self.open(folder, identity.clone(), machine_of(name), name);
        engine.begin().expect("begin");
        engine.take_admission(admission.segments, admission.chains, now).expect("directives");
        engine.commit().expect("commit");
        (engine, identity)
    }

    /// Replaces a replica's PC by another one with new keys, and nothing of the old one's data.
    ///
    /// # Panics
    ///
    /// If its parent does not run: a mistake of the scenario.
    pub fn reinstall(&mut self, node: Node) {
        self.note(format!("{} is installed anew", self.replicas[node].name));
        self.crash(node);
        let replica = &self.replicas[node];
        let (parent, byte, name) = (replica.parent, replica.place.0[0], replica.name);
        let folder = self._folder.path().join(format!("{name}-{}", self.crashes));
        let parent = parent.expect("a child");
        let (engine, identity) = self.admit(parent, byte, &folder, name);
        let replica = &mut self.replicas[node];
        (replica.folder, replica.identity, replica.engine) = (folder, identity, Some(engine));
        replica.is_busy = true;
        self.stir(parent);
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
        self.stir(node);
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

    /// Creates a household.
    ///
    /// # Panics
    ///
    /// If the engine refuses: a mistake of the scenario.
    pub fn household(&mut self, node: Node, name: &str) -> RecordId {
        self.create(node, "poor_household", &household(name))
    }

    /// A workshop of government investment that the county has inspected.
    ///
    /// # Panics
    ///
    /// If something is refused: a mistake of the scenario.
    pub fn inspected_workshop(&mut self, name: &str) -> RecordId {
        let [county, township, village] = [1, 2, 3];
        let kept = [("name", name), ("safety_officer", "李四"), ("fire_equipment", "8")];
        let id = self.create(village, "workshop", &kept);
        assert!(self.settle(20_000), "the workshop arrives");
        for (field, value) in [
            ("build_kind", "rebuilt"),
            ("land_kind", "school"),
            ("operator", "服装公司"),
            ("have_site_ok", "true"),
            ("have_sign_ok", "true"),
            ("have_intro_ok", "true"),
            ("have_safety_ok", "true"),
            ("have_board_ok", "true"),
            ("have_payroll_ok", "true"),
            ("six_checked_on", "2018-05-20"),
        ] {
            assert!(self.set(township, id, field, value), "{field}");
        }
        self.step_of(township, id, "built");
        for (field, value) in [
            ("workshop_kind", "poverty"),
            ("funding_kind", "government"),
            ("safety_designed", "true"),
            ("safety_built", "true"),
            ("safety_used", "true"),
        ] {
            assert!(self.set(county, id, field, value), "{field}");
        }
        self.step_of(county, id, "inspected");
        id
    }

    /// Takes a step, and waits until it has arrived.
    fn step_of(&mut self, node: Node, id: RecordId, to: &str) {
        self.job(node, |engine, now| engine.act(id, to, "按规定", &clerk(), now))
            .unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(self.settle(20_000), "{to} arrives");
    }

    /// A helper in an office's own register of contacts.
    ///
    /// # Panics
    ///
    /// If the engine refuses: a mistake of the scenario.
    pub fn contact(&mut self, node: Node, name: &str) -> RecordId {
        let slice = SliceId::directive(self.replicas[node].place);
        let inputs: Inputs = [
            ("chain_link", "helper"),
            ("post", "帮扶责任人"),
            ("holder", name),
            ("phone", "13700000000"),
            ("valid_from", "2018-01-01"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        self.job(node, |engine, now| {
            let source = Source::People;
            let id =
                engine.create(slice, "public_contact", &inputs, source, &clerk(), None, now)?;
            engine.project_own_directives(now)?;
            Ok(id)
        })
        .expect("a contact")
    }

    /// The link by which an office dials its parent.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn link_of(&self, node: Node) -> usize {
        self.links.iter().position(|link| link.child == node).expect("a link")
    }

    /// Whoever holds the post that a step asks for; the clerk if it asks for none.
    pub fn holder(&mut self, node: Node, id: RecordId, to: &str) -> Person {
        let found = self.engine(node).find(id).ok();
        let steps = found.iter().filter_map(|one| one.ledger.workflow.as_ref());
        let step = steps.flat_map(|one| &one.transitions).find(|step| step.to == to);
        let role = step.and_then(|step| step.role.clone());
        role.map_or_else(clerk, |role| Person { role, ..clerk() })
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

    /// Attaches bytes to a field of a record, as the page does.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn attach(&mut self, node: Node, record: RecordId, field: &str, bytes: &[u8]) -> BlobRef {
        self.job(node, |engine, now| {
            let blob = engine.store.put_blob(bytes)?;
            let (media, thumb, name) = (Media::Jpeg, None, "a.jpg".to_owned());
            let member = Attachment { blob, media, thumb, name }.member();
            let inputs = Inputs::from([(field.to_owned(), member)]);
            engine.set(record, &inputs, Source::People, &clerk(), now)?;
            Ok(blob)
        })
        .expect("an attachment")
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

    /// Notes what somebody did in the trace.
    pub fn note(&mut self, what: String) {
        self.trace.deed(format!("{} {what}", self.now.0));
    }

    /// Kills a replica between two transactions, and loses its links.
    pub fn crash(&mut self, node: Node) {
        self.note(format!("{} goes down", self.replicas[node].name));
        // The judges' handle first: the last one to close folds the log into the file.
        self.replicas[node].disk = OnceCell::new();
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
            self.replicas[node].is_busy = true;
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
        self.note_copied(node);
        self.note(format!("{} gets an older image", self.replicas[node].name));
        self.crash(node);
        std::fs::remove_dir_all(&self.replicas[node].folder).expect("a folder");
        copy(image, &self.replicas[node].folder);
        self.restart(node);
    }

    fn note_copied(&mut self, node: Node) {
        let replica = &self.replicas[node];
        self.copied.push((replica.identity.seal_key(), replica.place.0[0]));
    }

    /// Copies a replica's data folder to a second PC, which runs beside it. `found` says whether the
    /// folder notices the other machine at start.
    ///
    /// # Panics
    ///
    /// If the copy fails.
    pub fn clone_replica(&mut self, node: Node, found: bool) -> Node {
        self.note_copied(node);
        self.note(format!("{} is cloned, found: {found}", self.replicas[node].name));
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
            is_busy: true,
            worked_at: START,
            receipts_since: None,
            disk: OnceCell::new(),
        });
        self.restart(clone);
        let parent = parent.expect("a child");
        self.links.push(Link::new(clone, parent));
        clone
    }
}
