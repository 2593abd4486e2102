//! Lines: of each feed, how many of its segments count. Positions, never times (DESIGN §6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{AuthorId, FeedId, Lane, SliceId};

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
}

/// How many segments of each feed count; feeds not named have none that does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Line {
    counts: BTreeMap<(SliceId, Lane, AuthorId), u64>,
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
            let known = self.counts.entry((item.slice, item.lane, item.author)).or_default();
            *known = (*known).max(item.count);
        }
    }

    /// The feeds named, and how many segments of each count.
    pub fn feeds(&self) -> impl Iterator<Item = (FeedId, u64)> {
        let named = |(slice, lane, author): &(SliceId, Lane, AuthorId)| FeedId {
            slice: *slice,
            lane: *lane,
            author: *author,
        };
        self.counts.iter().map(move |(feed, count)| (named(feed), *count))
    }

    /// Segments of a feed that count.
    pub fn of_feed(&self, feed: &FeedId) -> u64 {
        self.counts.get(&(feed.slice, feed.lane, feed.author)).copied().unwrap_or(0)
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
        let item = |count| LineItem { slice, lane, author, count };
        let mut line = Line::of(&[item(5)]);
        line.advance(&[item(3)]);
        assert_eq!(line.of_feed(&FeedId { slice, lane, author }), 5);
        line.advance(&[item(9)]);
        assert_eq!(line.of_feed(&FeedId { slice, lane, author }), 9);
        assert_eq!(line.of_feed(&FeedId { slice, lane: Lane::Urgent, author }), 0);
    }
}
