//! Receipts: stating what is durable and applied here, and passing on what others stated.

use std::collections::{BTreeMap, BTreeSet};

use taizhang_core::feed::frontier::Frontier;
use taizhang_core::feed::receipt::{Receipt, SealedReceipt};
use taizhang_core::feed::segment;
use taizhang_core::id::{AuthorId, Hash, PlaceId, SliceId, SliceKind};
use taizhang_core::limits;
use taizhang_core::sync::message::KnownReceipt;
use taizhang_core::time::UtcMillis;

use super::{Engine, Event};
use crate::store::StoreError;
use crate::store::peers::StoredReceipt;

/// Which way receipts flow on a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flow {
    /// To the ancestor: issued in the child's subtree.
    Up,
    /// To the child: issued above it, about its own subtree.
    Down,
}

impl Engine {
    /// Signs receipts for the slices that moved. Durable after [`Engine::commit`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn issue_receipts(&mut self, now: UtcMillis) -> Result<bool, StoreError> {
        let due: BTreeSet<SliceId> = std::mem::take(&mut self.receipts_due);
        let mut sealed = Vec::new();
        for slice in due {
            let mut held = self.held.slices.get(&slice).cloned().unwrap_or_default();
            held.heads.retain(|_, head| head.count > 0);
            if taizhang_core::sabotaged!(ReceiptBeforeCommit) {
                held.heads.values_mut().for_each(|head| head.hash = Hash([9; 32]));
            }
            let applied = self.applied_of(slice, now)?;
            let number = self.store.receipt_number(self.author, slice)? + 1;
            let receipt = Receipt {
                issuer: self.author,
                slice,
                number,
                time: now,
                held,
                applied,
                reads_format: segment::FORMAT,
            };
            let one = receipt.seal(&self.identity.seal);
            self.store.put_receipt(&receipt, &one, now)?;
            sealed.push(one);
        }
        let any = !sealed.is_empty();
        if any {
            self.events.push(Event::Receipts(sealed));
        }
        Ok(any)
    }

    /// What moved since the last receipt of each slice: the process may have ended before it was signed.
    pub(crate) fn recall_receipts(&mut self) -> Result<(), StoreError> {
        let mut stated: BTreeMap<SliceId, Frontier> = BTreeMap::new();
        for stored in self.store.receipts()?.iter().filter(|one| one.issuer == self.author) {
            if let Ok(receipt) = stored.sealed.open() {
                stated.insert(receipt.slice, receipt.held);
            }
        }
        for (slice, held) in &self.held.slices {
            let stated = stated.get(slice);
            let head = |feed| stated.and_then(|one| one.heads.get(feed)).copied();
            let mut heads = held.heads.iter().filter(|(_, one)| one.count > 0);
            if heads.any(|(feed, one)| head(feed) != Some(*one)) {
                self.receipts_due.insert(*slice);
            }
        }
        Ok(())
    }

    /// Whether receipts wait to be signed.
    pub fn receipts_wait(&self) -> bool {
        !self.receipts_due.is_empty()
    }

    fn applied_of(
        &self,
        slice: SliceId,
        now: UtcMillis,
    ) -> Result<Vec<(AuthorId, u64, UtcMillis)>, StoreError> {
        if slice.kind == SliceKind::Ledger {
            return Ok(Vec::new());
        }
        let mut list = Vec::new();
        for ((one, author), count) in &self.directives.applied {
            if *one == slice {
                let since = self.store.applied_since(self.author.key, slice, *author, *count)?;
                list.push((*author, *count, since.unwrap_or(now)));
            }
        }
        Ok(list)
    }

    fn flows(&self, receipt: &StoredReceipt, child: PlaceId, flow: Flow) -> bool {
        let tree = &self.directives.tree;
        if self.directives.closed.contains(&receipt.issuer) {
            return false;
        }
        let issuer = match self.directives.roster.get(&receipt.issuer.key) {
            Some(known) => known.certified.place,
            None if receipt.issuer.key == self.author.key => self.place(),
            None => return false,
        };
        match flow {
            Flow::Up => {
                tree.is_above_or_same(child, issuer)
                    && taizhang_core::place::holds(child, receipt.slice, tree)
            }
            Flow::Down => {
                // Those of the child's own place too: its replicas learn of each other by them.
                tree.is_above_or_same(issuer, child)
                    && tree.is_above_or_same(child, receipt.slice.place)
            }
        }
    }

    /// The receipts that flow to `peer`, without those that it knows.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn receipts_for(
        &self,
        peer: PlaceId,
        known: &[KnownReceipt],
    ) -> Result<Vec<SealedReceipt>, StoreError> {
        let up = self.directives.tree.is_above_or_same(peer, self.place());
        let (child, flow) = if up { (self.place(), Flow::Up) } else { (peer, Flow::Down) };
        let is_known = |receipt: &StoredReceipt| known.contains(&receipt.sealed.tag());
        let all = self.store.receipts()?.into_iter();
        let wanted = all.filter(|one| self.flows(one, child, flow) && !is_known(one));
        Ok(wanted.map(|receipt| receipt.sealed).collect())
    }

    /// What a greeting tells `peer` of the receipts held here; nothing if they are many.
    pub(crate) fn known_receipts(&self, peer: PlaceId) -> Result<Vec<KnownReceipt>, StoreError> {
        let up = self.directives.tree.is_above_or_same(peer, self.place());
        let child = if up { self.place() } else { peer };
        let flow = if up { Flow::Down } else { Flow::Up };
        let all = self.store.receipts()?.into_iter();
        let held: Vec<KnownReceipt> =
            all.filter(|one| self.flows(one, child, flow)).map(|one| one.sealed.tag()).collect();
        Ok(if held.len() > limits::GREETING_RECEIPTS_MAX { Vec::new() } else { held })
    }

    /// Of some receipts, those that flow to `peer`.
    pub fn filter_receipts(&self, peer: PlaceId, receipts: &[SealedReceipt]) -> Vec<SealedReceipt> {
        let up = self.directives.tree.is_above_or_same(peer, self.place());
        let (child, flow) = if up { (self.place(), Flow::Up) } else { (peer, Flow::Down) };
        let wanted = receipts.iter().filter(|sealed| {
            sealed.read().is_ok_and(|receipt| {
                let stored = StoredReceipt {
                    issuer: receipt.issuer,
                    slice: receipt.slice,
                    number: receipt.number,
                    sealed: (*sealed).clone(),
                };
                self.flows(&stored, child, flow)
            })
        });
        wanted.cloned().collect()
    }

    /// Digests of the receipts that flow up and down the link with `peer`, as held here.
    pub(crate) fn receipt_digests(&self, peer: PlaceId) -> Result<(Hash, Hash), StoreError> {
        let up = self.directives.tree.is_above_or_same(peer, self.place());
        let child = if up { self.place() } else { peer };
        let mut hashers = [blake3::Hasher::new(), blake3::Hasher::new()];
        for receipt in self.store.receipts()? {
            for (hasher, flow) in hashers.iter_mut().zip([Flow::Up, Flow::Down]) {
                if self.flows(&receipt, child, flow) {
                    hasher.update(&receipt.sealed.tag().to_le_bytes());
                }
            }
        }
        let [up, down] = hashers.map(|hasher| Hash(*hasher.finalize().as_bytes()));
        Ok((up, down))
    }

    /// Keeps receipts from a peer: sealed well, by a rostered issuer that holds the slice, newer.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn take_receipts(
        &mut self,
        receipts: &[SealedReceipt],
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let mut fresh = Vec::new();
        for sealed in receipts {
            let Ok(receipt) = sealed.open() else { continue };
            if self.directives.closed.contains(&receipt.issuer) {
                continue;
            }
            let Some(issuer) = self.directives.roster.get(&receipt.issuer.key) else { continue };
            let place = issuer.certified.place;
            if !taizhang_core::place::holds(place, receipt.slice, &self.directives.tree) {
                continue;
            }
            if self.store.put_receipt(&receipt, sealed, now)? {
                fresh.push(sealed.clone());
            }
        }
        if !fresh.is_empty() {
            self.events.push(Event::Receipts(fresh));
        }
        Ok(())
    }
}
