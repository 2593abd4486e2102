//! What happened, one line an event: hashed whole, kept in part for people.

use std::collections::VecDeque;

use taizhang_core::feed::segment::Segment;
use taizhang_core::id::Hash;
use taizhang_core::sync::message::Message;

/// Lines kept.
const KEPT: usize = 400;

/// The trace of a run: two runs of one seed have one hash.
#[derive(Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    lines: VecDeque<String>,
    /// Events in all.
    pub count: u64,
}

impl Trace {
    /// Adds an event.
    pub fn add(&mut self, line: String) {
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        self.count += 1;
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The hash over all events.
    pub fn hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }

    /// The last events.
    pub fn tail(&self, count: usize) -> impl Iterator<Item = &String> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count))
    }
}

/// A message in words. Hashes stay out: segments hold certificates, whose serials are random.
pub fn words(message: &Message) -> String {
    match message {
        Message::Ack(feeds) => {
            let feeds = feeds.iter().map(|(feed, head)| format!("{feed} {}", head.count));
            format!("ack {}", feeds.collect::<Vec<_>>().join(", "))
        }
        Message::Bye(reason) => format!("bye {reason}"),
        Message::Chain(chain) => format!("chain of {}", chain.len()),
        Message::Frontiers { slices, last } => format!("frontiers of {} last {last}", slices.len()),
        Message::Heartbeat(_) => "heartbeat".into(),
        Message::Hello(_) => "hello".into(),
        Message::NotYet(feed) => format!("not yet {feed}"),
        Message::Receipts(list) => format!("{} receipts", list.len()),
        Message::Refused(feed, why) => format!("refused {feed} {why:?}"),
        Message::Segment(sealed) => match Segment::header(&sealed.plain) {
            Ok(one) => format!("segment {} {}", one.feed, one.number),
            Err(error) => format!("segment? {error}"),
        },
        Message::Want(feed, head) => format!("want {feed} from {}", head.count),
    }
}
