//! Lines: of each feed, how many of its segments count. Positions, never times (DESIGN §6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frontier::Head;
use crate::id::{AuthorId, FeedId, Hash, Lane, SliceId};

/// One feed of a line.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LineItem {
    /// The slice.
    pub slice: SliceId,
    /// The lane.
    pub lane: Lane,
    /// The author.
    pub author: AuthorId,
    /// Segments that count.
    pub count: u64,
    /// Hash of the last of them, so that the line stays on its branch if the feed forks below it.
    #[serde(default)]
    pub last: Hash,
}

/// The segment of a feed that a line ends with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pin {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
}

/// How many segments of each feed count; feeds not named have none that does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Line {
    heads: BTreeMap<(SliceId, Lane, AuthorId), Head>,
}

impl Line {
    /// The line of a list; a feed named twice keeps the greater count.
    pub fn of(items: &[LineItem]) -> Self {
        let mut line = Self::default();
        line.advance(items);
        line
    }

    /// Moves forward, never back.
    pub fn advance(&mut self, items: &[LineItem]) {
        for item in items {
            let known = self.heads.entry((item.slice, item.lane, item.author)).or_default();
            // Of two ends of one length the smaller hash: whichever comes first.
            let farther = item.count > known.count;
            if farther || (item.count == known.count && item.last < known.hash) {
                *known = Head { count: item.count, hash: item.last };
            }
        }
    }

    /// The feeds named, and how many segments of each count.
    pub fn feeds(&self) -> impl Iterator<Item = (FeedId, u64)> {
        let named = |(slice, lane, author): &(SliceId, Lane, AuthorId)| FeedId {
            slice: *slice,
            lane: *lane,
            author: *author,
        };
        self.heads.iter().map(move |(feed, head)| (named(feed), head.count))
    }

    /// Segments of a feed that count.
    pub fn of_feed(&self, feed: &FeedId) -> u64 {
        self.heads.get(&(feed.slice, feed.lane, feed.author)).map_or(0, |head| head.count)
    }

    /// The last segment of a feed that counts.
    pub fn pin(&self, feed: &FeedId) -> Option<Pin> {
        let head = self.heads.get(&(feed.slice, feed.lane, feed.author))?;
        Some(Pin { number: head.count.checked_sub(1)?, hash: head.hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PlaceId;

    #[test]
    fn a_line_moves_forward_never_back_and_has_nothing_of_feeds_it_does_not_name() {
        let (lane, author) = (Lane::Ordinary, AuthorId::default());
        let slice = SliceId::ledger(PlaceId([1; 8]));
        let item = |count| LineItem { slice, lane, author, count, last: Hash([7; 32]) };
        let mut line = Line::of(&[item(5)]);
        line.advance(&[item(3)]);
        assert_eq!(line.of_feed(&FeedId { slice, lane, author }), 5);
        line.advance(&[item(9)]);
        assert_eq!(line.of_feed(&FeedId { slice, lane, author }), 9);
        assert_eq!(line.of_feed(&FeedId { slice, lane: Lane::Urgent, author }), 0);
    }
}
