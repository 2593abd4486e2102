//! Making a change: from what a person typed to Automerge's bytes.
//!
//! The change is composed from the record's log, so no document is loaded to edit one.

use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op as RawOp, OpId as RawOpId, OpType, SortedVec};
use automerge::{ActorId, AutoCommit, Change, ChangeHash, ExpandedChange, ScalarValue};

use super::log::RecordLog;
use super::value::{LEDGER_KEY, Value};
use crate::id::Actor;
use crate::limits;
use crate::time::UtcMillis;

/// One key to write: put if some, delete if none.
pub type KeyWrite = (String, Option<Value>);

/// Why no change can be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditError {
    /// A key or value is above its limit.
    #[error("`{key}` is longer than {limit_bytes} bytes")]
    TooLong {
        /// The root key.
        key: String,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// More keys than one change may hold.
    #[error("{found} keys at once; at most {limit}")]
    TooMany {
        /// Keys given.
        found: usize,
        /// Keys allowed.
        limit: u64,
    },
    /// Nothing to write.
    #[error("nothing changes")]
    Nothing,
}

/// The keys with which a record of `ledger` begins.
pub fn creation(ledger: &str) -> KeyWrite {
    (LEDGER_KEY.to_owned(), Some(Value::from(ledger)))
}

/// Composes a change that follows everything in `log`. Deletes of absent keys are left out.
///
/// # Errors
///
/// [`EditError`].
pub fn compose(
    log: &RecordLog,
    actor: Actor,
    time: UtcMillis,
    writes: &[KeyWrite],
) -> Result<Vec<u8>, EditError> {
    let mut operations = Vec::with_capacity(writes.len());
    for (key, value) in writes {
        check_size(key, value.as_ref())?;
        let tips = log.tips_of(key);
        let action = match value {
            None if tips.is_empty() => continue,
            None => OpType::Delete,
            Some(value) => OpType::Put(scalar(value)),
        };
        let pred: SortedVec<RawOpId> =
            tips.iter().map(|op| RawOpId(op.counter, ActorId::from(&op.actor.0[..]))).collect();
        operations.push(RawOp {
            action,
            obj: ObjectId::Root,
            key: Key::Map(key.as_str().into()),
            pred,
            insert: false,
        });
    }
    if operations.is_empty() {
        return Err(EditError::Nothing);
    }
    if operations.len() as u64 > limits::CHANGE_OPS_MAX {
        let (found, limit) = (operations.len(), limits::CHANGE_OPS_MAX);
        return Err(EditError::TooMany { found, limit });
    }
    let deps = log.heads().into_iter().map(|at| ChangeHash(log.changes[at].hash.0)).collect();
    let change = Change::from(ExpandedChange {
        operations,
        actor_id: ActorId::from(&actor.0[..]),
        author: None,
        hash: None,
        seq: log.last_seq(actor) + 1,
        start_op: NonZeroU64::MIN.saturating_add(log.max_op()),
        time: time.0.div_euclid(1000).clamp(0, 253_402_300_799),
        message: None,
        deps,
        extra_bytes: Vec::new(),
    });
    Ok(change.raw_bytes().to_vec())
}

fn check_size(key: &str, value: Option<&Value>) -> Result<(), EditError> {
    let too_long = |limit_bytes| EditError::TooLong { key: key.to_owned(), limit_bytes };
    if key.len() > limits::KEY_BYTES_MAX {
        return Err(too_long(limits::KEY_BYTES_MAX));
    }
    match value {
        Some(Value::Text(text)) if text.len() > limits::VALUE_BYTES_MAX => {
            Err(too_long(limits::VALUE_BYTES_MAX))
        }
        _ => Ok(()),
    }
}

fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Int(value) => ScalarValue::Int(*value),
        Value::Text(text) => ScalarValue::Str(text.as_str().into()),
    }
}

/// Builds the record's Automerge document from raw changes that passed the prescan and joined the
/// log, for export: the file opens with any Automerge.
///
/// # Errors
///
/// The library's own words; the row does not depend on it.
pub fn document(changes: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
    let changes: Vec<Change> = changes
        .into_iter()
        .map(|bytes| Change::from_bytes(bytes).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let mut doc = AutoCommit::new();
    doc.apply_changes(changes).map_err(|error| error.to_string())?;
    Ok(doc.save())
}
