//! Segments from peers into the ledger. Verdicts, rows and documents come later.

use std::sync::Arc;

use taizhang_core::directives::ChainReader as _;
use taizhang_core::feed::frontier::{FrontierError, Head};
use taizhang_core::id::SealKey;
use taizhang_core::sync::inbound::{Batch, Stored};
use taizhang_core::time::UtcMillis;

use super::Engine;
use crate::store::StoreError;

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
        for chain in &batch.chains {
            if let Ok(key) = self.read_chain(chain) {
                self.store.put_chain(key, chain)?;
                Arc::make_mut(&mut self.keys).insert(key);
            }
        }
        let mut outcomes = Vec::with_capacity(batch.segments.len());
        for one in &batch.segments {
            let row = self.store.feed(&one.feed)?;
            let outcome = match row.head.accepts(one.number, one.previous) {
                Ok(()) => {
                    self.store.append_segment(&one.feed, &one.sealed, 0, now)?;
                    let head = Head { count: one.number + 1, hash: one.hash };
                    self.advanced.push((one.feed, head));
                    self.receipts_due.insert(one.feed.slice);
                    Stored::Stored
                }
                Err(FrontierError::Held(number)) => {
                    let known = self.store.segment_hash(row.id, number)?;
                    if known == Some(one.hash) { Stored::Held } else { Stored::Fork }
                }
                Err(FrontierError::Gap { .. }) => Stored::Gap(row.head),
                Err(FrontierError::Fork { .. }) => {
                    let text = format!("feed {}: {}", one.feed, "two segments follow one");
                    self.store.audit("fork", &text, now)?;
                    Stored::Fork
                }
            };
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}
