//! Mutated and random bytes for every decoder: no panic, no endless work, no memory above a bound.
//!
//! Good inputs come from a simulated network; each execution changes one of them a little. The memory bound
//! is the process's own (`ulimit -v`, see `deploy/fuzz`), the time bound is [`SLOW`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use taizhang_core::catalogue::Ledger;
use taizhang_core::catalogue::expression::Expression;
use taizhang_core::catalogue::parse::{Part, parse};
use taizhang_core::feed::entry::Entry;
use taizhang_core::feed::receipt::SealedReceipt;
use taizhang_core::feed::segment::{Sealed, Segment};
use taizhang_core::id::SliceId;
use taizhang_core::record::change::scan;
use taizhang_core::record::fold::fold;
use taizhang_core::record::log::RecordLog;
use taizhang_core::sync::message::Message;
use taizhang_node::file::envelope::{self, Kind};
use taizhang_node::file::{bundle, enrol};
use taizhang_node::identity::code::EnrolmentCode;
use taizhang_node::identity::keys::Identity;
use taizhang_node::ops::sheet;
use taizhang_node::transport::convert::{frames_from_bytes, from_frame, to_frame};
use taizhang_proto::sync::Frame;

use crate::chance::Dice;
use crate::world::World;

/// One execution that takes longer is a finding.
pub const SLOW: Duration = Duration::from_secs(2);

type Decoder = Box<dyn Fn(&[u8])>;

/// A decoder with good inputs.
pub struct Target {
    /// Its name: what regression files start with.
    pub name: &'static str,
    /// How often it is called for each thousand calls.
    pub weight: u64,
    seeds: Vec<Vec<u8>>,
    decode: Decoder,
}

/// What a run found.
#[derive(Debug)]
pub struct Finding {
    /// Which decoder.
    pub target: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Panicked or slow.
    pub what: String,
}

/// Every decoder that reads what others wrote.
///
/// # Panics
///
/// If the simulated network that gives the good inputs cannot be made.
pub fn targets(scratch: &std::path::Path) -> Vec<Target> {
    let inputs = Inputs::new();
    let mut all = of_links(&inputs);
    all.extend(of_files(&inputs, scratch));
    all
}

fn target(
    name: &'static str,
    weight: u64,
    seeds: &[Vec<u8>],
    decode: impl Fn(&[u8]) + 'static,
) -> Target {
    Target { name, weight, seeds: seeds.to_vec(), decode: Box::new(decode) }
}

fn of_links(inputs: &Inputs) -> Vec<Target> {
    let catalogue = parse(&taizhang_core::base_catalogue()).expect("the base catalogue");
    let ledger = catalogue.ledgers["poor_household"].clone();
    let log = RecordLog::from_bytes(&inputs.logs[0]).expect("a log");
    let root = inputs.identity.root.clone();
    vec![
        target("segment", 200, &inputs.segments, |bytes| {
            drop(Segment::header(bytes));
            drop(Segment::from_plain(bytes));
        }),
        target("entry", 150, &inputs.entries, |bytes| drop(Entry::from_bytes(bytes))),
        target("receipt", 100, &inputs.receipts, |bytes| {
            drop(SealedReceipt { plain: bytes.to_vec(), seal: [0; 64] }.open());
        }),
        target("change", 170, &inputs.changes, move |bytes| change(bytes, &log, &ledger)),
        target("log", 80, &inputs.logs, |bytes| drop(RecordLog::from_bytes(bytes))),
        target("frame", 120, &inputs.frames, |bytes| {
            if let Ok(frame) = Frame::decode(bytes) {
                drop(from_frame(frame).map(to_frame));
            }
        }),
        target("chain", 15, &inputs.identity.chain, move |bytes| {
            drop(root.check(&[bytes.to_vec()]));
        }),
        target("expression", 60, &expressions(), |bytes| {
            drop(Expression::compile(&String::from_utf8_lossy(bytes)));
        }),
        target("catalogue", 2, &catalogues(), |bytes| {
            let source = String::from_utf8_lossy(bytes).into_owned();
            drop(parse(&[Part { name: "fuzz".into(), source }]));
        }),
    ]
}

fn of_files(inputs: &Inputs, scratch: &std::path::Path) -> Vec<Target> {
    let identity = inputs.identity.clone();
    let on_file = |name: &str| {
        let path = scratch.join(name);
        move |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("a scratch file");
            drop(sheet::read(&path));
        }
    };
    vec![
        target("frames", 30, &[inputs.frames.concat()], |bytes| drop(frames_from_bytes(bytes))),
        target("bundle", 30, std::slice::from_ref(&inputs.bundle), move |bytes| {
            drop(envelope::open(Kind::Bundle, bytes, &identity.seal, Some(&identity.root)));
        }),
        target("request", 20, std::slice::from_ref(&inputs.request), |bytes| {
            drop(enrol::read_request(bytes));
        }),
        target("code", 20, &[b"TZ-0123-4567-89AB-CDEF".to_vec()], |bytes| {
            drop(EnrolmentCode::parse(&String::from_utf8_lossy(bytes)));
        }),
        target("csv", 2, &["姓名,组别\n张三,一组\n".as_bytes().to_vec()], on_file("sheet.csv")),
        target("xlsx", 1, std::slice::from_ref(&inputs.xlsx), on_file("sheet.xlsx")),
    ]
}

/// A change as a malicious peer makes it: its checksum is good half of the time.
fn change(bytes: &[u8], log: &RecordLog, ledger: &Ledger) {
    let mut bytes = bytes.to_vec();
    if bytes.len() > 9 && bytes[8] % 2 == 1 {
        let sum = Sha256::digest(&bytes[8..]);
        bytes[4..8].copy_from_slice(&sum[..4]);
    }
    if let Ok(scanned) = scan(&bytes) {
        let (mut log, origin) = (log.clone(), log.changes[0].origin.clone());
        if let Ok(deps) = log.check(&scanned) {
            log.push(scanned, deps, origin);
            drop(fold(&log, ledger));
            drop(RecordLog::from_bytes(&log.to_bytes()));
        }
    }
}

fn expressions() -> Vec<Vec<u8>> {
    let sources = [
        "same.filter(s, s.amount > 0).map(s, s.amount).sum() <= param.cap * 100",
        "today() > date(self.due) && !(self.state in ['closed', 'rejected'])",
        "size(self.lines) >= 2 ? self.a + 1 : -self.b",
    ];
    sources.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn catalogues() -> Vec<Vec<u8>> {
    let parts = taizhang_core::base_catalogue();
    parts.into_iter().map(|part| part.source.into_bytes()).collect()
}

struct Inputs {
    identity: Identity,
    segments: Vec<Vec<u8>>,
    entries: Vec<Vec<u8>>,
    changes: Vec<Vec<u8>>,
    logs: Vec<Vec<u8>>,
    receipts: Vec<Vec<u8>>,
    frames: Vec<Vec<u8>>,
    bundle: Vec<u8>,
    request: Vec<u8>,
    xlsx: Vec<u8>,
}

impl Inputs {
    fn new() -> Self {
        let mut world = World::new(3, 4, None);
        let record = world.household(3, "张三");
        world.set(3, record, "phone", "13800000001");
        world.settle(1000);
        let now = world.now;
        let slice = SliceId::ledger(world.replicas[3].place);
        let township = world.replicas[2].place;
        let engine = world.engine(3);
        let identity = engine.identity.as_ref().clone();
        let stored = engine.store.segments_after(0, 200).expect("segments");
        let sealed: Vec<Sealed> = stored.into_iter().map(|one| one.sealed).collect();
        let opened: Vec<Segment> =
            sealed.iter().filter_map(|one| Segment::from_plain(&one.plain).ok()).collect();
        let entries: Vec<&Entry> = opened.iter().flat_map(|one| &one.entries).collect();
        let receipts = engine.store.receipts().expect("receipts");
        let receipts: Vec<SealedReceipt> = receipts.into_iter().map(|one| one.sealed).collect();
        let log = engine.store.record(slice, record).expect("a record").expect("a record").log;
        let mut frames = vec![to_frame(Message::Receipts(receipts.clone())).encode_to_vec()];
        frames.extend(
            sealed.iter().map(|one| to_frame(Message::Segment(one.clone())).encode_to_vec()),
        );
        let bundle = bundle::export(engine, township, true, now).expect("a bundle").remove(0);
        let folder = tempfile::tempdir().expect("a folder");
        let request = enrol::request(folder.path(), [5; 32]).expect("a request");
        Self {
            identity,
            entries: entries.iter().map(|one| one.to_bytes()).collect(),
            changes: entries
                .iter()
                .flat_map(|one| &one.changes)
                .map(|one| one.bytes.clone())
                .collect(),
            segments: sealed.into_iter().map(|one| one.plain).collect(),
            logs: vec![log.to_bytes()],
            receipts: receipts.into_iter().map(|one| one.plain).collect(),
            frames,
            bundle,
            request,
            xlsx: workbook(),
        }
    }
}

fn workbook() -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (row, cells) in [["姓名", "组别"], ["张三", "一组"]].iter().enumerate() {
        for (column, text) in cells.iter().enumerate() {
            let (row, column) = (u32::try_from(row), u16::try_from(column));
            let (row, column) = (row.expect("few"), column.expect("few"));
            sheet.write(row, column, *text).expect("a cell");
        }
    }
    book.save_to_buffer().expect("a workbook")
}

/// Changes bytes a little: what fuzzers call havoc.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=dice.below(4) {
        let at = dice.index(bytes.len().max(1));
        match dice.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            1 if !bytes.is_empty() => dice.fill(&mut bytes[at..=at]),
            2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.index(5)],
            3 => bytes.truncate(at),
            4 => {
                let mut random = [0; 10];
                dice.fill(&mut random);
                let length = dice.index(10);
                bytes.splice(at..at, random[..length].iter().copied());
            }
            5 => drop(bytes.splice(at.min(bytes.len())..at.min(bytes.len()), [0xff; 9])),
            6 if !other.is_empty() => {
                let from = dice.index(other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            _ => {
                let to = (at + dice.index(40)).min(bytes.len());
                let piece = bytes[at.min(to)..to].to_vec();
                bytes.extend(piece);
            }
        }
    }
}

impl Target {
    /// Decodes one input; the finding if it panics or is slow.
    pub fn run(&self, bytes: &[u8]) -> Option<Finding> {
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.decode)(bytes)));
        let finding = |what: String| Finding { target: self.name, bytes: bytes.to_vec(), what };
        match outcome {
            Err(_) => Some(finding("panicked".into())),
            Ok(()) if started.elapsed() > SLOW => {
                Some(finding(format!("took {} ms", started.elapsed().as_millis())))
            }
            Ok(()) => None,
        }
    }

    /// Runs changed inputs.
    pub fn play(&self, seed: u64, executions: u64) -> Vec<Finding> {
        let mut dice = Dice::new(seed, self.name);
        let mut found = Vec::new();
        for _ in 0..executions {
            let mut bytes = self.seeds[dice.index(self.seeds.len())].clone();
            let other = &self.seeds[dice.index(self.seeds.len())];
            mutate(&mut dice, &mut bytes, other);
            found.extend(self.run(&bytes));
        }
        found
    }
}
