//! Segments from peers into the ledger. Verdicts, rows and documents come later.

use std::sync::Arc;

use taizhang_core::directives::ChainReader as _;
use taizhang_core::feed::frontier::Head;
use taizhang_core::id::SealKey;
use taizhang_core::sync::inbound::{Batch, Stored, Verified};
use taizhang_core::time::UtcMillis;

use super::{Engine, Event};
use crate::store::StoreError;
use crate::store::branch::Filed;

impl Engine {
    /// Reads a chain for a session.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn read_chain(&self, chain: &[Vec<u8>]) -> Result<SealKey, String> {
        self.identity.root.read(chain).map(|certified| certified.key)
    }

    /// Stores a batch that a session has verified. Durable after [`Engine::commit`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn ingest(&mut self, batch: &Batch, now: UtcMillis) -> Result<Vec<Stored>, StoreError> {
        self.store.room()?;
        for chain in &batch.chains {
            if let Ok(key) = self.read_chain(chain) {
                self.store.put_chain(key, chain)?;
                Arc::make_mut(&mut self.keys).insert(key);
            }
        }
        let stored = batch.segments.iter().map(|one| self.ingest_one(one, now)).collect();
        crate::fail_point!(SegmentsWritten);
        stored
    }

    fn ingest_one(&mut self, one: &Verified, now: UtcMillis) -> Result<Stored, StoreError> {
        let pin = self.directives.pin(&one.feed);
        let filed =
            self.store.file_segment(&one.feed, one.number, one.previous, &one.sealed, pin, now)?;
        match filed {
            Filed::New { feed, head, forked, line_changed, above } => {
                self.advanced.push((feed, head));
                self.receipts_due.insert(feed.slice);
                if forked {
                    let text = format!("feed {}: two segments follow one", one.feed);
                    self.store.audit("fork", &text, now)?;
                    self.held = self.store.frontiers()?;
                    self.line_changed |= line_changed;
                    self.events.push(Event::Forked(feed.slice));
                }
                // Sealed by our key and not cut here: this folder is not the only one that wrote.
                if one.feed.author == self.author {
                    self.heal_due = Some(HealReason::Forgotten);
                }
                self.branch_due |= forked || feed.author != one.feed.author;
                Ok(Stored::Stored(feed, head, above))
            }
            Filed::Held(feed, head, above) => {
                let past = head.count.saturating_sub(1);
                let position = self.store.position_in(&feed, one.number)?.unwrap_or(past);
                Ok(Stored::Held(feed, Head { count: position + 1, hash: one.hash }, above))
            }
            Filed::Unknown { forked } => {
                let head = self.store.feed(&one.feed)?.head;
                let gap = one.number > head.count && !forked;
                Ok(if gap { Stored::Gap(head) } else { Stored::Unknown })
            }
            Filed::TooMany => {
                let text = format!("feed {}: too many branches", one.feed);
                self.store.audit("fork", &text, now)?;
                Ok(Stored::TooMany)
            }
        }
    }
}

/// Why own entries must be written again under a new epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HealReason {
    /// A feed of our key has forked, and what we wrote may not count.
    Forked,
    /// A peer holds entries of our present epoch that this folder does not: an older copy.
    Forgotten,
    /// The folder stands on another machine, or was restored.
    Moved,
}

impl HealReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Forked, Self::Forgotten, Self::Moved];

    /// The word in the statement that closes the old epoch.
    pub fn word(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Forgotten => "forgotten",
            Self::Moved => "moved",
        }
    }
}
