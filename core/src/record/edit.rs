//! Making a change: from what a person typed to Automerge's bytes.
//!
//! The change is composed from the record's log, so no document is loaded to edit one.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op as RawOp, OpId as RawOpId, OpType, SortedVec};
use automerge::{ActorId, AutoCommit, Change, ChangeHash, ExpandedChange, ScalarValue};

use serde::{Deserialize, Serialize};

use super::change::{Op, OpId, ScannedChange};
use super::log::RecordLog;
use super::value::{LEDGER_KEY, Value};
use crate::id::{Actor, AuthorId, Hash};
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

/// What became of one change that was written again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rewritten {
    /// The change that says the same now.
    pub new: Hash,
    /// What the old one followed.
    pub deps: Vec<Hash>,
    /// Its operations, by counter: what they are now, by counter and actor.
    pub ops: Vec<(u64, u64, Actor)>,
}

/// Changes of one record that were written again, by their old hash. Of a forked feed two changes may
/// have one operation id, so operations are only looked up within the past of what names them.
pub type Rewrites = BTreeMap<Hash, Rewritten>;

/// Where a change that is written again stood: positions in the log, and lost changes.
struct TruePast<'a> {
    held: BTreeSet<usize>,
    lost: Vec<&'a Rewritten>,
}

fn true_past<'a>(log: &RecordLog, deps: &[Hash], rewrites: &'a Rewrites) -> TruePast<'a> {
    let mut past = TruePast { held: BTreeSet::new(), lost: Vec::new() };
    let (mut open, mut seen) = (deps.to_vec(), BTreeSet::new());
    while let Some(hash) = open.pop() {
        if !seen.insert(hash) {
            continue;
        }
        if let Some(lost) = rewrites.get(&hash) {
            past.lost.push(lost);
            open.extend(&lost.deps);
        } else if let Some(at) = log.position(hash) {
            past.held.insert(at);
            past.held.extend(log.ancestors(at));
        }
    }
    past
}

/// Writes a change again under another author: the same keys and values, over what the original
/// overwrote, so that it stands beside whatever was written meanwhile. Lines and marks keep their keys;
/// what stands there already is left out, so writing twice changes nothing. What became of it is noted
/// in `rewrites`.
///
/// # Errors
///
/// [`EditError::Nothing`] if everything stands already.
pub fn rewrite(
    log: &RecordLog,
    original: &ScannedChange,
    author: AuthorId,
    rewrites: &mut Rewrites,
) -> Result<Vec<u8>, EditError> {
    let actor = author.actor();
    let past = true_past(log, &original.deps, rewrites);
    let mapped = |pred: &OpId| {
        past.lost
            .iter()
            .flat_map(|lost| &lost.ops)
            .find(|(old, _, _)| *old == pred.counter && pred.actor == original.actor)
            .map(|(_, counter, actor)| OpId { counter: *counter, actor: *actor })
    };
    let held = |pred: &OpId, key: &str| {
        log.op(*pred).filter(|(at, op)| past.held.contains(at) && op.key == key).map(|_| *pred)
    };
    let (mut kept, mut standing) = (Vec::new(), Vec::new());
    for (op, counter) in original.ops.iter().zip(original.start_op..) {
        let preds: BTreeSet<OpId> = op
            .preds
            .iter()
            .filter_map(|pred| mapped(pred).or_else(|| held(pred, &op.key)))
            .collect();
        // A line that stands, or the same value written again by another replica of the same key.
        let there = log.holder(&op.key, op.value.as_ref(), |at: usize| {
            op.preds.is_empty()
                || (log.changes[at].origin.author.key == author.key
                    && log.changes[at].actor != original.actor
                    && !past.held.contains(&at))
        });
        match there {
            Some(there) => standing.push((counter, there)),
            None if op.value.is_none() && preds.is_empty() => {}
            None => kept.push((counter, op, preds)),
        }
    }
    let mut deps: BTreeSet<usize> = original
        .deps
        .iter()
        .filter_map(|dep| log.position(rewrites.get(dep).map_or(*dep, |lost| lost.new)))
        .collect();
    deps.extend(kept.iter().flat_map(|(_, _, preds)| preds).filter_map(|op| Some(log.op(*op)?.0)));
    if deps.is_empty() && !original.deps.is_empty() {
        deps.extend(log.heads());
    }
    deps.extend(log.changes.iter().rposition(|change| change.actor == actor));
    let covered: BTreeSet<usize> = deps.iter().flat_map(|at| log.ancestors(*at)).collect();
    let deps: Vec<usize> = deps.difference(&covered).copied().collect();
    let change = rewritten_change(log, original, actor, &deps, &kept);
    let start = 1 + deps.iter().map(|at| log.changes[*at].max_op()).max().unwrap_or(0);
    let mut noted = Rewritten { deps: original.deps.clone(), ..Rewritten::default() };
    noted.ops.extend(standing.iter().map(|(old, (_, op))| (*old, op.counter, op.actor)));
    noted.ops.extend(kept.iter().zip(start..).map(|((old, _, _), new)| (*old, new, actor)));
    noted.new = match (&change, standing.first()) {
        (Some(change), _) => Hash(change.hash().0),
        (None, Some((_, (at, _)))) => log.changes[*at].hash,
        (None, None) => Hash::default(),
    };
    rewrites.insert(original.hash, noted);
    change.map(|change| change.raw_bytes().to_vec()).ok_or(EditError::Nothing)
}

fn rewritten_change(
    log: &RecordLog,
    original: &ScannedChange,
    actor: Actor,
    deps: &[usize],
    kept: &[(u64, &Op, BTreeSet<OpId>)],
) -> Option<Change> {
    if kept.is_empty() {
        return None;
    }
    let start = 1 + deps.iter().map(|at| log.changes[*at].max_op()).max().unwrap_or(0);
    let operations = kept.iter().map(|(_, op, preds)| {
        let action = op.value.as_ref().map_or(OpType::Delete, |value| OpType::Put(scalar(value)));
        raw_op(&op.key, action, &preds.iter().copied().collect::<Vec<_>>())
    });
    let deps = if crate::sabotaged!(WrongBranchReference) {
        original.deps.iter().map(|dep| ChangeHash(dep.0)).collect()
    } else {
        deps.iter().map(|at| ChangeHash(log.changes[*at].hash.0)).collect()
    };
    Some(Change::from(ExpandedChange {
        operations: operations.collect(),
        actor_id: ActorId::from(&actor.0[..]),
        author: None,
        hash: None,
        seq: log.last_seq(actor) + 1,
        start_op: NonZeroU64::MIN.saturating_add(start - 1),
        time: original.time_s,
        message: None,
        deps,
        extra_bytes: Vec::new(),
    }))
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
