//! What the offices below the hub state that they hold and have applied, as their replicas would.

use std::collections::BTreeSet;

use taizhang_core::directives::Directives;
use taizhang_core::feed::frontier::Frontiers;
use taizhang_core::feed::receipt::{Receipt, SealedReceipt};
use taizhang_core::feed::segment;
use taizhang_core::id::{AuthorId, SliceId, SliceKind};
use taizhang_core::place::judging_slices;
use taizhang_core::time::UtcMillis;

use super::chains::Keys;
use super::feeds::Feed;
use super::generate::Stock;
use super::network::Child;

/// A receipt with its issuer and slice.
pub type Stated = (AuthorId, SliceId, SealedReceipt);

/// What a child holds when each of its feeds, given with its index, has so many segments.
pub fn frontiers(
    child: &Child,
    feeds: &[Feed],
    count: impl Fn(usize, &Feed) -> usize,
) -> Frontiers {
    let mut held = child.config.held.clone();
    for (at, feed) in feeds.iter().enumerate() {
        let head = feed.head(count(at, feed));
        if head.count > 0 {
            held.set(feed.id, head);
        }
    }
    held
}

/// The slices that replicas of a place hold: of its subtree, and the directives above it.
fn slices_of(keys: &Keys, directives: &Directives) -> BTreeSet<SliceId> {
    let own = SliceId::ledger(keys.place);
    let below = directives.tree.subtree(keys.place).into_iter();
    let below = below.flat_map(|place| [SliceId::directive(place), SliceId::ledger(place)]);
    judging_slices(own, &directives.tree).into_iter().chain(below).collect()
}

/// The receipts of a child and of every office below it: their `number`-th, for the slices that moved
/// since `before`.
pub fn receipts(
    child: &Child,
    stock: &Stock,
    directives: &Directives,
    (before, held): (&Frontiers, &Frontiers),
    number: u64,
    now: UtcMillis,
) -> Vec<Stated> {
    let mut all = Vec::new();
    for keys in std::iter::once(&child.keys).chain(&stock.offices) {
        for slice in slices_of(keys, directives) {
            let Some(frontier) = held.slices.get(&slice) else { continue };
            if before.slices.get(&slice) == Some(frontier) {
                continue;
            }
            let heads = frontier.heads.iter();
            let applied = heads.map(|((_, author), head)| (*author, head.count, now));
            let receipt = Receipt {
                issuer: keys.author,
                slice,
                number,
                time: now,
                held: frontier.clone(),
                applied: match slice.kind {
                    SliceKind::Directive => applied.collect(),
                    SliceKind::Ledger => Vec::new(),
                },
                reads_format: segment::FORMAT,
            };
            all.push((keys.author, slice, receipt.seal(&keys.seal)));
        }
    }
    all
}
