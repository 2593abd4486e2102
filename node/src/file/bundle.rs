//! Bundles: what a peer lacks, as files. A memory stick is a link with a very long round trip: the writer
//! runs a session against what the peer's receipts say that it holds, the reader runs one against the
//! file. Receipts come back on the next stick (DESIGN §5).

use std::collections::BTreeSet;

use taizhang_core::directives::ChainReader as _;
use taizhang_core::feed::frontier::{Frontiers, Head};
use taizhang_core::feed::segment::{self, Segment};
use taizhang_core::id::{FeedId, Hash, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::limits;
use taizhang_core::sync::inbound::Stored;
use taizhang_core::sync::message::{Hello, Message, PROTOCOL, SliceHeads};
use taizhang_core::sync::outbound::SegmentsRead;
use taizhang_core::sync::session::{Input, Output, Report, Session};
use taizhang_core::time::UtcMillis;

use super::envelope::{self, Kind};
use crate::engine::Engine;
use crate::engine::command::{CommandError, refuse, refuse_as};
use crate::store::StoreError;
use crate::transport::convert::{frames_from_bytes, frames_to_bytes};

/// What an import did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Imported {
    /// Segments that are new here.
    pub new: u64,
    /// Segments that were here already.
    pub held: u64,
    /// Photos and scans that are whole now.
    pub blobs: u64,
    /// What was refused, and why.
    pub refused: Vec<String>,
    /// The office that wrote the bundle.
    pub from: PlaceId,
}

/// Passes over a bundle: what an earlier pass brought may admit what comes before it in the file.
const PASSES_MAX: usize = 8;

/// What `to` lacks by its receipts, or everything shared with it: the files of it, in order.
///
/// # Errors
///
/// If `to` is not above, below or beside this office, or has no replica to encrypt to.
pub fn export(
    engine: &mut Engine,
    to: PlaceId,
    all: bool,
    now: UtcMillis,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let (own, directives) = (engine.place(), engine.directives.clone());
    let tree = &directives.tree;
    if !tree.is_above_or_same(to, own) && !tree.is_above_or_same(own, to) {
        return refuse(
            "该单位不是本级的上级或下级",
            "that office is neither above nor below this one",
        );
    }
    let receivers: Vec<SealKey> = directives
        .roster
        .values()
        .filter(|known| known.certified.place == to)
        .map(|known| known.certified.key)
        .filter(|key| !directives.revoked.contains(*key) && *key != engine.author.key)
        .collect();
    if receivers.is_empty() {
        return refuse("该单位没有其他已注册的节点", "no other replica of that office is enrolled");
    }
    engine.transaction(|engine| {
        engine.flush(now)?;
        engine.issue_receipts(now)
    })?;
    let known = if all { Frontiers::default() } else { held_by(engine, &receivers)? };
    let mut parts = Vec::new();
    for messages in collect(engine, to, known, now)? {
        let plain = frames_to_bytes(messages);
        let chance: [u8; 64] = engine.random();
        let file = envelope::write(Kind::Bundle, &engine.identity, to, &receivers, &plain, &chance);
        parts.push(file.or_else(refuse_as)?);
    }
    let text = format!("for place {to}: {} file(s)", parts.len());
    engine.transaction(|engine| engine.store.audit("bundle written", &text, now))?;
    Ok(parts)
}

/// What every one of some replicas states to hold: of each feed the least.
fn held_by(engine: &Engine, keys: &[SealKey]) -> Result<Frontiers, StoreError> {
    let mut known = Frontiers::default();
    let mut first = true;
    for key in keys {
        let mut one = Frontiers::default();
        for stored in engine.store.receipts()?.iter().filter(|stored| stored.issuer.key == *key) {
            let Ok(receipt) = stored.sealed.open() else { continue };
            for ((lane, author), head) in receipt.held.heads {
                one.set(FeedId { slice: receipt.slice, lane, author }, head);
            }
        }
        known = if first { one } else { least(&known, &one) };
        first = false;
    }
    Ok(known)
}

fn least(one: &Frontiers, other: &Frontiers) -> Frontiers {
    let mut both = Frontiers::default();
    for (slice, frontier) in &one.slices {
        for ((lane, author), head) in &frontier.heads {
            let feed = FeedId { slice: *slice, lane: *lane, author: *author };
            let least = if other.head(feed).count < head.count { other.head(feed) } else { *head };
            if least.count > 0 {
                both.set(feed, least);
            }
        }
    }
    both
}

/// The messages of each file: a session that talks to a peer which takes everything.
fn collect(
    engine: &mut Engine,
    to: PlaceId,
    known: Frontiers,
    now: UtcMillis,
) -> Result<Vec<Vec<Message>>, StoreError> {
    let config = engine.session_config(to)?;
    let heads = |frontiers: &Frontiers| -> Vec<SliceHeads> {
        let slices = frontiers.slices.iter().map(|(slice, one)| {
            (*slice, one.heads.iter().map(|((lane, by), head)| (*lane, *by, *head)).collect())
        });
        slices.collect()
    };
    let greeting = |place: PlaceId, frontiers: Vec<SliceHeads>| {
        Message::Hello(Box::new(Hello {
            protocol: PROTOCOL,
            reads_format: segment::FORMAT,
            place,
            replica: Default::default(),
            time: now,
            catalogue: Hash::default(),
            directives: Hash::default(),
            shared: Hash([0xff; 32]),
            receipts_up: Hash::default(),
            receipts_down: Hash::default(),
            known_receipts: Vec::new(),
            frontiers: Some(frontiers),
        }))
    };
    let own = greeting(engine.place(), heads(&config.held));
    let mut parts = Parts { greeting: own.clone(), parts: vec![vec![own]], bytes: 0 };
    let mut touched: BTreeSet<(SliceId, RecordId)> = BTreeSet::new();
    let mut session = Session::open(config, now);
    session.handle(now, Input::Received(greeting(to, heads(&known))));
    while let Some(output) = session.poll_output() {
        match output {
            Output::Read(wanted) => {
                let read = engine.store.read_for_peer(&wanted)?;
                let taken = read
                    .segments
                    .iter()
                    .map(|one| (one.feed, Head { count: one.number + 1, hash: one.hash }));
                let acks = taken.collect();
                touched.extend(read.segments.iter().flat_map(|one| records_of(&one.sealed.plain)));
                session.handle(now, Input::SegmentsRead(read));
                session.handle(now, Input::Received(Message::Ack(acks)));
            }
            Output::Send(message @ (Message::Chain(_) | Message::Segment(_))) => {
                parts.push(message)
            }
            _ => {}
        }
    }
    let receipts = engine.receipts_for(to, &[])?;
    for chunk in receipts.chunks(limits::RECEIPTS_PER_MESSAGE) {
        parts.push(Message::Receipts(chunk.to_vec()));
    }
    push_blobs(engine, touched, &mut parts)?;
    Ok(parts.parts)
}

/// Photos of the records that the segments are about, after everything else.
fn push_blobs(
    engine: &Engine,
    touched: BTreeSet<(SliceId, RecordId)>,
    parts: &mut Parts,
) -> Result<(), StoreError> {
    for (slice, record) in touched {
        for blob in engine.store.blobs_of(slice, record)? {
            let mut from = 0;
            while from < blob.bytes {
                let bytes = engine.store.read_blob(slice, blob.hash, from)?;
                let next = from + bytes.len() as u64;
                if next == from {
                    break;
                }
                parts.push(Message::BlobPart { hash: blob.hash, from, bytes });
                from = next;
            }
        }
    }
    Ok(())
}

/// Messages in files that stay below the cut; each begins with the greeting.
struct Parts {
    greeting: Message,
    parts: Vec<Vec<Message>>,
    bytes: usize,
}

impl Parts {
    fn push(&mut self, message: Message) {
        self.bytes += message.size();
        if self.bytes > limits::BUNDLE_BYTES_CUT {
            self.parts.push(vec![self.greeting.clone()]);
            self.bytes = message.size();
        }
        if let Some(part) = self.parts.last_mut() {
            part.push(message);
        }
    }
}

/// The records that a segment is about.
fn records_of(plain: &[u8]) -> Vec<(SliceId, RecordId)> {
    let Ok(segment) = Segment::from_plain(plain) else { return Vec::new() };
    let changes = segment.entries.iter().flat_map(|entry| &entry.changes);
    changes.map(|change| (segment.feed.slice, change.record)).collect()
}

/// Takes the photos of a bundle, as far as records here name them. Gives how many are whole now.
fn take_blobs(engine: &mut Engine, messages: &[Message]) -> Result<u64, StoreError> {
    let mut whole = 0;
    for message in messages {
        let Message::BlobPart { hash, from, bytes } = message else { continue };
        let Some(blob) = engine.store.named_blob(*hash)? else { continue };
        let before = engine.store.have_of(blob);
        let have = engine.transaction(|engine| engine.take_blob(blob, *from, bytes))?;
        whole += u64::from(have == Some(blob.bytes) && before < blob.bytes);
    }
    Ok(whole)
}

/// Takes a bundle in. Idempotent; makes its own transactions.
///
/// # Errors
///
/// [`envelope::EnvelopeError`] in words; then nothing was taken.
pub fn import(engine: &mut Engine, file: &[u8], now: UtcMillis) -> Result<Imported, CommandError> {
    let identity = engine.identity.clone();
    let opened = envelope::open(Kind::Bundle, file, &identity.seal, Some(&identity.root));
    let opened = opened.or_else(refuse_as)?;
    let from = opened.sender.name.place();
    let directives = &engine.directives;
    let near = directives.tree.is_above_or_same(from, engine.place())
        || directives.tree.is_above_or_same(engine.place(), from);
    if directives.revoked.contains(opened.sender.seal_key) || !near {
        return refuse(
            "发送方已被吊销,或不是本级的上级或下级",
            "the sender was revoked, or is neither above nor below this office",
        );
    }
    let Some(messages) = frames_from_bytes(&opened.body) else {
        return refuse("文件内容无法读取", "the content of the file cannot be read");
    };
    let mut sum = Imported { from, ..Imported::default() };
    for _ in 0..PASSES_MAX {
        let pass = one_pass(engine, from, &messages, now)?;
        (sum.held, sum.refused) = (pass.held, pass.refused);
        sum.new += pass.new;
        if pass.new == 0 {
            break;
        }
    }
    sum.blobs = take_blobs(engine, &messages)?;
    // Of those counted as held in the last pass the new ones were brought by this file too.
    sum.held = sum.held.saturating_sub(sum.new);
    // A command has no idle time in which receipts are signed, and the next stick should carry them.
    let text = format!("from place {from}: {} new, {} refused", sum.new, sum.refused.len());
    engine.transaction(|engine| {
        engine.issue_receipts(now)?;
        engine.store.audit("bundle read", &text, now)
    })?;
    Ok(sum)
}

fn one_pass(
    engine: &mut Engine,
    from: PlaceId,
    messages: &[Message],
    now: UtcMillis,
) -> Result<Imported, CommandError> {
    let mut pass = Imported::default();
    let mut session = Session::open(engine.session_config(from)?, now);
    for message in messages {
        session.handle(now, Input::Received(message.clone()));
        while let Some(output) = session.poll_output() {
            carry_out(engine, &mut session, output, &mut pass, now)?;
        }
    }
    Ok(pass)
}

fn carry_out(
    engine: &mut Engine,
    session: &mut Session,
    output: Output,
    pass: &mut Imported,
    now: UtcMillis,
) -> Result<(), CommandError> {
    match output {
        Output::Commit(id, batch) => {
            let stored = engine.transaction(|engine| engine.ingest(&batch, now))?;
            for one in &stored {
                match one {
                    Stored::Stored(..) => pass.new += 1,
                    Stored::Held(..) => pass.held += 1,
                    Stored::Gap(_) | Stored::Unknown | Stored::TooMany => {}
                }
            }
            session.handle(now, Input::Committed(id, stored));
            if catch_up(engine, now)? {
                let tree = std::sync::Arc::new(engine.directives.tree.clone());
                let held = engine.shared_frontiers(pass.from);
                session.handle(now, Input::ScopeChanged(tree, held));
            }
        }
        Output::ReadChain(chain) => {
            let read = engine.identity.root.read(&chain).map(|certified| certified.key);
            session.handle(now, Input::ChainRead(read));
        }
        Output::Read(wanted) => {
            let (slice, lane) = (wanted.slice, wanted.lane);
            let nothing = SegmentsRead { slice, lane, segments: Vec::new(), more: false };
            session.handle(now, Input::SegmentsRead(nothing));
        }
        Output::TakeReceipts(receipts) => {
            engine.transaction(|engine| engine.take_receipts(&receipts, now))?;
            session.handle(now, Input::ReceiptsTaken);
        }
        Output::Report(Report::Refused { reason, .. }) => pass.refused.push(reason),
        Output::Report(Report::NotYet(feed, reason)) => {
            pass.refused.push(format!("{feed}: {reason}"));
        }
        Output::Close(reason) => pass.refused.push(reason.to_string()),
        Output::TakeBlob { .. } | Output::ReadBlob { .. } | Output::ListBlobs => {}
        Output::Send(_) | Output::Report(_) => {}
    }
    Ok(())
}

/// Projects what came, so that a later segment is judged by it; gives whether directives changed.
fn catch_up(engine: &mut Engine, now: UtcMillis) -> Result<bool, StoreError> {
    let before = std::sync::Arc::clone(&engine.directives);
    loop {
        if !engine.transaction(|engine| engine.project(now, 64))? {
            return Ok(!std::sync::Arc::ptr_eq(&before, &engine.directives));
        }
    }
}
