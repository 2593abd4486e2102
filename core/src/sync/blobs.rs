//! Blobs on a link: the side that lacks one asks for it part by part, from where it stopped.
//!
//! Nothing is offered with bytes: whoever holds a record that names a blob asks for it, the smallest
//! first, one part at a time, so that photos never stand before segments. Who had none says so, and
//! says again when it has one.

use std::collections::{BTreeMap, BTreeSet};

use super::message::Message;
use super::session::{Output, Report, Session};
use crate::id::{Hash, SliceId};
use crate::limits;
use crate::record::attachment::BlobRef;

/// A blob that is named here and not held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MissingBlob {
    /// A slice with a record that names it.
    pub slice: SliceId,
    /// What is named.
    pub blob: BlobRef,
    /// Bytes of it that are here already.
    pub have: u64,
}

/// Parts that a peer asked for and that are being read.
const READS_MAX: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Blobs {
    /// Missing here, by size: thumbnails before photos.
    wanted: BTreeMap<(u64, Hash), MissingBlob>,
    /// Asked for; and whether a round of asking has passed since.
    asked: Option<((u64, Hash), bool)>,
    /// The peer said that it has none, or gave bytes that are not what their name says.
    absent: BTreeSet<Hash>,
    /// Names whose bytes did not match once: the peer may be at fault, or whoever wrote the name.
    doubted: BTreeSet<(u64, Hash)>,
    /// Names that do not match what has their hash: not asked for again on this link.
    wrong: BTreeSet<(u64, Hash)>,
    /// There is no room here for what others have: nothing is asked for until the next round.
    no_room: bool,
    /// A part of what was asked for is being written.
    taking: bool,
    /// Parts being read for the peer.
    reads: u32,
}

impl Session {
    /// Blobs that records name and that are not here.
    pub(super) fn blobs_missing(&mut self, missing: &[MissingBlob]) {
        for one in missing {
            // The rest is told again when these have come.
            if !self.shares(one.slice) || self.blobs.wanted.len() >= limits::BLOBS_WANTED_MAX {
                continue;
            }
            self.blobs.wanted.entry((one.blob.bytes, one.blob.hash)).or_insert(*one);
        }
    }

    /// A blob has come to be held here: peers that asked in vain may ask again.
    pub(super) fn blob_held(&mut self, slice: SliceId, blob: BlobRef) {
        // What came over this link is no longer wanted; what is, came by another way.
        let elsewhere = self.blobs.wanted.remove(&(blob.bytes, blob.hash)).is_some();
        if self.blobs.asked.is_some_and(|((_, hash), _)| hash == blob.hash) {
            (self.blobs.asked, self.blobs.taking) = (None, false);
        }
        if elsewhere && self.shares(slice) && self.has_greeted() {
            self.send(Message::HaveBlob { slice, hash: blob.hash });
        }
    }

    /// Asks for the next part, if none is under way.
    pub(super) fn ask_for_blobs(&mut self) {
        if self.blobs.asked.is_some() || self.blobs.no_room || !self.has_greeted() {
            return;
        }
        let (absent, wrong) = (&self.blobs.absent, &self.blobs.wrong);
        let may = |name: &(u64, Hash)| !absent.contains(&name.1) && !wrong.contains(name);
        let next = self.blobs.wanted.iter().find(|(name, _)| may(name));
        let Some((key, one)) = next.map(|(key, one)| (*key, *one)) else { return };
        self.blobs.asked = Some((key, false));
        self.send(Message::WantBlob { slice: one.slice, hash: one.blob.hash, from: one.have });
    }

    /// What was asked in vain, or got no answer in time, may be asked again.
    pub(super) fn ask_for_blobs_again(&mut self) {
        self.blobs.absent.clear();
        self.blobs.no_room = false;
        if !self.blobs.taking {
            self.blobs.asked = match self.blobs.asked {
                Some((key, false)) => Some((key, true)),
                _ => None,
            };
        }
        if self.blobs.wanted.is_empty() && self.has_greeted() {
            self.outputs.push_back(Output::ListBlobs);
        }
    }

    pub(super) fn blob_wanted(&mut self, slice: SliceId, hash: Hash, from: u64) {
        if !self.shares(slice) || self.blobs.reads >= READS_MAX {
            self.send(Message::BlobPart { hash, from, bytes: Vec::new() });
            self.strike("asks for blobs out of scope, or for too many at once");
            return;
        }
        self.blobs.reads += 1;
        self.outputs.push_back(Output::ReadBlob { slice, hash, from });
    }

    pub(super) fn blob_read(&mut self, hash: Hash, from: u64, mut bytes: Vec<u8>) {
        self.blobs.reads = self.blobs.reads.saturating_sub(1);
        bytes.truncate(limits::BLOB_PART_BYTES);
        self.send(Message::BlobPart { hash, from, bytes });
    }

    pub(super) fn blob_part(&mut self, hash: Hash, from: u64, bytes: Vec<u8>) {
        let asked = self.blobs.asked.filter(|((_, asked), _)| *asked == hash && !self.blobs.taking);
        let Some((key, _)) = asked else {
            // Came twice, or was asked for before the blob came by another way.
            return;
        };
        let Some(one) = self.blobs.wanted.get(&key).copied() else { return };
        if bytes.is_empty() {
            self.blobs.asked = None;
            self.blobs.absent.insert(hash);
            return;
        }
        let end = from.saturating_add(bytes.len() as u64);
        let fits = bytes.len() <= limits::BLOB_PART_BYTES && end <= one.blob.bytes;
        if from < one.have {
            // Came twice.
            return;
        }
        if from > one.have {
            self.strike("gives parts of a blob that were not asked for");
            return;
        }
        if !fits {
            // Not what the name says: whoever wrote the name may be wrong, not whoever has the bytes.
            self.blobs.asked = None;
            self.blobs.wrong.insert(key);
            return;
        }
        self.blobs.taking = true;
        self.outputs.push_back(Output::TakeBlob { blob: one.blob, from, bytes });
    }

    /// A part was written, and so much of the blob is here now; all of it if its hash is right, none
    /// of it if it is wrong. Nothing if there is no room for it.
    pub(super) fn blob_taken(&mut self, blob: BlobRef, have: Option<u64>) {
        let key = (blob.bytes, blob.hash);
        if self.blobs.asked.is_some_and(|(asked, _)| asked == key) {
            (self.blobs.asked, self.blobs.taking) = (None, false);
        }
        let Some(have) = have else {
            self.blobs.no_room = true;
            return;
        };
        if have >= blob.bytes {
            self.blobs.wanted.remove(&key);
            return;
        }
        if let Some(one) = self.blobs.wanted.get_mut(&key) {
            one.have = have;
        }
        if have == 0 {
            self.blobs.absent.insert(blob.hash);
            if !self.blobs.doubted.insert(key) {
                self.blobs.wrong.insert(key);
            }
            let reason = "a blob's bytes are not what its name says".to_owned();
            self.report(Report::Refused { feed: None, reason });
        }
    }

    pub(super) fn blob_offered(&mut self, hash: Hash) {
        self.blobs.absent.remove(&hash);
    }

    /// Blobs that this side still lacks, and the peer may have.
    pub fn blobs_lacking(&self) -> usize {
        self.blobs.wanted.len()
    }
}
