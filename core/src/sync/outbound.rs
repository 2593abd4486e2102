//! What is sent: lanes in order, one read at a time, a window of unacked segments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::message::{Message, Refusal};
use super::session::{Counts, Output, Session};
use crate::feed::frontier::Head;
use crate::feed::segment::Sealed;
use crate::id::{AuthorId, FeedId, Lane, SealKey, SliceId};
use crate::limits;

/// Asks the driver for segments of one slice and lane, in the order in which they arrived here
/// (causal), beyond what the peer holds of each feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadSegments {
    /// The slice.
    pub slice: SliceId,
    /// The lane.
    pub lane: Lane,
    /// Segments to skip of each feed; feeds not named are read from the start.
    pub have: Counts,
    /// Feeds not to read at all.
    pub without: BTreeSet<AuthorId>,
    /// Bytes to read at most, but one segment at least.
    pub bytes_max: usize,
}

/// One segment as read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outgoing {
    /// Its feed.
    pub feed: FeedId,
    /// Its number.
    pub number: u64,
    /// Hash of its plain bytes.
    pub hash: crate::id::Hash,
    /// The bytes and the seal.
    pub sealed: Sealed,
    /// Its author's chain, leaf first.
    pub chain: Vec<Vec<u8>>,
}

/// What the driver read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SegmentsRead {
    /// The slice.
    pub slice: SliceId,
    /// The lane.
    pub lane: Lane,
    /// In causal order.
    pub segments: Vec<Outgoing>,
    /// Whether more are there.
    pub more: bool,
}

/// A segment that was sent and not acked yet.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    number: u64,
    hash: crate::id::Hash,
    bytes: usize,
}

/// State of the sending side.
#[derive(Debug, Default)]
pub struct Outbound {
    /// Slices in which the peer lacks something, in lane order.
    queue: BTreeSet<(Lane, SliceId)>,
    reading: Option<(Lane, SliceId)>,
    /// Sent and not acked, by feed.
    in_flight: BTreeMap<FeedId, VecDeque<InFlight>>,
    in_flight_bytes: usize,
    in_flight_count: usize,
    /// Segments sent of each feed, beyond what the peer has acked.
    sent: BTreeMap<FeedId, u64>,
    /// Authors whose chain went out on this link.
    chains: BTreeSet<SealKey>,
    /// Feeds that the peer does not want now.
    held_back: BTreeSet<FeedId>,
    /// Feeds that the peer refuses, and why.
    refused: BTreeMap<FeedId, Refusal>,
    /// Reads made, so that the last lane gets its turn.
    turns: u32,
}

/// Every so many reads the last lane comes first, so that none starves.
const FAIR_TURN: u32 = 8;

/// Takes the refusals that a change of scope may end.
pub(super) fn take_out_of_scope(refused: &mut BTreeMap<FeedId, Refusal>) -> Vec<FeedId> {
    let mut taken = Vec::new();
    refused.retain(|feed, why| {
        let ends = *why == Refusal::OutOfScope;
        taken.extend(ends.then_some(*feed));
        !ends
    });
    taken
}

impl Outbound {
    /// Queues slices in which the peer lacks something.
    pub(super) fn offer(&mut self, slices: impl IntoIterator<Item = (Lane, SliceId)>) {
        self.queue.extend(slices);
    }

    /// The peer does not want this feed now.
    pub(super) fn hold(&mut self, feed: FeedId) {
        self.held_back.insert(feed);
        self.forget(feed);
    }

    /// *Not now* lasts until the next heartbeat: what the peer lacked then may have come.
    pub(super) fn retry_held(&mut self) {
        let held = std::mem::take(&mut self.held_back).into_iter();
        let slices: Vec<_> = held.map(|feed| (feed.lane, feed.slice)).collect();
        self.offer(slices);
    }

    /// The peer does not want this feed: until it asks, or, out of scope, until the scope changes. Gives
    /// whether it says so for the first time.
    pub(super) fn refuse(&mut self, feed: FeedId, refusal: Refusal) -> bool {
        self.forget(feed);
        self.refused.insert(feed, refusal) != Some(refusal)
    }

    /// The scope has changed: what was out of it may be offered again.
    pub(super) fn retry_out_of_scope(&mut self) {
        take_out_of_scope(&mut self.refused);
    }

    /// The peer wants a feed from `count` on.
    pub(super) fn rewind(&mut self, feed: FeedId, count: u64) {
        self.held_back.remove(&feed);
        self.refused.remove(&feed);
        self.forget(feed);
        self.sent.insert(feed, count);
    }

    /// Other lines and branches of the same author, slice and lane that are under way.
    pub(super) fn branches_beside(&self, feed: FeedId) -> Vec<FeedId> {
        let beside = |other: &&FeedId| {
            **other != feed
                && other.slice == feed.slice
                && other.lane == feed.lane
                && other.author.key == feed.author.key
        };
        self.in_flight.keys().filter(beside).copied().collect()
    }

    fn forget(&mut self, feed: FeedId) {
        for one in self.in_flight.remove(&feed).into_iter().flatten() {
            self.in_flight_bytes -= one.bytes;
            self.in_flight_count -= 1;
        }
        self.sent.remove(&feed);
    }

    fn has_room(&self) -> bool {
        self.in_flight_count < limits::SEGMENTS_IN_FLIGHT_MAX
            && self.in_flight_bytes < limits::BYTES_IN_FLIGHT_MAX
    }

    fn next(&mut self) -> Option<(Lane, SliceId)> {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(FAIR_TURN) {
            self.queue.pop_last()
        } else {
            self.queue.pop_first()
        }
    }
}

impl Session {
    /// Moves both directions forward as far as windows and commits allow.
    pub(super) fn pump(&mut self) {
        self.pump_commits();
        if self.outbound.reading.is_some() || !self.outbound.has_room() {
            return;
        }
        let (lane, slice) = loop {
            let Some((lane, slice)) = self.outbound.next() else { return };
            if self.shares(slice) {
                break (lane, slice);
            }
        };
        self.outbound.reading = Some((lane, slice));
        let mut have = Counts::new();
        let peer = self.peer.slices.get(&slice);
        for ((one, author), head) in peer.into_iter().flat_map(|frontier| &frontier.heads) {
            if *one == lane {
                have.insert(*author, head.count);
            }
        }
        for (feed, count) in &self.outbound.sent {
            if feed.slice == slice && feed.lane == lane {
                let known = have.entry(feed.author).or_default();
                *known = (*known).max(*count);
            }
        }
        let without = self
            .outbound
            .held_back
            .iter()
            .chain(self.outbound.refused.keys())
            .filter(|feed| feed.slice == slice && feed.lane == lane)
            .map(|feed| feed.author)
            .collect();
        let bytes_max = limits::READ_BYTES_MAX;
        self.outputs.push_back(Output::Read(ReadSegments {
            slice,
            lane,
            have,
            without,
            bytes_max,
        }));
    }

    pub(super) fn segments_read(&mut self, read: SegmentsRead) {
        if self.outbound.reading.take() != Some((read.lane, read.slice)) {
            return;
        }
        for outgoing in read.segments {
            let feed = outgoing.feed;
            let skip = !self.shares(feed.slice)
                || self.outbound.held_back.contains(&feed)
                || self.outbound.refused.contains_key(&feed)
                || outgoing.number < self.peer.head(feed).count;
            if skip {
                continue;
            }
            let key = feed.author.key;
            if !outgoing.chain.is_empty()
                && self.outbound.chains.insert(key)
                && !self.peer_knows(key)
            {
                self.send(Message::Chain(outgoing.chain));
            }
            let message = Message::Segment(outgoing.sealed);
            let bytes = message.size();
            let (number, hash) = (outgoing.number, outgoing.hash);
            let queue = self.outbound.in_flight.entry(feed).or_default();
            queue.push_back(InFlight { number, hash, bytes });
            self.outbound.in_flight_bytes += bytes;
            self.outbound.in_flight_count += 1;
            self.outbound.sent.insert(feed, outgoing.number + 1);
            self.send(message);
        }
        if read.more {
            self.outbound.offer([(read.lane, read.slice)]);
        }
    }

    /// A peer that holds any feed of an author holds its chain.
    fn peer_knows(&self, key: SealKey) -> bool {
        self.peer
            .slices
            .values()
            .any(|frontier| frontier.heads.keys().any(|(_, author)| author.key == key))
    }

    pub(super) fn acked(&mut self, feeds: &[(FeedId, Head)]) {
        for (feed, head) in feeds {
            let sent = self.outbound.in_flight.get_mut(feed);
            let at = sent.as_ref().and_then(|sent| {
                sent.iter().position(|one| one.number + 1 == head.count && one.hash == head.hash)
            });
            if let (Some(sent), Some(at)) = (sent, at) {
                for one in sent.drain(..=at) {
                    self.outbound.in_flight_bytes -= one.bytes;
                    self.outbound.in_flight_count -= 1;
                }
                if sent.is_empty() {
                    self.outbound.in_flight.remove(feed);
                    self.outbound.sent.remove(feed);
                }
            } else if *head != self.held.head(*feed) {
                // An older segment, or one filed under a branch that is not known here.
                continue;
            }
            if head.count > self.peer.head(*feed).count {
                self.peer.set(*feed, *head);
            }
        }
    }
}
