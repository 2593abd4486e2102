//! What arrives: chains, segments, and what is checked before a commit is asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::message::{Message, Refusal};
use super::session::{CloseReason, Output, Report, Session};
use crate::feed::frontier::{FrontierError, Head};
use crate::feed::segment::{Sealed, Segment, SegmentError, verify_seal};
use crate::id::{FeedId, SealKey};
use crate::limits;

/// Numbers the commits of one session.
pub type BatchId = u64;

/// A segment whose seal, scope and chain are good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// Its feed.
    pub feed: FeedId,
    /// Its number.
    pub number: u64,
    /// The predecessor that it names.
    pub previous: crate::id::Hash,
    /// Hash of its plain bytes.
    pub hash: crate::id::Hash,
    /// The bytes and the seal.
    pub sealed: Sealed,
}

/// Segments to store in one transaction, in order, and the chains that came with them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// Chains to keep, leaf first.
    pub chains: Vec<Vec<Vec<u8>>>,
    /// Segments.
    pub segments: Vec<Verified>,
}

/// Of a branch: the line or branch off which it goes, and how many of that one's segments come before
/// it; then the same of that one, up to the line of the feed.
pub type Above = Vec<(FeedId, u64)>;

/// What became of one segment of a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stored {
    /// It is durable now: where it was filed and its position there. Of a forked feed this may be a
    /// branch (see [`crate::feed::fork`]).
    Stored(FeedId, Head, Above),
    /// It was durable already, there.
    Held(FeedId, Head, Above),
    /// Another peer's segments came between: ask again.
    Gap(Head),
    /// Its predecessor is on a branch that is not held: ask for what is before it.
    Unknown,
    /// The feed has more branches than are kept.
    TooMany,
}

/// State of the receiving side.
#[derive(Debug, Default)]
pub struct Inbound {
    /// Heads after the segments that are verified and wait for their commit.
    ahead: BTreeMap<FeedId, Head>,
    /// Verified, not yet handed to the driver.
    waiting: Batch,
    /// Handed to the driver: feed and number of each segment.
    committing: Option<(BatchId, Vec<(FeedId, u64)>)>,
    /// Segments that came before their predecessor.
    early: BTreeMap<FeedId, BTreeMap<u64, Sealed>>,
    early_count: usize,
    /// From where each feed was asked for last.
    wanted: BTreeMap<FeedId, u64>,
    /// How far back the last search for a fork's base went, by feed.
    back: BTreeMap<FeedId, u64>,
    next_batch: BatchId,
    /// Chains that the driver reads, oldest first.
    chains: VecDeque<Vec<Vec<u8>>>,
    /// Segments whose author's chain is being read.
    unread: VecDeque<Sealed>,
    /// Feeds that wait for something not held here.
    not_yet: BTreeSet<FeedId>,
    /// Feeds refused on this link, and why.
    refused: BTreeMap<FeedId, Refusal>,
}

impl Inbound {
    /// Forgets which feeds waited or were out of scope, and gives them: the scope has changed.
    pub(super) fn take_unscoped(&mut self) -> BTreeSet<FeedId> {
        let mut feeds = std::mem::take(&mut self.not_yet);
        feeds.extend(super::outbound::take_out_of_scope(&mut self.refused));
        feeds
    }
}

impl Session {
    /// The head that the next segment of a feed must continue.
    pub(super) fn expected(&self, feed: FeedId) -> Head {
        self.inbound.ahead.get(&feed).copied().unwrap_or_else(|| self.held.head(feed))
    }

    fn knows(&self, key: SealKey) -> bool {
        self.config.keys.contains(&key) || self.keys.contains(&key)
    }

    pub(super) fn chain_came(&mut self, chain: Vec<Vec<u8>>) {
        let too_large = chain.len() > limits::CHAIN_CERTIFICATES_MAX
            || chain.iter().any(|der| der.len() > limits::CERTIFICATE_BYTES_MAX);
        if too_large || chain.is_empty() {
            self.refuse(None, "a certificate chain above the limits");
            return;
        }
        self.inbound.chains.push_back(chain.clone());
        self.outputs.push_back(Output::ReadChain(chain));
    }

    pub(super) fn chain_read(&mut self, result: Result<SealKey, String>) {
        let chain = self.inbound.chains.pop_front();
        match result {
            Ok(key) => {
                if !self.knows(key) {
                    self.inbound.waiting.chains.extend(chain);
                }
                self.keys.insert(key);
                let waiting = self.inbound.not_yet.iter().filter(|feed| feed.author.key == key);
                let waiting: Vec<FeedId> = waiting.copied().collect();
                for feed in waiting {
                    self.inbound.not_yet.remove(&feed);
                    self.want(feed, self.expected(feed));
                }
            }
            Err(reason) => self.refuse(None, &format!("certificate chain: {reason}")),
        }
        if self.inbound.chains.is_empty() {
            for sealed in std::mem::take(&mut self.inbound.unread) {
                self.segment_came(sealed);
            }
        }
    }

    pub(super) fn segment_came(&mut self, sealed: Sealed) {
        let segment = match Segment::header(&sealed.plain) {
            Ok(segment) => segment,
            Err(SegmentError::Newer(format)) => {
                self.strike(&format!("segment format {format} is newer than this program reads"));
                return;
            }
            Err(error) => {
                self.refuse(None, &error.to_string());
                return;
            }
        };
        let feed = segment.feed;
        if let Some(refusal) = self.inbound.refused.get(&feed) {
            // Said again each time: else what was sent again would fill the sender's window.
            self.send(Message::Refused(feed, *refusal));
            return;
        }
        if !self.in_scope(&feed) {
            return;
        }
        if !self.knows(feed.author.key) {
            if self.inbound.chains.is_empty() {
                self.not_yet(feed, "its author's certificate chain is not held");
            } else if self.inbound.unread.len() < limits::CHAIN_WAITING_MAX {
                self.inbound.unread.push_back(sealed);
            } else {
                self.not_yet(feed, "too many segments wait for certificate chains");
            }
            return;
        }
        let continues = match self.expected(feed).accepts(segment.number, segment.previous) {
            Ok(()) => true,
            // Held, or on another branch: the ledger decides by the hashes.
            Err(FrontierError::Held(_) | FrontierError::Fork { .. }) => false,
            // It may continue a branch, whose numbers go on from its fork.
            Err(FrontierError::Gap { .. }) if self.may_be_forked(feed) => false,
            Err(FrontierError::Gap { .. }) => {
                if self.inbound.early_count < limits::EARLY_SEGMENTS_MAX {
                    let early = self.inbound.early.entry(feed).or_default();
                    let new = early.insert(segment.number, sealed).is_none();
                    self.inbound.early_count += usize::from(new);
                }
                self.want(feed, self.expected(feed));
                return;
            }
        };
        let hash = sealed.hash();
        let is_good =
            crate::sabotaged!(SealNotChecked) || verify_seal(feed.author.key, hash, &sealed.seal);
        if !is_good {
            self.stop(feed, Refusal::BadSeal, "its seal does not verify");
            return;
        }
        if self.inbound.waiting.segments.len() >= 4 * limits::COMMIT_SEGMENTS_MAX {
            self.close(CloseReason::Protocol("sends beyond the window".into()));
            return;
        }
        if continues {
            self.inbound.ahead.insert(feed, Head { count: segment.number + 1, hash });
        }
        let (number, previous) = (segment.number, segment.previous);
        self.inbound.waiting.segments.push(Verified { feed, number, previous, hash, sealed });
        if continues {
            self.take_early(feed, number + 1);
        }
        if crate::sabotaged!(AckBeforeCommit) {
            self.send(Message::Ack(vec![(feed, Head { count: number + 1, hash })]));
        }
    }

    /// Checks the scope of what arrives (DESIGN §2): *not yet* while the directives differ.
    fn in_scope(&mut self, feed: &FeedId) -> bool {
        if crate::sabotaged!(ScopeNotChecked) {
            return true;
        }
        if self.shares(feed.slice) {
            return true;
        }
        if self.directives_equal() {
            self.stop(*feed, Refusal::OutOfScope, "its slice is not shared on this link");
        } else {
            self.not_yet(*feed, "its slice is not known here yet");
        }
        false
    }

    fn not_yet(&mut self, feed: FeedId, reason: &str) {
        self.send(Message::NotYet(feed));
        if self.inbound.not_yet.insert(feed) {
            self.report(Report::NotYet(feed, reason.to_owned()));
        }
    }

    fn stop(&mut self, feed: FeedId, refusal: Refusal, reason: &str) {
        self.inbound.refused.insert(feed, refusal);
        self.send(Message::Refused(feed, refusal));
        self.refuse(Some(feed), reason);
    }

    fn refuse(&mut self, feed: Option<FeedId>, reason: &str) {
        self.report(Report::Refused { feed, reason: reason.to_owned() });
        self.strike(reason);
    }

    /// Hands the next batch to the driver, one at a time.
    pub(super) fn pump_commits(&mut self) {
        if self.inbound.committing.is_some() || self.inbound.waiting.segments.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.inbound.waiting);
        if batch.segments.len() > limits::COMMIT_SEGMENTS_MAX {
            self.inbound.waiting.segments = batch.segments.split_off(limits::COMMIT_SEGMENTS_MAX);
        }
        let id = self.inbound.next_batch;
        self.inbound.next_batch += 1;
        let numbers = batch.segments.iter().map(|one| (one.feed, one.number)).collect();
        self.inbound.committing = Some((id, numbers));
        self.outputs.push_back(Output::Commit(id, batch));
    }

    pub(super) fn committed(&mut self, id: BatchId, stored: &[Stored]) {
        let Some((_, numbers)) = self.inbound.committing.take_if(|(waiting, _)| *waiting == id)
        else {
            return;
        };
        let mut acks: BTreeMap<FeedId, Head> = BTreeMap::new();
        for ((feed, number), outcome) in numbers.into_iter().zip(stored) {
            match outcome {
                Stored::Stored(filed, head, above) | Stored::Held(filed, head, above) => {
                    if matches!(outcome, Stored::Stored(..)) {
                        self.inbound.back.remove(&feed);
                    }
                    self.filed(*filed, *head, above);
                    let acked = acks.entry(*filed).or_insert(*head);
                    if head.count > acked.count {
                        *acked = *head;
                    }
                }
                Stored::Gap(have) => {
                    self.inbound.ahead.remove(&feed);
                    self.inbound.waiting.segments.retain(|one| one.feed != feed);
                    self.want(feed, *have);
                }
                Stored::Unknown => self.search_back(feed, number),
                Stored::TooMany => {
                    self.inbound.waiting.segments.retain(|one| one.feed != feed);
                    self.stop(feed, Refusal::Fork, "its feed has more branches than are kept");
                }
            }
            if self.inbound.ahead.get(&feed).is_some_and(|ahead| *ahead == self.held.head(feed)) {
                self.inbound.ahead.remove(&feed);
            }
        }
        if !acks.is_empty() {
            self.send(Message::Ack(acks.into_iter().collect()));
        }
    }

    /// A segment stands in the ledger, filed under `filed` at `head`.
    fn filed(&mut self, filed: FeedId, head: Head, above: &Above) {
        let mut known = self.peer.head(filed).count > 0;
        if head.count > self.held.head(filed).count {
            self.held.set(filed, head);
        }
        if head.count > self.peer.head(filed).count {
            self.peer.set(filed, head);
        }
        // What is a branch here and not known as one to the peer is part of what the branch goes off
        // there: the peer lacks what stands in its place here.
        for (parent, before) in above {
            let parent_known = self.peer.head(*parent).count > 0;
            if !known && self.peer.head(*parent).count > *before {
                let head = Head { count: *before, hash: crate::id::Hash::default() };
                self.peer.set(*parent, head);
                self.outbound.rewind(*parent, *before);
                self.outbound.offer([(parent.lane, parent.slice)]);
            }
            known = parent_known;
        }
    }

    /// Whether other feeds of the same key, slice and lane are held: epochs, or branches.
    fn may_be_forked(&self, feed: FeedId) -> bool {
        self.held.slices.get(&feed.slice).is_some_and(|frontier| {
            frontier.heads.keys().any(|(lane, author)| {
                *lane == feed.lane && author.key == feed.author.key && *author != feed.author
            })
        })
    }

    /// Takes a segment that came before its predecessor, now that this has come.
    fn take_early(&mut self, feed: FeedId, number: u64) {
        let Some(early) = self.inbound.early.get_mut(&feed) else { return };
        let next = early.remove(&number);
        self.inbound.early_count -= usize::from(next.is_some());
        if early.is_empty() {
            self.inbound.early.remove(&feed);
        }
        if let Some(sealed) = next {
            self.segment_came(sealed);
        }
    }

    /// Asks again, at every heartbeat, for what the peer is known to hold and has not sent.
    pub(super) fn ask_again(&mut self) {
        let behind: Vec<FeedId> = self
            .peer
            .slices
            .iter()
            .filter(|(slice, _)| self.shares(**slice))
            .flat_map(|(slice, frontier)| {
                frontier.heads.iter().map(|((lane, author), head)| {
                    (FeedId { slice: *slice, lane: *lane, author: *author }, head.count)
                })
            })
            .filter(|(feed, count)| {
                *count > self.expected(*feed).count && !self.inbound.refused.contains_key(feed)
            })
            .map(|(feed, _)| feed)
            .collect();
        // What was asked for and has not come: the answer, or the asking, was lost or overtaken.
        let asked = std::mem::take(&mut self.inbound.wanted).into_iter();
        let asked = asked.filter(|(feed, count)| self.expected(*feed).count == *count);
        let asked: Vec<FeedId> = asked.map(|(feed, _)| feed).collect();
        self.inbound.back.clear();
        for feed in behind.into_iter().chain(asked).collect::<BTreeSet<_>>() {
            let head = self.expected(feed);
            self.send(Message::Want(feed, head));
        }
    }

    /// Asks for a feed from a head on, once, and not while its fork's base is searched.
    fn want(&mut self, feed: FeedId, head: Head) {
        let searching = self.inbound.back.contains_key(&feed);
        if !searching && self.inbound.wanted.insert(feed, head.count) != Some(head.count) {
            self.send(Message::Want(feed, head));
        }
    }

    /// Asks for what is before a segment whose predecessor is not held, further back each time.
    fn search_back(&mut self, feed: FeedId, number: u64) {
        self.inbound.ahead.remove(&feed);
        self.inbound.waiting.segments.retain(|one| one.feed != feed);
        let back = self.inbound.back.entry(feed).or_insert(0);
        *back = (*back * 2).clamp(1, u64::MAX >> 1);
        let count = number.saturating_sub(*back);
        self.send(Message::Want(feed, Head { count, hash: crate::id::Hash::default() }));
    }
}
