//! Between session messages and protobuf frames.

use prost::Message as _;
use taizhang_core::feed::frontier::Head;
use taizhang_core::feed::receipt::SealedReceipt;
use taizhang_core::feed::segment::Sealed;
use taizhang_core::id::{
    AuthorId, Epoch, FeedId, Hash, Lane, PlaceId, SealKey, SliceId, SliceKind,
};
use taizhang_core::sync::message::{Hello, Message, Refusal, SliceHeads};
use taizhang_core::time::UtcMillis;
use taizhang_proto::sync::{self as wire, frame::Body};

/// Messages as length-delimited frames, for a file.
pub fn frames_to_bytes(messages: Vec<Message>) -> Vec<u8> {
    messages.into_iter().flat_map(|one| to_frame(one).encode_length_delimited_to_vec()).collect()
}

/// The messages of such a file; none if a frame cannot be read.
pub fn frames_from_bytes(mut bytes: &[u8]) -> Option<Vec<Message>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let length = prost::decode_length_delimiter(bytes).ok()?;
        if length > taizhang_core::limits::MESSAGE_BYTES_MAX {
            return None;
        }
        let frame = wire::Frame::decode_length_delimited(&mut bytes).ok()?;
        messages.push(from_frame(frame).ok()?);
    }
    Some(messages)
}

/// A frame that means nothing here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("frame field `{0}` is missing or has the wrong size")]
pub struct FrameError(pub &'static str);

fn array<const N: usize>(bytes: &[u8], name: &'static str) -> Result<[u8; N], FrameError> {
    bytes.try_into().map_err(|_| FrameError(name))
}

fn slice_out(slice: SliceId) -> Option<wire::Slice> {
    let directive = slice.kind == SliceKind::Directive;
    Some(wire::Slice { place: slice.place.0.to_vec(), directive })
}

fn slice_in(slice: Option<wire::Slice>) -> Result<SliceId, FrameError> {
    let slice = slice.ok_or(FrameError("slice"))?;
    let place = PlaceId(array(&slice.place, "slice.place")?);
    Ok(if slice.directive { SliceId::directive(place) } else { SliceId::ledger(place) })
}

fn author_out(author: AuthorId) -> Vec<u8> {
    [&author.key.0[..], &author.epoch.0[..]].concat()
}

fn author_in(bytes: &[u8]) -> Result<AuthorId, FrameError> {
    let (key, epoch) = bytes.split_at_checked(SealKey::LEN).ok_or(FrameError("author"))?;
    Ok(AuthorId { key: SealKey(array(key, "author")?), epoch: Epoch(array(epoch, "author")?) })
}

fn lane_in(lane: u32) -> Result<Lane, FrameError> {
    u8::try_from(lane).ok().and_then(Lane::from_code).ok_or(FrameError("lane"))
}

fn feed_out(feed: FeedId) -> Option<wire::FeedRef> {
    Some(wire::FeedRef {
        slice: slice_out(feed.slice),
        lane: feed.lane.code().into(),
        author: author_out(feed.author),
    })
}

fn feed_in(feed: Option<wire::FeedRef>) -> Result<FeedId, FrameError> {
    let feed = feed.ok_or(FrameError("feed"))?;
    Ok(FeedId {
        slice: slice_in(feed.slice)?,
        lane: lane_in(feed.lane)?,
        author: author_in(&feed.author)?,
    })
}

fn heads_out(slices: Vec<SliceHeads>, last: bool) -> wire::Frontiers {
    let slices = slices
        .into_iter()
        .map(|(slice, heads)| wire::SliceHeads {
            slice: slice_out(slice),
            heads: heads
                .into_iter()
                .map(|(lane, author, head)| wire::FeedHead {
                    lane: lane.code().into(),
                    author: author_out(author),
                    count: head.count,
                    hash: head.hash.0.to_vec(),
                })
                .collect(),
        })
        .collect();
    wire::Frontiers { slices, last }
}

fn heads_in(frontiers: wire::Frontiers) -> Result<Vec<SliceHeads>, FrameError> {
    frontiers
        .slices
        .into_iter()
        .map(|one| {
            let heads = one
                .heads
                .into_iter()
                .map(|head| {
                    let hash = Hash(array(&head.hash, "head.hash")?);
                    let author = author_in(&head.author)?;
                    Ok((lane_in(head.lane)?, author, Head { count: head.count, hash }))
                })
                .collect::<Result<_, _>>()?;
            Ok((slice_in(one.slice)?, heads))
        })
        .collect()
}

fn hello_out(hello: Hello) -> wire::Hello {
    wire::Hello {
        protocol: hello.protocol,
        reads_format: hello.reads_format.into(),
        place: hello.place.0.to_vec(),
        replica: hello.replica.0.to_vec(),
        time_ms: hello.time.0,
        catalogue: hello.catalogue.0.to_vec(),
        directives: hello.directives.0.to_vec(),
        shared: hello.shared.0.to_vec(),
        receipts_up: hello.receipts_up.0.to_vec(),
        receipts_down: hello.receipts_down.0.to_vec(),
        receipt_tags: hello.known_receipts,
        frontiers: hello.frontiers.map(|slices| heads_out(slices, true)),
    }
}

fn hello_in(hello: wire::Hello) -> Result<Hello, FrameError> {
    Ok(Hello {
        protocol: hello.protocol,
        reads_format: u8::try_from(hello.reads_format).map_err(|_| FrameError("reads_format"))?,
        place: PlaceId(array(&hello.place, "hello.place")?),
        replica: taizhang_core::id::ReplicaId(array(&hello.replica, "hello.replica")?),
        time: UtcMillis(hello.time_ms),
        catalogue: Hash(array(&hello.catalogue, "hello.catalogue")?),
        directives: Hash(array(&hello.directives, "hello.directives")?),
        shared: Hash(array(&hello.shared, "hello.shared")?),
        receipts_up: Hash(array(&hello.receipts_up, "hello.receipts_up")?),
        receipts_down: Hash(array(&hello.receipts_down, "hello.receipts_down")?),
        known_receipts: hello.receipt_tags,
        frontiers: hello.frontiers.map(heads_in).transpose()?,
    })
}

/// A message as a frame.
pub fn to_frame(message: Message) -> wire::Frame {
    let sealed = |plain: Vec<u8>, seal: [u8; 64]| wire::Segment { plain, seal: seal.to_vec() };
    let body = match message {
        Message::Ack(feeds) => Body::Ack(wire::Ack {
            feeds: feeds
                .into_iter()
                .map(|(feed, head)| wire::FeedCount {
                    feed: feed_out(feed),
                    count: head.count,
                    hash: head.hash.0.to_vec(),
                })
                .collect(),
        }),
        Message::BlobPart { hash, from, bytes } => {
            Body::BlobPart(wire::BlobPart { hash: hash.0.to_vec(), from, content: bytes })
        }
        Message::Bye(reason) => Body::Bye(wire::Bye { reason }),
        Message::Chain(certificates) => Body::Chain(wire::Chain { certificates }),
        Message::Frontiers { slices, last } => Body::Frontiers(heads_out(slices, last)),
        Message::HaveBlob { slice, hash } => Body::HaveBlob(wire::WantBlob {
            slice: slice_out(slice),
            hash: hash.0.to_vec(),
            from: 0,
        }),
        Message::Heartbeat(time) => Body::Heartbeat(wire::Heartbeat { time_ms: time.0 }),
        Message::Hello(hello) => Body::Hello(hello_out(*hello)),
        Message::NotYet(feed) => Body::NotYet(feed_out(feed).unwrap_or_default()),
        Message::Receipts(receipts) => Body::Receipts(wire::Receipts {
            receipts: receipts.into_iter().map(|one| sealed(one.plain, one.seal)).collect(),
        }),
        Message::Refused(feed, refusal) => Body::Refused(wire::Refused {
            feed: feed_out(feed),
            reason: match refusal {
                Refusal::BadSeal => 1,
                Refusal::Fork => 2,
                Refusal::OutOfScope => 3,
            },
        }),
        Message::Segment(one) => Body::Segment(sealed(one.plain, one.seal)),
        Message::Want(feed, head) => Body::Want(wire::Want {
            feed: feed_out(feed),
            count: head.count,
            hash: head.hash.0.to_vec(),
        }),
        Message::WantBlob { slice, hash, from } => {
            Body::WantBlob(wire::WantBlob { slice: slice_out(slice), hash: hash.0.to_vec(), from })
        }
    };
    wire::Frame { body: Some(body) }
}

/// A frame as a message.
///
/// # Errors
///
/// [`FrameError`]: the link is closed with this text.
pub fn from_frame(frame: wire::Frame) -> Result<Message, FrameError> {
    Ok(match frame.body.ok_or(FrameError("body (an arm of a newer version)"))? {
        Body::Ack(ack) => Message::Ack(
            ack.feeds
                .into_iter()
                .map(|one| {
                    let hash = Hash(array(&one.hash, "ack.hash")?);
                    Ok((feed_in(one.feed)?, Head { count: one.count, hash }))
                })
                .collect::<Result<_, _>>()?,
        ),
        Body::BlobPart(part) => Message::BlobPart {
            hash: Hash(array(&part.hash, "blob_part.hash")?),
            from: part.from,
            bytes: part.content,
        },
        Body::Bye(bye) => Message::Bye(bye.reason),
        Body::Chain(chain) => Message::Chain(chain.certificates),
        Body::Frontiers(frontiers) => {
            let last = frontiers.last;
            Message::Frontiers { slices: heads_in(frontiers)?, last }
        }
        Body::HaveBlob(one) => Message::HaveBlob {
            slice: slice_in(one.slice)?,
            hash: Hash(array(&one.hash, "have_blob.hash")?),
        },
        Body::Heartbeat(one) => Message::Heartbeat(UtcMillis(one.time_ms)),
        Body::Hello(hello) => Message::Hello(Box::new(hello_in(hello)?)),
        Body::NotYet(feed) => Message::NotYet(feed_in(Some(feed))?),
        Body::Receipts(receipts) => Message::Receipts(
            receipts
                .receipts
                .into_iter()
                .map(|one| {
                    Ok(SealedReceipt { plain: one.plain, seal: array(&one.seal, "receipt.seal")? })
                })
                .collect::<Result<_, _>>()?,
        ),
        Body::Refused(one) => {
            let refusal = match one.reason {
                1 => Refusal::BadSeal,
                2 => Refusal::Fork,
                3 => Refusal::OutOfScope,
                _ => return Err(FrameError("refused.reason")),
            };
            Message::Refused(feed_in(one.feed)?, refusal)
        }
        Body::Segment(one) => {
            Message::Segment(Sealed { plain: one.plain, seal: array(&one.seal, "segment.seal")? })
        }
        Body::Want(want) => {
            let hash = Hash(array(&want.hash, "want.hash")?);
            Message::Want(feed_in(want.feed)?, Head { count: want.count, hash })
        }
        Body::WantBlob(one) => Message::WantBlob {
            slice: slice_in(one.slice)?,
            hash: Hash(array(&one.hash, "want_blob.hash")?),
            from: one.from,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_back_from_its_frame() {
        let author = AuthorId { key: SealKey([1; 32]), epoch: Epoch([2; 16]) };
        let feed = FeedId { slice: SliceId::ledger(PlaceId([3; 8])), lane: Lane::Urgent, author };
        let head = Head { count: 7, hash: Hash([4; 32]) };
        let heads = vec![(feed.slice, vec![(feed.lane, author, head)])];
        let hello = Hello {
            protocol: 1,
            reads_format: 1,
            place: PlaceId([5; 8]),
            replica: taizhang_core::id::ReplicaId([6; 8]),
            time: UtcMillis(8),
            catalogue: Hash([1; 32]),
            directives: Hash([2; 32]),
            shared: Hash([3; 32]),
            receipts_up: Hash([4; 32]),
            receipts_down: Hash([5; 32]),
            known_receipts: vec![6, 7],
            frontiers: Some(heads.clone()),
        };
        for message in [
            Message::Ack(vec![(feed, head)]),
            Message::Bye("好".into()),
            Message::Chain(vec![vec![1], vec![2, 3]]),
            Message::Frontiers { slices: heads, last: true },
            Message::Heartbeat(UtcMillis(1)),
            Message::Hello(Box::new(hello)),
            Message::NotYet(feed),
            Message::Receipts(vec![SealedReceipt { plain: vec![1], seal: [2; 64] }]),
            Message::Refused(feed, Refusal::Fork),
            Message::Segment(Sealed { plain: vec![9], seal: [8; 64] }),
            Message::Want(feed, head),
            Message::WantBlob { slice: feed.slice, hash: Hash([1; 32]), from: 5 },
            Message::HaveBlob { slice: feed.slice, hash: Hash([1; 32]) },
            Message::BlobPart { hash: Hash([1; 32]), from: 5, bytes: vec![1, 2] },
        ] {
            assert_eq!(from_frame(to_frame(message.clone())), Ok(message));
        }
        assert!(from_frame(wire::Frame { body: None }).is_err());
    }
}
