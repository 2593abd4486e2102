//! Duplicates: records that a keyed field says are of one person or household. They are never fused; a
//! decision (`same_as`) links them, and can be taken back.

use crate::id::{PlaceId, RecordId, hex};

/// Decisions on duplicates, in the ledger slice of the place that owns the pair.
pub const SAME: &str = "sys_same";

/// The id of the conflict item of two records: the same on every replica.
pub fn twin_id(ledger: &str, one: (PlaceId, RecordId), other: (PlaceId, RecordId)) -> String {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"duplicate");
    hasher.update(ledger.as_bytes());
    for (place, record) in [first, second] {
        hasher.update(&place.0);
        hasher.update(&record.0);
    }
    hex(&hasher.finalize().as_bytes()[..8])
}
