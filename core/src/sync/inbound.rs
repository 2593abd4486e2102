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

/// What became of one segment of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stored {
    /// It is durable now.
    Stored,
    /// It was durable already.
    Held,
    /// Another peer's segments came between: ask again.
    Gap(Head),
    /// The feed forked between check and commit.
    Fork,
}

/// State of the receiving side.
#[derive(Debug, Default)]
pub struct Inbound {
    /// Heads after the segments that are verified and wait for their commit.
    ahead: BTreeMap<FeedId, Head>,
    /// Verified, not yet handed to the driver.
    waiting: Batch,
    /// Handed to the driver.
    committing: Option<(BatchId, Vec<(FeedId, Head)>)>,
    next_batch: BatchId,
    /// Chains that the driver reads, oldest first.
    chains: VecDeque<Vec<Vec<u8>>>,
    /// Segments whose author's chain is being read.
    unread: VecDeque<Sealed>,
    /// Feeds that wait for something not held here.
    not_yet: BTreeSet<FeedId>,
    /// Feeds refused on this link.
    refused: BTreeSet<FeedId>,
}

impl Inbound {
    /// Forgets which feeds waited, and gives them.
    pub(super) fn take_not_yet(&mut self) -> Vec<FeedId> {
        std::mem::take(&mut self.not_yet).into_iter().collect()
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
        if self.inbound.refused.contains(&feed) {
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
        match self.expected(feed).accepts(segment.number, segment.previous) {
            Ok(()) => {}
            Err(FrontierError::Held(_)) => {
                let held = self.held.head(feed).count;
                if segment.number < held {
                    self.send(Message::Ack(vec![(feed, held)]));
                }
                return;
            }
            Err(FrontierError::Gap { .. }) => {
                self.send(Message::Want(feed, self.expected(feed)));
                return;
            }
            Err(error @ FrontierError::Fork { .. }) => {
                self.stop(feed, Refusal::Fork, &error.to_string());
                return;
            }
        }
        let hash = sealed.hash();
        if !verify_seal(feed.author.key, hash, &sealed.seal) {
            self.stop(feed, Refusal::BadSeal, "its seal does not verify");
            return;
        }
        if self.inbound.waiting.segments.len() >= 4 * limits::COMMIT_SEGMENTS_MAX {
            self.close(CloseReason::Protocol("sends beyond the window".into()));
            return;
        }
        self.inbound.ahead.insert(feed, Head { count: segment.number + 1, hash });
        let (number, previous) = (segment.number, segment.previous);
        self.inbound.waiting.segments.push(Verified { feed, number, previous, hash, sealed });
        #[cfg(feature = "sabotage")]
        if self.sabotaged(crate::Sabotage::AckBeforeCommit) {
            self.send(Message::Ack(vec![(feed, number + 1)]));
        }
    }

    /// Checks the scope of what arrives (DESIGN §2): *not yet* while the directives differ.
    fn in_scope(&mut self, feed: &FeedId) -> bool {
        #[cfg(feature = "sabotage")]
        if self.sabotaged(crate::Sabotage::ScopeNotChecked) {
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
        if self.inbound.not_yet.insert(feed) {
            self.send(Message::NotYet(feed));
            self.report(Report::NotYet(feed, reason.to_owned()));
        }
    }

    fn stop(&mut self, feed: FeedId, refusal: Refusal, reason: &str) {
        self.inbound.refused.insert(feed);
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
        let heads = batch
            .segments
            .iter()
            .map(|one| (one.feed, Head { count: one.number + 1, hash: one.hash }))
            .collect();
        self.inbound.committing = Some((id, heads));
        self.outputs.push_back(Output::Commit(id, batch));
    }

    pub(super) fn committed(&mut self, id: BatchId, stored: &[Stored]) {
        let Some((_, heads)) = self.inbound.committing.take_if(|(waiting, _)| *waiting == id)
        else {
            return;
        };
        let mut acks: BTreeMap<FeedId, u64> = BTreeMap::new();
        for ((feed, head), outcome) in heads.into_iter().zip(stored) {
            match outcome {
                Stored::Stored | Stored::Held => {
                    if head.count > self.held.head(feed).count {
                        self.held.set(feed, head);
                    }
                    if head.count > self.peer.head(feed).count {
                        self.peer.set(feed, head);
                    }
                    acks.insert(feed, head.count);
                }
                Stored::Gap(have) => {
                    self.inbound.ahead.remove(&feed);
                    self.inbound.waiting.segments.retain(|one| one.feed != feed);
                    self.send(Message::Want(feed, *have));
                }
                Stored::Fork => {
                    self.inbound.waiting.segments.retain(|one| one.feed != feed);
                    self.stop(feed, Refusal::Fork, "it follows a branch that is not held");
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
}
