//! Frontiers: how far each feed of a slice is held, without a gap.

use std::collections::BTreeMap;

use crate::id::{AuthorId, FeedId, Hash, Lane, SliceId};

/// Head of one feed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Head {
    /// Segments held: the number of the next one.
    pub count: u64,
    /// Hash of the last segment held; zeros if none is.
    pub hash: Hash,
}

/// Why a segment does not continue what is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrontierError {
    /// Segments between the head and this one are missing. Normal on a lossy link.
    #[error("expected segment {expected}, got {found}")]
    Gap {
        /// The next number.
        expected: u64,
        /// The number offered.
        found: u64,
    },
    /// Its predecessor is not the segment held: a fork.
    #[error("segment {number} follows a branch that is not held: the feed has forked")]
    Fork {
        /// The number offered.
        number: u64,
    },
    /// The segment, or one of its number, is held already.
    #[error("segment {0} is held already")]
    Held(u64),
}

impl Head {
    /// Whether a segment of that number and predecessor continues this head.
    ///
    /// # Errors
    ///
    /// [`FrontierError`]; `Held` is harmless: a redelivery.
    ///
    /// # Source
    ///
    /// Contiguous prefixes per author are version vectors: Parker et al., "Detection of Mutual
    /// Inconsistency in Distributed Systems", IEEE TSE 9(3), 1983.
    pub fn accepts(&self, number: u64, previous: Hash) -> Result<(), FrontierError> {
        if number < self.count {
            return Err(FrontierError::Held(number));
        }
        if number > self.count {
            return Err(FrontierError::Gap { expected: self.count, found: number });
        }
        if previous == self.hash { Ok(()) } else { Err(FrontierError::Fork { number }) }
    }
}

/// Heads of the feeds of one slice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    /// Feed to head; feeds of which nothing is held are absent.
    pub heads: BTreeMap<(Lane, AuthorId), Head>,
}

impl Frontier {
    /// The head of a feed; an empty one if nothing is held.
    pub fn head(&self, lane: Lane, author: AuthorId) -> Head {
        self.heads.get(&(lane, author)).copied().unwrap_or_default()
    }

    /// The digest of one slice: equal digests, equal frontiers.
    pub fn digest(&self, slice: SliceId) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"taizhang frontier v1");
        hasher.update(slice.to_string().as_bytes());
        for ((lane, author), head) in &self.heads {
            hasher.update(&[lane.code()]);
            hasher.update(&author.key.0);
            hasher.update(&author.epoch.0);
            hasher.update(&head.count.to_le_bytes());
            hasher.update(&head.hash.0);
        }
        Hash(*hasher.finalize().as_bytes())
    }
}

/// Frontiers of many slices.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontiers {
    /// Slice to frontier; slices of which nothing is held are absent.
    pub slices: BTreeMap<SliceId, Frontier>,
}

impl Frontiers {
    /// The head of a feed; an empty one if nothing is held.
    pub fn head(&self, feed: FeedId) -> Head {
        self.slices
            .get(&feed.slice)
            .map_or_else(Head::default, |frontier| frontier.head(feed.lane, feed.author))
    }

    /// Sets the head of a feed.
    pub fn set(&mut self, feed: FeedId, head: Head) {
        let frontier = self.slices.entry(feed.slice).or_default();
        frontier.heads.insert((feed.lane, feed.author), head);
    }

    /// The digest over the slices that `wanted` accepts: a sum, so that the order and the grouping of
    /// slices do not matter (the digest descent of DESIGN §5 sums it up the place tree).
    pub fn digest(&self, wanted: impl Fn(SliceId) -> bool) -> Hash {
        let mut sum = [0_u8; 32];
        for (slice, frontier) in &self.slices {
            if !frontier.heads.is_empty() && wanted(*slice) {
                add(&mut sum, &frontier.digest(*slice).0);
            }
        }
        Hash(sum)
    }
}

/// Adds two 256-bit numbers modulo 2^256, little-endian. Incremental multiset hashing by addition:
/// Clarke et al., "Incremental Multiset Hash Functions", ASIACRYPT 2003. The summands are covered by
/// seals of certified authors, so a peer gains nothing from a collision but its own confusion.
fn add(sum: &mut [u8; 32], other: &[u8; 32]) {
    let mut carry = 0_u16;
    for (a, b) in sum.iter_mut().zip(other) {
        let total = u16::from(*a) + u16::from(*b) + carry;
        *a = (total & 0xff) as u8;
        carry = total >> 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PlaceId;

    #[test]
    fn a_head_takes_only_its_own_continuation() {
        let head = Head { count: 3, hash: Hash([3; 32]) };
        assert_eq!(head.accepts(3, Hash([3; 32])), Ok(()));
        assert_eq!(head.accepts(2, Hash([9; 32])), Err(FrontierError::Held(2)));
        assert_eq!(
            head.accepts(5, Hash([3; 32])),
            Err(FrontierError::Gap { expected: 3, found: 5 })
        );
        assert_eq!(head.accepts(3, Hash([9; 32])), Err(FrontierError::Fork { number: 3 }));
    }

    #[test]
    fn the_digest_sees_every_feed_of_the_wanted_slices_only() {
        let feed = |place: u8| FeedId {
            slice: SliceId::ledger(PlaceId([place; 8])),
            lane: Lane::Ordinary,
            author: AuthorId::default(),
        };
        let mut one = Frontiers::default();
        one.set(feed(1), Head { count: 1, hash: Hash([1; 32]) });
        let mut two = one.clone();
        two.set(feed(2), Head { count: 1, hash: Hash([1; 32]) });
        assert_ne!(one.digest(|_| true), two.digest(|_| true));
        assert_eq!(one.digest(|_| true), two.digest(|slice| slice == feed(1).slice));
    }
}
