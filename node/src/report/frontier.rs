//! The frontier of a frozen report: heads of every slice read, as a blob.

use taizhang_core::codec::{CodecError, Reader, Writer};
use taizhang_core::feed::frontier::{Frontiers, Head};
use taizhang_core::id::{
    AuthorId, Epoch, FeedId, Hash, Lane, PlaceId, SealKey, SliceId, SliceKind,
};
use taizhang_core::limits;

const FORMAT: u8 = 1;

/// The heads as bytes: equal frontiers, equal bytes.
pub fn to_bytes(frontiers: &Frontiers) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.byte(FORMAT);
    let heads = frontiers.slices.iter().flat_map(|(slice, frontier)| {
        frontier.heads.iter().map(move |(feed, head)| (slice, feed, head))
    });
    let heads: Vec<_> = heads.collect();
    writer.len(heads.len());
    for (slice, (lane, author), head) in heads {
        writer.byte(u8::from(slice.kind == SliceKind::Ledger));
        writer.raw(&slice.place.0);
        writer.byte(lane.code());
        writer.raw(&author.key.0);
        writer.raw(&author.epoch.0);
        writer.uint(head.count);
        writer.raw(&head.hash.0);
    }
    writer.bytes
}

/// Reads what [`to_bytes`] wrote.
///
/// # Errors
///
/// If it is nothing of the kind.
pub fn from_bytes(bytes: &[u8]) -> Result<Frontiers, CodecError> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != FORMAT {
        return Err(CodecError::Tag(u64::from(bytes.first().copied().unwrap_or(0))));
    }
    let mut frontiers = Frontiers::default();
    for _ in 0..reader.len(limits::FRONTIER_HEADS_MAX)? {
        let is_ledger = reader.byte()? == 1;
        let place = PlaceId(reader.array()?);
        let slice = if is_ledger { SliceId::ledger(place) } else { SliceId::directive(place) };
        let code = reader.byte()?;
        let lane = Lane::from_code(code).ok_or_else(|| CodecError::Tag(u64::from(code)))?;
        let author = AuthorId { key: SealKey(reader.array()?), epoch: Epoch(reader.array()?) };
        let head = Head { count: reader.uint()?, hash: Hash(reader.array()?) };
        frontiers.set(FeedId { slice, lane, author }, head);
    }
    reader.finish()?;
    Ok(frontiers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontier_is_read_back_and_nothing_else_is() {
        let mut frontiers = Frontiers::default();
        for (at, slice) in [SliceId::ledger, SliceId::directive].iter().enumerate() {
            let at = u8::try_from(at).unwrap();
            let author = AuthorId { key: SealKey([at; 32]), epoch: Epoch([7; 16]) };
            let feed = FeedId { slice: slice(PlaceId([at; 8])), lane: Lane::Urgent, author };
            frontiers.set(feed, Head { count: 300, hash: Hash([9; 32]) });
        }
        let bytes = to_bytes(&frontiers);
        assert_eq!(from_bytes(&bytes), Ok(frontiers));
        assert!(from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(from_bytes(&[2]).is_err());
    }
}
