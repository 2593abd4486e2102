//! What two replicas say to each other.

use crate::feed::frontier::Head;
use crate::feed::receipt::SealedReceipt;
use crate::feed::segment::Sealed;
use crate::id::{AuthorId, FeedId, Hash, Lane, PlaceId, ReplicaId, SliceId};
use crate::time::UtcMillis;

/// Protocol version spoken by this program.
pub const PROTOCOL: u32 = 1;

/// Heads of the feeds of one slice.
pub type SliceHeads = (SliceId, Vec<(Lane, AuthorId, Head)>);

/// Names a receipt that is held ([`crate::feed::receipt::SealedReceipt::tag`]).
pub type KnownReceipt = u64;

/// The first message on a link, both ways.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Newest protocol spoken.
    pub protocol: u32,
    /// Newest segment format read.
    pub reads_format: u8,
    /// The sender's place; it must be the one in its certificate.
    pub place: PlaceId,
    /// The sender's replica.
    pub replica: ReplicaId,
    /// The sender's clock, to show 请校时. Annotation only.
    pub time: UtcMillis,
    /// Digest of the catalogue in force at the sender.
    pub catalogue: Hash,
    /// Digest of the shared directive slices.
    pub directives: Hash,
    /// Digest of all shared slices: equal digests are the proof that nothing is missing.
    pub shared: Hash,
    /// Digest of the receipts that flow up this link, as the sender holds them.
    pub receipts_up: Hash,
    /// Digest of the receipts that flow down this link, as the sender holds them.
    pub receipts_down: Hash,
    /// The shared frontiers, if they are few: resuming then takes one round trip.
    pub frontiers: Option<Vec<SliceHeads>>,
    /// Receipts of this link that the sender holds, tag and number, if they are few: those need not be
    /// sent again.
    pub known_receipts: Vec<KnownReceipt>,
}

/// Why a segment or a feed is refused. Never says whether a slice exists.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Refusal {
    /// The seal does not verify, or bytes are malformed.
    BadSeal,
    /// The feed has more branches than are kept.
    Fork,
    /// Not in the scope of this link.
    OutOfScope,
}

/// Everything that is said. Closed on purpose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// Stored durably: of each feed, how far. The hash tells branches of a forked feed apart.
    Ack(Vec<(FeedId, Head)>),
    /// Bytes of a blob that was asked for; none if it is not held here.
    BlobPart {
        /// BLAKE3 of the whole.
        hash: Hash,
        /// Where the part begins.
        from: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// The sender leaves, and why.
    Bye(String),
    /// A certificate chain, leaf first, ahead of its author's feeds.
    Chain(Vec<Vec<u8>>),
    /// Frontiers of shared slices; `last` ends the list.
    Frontiers {
        /// The heads.
        slices: Vec<SliceHeads>,
        /// Whether no more follow.
        last: bool,
    },
    /// A blob of a slice has come to be held here.
    HaveBlob {
        /// A slice with a record that names it.
        slice: SliceId,
        /// BLAKE3 of the whole.
        hash: Hash,
    },
    /// Nothing new: the link is alive.
    Heartbeat(UtcMillis),
    /// The greeting.
    Hello(Box<Hello>),
    /// Not now: stop this feed until it is wanted.
    NotYet(FeedId),
    /// Signed statements of what others hold.
    Receipts(Vec<SealedReceipt>),
    /// Never on this link: stop this feed.
    Refused(FeedId, Refusal),
    /// One sealed segment, plain form. The transfer codec will add forms here.
    Segment(Sealed),
    /// Send this feed from that head on.
    Want(FeedId, Head),
    /// Send this blob from that byte on.
    WantBlob {
        /// A slice with a record that names it.
        slice: SliceId,
        /// BLAKE3 of the whole.
        hash: Hash,
        /// The first byte wanted.
        from: u64,
    },
}

impl Message {
    /// Bytes of the payload, for flow control.
    pub fn size(&self) -> usize {
        match self {
            Self::Segment(sealed) => sealed.plain.len() + 64,
            Self::BlobPart { bytes, .. } => bytes.len() + 64,
            Self::Chain(chain) => chain.iter().map(Vec::len).sum(),
            Self::Receipts(list) => list.iter().map(|one| one.plain.len() + 64).sum(),
            _ => 64,
        }
    }
}
