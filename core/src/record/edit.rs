//! Making a change: from what a person typed to Automerge's bytes.
//!
//! The change is composed from the record's log, so no document is loaded to edit one.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op as RawOp, OpId as RawOpId, OpType, SortedVec};
use automerge::{ActorId, AutoCommit, Change, ChangeHash, ExpandedChange, ScalarValue};

use super::change::{OpId, ScannedChange};
use super::log::RecordLog;
use super::value::{LEDGER_KEY, Value};
use crate::id::{Actor, Hash};
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
        // A line is written once: a second content under its key stands beside the first.
        let is_line = key.contains('/') && matches!(value, Some(Value::Text(_)));
        let tips = if is_line { Vec::new() } else { log.tips_of(key) };
        let action = match value {
            None if tips.is_empty() => continue,
            None => OpType::Delete,
            Some(value) => OpType::Put(scalar(value)),
        };
        operations.push(raw_op(key, action, &tips));
    }
    if operations.is_empty() {
        return Err(EditError::Nothing);
    }
    if operations.len() as u64 > limits::CHANGE_OPS_MAX {
        let (found, limit) = (operations.len(), limits::CHANGE_OPS_MAX);
        return Err(EditError::TooMany { found, limit });
    }
    let mut heads = log.heads();
    if crate::sabotaged!(DependencyDropped) {
        heads.truncate(1);
    }
    let deps = heads.into_iter().map(|at| ChangeHash(log.changes[at].hash.0)).collect();
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

/// What became of operations and changes of one record that were written again: old to new.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// Operations.
    pub ops: BTreeMap<OpId, OpId>,
    /// Changes.
    pub changes: BTreeMap<Hash, Hash>,
}

/// Writes a change again under another actor: the same keys and values, after what the original
/// followed as far as it is held, so that it stands beside whatever was written meanwhile. Lines and
/// marks keep their keys; what stands there already is left out, so writing twice changes nothing.
///
/// # Errors
///
/// [`EditError::Nothing`] if everything stands already.
pub fn rewrite(
    log: &RecordLog,
    original: &ScannedChange,
    actor: Actor,
    rewritten: &mut Rewritten,
) -> Result<Vec<u8>, EditError> {
    let mut deps: BTreeSet<usize> = original
        .deps
        .iter()
        .filter_map(|dep| log.position(*rewritten.changes.get(dep).unwrap_or(dep)))
        .collect();
    if deps.is_empty() && !original.deps.is_empty() {
        deps.extend(log.heads());
    }
    deps.extend(log.changes.iter().rposition(|change| change.actor == actor));
    let past: BTreeSet<usize> = deps.iter().flat_map(|at| log.ancestors(*at)).collect();
    let deps: Vec<usize> = deps.difference(&past).copied().collect();
    let past: BTreeSet<usize> = past.into_iter().chain(deps.iter().copied()).collect();
    let mut kept = Vec::new();
    for (op, counter) in original.ops.iter().zip(original.start_op..) {
        let preds: Vec<OpId> = op
            .preds
            .iter()
            .map(|pred| rewritten.ops.get(pred).copied().unwrap_or(*pred))
            .filter(|pred| {
                log.op(*pred).is_some_and(|(at, before)| {
                    past.contains(&at) && before.key == op.key && before.value.is_some()
                })
            })
            .collect();
        let stands = op.preds.is_empty() && log.holds(&op.key, op.value.as_ref());
        if stands || (op.value.is_none() && preds.is_empty()) {
            continue;
        }
        kept.push((counter, op, preds));
    }
    if kept.is_empty() {
        return Err(EditError::Nothing);
    }
    let start = 1 + deps.iter().map(|at| log.changes[*at].max_op()).max().unwrap_or(0);
    let operations = kept.iter().map(|(_, op, preds)| {
        let action = op.value.as_ref().map_or(OpType::Delete, |value| OpType::Put(scalar(value)));
        raw_op(&op.key, action, preds)
    });
    let change = Change::from(ExpandedChange {
        operations: operations.collect(),
        actor_id: ActorId::from(&actor.0[..]),
        author: None,
        hash: None,
        seq: log.last_seq(actor) + 1,
        start_op: NonZeroU64::MIN.saturating_add(start - 1),
        time: original.time_s,
        message: None,
        deps: if crate::sabotaged!(WrongBranchReference) {
            original.deps.iter().map(|dep| ChangeHash(dep.0)).collect()
        } else {
            deps.iter().map(|at| ChangeHash(log.changes[*at].hash.0)).collect()
        },
        extra_bytes: Vec::new(),
    });
    for ((old, _, _), new) in kept.iter().zip(start..) {
        let old = OpId { counter: *old, actor: original.actor };
        rewritten.ops.insert(old, OpId { counter: new, actor });
    }
    rewritten.changes.insert(original.hash, Hash(change.hash().0));
    Ok(change.raw_bytes().to_vec())
}

fn raw_op(key: &str, action: OpType, preds: &[OpId]) -> RawOp {
    let pred: SortedVec<RawOpId> =
        preds.iter().map(|op| RawOpId(op.counter, ActorId::from(&op.actor.0[..]))).collect();
    RawOp { action, obj: ObjectId::Root, key: Key::Map(key.into()), pred, insert: false }
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
