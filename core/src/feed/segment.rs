//! A segment: a run of entries of one feed, sealed. The unit of signature, storage, transfer, ack.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::entry::Entry;
use crate::codec::{CodecError, Reader, Writer};
use crate::id::{AuthorId, Epoch, FeedId, Hash, Lane, PlaceId, SealKey, SliceId, SliceKind};
use crate::limits;

/// The format this version writes; every released one stays readable.
pub const FORMAT: u8 = 1;

/// How far the directive slices on a path were applied: feed to number of segments.
pub type Sees = Vec<(SliceId, AuthorId, u64)>;

/// The canonical header and the entries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// Which feed it continues.
    pub feed: FeedId,
    /// Position in the feed, in segments, from 0.
    pub number: u64,
    /// Position of its first entry in the feed, in entries, from 0.
    pub first_entry: u64,
    /// Hash of the segment before; zeros for number 0.
    pub previous: Hash,
    /// What the author had applied of the directive slices on the path: only what changed since the
    /// feed's previous segment. Values are counts of segments.
    pub sees: Sees,
    /// At least one.
    pub entries: Vec<Entry>,
}

/// A segment as it is stored and sent: plain bytes, their hash and the seal over it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Canonical bytes of the [`Segment`].
    pub plain: Vec<u8>,
    /// Ed25519 over the hash of the plain bytes.
    pub seal: [u8; 64],
}

/// Why bytes are no acceptable segment.
///
/// Text is for operators; it names the author, because one author may be wrong while the peer is
/// honest.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SegmentError {
    /// Larger than [`limits::SEGMENT_BYTES_MAX`]. Tested before any byte is read.
    #[error("segment of {size_bytes} bytes is above the limit of {limit_bytes}")]
    TooLarge {
        /// Bytes found.
        size_bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// A format that this version does not read: not yet, until the program is upgraded.
    #[error("segment format {0} is newer than this program reads; upgrade the program")]
    Newer(u8),
    /// The bytes are no canonical segment.
    #[error("segment is not canonical: {0}")]
    Malformed(#[from] CodecError),
    /// The seal does not cover these bytes under the author's key.
    #[error("author {author}: seal of segment {number} does not verify")]
    BadSeal {
        /// Whose seal.
        author: AuthorId,
        /// Which segment.
        number: u64,
    },
}

impl Segment {
    /// Canonical bytes.
    pub fn to_plain(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.byte(FORMAT);
        writer.byte(u8::from(self.feed.slice.kind == SliceKind::Ledger));
        writer.raw(&self.feed.slice.place.0);
        writer.byte(self.feed.lane.code());
        writer.raw(&self.feed.author.key.0);
        writer.raw(&self.feed.author.epoch.0);
        writer.uint(self.number);
        writer.uint(self.first_entry);
        writer.raw(&self.previous.0);
        writer.len(self.sees.len());
        for (slice, author, count) in &self.sees {
            writer.raw(&slice.place.0);
            writer.raw(&author.key.0);
            writer.raw(&author.epoch.0);
            writer.uint(*count);
        }
        writer.len(self.entries.len());
        for entry in &self.entries {
            entry.write(&mut writer);
        }
        writer.bytes
    }

    /// Seals it.
    pub fn seal(&self, key: &SigningKey) -> Sealed {
        let plain = self.to_plain();
        let seal = key.sign(&hash_of(&plain).0).to_bytes();
        Sealed { plain, seal }
    }

    /// Reads canonical bytes; says nothing about the seal.
    ///
    /// # Errors
    ///
    /// [`SegmentError::TooLarge`], [`SegmentError::Newer`] or [`SegmentError::Malformed`].
    pub fn from_plain(plain: &[u8]) -> Result<Self, SegmentError> {
        let (mut segment, mut reader) = Self::read_header(plain)?;
        let count = reader.len(limits::SEGMENT_ENTRIES_MAX)?;
        if count == 0 {
            return Err(CodecError::Short.into());
        }
        segment.entries.reserve(count);
        for _ in 0..count {
            segment.entries.push(Entry::read(&mut reader)?);
        }
        reader.finish()?;
        Ok(segment)
    }

    /// Reads the header only; `entries` stays empty.
    ///
    /// # Errors
    ///
    /// As [`Self::from_plain`], for the header.
    pub fn header(plain: &[u8]) -> Result<Self, SegmentError> {
        Ok(Self::read_header(plain)?.0)
    }

    fn read_header(plain: &[u8]) -> Result<(Self, Reader<'_>), SegmentError> {
        if plain.len() > limits::SEGMENT_BYTES_MAX {
            return Err(SegmentError::TooLarge {
                size_bytes: plain.len(),
                limit_bytes: limits::SEGMENT_BYTES_MAX,
            });
        }
        let mut reader = Reader::new(plain);
        match reader.byte()? {
            FORMAT => {}
            newer if newer > FORMAT => return Err(SegmentError::Newer(newer)),
            old => return Err(CodecError::Tag(old.into()).into()),
        }
        let kind = match reader.byte()? {
            0 => SliceKind::Directive,
            1 => SliceKind::Ledger,
            tag => return Err(CodecError::Tag(tag.into()).into()),
        };
        let slice = SliceId { kind, place: PlaceId(reader.array()?) };
        let lane = reader.byte()?;
        let lane = Lane::from_code(lane)
            .filter(|lane| lane.belongs_to(kind))
            .ok_or_else(|| CodecError::Tag(lane.into()))?;
        let author = read_author(&mut reader)?;
        let number = reader.uint()?;
        let first_entry = reader.uint()?;
        let previous = Hash(reader.array()?);
        let sees_count = reader.len(limits::SEES_FEEDS_MAX)?;
        let mut sees = Vec::with_capacity(sees_count);
        for _ in 0..sees_count {
            let slice = SliceId::directive(PlaceId(reader.array()?));
            let author = read_author(&mut reader)?;
            sees.push((slice, author, reader.uint()?));
        }
        let feed = FeedId { slice, lane, author };
        let segment = Self { feed, number, first_entry, previous, sees, entries: Vec::new() };
        Ok((segment, reader))
    }
}

fn read_author(reader: &mut Reader<'_>) -> Result<AuthorId, CodecError> {
    Ok(AuthorId { key: SealKey(reader.array()?), epoch: Epoch(reader.array()?) })
}

/// The hash of plain bytes: what is sealed and what the next segment names as `previous`.
pub fn hash_of(plain: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang segment v1");
    hasher.update(plain);
    Hash(*hasher.finalize().as_bytes())
}

/// Whether `seal` is `key`'s over `hash`. Strict verification: one key, one message, one seal.
pub fn verify_seal(key: SealKey, hash: Hash, seal: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(&key.0)
        .is_ok_and(|key| key.verify_strict(&hash.0, &Signature::from_bytes(seal)).is_ok())
}

impl Sealed {
    /// The hash that the seal covers.
    pub fn hash(&self) -> Hash {
        hash_of(&self.plain)
    }

    /// Reads and verifies: canonical bytes and a good seal of the author that they name.
    ///
    /// # Errors
    ///
    /// See [`SegmentError`]. That the author's certificate chain is held is the caller's to know.
    pub fn open(&self) -> Result<Segment, SegmentError> {
        let segment = Segment::from_plain(&self.plain)?;
        let author = segment.feed.author;
        if verify_seal(author.key, self.hash(), &self.seal) {
            Ok(segment)
        } else {
            Err(SegmentError::BadSeal { author, number: segment.number })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::feed::entry::{Action, Person, RecordChange};
    use crate::id::RecordId;
    use crate::time::UtcMillis;

    pub(crate) fn sample() -> (Segment, SigningKey) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let author =
            AuthorId { key: SealKey(key.verifying_key().to_bytes()), epoch: Epoch([3; 16]) };
        let feed = FeedId { slice: SliceId::ledger(PlaceId([9; 8])), lane: Lane::Ordinary, author };
        let entry = Entry {
            time: UtcMillis(1_523_232_000_000),
            person: Person { name: "王文书".into(), role: "village_clerk".into() },
            action: Action::Create,
            lamport: 1,
            policy_seen: 1,
            import: None,
            changes: vec![RecordChange { record: RecordId([1; 16]), bytes: vec![1, 2, 3] }],
        };
        let sees = vec![(SliceId::directive(PlaceId([8; 8])), author, 2)];
        let previous = Hash::default();
        let segment =
            Segment { feed, number: 0, first_entry: 0, previous, sees, entries: vec![entry] };
        (segment, key)
    }

    #[test]
    fn a_sealed_segment_opens_to_what_was_sealed() {
        let (segment, key) = sample();
        assert_eq!(segment.seal(&key).open(), Ok(segment));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let (segment, key) = sample();
        let sealed = segment.seal(&key);
        for at in 0..sealed.plain.len() * 8 {
            let mut wrong = sealed.clone();
            wrong.plain[at / 8] ^= 1 << (at % 8);
            assert!(wrong.open().is_err(), "bit {at}");
        }
        for len in 0..sealed.plain.len() {
            let wrong = Sealed { plain: sealed.plain[..len].to_vec(), seal: sealed.seal };
            assert!(wrong.open().is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_not_yet_rather_than_wrong() {
        let (segment, key) = sample();
        let mut sealed = segment.seal(&key);
        sealed.plain[0] = FORMAT + 1;
        assert_eq!(sealed.open(), Err(SegmentError::Newer(FORMAT + 1)));
    }
}
