//! The session machine: one way in, one way out, one deadline.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::blobs::{Blobs, MissingBlob};
use super::inbound::{Batch, BatchId, Inbound, Stored};
use super::message::{Hello, KnownReceipt, Message, PROTOCOL, Refusal, SliceHeads};
use super::outbound::{Outbound, ReadSegments};
use crate::feed::frontier::{Frontier, Frontiers, Head};
use crate::feed::receipt::SealedReceipt;
use crate::feed::segment;
use crate::id::{AuthorId, FeedId, Hash, Lane, PlaceId, ReplicaId, SealKey, SliceId, SliceKind};
use crate::limits;
use crate::place::{Tree, is_shared};
use crate::record::attachment::BlobRef;
use crate::time::UtcMillis;

/// What a session starts from.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Own place.
    pub place: PlaceId,
    /// Own replica.
    pub replica: ReplicaId,
    /// Own author in this epoch, to notice that we forgot.
    pub author: AuthorId,
    /// The peer's place, as its certificate says.
    pub peer: PlaceId,
    /// The hierarchy as known here.
    pub tree: Arc<Tree>,
    /// Keys whose chain is held.
    pub keys: Arc<BTreeSet<SealKey>>,
    /// Digest of the catalogue in force.
    pub catalogue: Hash,
    /// Digests of receipts up and down this link.
    pub receipts: (Hash, Hash),
    /// Receipts of this link that are held, if they are few.
    pub known_receipts: Vec<KnownReceipt>,
    /// What is held of the slices shared with the peer.
    pub held: Frontiers,
    /// Branches of forked feeds, and how many segments of their feed come before each.
    pub bases: BTreeMap<FeedId, u64>,
}

/// Everything that can happen to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The ledger advanced, by ourselves or through another peer. Heads only grow; when a feed forks,
    /// the link starts over instead.
    Advanced(Vec<(FeedId, Head)>),
    /// A blob is held here now, named by a record of that slice.
    BlobHeld(SliceId, BlobRef),
    /// A part of a blob that the peer asked for: where it begins, and its bytes; none if not held.
    BlobRead(Hash, u64, Vec<u8>),
    /// A part was written: bytes of the blob that are here now, 0 if they were wrong; none if there is
    /// no room.
    BlobTaken(BlobRef, Option<u64>),
    /// Blobs that records name and that are not here.
    BlobsMissing(Vec<MissingBlob>),
    /// The chain asked for was read: the key that it certifies, or why it is refused.
    ChainRead(Result<SealKey, String>),
    /// The batch is durable; what became of each segment, in order.
    Committed(BatchId, Vec<Stored>),
    /// The deadline has come.
    DeadlineReached,
    /// The transport is gone.
    LinkLost,
    /// The peer said something.
    Received(Message),
    /// The hierarchy changed; `held` are the frontiers of the slices shared now.
    ScopeChanged(Arc<Tree>, Frontiers),
    /// Segments asked for, in causal order, each with its author's chain if the peer may lack it.
    SegmentsRead(super::outbound::SegmentsRead),
    /// A message of receipts was taken in.
    ReceiptsTaken,
    /// Receipts for the peer.
    SendReceipts(Vec<SealedReceipt>),
}

/// What operators and badges learn.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// The peer's clock differs from ours by that many milliseconds.
    ClockSkew(i64),
    /// The greeting is through: whether receipts must be sent to the peer.
    Greeted {
        /// The peer lacks some of our receipts.
        send_receipts: bool,
        /// Those that it says it holds.
        known: Vec<KnownReceipt>,
    },
    /// The peer says that it holds more of our own feed than we do. Its segments, sealed by our key,
    /// will prove that we forgot; its word alone proves nothing.
    Amnesia(FeedId),
    /// Something from the peer was refused.
    Refused {
        /// The feed, if the bytes name one.
        feed: Option<FeedId>,
        /// For the audit.
        reason: String,
    },
    /// The peer refuses something of ours.
    RefusedByPeer(FeedId, Refusal),
    /// Waits for something that is not held here yet.
    NotYet(FeedId, String),
    /// How much is missing on either side, in segments.
    Progress {
        /// To be received.
        inbound: u64,
        /// To be acked by the peer.
        outbound: u64,
    },
}

/// Why a session ends.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CloseReason {
    /// The transport is gone.
    #[error("the link was lost")]
    LinkLost,
    /// The peer said goodbye.
    #[error("the peer left: {0}")]
    PeerLeft(String),
    /// The peer does not keep to the protocol.
    #[error("the peer does not keep to the protocol: {0}")]
    Protocol(String),
    /// Nothing was heard for too long.
    #[error("the peer has been silent for too long")]
    Silent,
    /// The peer's greeting names another place than its certificate.
    #[error("the peer greets as {greeted} but its certificate says {certified}")]
    WrongPlace {
        /// The place in the greeting.
        greeted: PlaceId,
        /// The place in the certificate.
        certified: PlaceId,
    },
}

/// Everything a session can ask for.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Output {
    /// Say this to the peer.
    Send(Message),
    /// Store these, in this order.
    Commit(BatchId, Batch),
    /// Say which blobs are missing.
    ListBlobs,
    /// Read a certificate chain.
    ReadChain(Vec<Vec<u8>>),
    /// Read segments.
    Read(ReadSegments),
    /// Read a part of a blob, if a record of that slice names it.
    ReadBlob {
        /// The slice.
        slice: SliceId,
        /// BLAKE3 of the whole.
        hash: Hash,
        /// The first byte wanted.
        from: u64,
    },
    /// Write a part of a blob where it belongs.
    TakeBlob {
        /// The whole.
        blob: BlobRef,
        /// Where the part begins: what is here already.
        from: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// Keep these receipts, after verifying them.
    TakeReceipts(Vec<SealedReceipt>),
    /// Tell operators and badges.
    Report(Report),
    /// The session is over.
    Close(CloseReason),
}

/// Messages the peer may send that mean nothing before the session is given up.
const STRIKES_MAX: u32 = 32;

/// One conversation with one peer.
#[derive(Debug)]
pub struct Session {
    pub(super) config: SessionConfig,
    /// What is durable here of the shared slices.
    pub(super) held: Frontiers,
    /// What the peer is known to hold.
    pub(super) peer: Frontiers,
    /// Keys whose chain came on this link.
    pub(super) keys: BTreeSet<SealKey>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) blobs: Blobs,
    pub(super) outputs: VecDeque<Output>,
    /// What the own greeting stated: digest and frontiers of that moment.
    stated: (Hash, Frontiers),
    greeted: bool,
    frontiers_known: bool,
    peer_directives: Hash,
    last_heard: UtcMillis,
    last_said: UtcMillis,
    last_asked: UtcMillis,
    strikes: u32,
    /// Messages of receipts that are being taken in.
    receipts_under_way: usize,
    /// Feeds that the peer says it holds.
    stated_feeds: usize,
    closed: bool,
    reported: Option<(u64, u64)>,
    /// When progress is counted next, where counting takes time.
    count_at: Option<UtcMillis>,
    counted: UtcMillis,
}

impl Session {
    /// Starts a session; the greeting is its first output.
    pub fn open(config: SessionConfig, now: UtcMillis) -> Self {
        let held = config.held.clone();
        let mut session = Self {
            held,
            config,
            peer: Frontiers::default(),
            keys: BTreeSet::new(),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            blobs: Blobs::default(),
            outputs: VecDeque::new(),
            stated: Default::default(),
            greeted: false,
            frontiers_known: false,
            peer_directives: Hash::default(),
            last_heard: now,
            last_said: now,
            last_asked: now,
            strikes: 0,
            receipts_under_way: 0,
            stated_feeds: 0,
            closed: false,
            reported: None,
            count_at: None,
            counted: UtcMillis(0),
        };
        let hello = session.hello(now);
        session.stated = (hello.shared, session.shared_held());
        session.send(Message::Hello(Box::new(hello)));
        session
    }

    fn hello(&self, now: UtcMillis) -> Hello {
        let few = self.held.slices.len() <= limits::GREETING_SLICES_MAX;
        Hello {
            protocol: PROTOCOL,
            reads_format: segment::FORMAT,
            place: self.config.place,
            replica: self.config.replica,
            time: now,
            catalogue: self.config.catalogue,
            directives: self.directives_digest(),
            shared: self.held.digest(|slice| self.shares(slice)),
            receipts_up: self.config.receipts.0,
            receipts_down: self.config.receipts.1,
            known_receipts: self.config.known_receipts.clone(),
            frontiers: few.then(|| self.own_heads()),
        }
    }

    fn directives_digest(&self) -> Hash {
        self.held.digest(|slice| slice.kind == SliceKind::Directive && self.shares(slice))
    }

    fn own_heads(&self) -> Vec<SliceHeads> {
        self.held
            .slices
            .iter()
            .filter(|(slice, _)| self.shares(**slice))
            .map(|(slice, frontier)| {
                let heads =
                    frontier.heads.iter().map(|((lane, author), head)| (*lane, *author, *head));
                (*slice, heads.collect())
            })
            .collect()
    }

    /// Whether a slice is shared with the peer, by the tree known here.
    pub(super) fn shares(&self, slice: SliceId) -> bool {
        is_shared(self.config.place, self.config.peer, slice, &self.config.tree)
    }

    /// Whether the directive slices that both ends hold were equal when last compared: then what is
    /// out of scope stays so.
    pub(super) fn directives_equal(&self) -> bool {
        self.frontiers_known && self.peer_directives == self.directives_digest()
    }

    /// Takes one thing that happened. Call in order of `now`; equal times are fine.
    pub fn handle(&mut self, now: UtcMillis, input: Input) {
        if self.closed {
            return;
        }
        match input {
            Input::Received(message) => {
                self.last_heard = now;
                self.received(now, message);
            }
            Input::Committed(batch, stored) => self.committed(batch, &stored),
            Input::ChainRead(result) => self.chain_read(result),
            Input::SegmentsRead(read) => self.segments_read(read),
            Input::Advanced(heads) => self.advanced(&heads),
            Input::BlobHeld(slice, blob) => self.blob_held(slice, blob),
            Input::BlobRead(hash, from, bytes) => self.blob_read(hash, from, bytes),
            Input::BlobTaken(blob, have) => self.blob_taken(blob, have),
            Input::BlobsMissing(missing) => self.blobs_missing(&missing),
            Input::ScopeChanged(tree, held) => self.scope_changed(tree, held),
            Input::ReceiptsTaken => {
                self.receipts_under_way = self.receipts_under_way.saturating_sub(1);
            }
            Input::SendReceipts(receipts) => {
                for chunk in receipts.chunks(limits::RECEIPTS_PER_MESSAGE) {
                    self.send(Message::Receipts(chunk.to_vec()));
                }
            }
            Input::DeadlineReached => self.deadline_reached(now),
            Input::LinkLost => self.close(CloseReason::LinkLost),
        }
        self.pump();
        self.ask_for_blobs();
        self.report_progress(now);
        if self.outputs.iter().any(|output| matches!(output, Output::Send(_))) {
            self.last_said = now;
        }
    }

    /// Yields the next thing to do, oldest first. Drain it to `None` after every `handle`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle(now, Input::DeadlineReached)` at the latest.
    pub fn deadline(&self) -> Option<UtcMillis> {
        let silent = self.last_heard.plus(limits::LINK_SILENCE_MS);
        let next = self.last_said.min(self.last_asked).plus(limits::HEARTBEAT_MS);
        let next = self.count_at.map_or(next, |at| next.min(at));
        (!self.closed).then(|| silent.min(next))
    }

    /// Whether both ends are known to hold the same, with nothing under way.
    pub fn in_sync(&self) -> bool {
        self.frontiers_known && self.missing() == (0, 0)
    }

    /// Whether the peer has greeted and the session goes on.
    pub(super) fn has_greeted(&self) -> bool {
        self.greeted && !self.closed
    }

    pub(super) fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::Send(message));
    }

    pub(super) fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        if !self.closed {
            self.closed = true;
            if !matches!(reason, CloseReason::LinkLost | CloseReason::PeerLeft(_)) {
                self.send(Message::Bye(reason.to_string()));
            }
            self.outputs.push_back(Output::Close(reason));
        }
    }

    pub(super) fn strike(&mut self, reason: &str) {
        self.strikes += 1;
        if self.strikes > STRIKES_MAX {
            self.close(CloseReason::Protocol(reason.to_owned()));
        }
    }

    fn deadline_reached(&mut self, now: UtcMillis) {
        if now >= self.last_heard.plus(limits::LINK_SILENCE_MS) {
            self.close(CloseReason::Silent);
            return;
        }
        if now >= self.last_said.plus(limits::HEARTBEAT_MS) {
            self.send(Message::Heartbeat(now));
        }
        // A busy link sends no heartbeats, and must ask all the same.
        if now >= self.last_asked.plus(limits::HEARTBEAT_MS) {
            self.last_asked = now;
            self.ask_again();
            self.ask_for_blobs_again();
            self.outbound.retry_held();
        }
    }

    fn received(&mut self, now: UtcMillis, message: Message) {
        if !self.greeted && !matches!(message, Message::Hello(_) | Message::Bye(_)) {
            self.close(CloseReason::Protocol("spoke before greeting".into()));
            return;
        }
        match message {
            Message::Hello(hello) => self.greeting(now, *hello),
            Message::Frontiers { slices, last } => self.frontiers(slices, last),
            Message::Chain(chain) => self.chain_came(chain),
            Message::Segment(sealed) => self.segment_came(sealed),
            Message::Ack(feeds) => self.acked(&feeds),
            // What is not held here was not offered.
            Message::NotYet(feed) | Message::Refused(feed, _)
                if self.held.head(feed).count == 0 => {}
            Message::NotYet(feed) => self.outbound.hold(feed),
            Message::Refused(feed, refusal) => {
                if self.outbound.refuse(feed, refusal) {
                    self.report(Report::RefusedByPeer(feed, refusal));
                }
            }
            Message::Want(feed, head) => self.wanted(feed, head),
            Message::Receipts(receipts) => self.receipts_came(receipts),
            Message::WantBlob { slice, hash, from } => self.blob_wanted(slice, hash, from),
            Message::BlobPart { hash, from, bytes } => self.blob_part(hash, from, bytes),
            Message::HaveBlob { hash, .. } => self.blob_offered(hash),
            Message::Heartbeat(_) => {}
            Message::Bye(reason) => self.close(CloseReason::PeerLeft(reason)),
        }
    }

    fn receipts_came(&mut self, receipts: Vec<SealedReceipt>) {
        if receipts.len() > limits::RECEIPTS_PER_MESSAGE
            || self.receipts_under_way >= limits::RECEIPT_MESSAGES_MAX
        {
            self.close(CloseReason::Protocol("too many receipts at once".into()));
            return;
        }
        self.receipts_under_way += 1;
        self.outputs.push_back(Output::TakeReceipts(receipts));
    }

    fn greeting(&mut self, now: UtcMillis, hello: Hello) {
        if self.greeted {
            self.close(CloseReason::Protocol("greeted twice".into()));
            return;
        }
        if hello.place != self.config.peer {
            let (greeted, certified) = (hello.place, self.config.peer);
            self.close(CloseReason::WrongPlace { greeted, certified });
            return;
        }
        if hello.protocol == 0 {
            self.close(CloseReason::Protocol("no common protocol version".into()));
            return;
        }
        self.greeted = true;
        self.peer_directives = hello.directives;
        let skew = hello.time.0.saturating_sub(now.0);
        if skew.unsigned_abs() > limits::CLOCK_SKEW_MS.unsigned_abs() {
            self.report(Report::ClockSkew(skew));
        }
        let up = self.config.tree.is_above_or_same(hello.place, self.config.place);
        let send_receipts = if up {
            hello.receipts_up != self.config.receipts.0
        } else {
            hello.receipts_down != self.config.receipts.1
        };
        self.report(Report::Greeted { send_receipts, known: hello.known_receipts });
        if hello.shared == self.stated.0 {
            self.peer = std::mem::take(&mut self.stated.1);
            self.frontiers_known = true;
            self.offer_all();
            return;
        }
        if self.held.slices.len() > limits::GREETING_SLICES_MAX {
            self.send_frontiers();
        }
        if let Some(slices) = hello.frontiers {
            self.frontiers(slices, true);
        }
    }

    fn shared_held(&self) -> Frontiers {
        let shared = self.held.slices.iter().filter(|(slice, _)| self.shares(**slice));
        Frontiers { slices: shared.map(|(slice, one)| (*slice, one.clone())).collect() }
    }

    fn send_frontiers(&mut self) {
        let mut chunk: Vec<SliceHeads> = Vec::new();
        let mut count = 0;
        for heads in self.own_heads() {
            count += heads.1.len();
            chunk.push(heads);
            if count >= limits::FRONTIERS_PER_MESSAGE {
                self.send(Message::Frontiers { slices: std::mem::take(&mut chunk), last: false });
                count = 0;
            }
        }
        self.send(Message::Frontiers { slices: chunk, last: true });
    }

    fn frontiers(&mut self, slices: Vec<SliceHeads>, last: bool) {
        for (slice, heads) in slices {
            for (lane, author, head) in heads {
                let feed = FeedId { slice, lane, author };
                let held = self.held.head(feed);
                if author == self.config.author && head.count > held.count {
                    self.report(Report::Amnesia(feed));
                }
                self.stated_feeds += usize::from(self.peer.head(feed).count == 0);
                if self.stated_feeds > limits::STATED_FEEDS_MAX {
                    self.close(CloseReason::Protocol("it states too many feeds".into()));
                    return;
                }
                self.peer.set(feed, head);
                if head.count == held.count && head.hash != held.hash {
                    // A fork: the last segment is offered, the receiver asks for what is before it.
                    self.peer.set(
                        feed,
                        Head { count: head.count.saturating_sub(1), hash: Hash::default() },
                    );
                }
            }
        }
        if last {
            self.frontiers_known = true;
            self.offer_all();
        }
    }

    /// Queues every slice in which the peer lacks something.
    fn offer_all(&mut self) {
        let offers: Vec<(Lane, SliceId)> = self
            .held
            .slices
            .iter()
            .filter(|(slice, _)| self.shares(**slice))
            .flat_map(|(slice, frontier)| behind(*slice, frontier, &self.peer))
            .collect();
        self.outbound.offer(offers);
    }

    fn advanced(&mut self, heads: &[(FeedId, Head)]) {
        for (feed, head) in heads {
            // What is durable came with its author's chain, on whatever link.
            self.keys.insert(feed.author.key);
            if !self.shares(feed.slice) {
                continue;
            }
            if head.count > self.held.head(*feed).count {
                self.held.set(*feed, *head);
            }
            if self.frontiers_known && head.count > self.peer.head(*feed).count {
                self.outbound.offer([(feed.lane, feed.slice)]);
            }
        }
    }

    fn scope_changed(&mut self, tree: Arc<Tree>, held: Frontiers) {
        self.config.tree = tree;
        for (slice, frontier) in held.slices {
            for ((lane, author), head) in frontier.heads {
                let feed = FeedId { slice, lane, author };
                self.keys.insert(author.key);
                if head.count > self.held.head(feed).count {
                    self.held.set(feed, head);
                }
            }
        }
        if !self.frontiers_known {
            return;
        }
        self.outbound.retry_out_of_scope();
        self.offer_all();
        for feed in self.inbound.take_unscoped() {
            self.send(Message::Want(feed, self.expected(feed)));
        }
    }

    fn wanted(&mut self, feed: FeedId, head: Head) {
        if !self.shares(feed.slice) {
            self.send(Message::Refused(feed, Refusal::OutOfScope));
            return;
        }
        self.outbound.rewind(feed, head.count);
        self.peer.set(feed, head);
        for branch in self.outbound.branches_beside(feed) {
            self.outbound.rewind(branch, self.peer.head(branch).count);
        }
        if head.hash == Hash::default() {
            self.rewind_branches(feed, head.count);
        }
        self.outbound.offer([(feed.lane, feed.slice)]);
    }

    /// The peer lacks what comes before a segment, and cannot say on which branch: all of them go back
    /// to that number of the feed.
    fn rewind_branches(&mut self, feed: FeedId, number: u64) {
        let beside = |one: &FeedId| {
            one.slice == feed.slice && one.lane == feed.lane && one.author.key == feed.author.key
        };
        let branches = self.config.bases.iter().filter(|(one, _)| beside(one));
        for (branch, base) in branches.map(|(one, base)| (*one, *base)).collect::<Vec<_>>() {
            let known = self.peer.head(branch).count;
            let count = known.min(number.saturating_sub(base));
            self.outbound.rewind(branch, count);
            if count < known {
                self.peer.set(branch, Head { count, hash: Hash::default() });
            }
        }
    }

    /// Segments missing here and there, by the frontiers known.
    fn missing(&self) -> (u64, u64) {
        let lacking = |one: &Frontiers, other: &Frontiers| -> u64 {
            one.slices
                .iter()
                .filter(|(slice, _)| self.shares(**slice))
                .flat_map(|(slice, frontier)| {
                    frontier.heads.iter().map(|((lane, author), head)| {
                        let feed = FeedId { slice: *slice, lane: *lane, author: *author };
                        head.count.saturating_sub(other.head(feed).count)
                    })
                })
                .fold(0, u64::saturating_add)
        };
        (lacking(&self.peer, &self.held), lacking(&self.held, &self.peer))
    }

    /// Says how much is to come and to go. Where there are many slices it is counted now and then.
    fn report_progress(&mut self, now: UtcMillis) {
        if self.frontiers_known && !self.closed {
            let next = self.counted.plus(limits::PROGRESS_MS);
            if self.held.slices.len() > limits::PROGRESS_SLICES && now < next {
                self.count_at = Some(next);
                return;
            }
            self.count_at = None;
            self.counted = now;
            let missing = self.missing();
            if self.reported != Some(missing) {
                self.reported = Some(missing);
                let (inbound, outbound) = missing;
                self.report(Report::Progress { inbound, outbound });
            }
        }
    }
}

/// The lanes of a slice in which the peer lacks something.
fn behind(slice: SliceId, frontier: &Frontier, peer: &Frontiers) -> BTreeSet<(Lane, SliceId)> {
    frontier
        .heads
        .iter()
        .filter(|((lane, author), head)| {
            let feed = FeedId { slice, lane: *lane, author: *author };
            head.count > peer.head(feed).count
        })
        .map(|((lane, _), _)| (*lane, slice))
        .collect()
}

/// Feed to count, as a read and a rewind need it.
pub type Counts = BTreeMap<AuthorId, u64>;
