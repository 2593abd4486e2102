//! Forks: two segments of one author with one predecessor.
//!
//! All branches are stored, acked and forwarded. Which one counts depends on the set of segments
//! alone: at every fork the continuation with the smaller hash goes on with the line, the others
//! begin branches. A branch is filed under a label in place of its epoch, so that frontiers, acks,
//! windows and receipts treat it like any other feed (decision 0007).

use crate::id::{AuthorId, Epoch, Hash};

/// The author under whose name a branch is filed: the same key, and an epoch made from the real one
/// and the hash of the branch's first segment.
pub fn branch_label(author: AuthorId, first: Hash) -> AuthorId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang branch v1");
    hasher.update(&author.epoch.0);
    hasher.update(&first.0);
    let mut epoch = Epoch::default();
    epoch.0.copy_from_slice(&hasher.finalize().as_bytes()[..Epoch::LEN]);
    AuthorId { key: author.key, epoch }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SealKey;

    #[test]
    fn labels_of_different_branches_differ() {
        let author = AuthorId { key: SealKey([1; 32]), epoch: Epoch([2; 16]) };
        let (one, two) = (branch_label(author, Hash([3; 32])), branch_label(author, Hash([4; 32])));
        assert_ne!(one, two);
        assert_eq!(one.key, author.key);
    }
}
