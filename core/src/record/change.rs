//! One Automerge change: the prescan that hostile bytes must pass, and its operations.
//!
//! The library panics, spins or allocates without bound on crafted input, and `from_bytes` checks no
//! checksum (measured; storage format: automerge.org/automerge-binary-format-spec). So the scan below
//! walks the raw chunk first, with bounds, and accepts only what Taizhang writes: a raw change
//! chunk of root-map put and delete operations. Re-encoding must give the same bytes.

use automerge::legacy::{Key, ObjectId, OpType};
use automerge::{Change, ScalarValue};
use sha2::{Digest as _, Sha256};

use super::value::Value;
use crate::id::{Actor, Hash};
use crate::limits;

/// Version of the prescan: what it accepts never changes under one number.
pub const PRESCAN_VERSION: u8 = 1;

/// Identifies an operation of a document: counter and actor.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct OpId {
    /// Lamport counter within the document.
    pub counter: u64,
    /// Who made it.
    pub actor: Actor,
}

/// A put (`value` is some) or a delete at a root key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Op {
    /// Root key.
    pub key: String,
    /// What was put; `None` deletes.
    pub value: Option<Value>,
    /// The operations it overwrites, ascending.
    pub preds: Vec<OpId>,
}

/// A change that passed the prescan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScannedChange {
    /// Automerge's hash.
    pub hash: Hash,
    /// Hashes of the changes it follows.
    pub deps: Vec<Hash>,
    /// Who made it.
    pub actor: Actor,
    /// Counts this actor's changes in this document, from 1.
    pub seq: u64,
    /// Counter of the first operation.
    pub start_op: u64,
    /// Seconds since 1970, by the author's clock.
    pub time_s: i64,
    /// The operations.
    pub ops: Vec<Op>,
}

impl ScannedChange {
    /// Counter of the last operation.
    pub fn max_op(&self) -> u64 {
        self.start_op + self.ops.len() as u64 - 1
    }
}

/// Why bytes are refused before or right after the library sees them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PrescanError {
    /// Larger than the limit, or not a raw change chunk with a good checksum and canonical header.
    #[error("not a raw change chunk with a good checksum")]
    Chunk,
    /// Columns other than those of root-map put and delete, or rows that do not match.
    #[error("not root-map put and delete operations only")]
    Shape,
    /// More operations, dependencies or characters than allowed, or counters out of range.
    #[error("counts or counters out of bounds")]
    Bounds,
    /// Values of a type that records do not use.
    #[error("a value is neither text, whole number nor truth value")]
    ValueType,
    /// The library reads the bytes but would write others.
    #[error("not the canonical encoding")]
    Encoding,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn uleb(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return (shift == 0 || byte != 0).then_some(value);
            }
        }
        None
    }

    fn sleb(&mut self) -> Option<i64> {
        let (mut value, mut previous) = (0_i64, 0_u8);
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte != 0 && byte != 0x7f {
                return None;
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let overlong =
                    (byte == 0 && previous & 0x40 == 0) || (byte == 0x7f && previous & 0x40 != 0);
                if shift > 0 && overlong {
                    return None;
                }
                if shift < 57 && byte & 0x40 != 0 {
                    value |= -1_i64 << (shift + 7);
                }
                return Some(value);
            }
            previous = byte;
        }
        None
    }

    fn blob(&mut self, limit: u64) -> Option<&'a [u8]> {
        let len = self.uleb().filter(|len| *len <= limit)?;
        self.take(len)
    }
}

/// Walks the runs of a column without expanding them; `visit` gets run length and reader at the
/// value. Gives the number of rows. Runs of nulls never stand in the columns accepted here.
fn runs<'a>(
    column: &'a [u8],
    rows_max: u64,
    mut visit: impl FnMut(u64, &mut Bytes<'a>) -> Option<()>,
) -> Option<u64> {
    let (mut bytes, mut rows) = (Bytes(column), 0_u64);
    while !bytes.0.is_empty() {
        let run = bytes.sleb().filter(|run| *run != 0)?;
        let count = run.unsigned_abs();
        rows = rows.checked_add(count).filter(|rows| *rows <= rows_max)?;
        if run > 0 {
            visit(count, &mut bytes)?;
        } else {
            for _ in 0..count {
                visit(1, &mut bytes)?;
            }
        }
    }
    Some(rows)
}

/// Column specifications in the order of the format: key text, insert, action, value kind, value,
/// count of predecessors, their actors, their counters.
const COLUMNS: [u64; 8] = [21, 52, 66, 86, 87, 112, 113, 115];
const ACTOR_LEN: u64 = Actor::LEN as u64;
const ACTORS_MAX: u64 = 256;
const PREDS_MAX: u64 = 4096;
/// Seconds until the year 9999.
const TIME_MAX_S: i64 = 253_402_300_799;

struct Columns<'a> {
    start_op: u64,
    others_count: u64,
    data: [&'a [u8]; 8],
}

fn scan_header(bytes: &[u8]) -> Result<Columns<'_>, PrescanError> {
    if bytes.len() > limits::CHANGE_BYTES_MAX
        || bytes.len() < 10
        || bytes[..4] != [0x85, 0x6f, 0x4a, 0x83]
        || bytes[8] != 1
        || bytes[4..8] != Sha256::digest(&bytes[8..])[..4]
    {
        return Err(PrescanError::Chunk);
    }
    header_fields(&bytes[9..]).ok_or(PrescanError::Chunk)
}

fn header_fields(bytes: &[u8]) -> Option<Columns<'_>> {
    let mut rest = Bytes(bytes);
    if rest.uleb()? != rest.0.len() as u64 {
        return None;
    }
    let deps_count = rest.uleb().filter(|count| *count <= limits::CHANGE_DEPS_MAX as u64)?;
    let mut previous: &[u8] = &[];
    for _ in 0..deps_count {
        let dep = rest.take(32)?;
        if dep <= previous {
            return None;
        }
        previous = dep;
    }
    let actor = rest.blob(ACTOR_LEN).filter(|actor| actor.len() == Actor::LEN)?;
    rest.uleb().filter(|seq| (1..=limits::OP_COUNTER_MAX).contains(seq))?;
    let start_op = rest.uleb().filter(|op| (1..=limits::OP_COUNTER_MAX).contains(op))?;
    rest.sleb().filter(|time| (0..=TIME_MAX_S).contains(time))?;
    rest.blob(0)?;
    let others_count = rest.uleb().filter(|count| *count <= ACTORS_MAX)?;
    let mut previous: &[u8] = &[];
    for _ in 0..others_count {
        let other = rest.blob(ACTOR_LEN).filter(|other| other.len() == Actor::LEN)?;
        if other == actor || other <= previous {
            return None;
        }
        previous = other;
    }
    let columns_count = rest.uleb().filter(|count| *count <= COLUMNS.len() as u64)?;
    let (mut lens, mut next) = ([0_u64; 8], 0);
    for _ in 0..columns_count {
        let spec = rest.uleb()?;
        let at = COLUMNS.iter().position(|known| *known == spec).filter(|at| *at >= next)?;
        lens[at] = rest.uleb().filter(|len| *len > 0)?;
        next = at + 1;
    }
    let mut data: [&[u8]; 8] = [&[]; 8];
    for (column, len) in data.iter_mut().zip(lens) {
        *column = rest.take(len)?;
    }
    rest.0.is_empty().then_some(Columns { start_op, others_count, data })
}

impl Columns<'_> {
    fn check(&self) -> Option<()> {
        let ops = runs(self.data[2], limits::CHANGE_OPS_MAX, |_, bytes| {
            matches!(bytes.uleb()?, 1 | 3).then_some(())
        })?;
        if ops == 0 || self.start_op + ops - 1 > limits::OP_COUNTER_MAX {
            return None;
        }
        let keys = runs(self.data[0], ops, |_, bytes| {
            let key = bytes.blob(limits::KEY_BYTES_MAX as u64)?;
            std::str::from_utf8(key).is_ok().then_some(())
        })?;
        let mut insert = Bytes(self.data[1]);
        let no_insert = insert.uleb()? == ops && insert.0.is_empty();
        let mut value_bytes = 0_u128;
        let values = runs(self.data[3], ops, |count, bytes| {
            let meta = bytes.uleb()?;
            let (kind, len) = (meta & 15, meta >> 4);
            if kind <= 2 && len != 0 || len > limits::VALUE_BYTES_MAX as u64 {
                return None;
            }
            value_bytes += u128::from(count) * u128::from(len);
            Some(())
        })?;
        let mut preds = 0_u128;
        let groups = runs(self.data[5], ops, |count, bytes| {
            preds += u128::from(count) * u128::from(bytes.uleb()?);
            Some(())
        })?;
        let preds = u64::try_from(preds).ok().filter(|preds| *preds <= PREDS_MAX)?;
        let actors = runs(self.data[6], preds, |_, bytes| {
            (bytes.uleb()? <= self.others_count).then_some(())
        })?;
        let mut at = 0_i128;
        let in_range = 1..=i128::from(limits::OP_COUNTER_MAX);
        let counters = runs(self.data[7], preds, |count, bytes| {
            let step = i128::from(bytes.sleb()?);
            let first = at + step;
            at += step * i128::from(count);
            (in_range.contains(&first) && in_range.contains(&at)).then_some(())
        })?;
        (keys == ops
            && no_insert
            && values == ops
            && value_bytes == self.data[4].len() as u128
            && groups == ops
            && actors == preds
            && counters == preds)
            .then_some(())
    }
}

/// Scans hostile bytes and decodes what passed.
///
/// # Errors
///
/// [`PrescanError`]. The result is a pure function of the bytes, the same on every replica.
pub fn scan(bytes: &[u8]) -> Result<ScannedChange, PrescanError> {
    scan_header(bytes)?.check().ok_or(PrescanError::Shape)?;
    // What passed cannot make the library fail as far as fuzzing has shown; should it all the same,
    // it fails on every replica alike, and the entry is malformed.
    std::panic::catch_unwind(|| decode(bytes)).unwrap_or(Err(PrescanError::Shape))
}

fn decode(bytes: &[u8]) -> Result<ScannedChange, PrescanError> {
    let change = Change::from_bytes(bytes.to_vec()).map_err(|_| PrescanError::Shape)?;
    let expanded = change.decode();
    if Change::from(expanded.clone()).raw_bytes() != bytes {
        return Err(PrescanError::Encoding);
    }
    let mut ops = Vec::with_capacity(expanded.operations.len());
    for op in &expanded.operations {
        let (ObjectId::Root, Key::Map(key), false) = (&op.obj, &op.key, op.insert) else {
            return Err(PrescanError::Shape);
        };
        let value = match &op.action {
            OpType::Delete if op.pred.is_empty() => return Err(PrescanError::Shape),
            OpType::Delete => None,
            OpType::Put(scalar) => Some(value_of(scalar)?),
            _ => return Err(PrescanError::Shape),
        };
        let mut preds = Vec::with_capacity(op.pred.len());
        for pred in op.pred.iter() {
            let actor = Actor::from_slice(pred.actor().to_bytes()).ok_or(PrescanError::Shape)?;
            preds.push(OpId { counter: pred.counter(), actor });
        }
        preds.sort_unstable();
        ops.push(Op { key: key.to_string(), value, preds });
    }
    let actor = Actor::from_slice(expanded.actor_id.to_bytes()).ok_or(PrescanError::Shape)?;
    Ok(ScannedChange {
        hash: Hash(change.hash().0),
        deps: expanded.deps.iter().map(|dep| Hash(dep.0)).collect(),
        actor,
        seq: expanded.seq,
        start_op: expanded.start_op.get(),
        time_s: expanded.time,
        ops,
    })
}

fn value_of(scalar: &ScalarValue) -> Result<Value, PrescanError> {
    match scalar {
        ScalarValue::Str(text) => Ok(Value::Text(text.to_string())),
        ScalarValue::Int(value) => Ok(Value::Int(*value)),
        ScalarValue::Boolean(value) => Ok(Value::Bool(*value)),
        _ => Err(PrescanError::ValueType),
    }
}

#[cfg(test)]
mod tests {
    use automerge::legacy::{self, SortedVec};
    use automerge::transaction::{CommitOptions, Transactable as _};
    use automerge::{ActorId, AutoCommit, ExpandedChange, ObjType, ROOT};
    use proptest::prelude::*;

    use super::*;

    fn raw(edit: impl FnOnce(&mut AutoCommit)) -> Vec<u8> {
        let mut doc = AutoCommit::new().with_actor(ActorId::from(&[7_u8; 16][..]));
        edit(&mut doc);
        let hash = doc.commit_with(CommitOptions::default().with_time(9)).unwrap();
        doc.get_change_by_hash(&hash).unwrap().raw_bytes().to_vec()
    }

    fn flat() -> Vec<u8> {
        raw(|doc| {
            doc.put(ROOT, "name", "张三").unwrap();
            doc.put(ROOT, "count", 7).unwrap();
            doc.put(ROOT, "flag", true).unwrap();
        })
    }

    #[test]
    fn what_the_library_writes_for_a_flat_record_passes() {
        let scanned = scan(&flat()).unwrap();
        assert_eq!(scanned.ops.len(), 3);
        assert_eq!((scanned.seq, scanned.start_op, scanned.max_op()), (1, 1, 3));
    }

    #[test]
    fn nested_objects_lists_and_other_types_are_refused() {
        let nested = raw(|doc| {
            doc.put_object(ROOT, "list", ObjType::List).unwrap();
        });
        assert_eq!(scan(&nested), Err(PrescanError::Shape));
        let float = raw(|doc| doc.put(ROOT, "x", 1.5).unwrap());
        assert_eq!(scan(&float), Err(PrescanError::ValueType));
        let counter = raw(|doc| doc.put(ROOT, "x", ScalarValue::counter(1)).unwrap());
        assert_eq!(scan(&counter), Err(PrescanError::ValueType));
    }

    #[test]
    fn a_delete_of_nothing_is_refused() {
        let op = legacy::Op {
            action: OpType::Delete,
            obj: ObjectId::Root,
            key: Key::Map("x".into()),
            pred: SortedVec::new(),
            insert: false,
        };
        let change = Change::from(ExpandedChange {
            operations: vec![op],
            actor_id: ActorId::from(&[7_u8; 16][..]),
            hash: None,
            seq: 1,
            start_op: 1.try_into().unwrap(),
            time: 0,
            message: None,
            deps: Vec::new(),
            extra_bytes: Vec::new(),
            author: None,
        });
        assert_eq!(scan(change.raw_bytes()), Err(PrescanError::Shape));
    }

    fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = Sha256::digest(&bytes[8..]);
        bytes[4..8].copy_from_slice(&sum[..4]);
        bytes
    }

    #[test]
    fn every_truncation_and_bit_flip_is_refused_or_canonical_and_nothing_panics() {
        let good = flat();
        for len in 0..good.len() {
            assert!(scan(&good[..len]).is_err());
        }
        for bit in 0..good.len() * 8 {
            let mut wrong = good.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(scan(&wrong).is_err(), "bit {bit}");
            if bit >= 64 {
                let fixed = with_checksum(wrong);
                if let Ok(scanned) = scan(&fixed) {
                    assert!(scanned.ops.len() as u64 <= limits::CHANGE_OPS_MAX);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn mutations_with_a_good_checksum_never_panic(
            edits in prop::collection::vec((9_usize..200, any::<u8>()), 1..5)
        ) {
            let mut bytes = flat();
            let len = bytes.len();
            for (at, byte) in edits {
                bytes[9 + at % (len - 9)] = byte;
            }
            let _ = scan(&with_checksum(bytes));
        }
    }
}
