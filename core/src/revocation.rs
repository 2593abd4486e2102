//! Revocations: from which position on the entries of a key count no more.
//!
//! The line may move forward, never back; of the lines of several levels the highest level's counts,
//! then the farther (DESIGN §6). It is a position in each feed, never a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::feed::line::{Line, LineItem, Pin};
use crate::id::{FeedId, Level, SealKey};

/// Why a key was revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody else may hold the key.
    Compromised,
    /// The machine is gone.
    Lost,
    /// Another machine took its place.
    Replaced,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Replaced, Self::Lost, Self::Compromised];

    /// The word used in files and commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compromised => "compromised",
            Self::Lost => "lost",
            Self::Replaced => "replaced",
        }
    }

    /// The reason of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == word)
    }
}

/// Lines by key and level.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Revocations {
    lines: BTreeMap<SealKey, BTreeMap<Level, Line>>,
}

impl Revocations {
    /// Takes in a line; gives whether anything changed.
    pub fn add(&mut self, key: SealKey, level: Level, items: &[LineItem]) -> bool {
        let levels = self.lines.entry(key).or_default();
        let known = levels.get(&level).cloned();
        let line = levels.entry(level).or_default();
        line.advance(items);
        known.as_ref() != Some(line)
    }

    /// Whether a key is revoked.
    pub fn contains(&self, key: SealKey) -> bool {
        self.lines.contains_key(&key)
    }

    /// How many segments of a feed count; `None` if its key is not revoked.
    pub fn line(&self, feed: &FeedId) -> Option<u64> {
        let levels = self.lines.get(&feed.author.key)?;
        levels.last_key_value().map(|(_, line)| line.of_feed(feed))
    }

    /// The last segment of a feed that counts, if its key is revoked and any does.
    pub fn pin(&self, feed: &FeedId) -> Option<Pin> {
        let levels = self.lines.get(&feed.author.key)?;
        levels.last_key_value().and_then(|(_, line)| line.pin(feed))
    }

    /// What counts of a revoked key: its feeds, and how many segments of each.
    pub fn counted(&self, key: SealKey) -> impl Iterator<Item = (FeedId, u64)> {
        let levels = self.lines.get(&key).and_then(BTreeMap::last_key_value);
        levels.into_iter().flat_map(|(_, line)| line.feeds())
    }

    /// Revoked keys.
    pub fn keys(&self) -> impl Iterator<Item = SealKey> {
        self.lines.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AuthorId, Epoch, Hash, Lane, PlaceId, SliceId};

    #[test]
    fn the_highest_levels_line_counts_and_a_key_without_one_is_not_revoked() {
        let key = SealKey([1; 32]);
        let author = AuthorId { key, epoch: Epoch([2; 16]) };
        let (slice, lane) = (SliceId::ledger(PlaceId([3; 8])), Lane::Ordinary);
        let item = |count| [LineItem { slice, lane, author, count, last: Hash::default() }];
        let feed = FeedId { slice, lane, author };
        let mut all = Revocations::default();
        assert_eq!(all.line(&feed), None);
        assert!(all.add(key, Level::Township, &item(9)));
        assert!(all.add(key, Level::County, &item(4)));
        assert_eq!(all.line(&feed), Some(4));
        assert!(!all.add(key, Level::County, &item(2)), "never back");
        assert!(all.add(key, Level::County, &item(6)));
        assert_eq!(all.line(&feed), Some(6));
    }
}
