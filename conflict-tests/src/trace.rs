//! What happened, one line an event: hashed whole, kept in part for people.

use std::collections::VecDeque;

use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{Hash, SliceKind};
use taizhang_core::sync::message::Message;

/// Messages kept.
const KEPT: usize = 400;

/// Deeds kept: a run has about sixty actions.
const DEEDS_KEPT: usize = 1000;

/// The trace of a run: two runs of one seed have one hash.
#[derive(Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    lines: VecDeque<(u64, String)>,
    deeds: Vec<(u64, String)>,
    /// Events in all.
    pub count: u64,
}

impl Trace {
    /// Adds a message.
    pub fn add(&mut self, line: String) {
        self.hash_line(&line);
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back((self.count, line));
    }

    /// Adds what somebody did or what befell somebody.
    pub fn deed(&mut self, line: String) {
        self.hash_line(&line);
        if self.deeds.len() < DEEDS_KEPT {
            self.deeds.push((self.count, line));
        }
    }

    fn hash_line(&mut self, line: &str) {
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        self.count += 1;
    }

    /// The hash over all events.
    pub fn hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }

    /// Every deed and the last messages, in order.
    pub fn story(&self, messages: usize) -> Vec<String> {
        let last = self.lines.iter().skip(self.lines.len().saturating_sub(messages));
        let mut told: Vec<&(u64, String)> = last.chain(&self.deeds).collect();
        told.sort();
        told.into_iter().map(|(_, line)| line.clone()).collect()
    }
}

/// A message in words. Hashes of directive segments stay out: they hold certificates, whose keys,
/// serials and signatures are random.
pub fn words(message: &Message) -> String {
    match message {
        Message::Ack(feeds) => {
            let feeds = feeds.iter().map(|(feed, head)| format!("{feed} {}", head.count));
            format!("ack {}", feeds.collect::<Vec<_>>().join(", "))
        }
        Message::BlobPart { hash, from, bytes } => {
            format!("part of blob {} from {from}, {} bytes", hash.short(), bytes.len())
        }
        Message::Bye(reason) => format!("bye {reason}"),
        Message::Chain(chain) => format!("chain of {}", chain.len()),
        Message::Frontiers { slices, last } => format!("frontiers of {} last {last}", slices.len()),
        Message::HaveBlob { hash, .. } => format!("have blob {}", hash.short()),
        Message::Heartbeat(_) => "heartbeat".into(),
        Message::Hello(_) => "hello".into(),
        Message::NotYet(feed) => format!("not yet {feed}"),
        Message::Receipts(list) => format!("{} receipts", list.len()),
        Message::Refused(feed, why) => format!("refused {feed} {why:?}"),
        Message::Segment(sealed) => match Segment::header(&sealed.plain) {
            Ok(one) if one.feed.slice.kind == SliceKind::Ledger => {
                format!("segment {} {} {}", one.feed, one.number, sealed.hash().short())
            }
            Ok(one) => format!("segment {} {}", one.feed, one.number),
            Err(error) => format!("segment? {error}"),
        },
        Message::Want(feed, head) => format!("want {feed} from {}", head.count),
        Message::WantBlob { hash, from, .. } => format!("want blob {} from {from}", hash.short()),
    }
}
