//! Receipts: a replica's signed word on what it holds of a slice and which directives it has
//! applied. One a (issuer, slice), latest only.

use ed25519_dalek::{Signer as _, SigningKey};

use super::frontier::{Frontier, Head};
use super::segment::verify_seal;
use crate::codec::{CodecError, Reader, Writer};
use crate::id::{AuthorId, Epoch, Hash, Lane, PlaceId, SealKey, SliceId, SliceKind};
use crate::limits;
use crate::time::UtcMillis;

/// What a receipt states.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Who states it, in which epoch.
    pub issuer: AuthorId,
    /// About which slice.
    pub slice: SliceId,
    /// Counts up within an epoch, but for an older image: [`Self::replaces`] says which one holds.
    pub number: u64,
    /// The issuer's clock. Annotation only.
    pub time: UtcMillis,
    /// The frontier that is durable at the issuer.
    pub held: Frontier,
    /// Of a directive slice: how far it is applied, and since when by the issuer's clock.
    pub applied: Vec<(AuthorId, u64, UtcMillis)>,
    /// The newest segment format that the issuer reads (DESIGN §4).
    pub reads_format: u8,
}

/// A receipt as stored and sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealedReceipt {
    /// Canonical bytes.
    pub plain: Vec<u8>,
    /// The issuer's seal.
    pub seal: [u8; 64],
}

fn hash_of(plain: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang receipt v1");
    hasher.update(plain);
    Hash(*hasher.finalize().as_bytes())
}

impl Receipt {
    /// Whether it holds instead of another of the same issuer, epoch and slice: the one that states more does. Numbers
    /// decide between those that state the same, or each something that the other does not: an office that goes on
    /// from an older image gives some again.
    pub fn replaces(&self, old: &Self) -> bool {
        match (self.covers(old), old.covers(self)) {
            (true, false) => true,
            (false, true) => false,
            _ => self.number > old.number,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        let held = |((lane, author), head): (&(Lane, AuthorId), &Head)| {
            self.held.head(*lane, *author).count >= head.count
        };
        let applied = |(author, count, _): &(AuthorId, u64, UtcMillis)| {
            self.applied.iter().any(|(one, far, _)| one == author && far >= count)
        };
        other.held.heads.iter().all(held) && other.applied.iter().all(applied)
    }

    /// Seals it.
    pub fn seal(&self, key: &SigningKey) -> SealedReceipt {
        let mut writer = Writer::new();
        writer.byte(1);
        writer.raw(&self.issuer.key.0);
        writer.raw(&self.issuer.epoch.0);
        writer.byte(u8::from(self.slice.kind == SliceKind::Ledger));
        writer.raw(&self.slice.place.0);
        writer.uint(self.number);
        writer.int(self.time.0);
        writer.len(self.held.heads.len());
        for ((lane, author), head) in &self.held.heads {
            writer.byte(lane.code());
            writer.raw(&author.key.0);
            writer.raw(&author.epoch.0);
            writer.uint(head.count);
            writer.raw(&head.hash.0);
        }
        writer.len(self.applied.len());
        for (author, count, since) in &self.applied {
            writer.raw(&author.key.0);
            writer.raw(&author.epoch.0);
            writer.uint(*count);
            writer.int(since.0);
        }
        writer.byte(self.reads_format);
        let seal = key.sign(&hash_of(&writer.bytes).0).to_bytes();
        SealedReceipt { plain: writer.bytes, seal }
    }
}

impl SealedReceipt {
    /// Names it in a greeting: the first 8 bytes of BLAKE3 over what it states.
    pub fn tag(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = hash_of(&self.plain).0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Reads it and verifies the seal.
    ///
    /// # Errors
    ///
    /// [`CodecError`]; a bad seal reads as `Tag(0)`: such bytes are no receipt.
    pub fn open(&self) -> Result<Receipt, CodecError> {
        let receipt = self.read()?;
        match verify_seal(receipt.issuer.key, hash_of(&self.plain), &self.seal) {
            true => Ok(receipt),
            false => Err(CodecError::Tag(0)),
        }
    }

    /// Reads one that was verified when it was signed or taken in.
    ///
    /// # Errors
    ///
    /// [`CodecError`].
    pub fn read(&self) -> Result<Receipt, CodecError> {
        let mut reader = Reader::new(&self.plain);
        match reader.byte()? {
            1 => {}
            version => return Err(CodecError::Tag(version.into())),
        }
        let author = |reader: &mut Reader<'_>| -> Result<AuthorId, CodecError> {
            Ok(AuthorId { key: SealKey(reader.array()?), epoch: Epoch(reader.array()?) })
        };
        let issuer = author(&mut reader)?;
        let kind = match reader.byte()? {
            0 => SliceKind::Directive,
            1 => SliceKind::Ledger,
            tag => return Err(CodecError::Tag(tag.into())),
        };
        let slice = SliceId { kind, place: PlaceId(reader.array()?) };
        let number = reader.uint()?;
        let time = UtcMillis(reader.int()?);
        let mut held = Frontier::default();
        for _ in 0..reader.len(limits::FRONTIERS_PER_MESSAGE)? {
            let lane = reader.byte()?;
            let lane = Lane::from_code(lane).ok_or_else(|| CodecError::Tag(lane.into()))?;
            let author = author(&mut reader)?;
            let head = Head { count: reader.uint()?, hash: Hash(reader.array()?) };
            held.heads.insert((lane, author), head);
        }
        let mut applied = Vec::new();
        for _ in 0..reader.len(limits::FRONTIERS_PER_MESSAGE)? {
            applied.push((author(&mut reader)?, reader.uint()?, UtcMillis(reader.int()?)));
        }
        let reads_format = reader.byte()?;
        reader.finish()?;
        Ok(Receipt { issuer, slice, number, time, held, applied, reads_format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_opens_to_what_was_stated_and_no_bit_can_be_changed() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let issuer =
            AuthorId { key: SealKey(key.verifying_key().to_bytes()), epoch: Epoch([1; 16]) };
        let mut held = Frontier::default();
        held.heads.insert((Lane::Directive, issuer), Head { count: 4, hash: Hash([6; 32]) });
        let receipt = Receipt {
            issuer,
            slice: SliceId::directive(PlaceId([2; 8])),
            number: 9,
            time: UtcMillis(5),
            held,
            applied: vec![(issuer, 3, UtcMillis(4))],
            reads_format: 1,
        };
        let sealed = receipt.seal(&key);
        assert_eq!(sealed.open(), Ok(receipt));
        for at in 0..sealed.plain.len() * 8 {
            let mut wrong = sealed.clone();
            wrong.plain[at / 8] ^= 1 << (at % 8);
            assert!(wrong.open().is_err(), "bit {at}");
        }
    }
}
