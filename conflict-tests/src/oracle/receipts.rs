//! At rest an author knows who holds what it wrote: it has a receipt of every live office above it that
//! states its present feeds in full.

use std::collections::BTreeSet;

use taizhang_core::id::SliceKind;

use crate::world::{Replica, World};

/// What authors do not know of the offices above them.
///
/// # Panics
///
/// If a store cannot be read.
pub fn judge(world: &World, broken: &mut Vec<String>) {
    for (node, replica) in world.replicas.iter().enumerate() {
        let Some(engine) = replica.engine.as_ref().filter(|_| world.revoked != Some(node)) else {
            continue;
        };
        let frontiers = engine.store.frontiers().expect("frontiers");
        let receipts = engine.store.receipts().expect("receipts");
        for (slice, frontier) in &frontiers.slices {
            if slice.kind != SliceKind::Ledger {
                continue;
            }
            for ((lane, author), head) in &frontier.heads {
                if *author != engine.author || head.count == 0 {
                    continue;
                }
                let states =
                    receipts.iter().filter_map(|one| one.sealed.open().ok()).filter(|one| {
                        one.slice == *slice && one.held.heads.get(&(*lane, *author)) == Some(head)
                    });
                let known: BTreeSet<_> = states.map(|one| one.issuer.key).collect();
                for upper in above(world, replica) {
                    if !known.contains(&upper.identity.seal_key()) {
                        broken.push(format!(
                            "{} does not know that {} holds {} segments of it",
                            replica.name, upper.name, head.count
                        ));
                    }
                }
            }
        }
    }
}

/// The offices over which a replica's segments go up.
fn above<'a>(world: &'a World, replica: &'a Replica) -> impl Iterator<Item = &'a Replica> {
    std::iter::successors(Some(replica), |one| one.parent.map(|parent| &world.replicas[parent]))
        .skip(1)
}
