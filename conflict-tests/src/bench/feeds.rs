//! Sealed segments in a file: what players hold, without any of the store that is measured.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use taizhang_core::feed::entry::Entry;
use taizhang_core::feed::frontier::Head;
use taizhang_core::feed::segment::{Sealed, Sees, Segment};
use taizhang_core::id::{FeedId, Hash};
use taizhang_core::limits;
use taizhang_core::verdict::SeesMap;

use super::chains::Keys;
use super::words;

/// Feeds grow in three phases: the initial load, single edits that are timed, the storm.
pub const PHASES: usize = 3;
/// The initial load.
pub const LOAD: usize = 0;
/// Single edits.
pub const PROBE: usize = 1;
/// The storm.
pub const STORM: usize = 2;

const SEAL_BYTES: usize = 64;

/// A file without a name that takes segments of many feeds.
pub struct Archive {
    file: Arc<File>,
    end: u64,
}

impl Archive {
    /// An empty one, in the folder for temporary files.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub fn open() -> Result<Self, String> {
        Ok(Self { file: Arc::new(tempfile::tempfile().map_err(words)?), end: 0 })
    }

    fn put(&mut self, sealed: &Sealed) -> Result<Stored, String> {
        let mut bytes = sealed.seal.to_vec();
        bytes.extend_from_slice(&sealed.plain);
        self.file.write_all_at(&bytes, self.end).map_err(words)?;
        let stored = Stored { at: self.end, bytes: bytes.len(), hash: sealed.hash() };
        self.end += bytes.len() as u64;
        Ok(stored)
    }
}

/// Where a segment lies: its seal, then its plain bytes.
struct Stored {
    at: u64,
    bytes: usize,
    hash: Hash,
}

/// One author's sealed log in one slice and lane.
pub struct Feed {
    /// Which.
    pub id: FeedId,
    /// Its author's chain, leaf first.
    pub chain: Arc<Vec<Vec<u8>>>,
    /// Segments there are at the end of each phase.
    pub marks: [usize; PHASES],
    /// Entries in all.
    pub entries: u64,
    file: Arc<File>,
    segments: Vec<Stored>,
}

impl Feed {
    /// The head when so many segments are there.
    pub fn head(&self, count: usize) -> Head {
        let last = count.checked_sub(1).and_then(|at| self.segments.get(at));
        last.map_or_else(Head::default, |last| Head { count: count as u64, hash: last.hash })
    }

    /// Bytes of its first segments, seals included.
    pub fn bytes(&self, count: usize) -> usize {
        self.segments.iter().take(count).map(|one| one.bytes).sum()
    }

    /// One segment, and its hash.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or has no such segment.
    pub fn read(&self, number: usize) -> Result<(Sealed, Hash), String> {
        let stored = self.segments.get(number).ok_or("a segment that was never made")?;
        let mut bytes = vec![0; stored.bytes];
        self.file.read_exact_at(&mut bytes, stored.at).map_err(words)?;
        let plain = bytes.split_off(SEAL_BYTES);
        let seal = bytes.try_into().map_err(|_| "a seal of another length")?;
        Ok((Sealed { plain, seal }, stored.hash))
    }
}

/// Fills a feed. Segments are cut where an office cuts them when it has much to send.
pub struct FeedWriter {
    feed: Feed,
    key: SigningKey,
    sees: Sees,
    waiting: Vec<Entry>,
    waiting_bytes: usize,
}

impl FeedWriter {
    /// A feed of `keys`, whose first segment states what its author had applied.
    pub fn new(id: FeedId, keys: &Keys, sees: &SeesMap, archive: &Archive) -> Self {
        let feed = Feed {
            id,
            chain: Arc::clone(&keys.chain),
            marks: [0; PHASES],
            entries: 0,
            file: Arc::clone(&archive.file),
            segments: Vec::new(),
        };
        let sees = sees.iter().map(|((slice, author), count)| (*slice, *author, *count));
        Self {
            feed,
            key: keys.seal.clone(),
            sees: sees.collect(),
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// If the file takes no more.
    pub fn push(&mut self, entry: Entry, archive: &mut Archive) -> Result<(), String> {
        let bytes = entry.to_bytes().len();
        let full = self.waiting.len() == limits::SEGMENT_ENTRIES_MAX
            || self.waiting_bytes + bytes > limits::SEGMENT_BYTES_CUT;
        if full {
            self.cut(archive)?;
        }
        self.waiting_bytes += bytes;
        self.waiting.push(entry);
        Ok(())
    }

    /// Ends a phase: what waits is sealed.
    ///
    /// # Errors
    ///
    /// If the file takes no more.
    pub fn mark(&mut self, phase: usize, archive: &mut Archive) -> Result<(), String> {
        self.cut(archive)?;
        let count = self.feed.segments.len();
        self.feed.marks.iter_mut().skip(phase).for_each(|mark| *mark = count);
        Ok(())
    }

    /// Segments sealed so far.
    pub fn count(&self) -> u64 {
        self.feed.segments.len() as u64
    }

    /// The feed, after its last phase was ended.
    pub fn finish(self) -> Feed {
        self.feed
    }

    fn cut(&mut self, archive: &mut Archive) -> Result<(), String> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let first_entry = self.feed.entries;
        self.feed.entries += entries.len() as u64;
        let head = self.feed.head(self.feed.segments.len());
        let segment = Segment {
            feed: self.feed.id,
            number: head.count,
            first_entry,
            previous: head.hash,
            sees: std::mem::take(&mut self.sees),
            entries,
        };
        self.feed.segments.push(archive.put(&segment.seal(&self.key))?);
        Ok(())
    }
}
