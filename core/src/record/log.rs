//! Everything that is known of one record: its changes in the order in which they were applied.

use std::collections::BTreeSet;

use super::change::{Op, OpId, ScannedChange};
use super::value::{LEDGER_KEY, Value};
use crate::codec::{CodecError, Reader, Writer};
use crate::feed::entry::Person;
use crate::id::{Actor, AuthorId, Epoch, Hash, Level, PlaceId, SealKey};
use crate::limits;
use crate::time::{Date, UtcMillis};

/// Who wrote a change, as its certificate and its entry state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The author.
    pub author: AuthorId,
    /// Level of the author's place.
    pub level: Level,
    /// The author's place.
    pub place: PlaceId,
    /// Lamport counter of the entry.
    pub lamport: u64,
    /// Wall clock of the entry. Annotation only.
    pub time: UtcMillis,
    /// Person and role as claimed.
    pub person: Person,
    /// Arrival position of the entry's segment in the local ledger; own unsealed entries have none.
    /// Local: in no hash.
    pub arrival: Option<u64>,
    /// Whether the entry counts; a void one stays as evidence.
    pub counted: bool,
}

/// One change of the record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoggedChange {
    /// Automerge's hash.
    pub hash: Hash,
    /// Positions of its dependencies in the log, all smaller than its own.
    pub deps: Vec<usize>,
    /// Automerge actor.
    pub actor: Actor,
    /// Actor's sequence number in this document.
    pub seq: u64,
    /// Counter of the first operation.
    pub start_op: u64,
    /// The operations.
    pub ops: Vec<Op>,
    /// Who wrote it.
    pub origin: Origin,
}

impl LoggedChange {
    /// Counter of the last operation.
    pub fn max_op(&self) -> u64 {
        self.start_op + self.ops.len() as u64 - 1
    }
}

/// Why a scanned change cannot join the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// It is in the log already.
    #[error("the change is held already")]
    Held,
    /// A change that it follows is not in the log: parked until it is.
    #[error("a change that it follows is not held")]
    MissingDependency,
    /// It breaks the rules of the format: void wherever it arrives.
    #[error("malformed change: {0}")]
    Malformed(&'static str),
}

/// The changes of one record in an order in which dependencies stand first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecordLog {
    /// The changes.
    pub changes: Vec<LoggedChange>,
}

impl RecordLog {
    /// Position of the change with that hash.
    pub fn position(&self, hash: Hash) -> Option<usize> {
        self.changes.iter().rposition(|change| change.hash == hash)
    }

    /// The log as it stood at the end of a day, by the writers' clocks; what follows something later
    /// is left out with it.
    pub fn as_of(&self, day: Date) -> Self {
        let mut kept: Vec<Option<usize>> = Vec::with_capacity(self.changes.len());
        let mut changes = Vec::new();
        for change in &self.changes {
            let deps: Option<Vec<usize>> = change.deps.iter().map(|at| kept[*at]).collect();
            let deps = deps.filter(|_| change.origin.time.date() <= day);
            kept.push(deps.as_ref().map(|_| changes.len()));
            changes.extend(deps.map(|deps| LoggedChange { deps, ..change.clone() }));
        }
        Self { changes }
    }

    /// The tips: positions of changes that no other change follows.
    pub fn heads(&self) -> Vec<usize> {
        let followed: BTreeSet<usize> =
            self.changes.iter().flat_map(|change| change.deps.iter().copied()).collect();
        (0..self.changes.len()).filter(|at| !followed.contains(at)).collect()
    }

    /// The highest operation counter.
    pub fn max_op(&self) -> u64 {
        self.changes.iter().map(LoggedChange::max_op).max().unwrap_or(0)
    }

    /// The last sequence number of an actor, 0 if it wrote nothing.
    pub fn last_seq(&self, actor: Actor) -> u64 {
        self.changes
            .iter()
            .filter(|change| change.actor == actor)
            .map(|change| change.seq)
            .max()
            .unwrap_or(0)
    }

    /// Positions of everything that `of` causally follows, itself excluded.
    pub fn ancestors(&self, of: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = self.changes[of].deps.clone();
        while let Some(at) = open.pop() {
            if found.insert(at) {
                open.extend(self.changes[at].deps.iter().copied());
            }
        }
        found
    }

    /// The operation of that id with its change's position, if it is in the log.
    pub fn op(&self, id: OpId) -> Option<(usize, &Op)> {
        self.changes.iter().enumerate().find_map(|(at, change)| {
            let within = change.actor == id.actor
                && (change.start_op..=change.max_op()).contains(&id.counter);
            if !within {
                return None;
            }
            let index = usize::try_from(id.counter - change.start_op).ok()?;
            change.ops.get(index).map(|op| (at, op))
        })
    }

    /// The ledger named by the counted creating change that is least in (lamport, actor): a masked one
    /// decides nothing, and the order of arrival neither.
    pub fn ledger(&self) -> Option<&str> {
        let counted = self.changes.iter().filter(|change| change.origin.counted);
        let named = counted.filter_map(|change| {
            let op = change.ops.iter().find(|op| op.key == LEDGER_KEY)?;
            let text = op.value.as_ref().and_then(Value::as_text)?;
            Some(((change.origin.lamport, change.actor), text))
        });
        named.min().map(|(_, text)| text)
    }

    /// Operations at `key` that nothing in the document overwrites, counted or not: what a new
    /// operation at that key names as predecessors.
    pub fn tips_of(&self, key: &str) -> Vec<OpId> {
        let mut tips = BTreeSet::new();
        let mut overwritten = BTreeSet::new();
        for change in &self.changes {
            for (op, counter) in change.ops.iter().zip(change.start_op..) {
                if op.key == key {
                    overwritten.extend(op.preds.iter().copied());
                    if op.value.is_some() {
                        tips.insert(OpId { counter, actor: change.actor });
                    }
                }
            }
        }
        tips.difference(&overwritten).copied().collect()
    }

    /// The counted operation that put exactly this value at `key`, with its change's position,
    /// among the changes that `wanted` accepts.
    pub fn holder(
        &self,
        key: &str,
        value: Option<&Value>,
        wanted: impl Fn(usize) -> bool,
    ) -> Option<(usize, OpId)> {
        value?;
        let counted = self.changes.iter().enumerate();
        counted.filter(|(at, one)| one.origin.counted && wanted(*at)).find_map(|(at, one)| {
            let mut ops = one.ops.iter().zip(one.start_op..);
            let found = ops.find(|(op, _)| op.key == key && op.value.as_ref() == value);
            found.map(|(_, counter)| (at, OpId { counter, actor: one.actor }))
        })
    }

    /// Checks a scanned change against the log and gives the positions of its dependencies.
    ///
    /// # Errors
    ///
    /// [`JoinError`]. `Malformed` is a pure function of the change and its causal past, so every
    /// replica decides alike.
    pub fn check(&self, change: &ScannedChange) -> Result<Vec<usize>, JoinError> {
        if self.position(change.hash).is_some() {
            return Err(JoinError::Held);
        }
        let deps: Vec<usize> = change
            .deps
            .iter()
            .map(|dep| self.position(*dep).ok_or(JoinError::MissingDependency))
            .collect::<Result<_, _>>()?;
        let top = deps.iter().map(|dep| self.changes[*dep].max_op()).max().unwrap_or(0);
        if change.start_op != top + 1 {
            return Err(JoinError::Malformed("start op is not one above its dependencies"));
        }
        let past = self.past(&deps);
        let own = past.iter().filter(|at| self.changes[**at].actor == change.actor);
        if own.map(|at| self.changes[*at].seq).max().unwrap_or(0) + 1 != change.seq {
            return Err(JoinError::Malformed("sequence number does not follow its own past"));
        }
        if change.seq <= self.last_seq(change.actor) {
            return Err(JoinError::Malformed("sequence number used before"));
        }
        for (index, op) in change.ops.iter().enumerate() {
            let id = change.start_op + index as u64;
            if change.ops[..index].iter().any(|earlier| earlier.key == op.key) {
                return Err(JoinError::Malformed("two operations at one key"));
            }
            for pred in &op.preds {
                let known = self.op(*pred).is_some_and(|(at, before)| {
                    past.contains(&at) && before.key == op.key && before.value.is_some()
                });
                if !known || pred.counter >= id {
                    return Err(JoinError::Malformed("overwrites what is not in its past"));
                }
            }
            if op.preds.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(JoinError::Malformed("overwrites one value twice"));
            }
        }
        Ok(deps)
    }

    fn past(&self, deps: &[usize]) -> BTreeSet<usize> {
        let mut past = BTreeSet::new();
        let mut open = deps.to_vec();
        while let Some(at) = open.pop() {
            if past.insert(at) {
                open.extend(self.changes[at].deps.iter().copied());
            }
        }
        past
    }

    /// Adds a checked change.
    pub fn push(&mut self, change: ScannedChange, deps: Vec<usize>, origin: Origin) {
        self.changes.push(LoggedChange {
            hash: change.hash,
            deps,
            actor: change.actor,
            seq: change.seq,
            start_op: change.start_op,
            ops: change.ops,
            origin,
        });
    }

    /// Storage form, local to this replica.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.len(self.changes.len());
        for change in &self.changes {
            write_change(&mut writer, change);
        }
        writer.bytes
    }

    /// Reads the storage form.
    ///
    /// # Errors
    ///
    /// [`CodecError`]: the derived database is damaged; rebuild it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let count = reader.len(limits::RECORD_CHANGES_MAX)?;
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            changes.push(read_change(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self { changes })
    }
}

fn write_change(writer: &mut Writer, change: &LoggedChange) {
    writer.raw(&change.hash.0);
    writer.len(change.deps.len());
    for dep in &change.deps {
        writer.len(*dep);
    }
    writer.raw(&change.actor.0);
    writer.uint(change.seq);
    writer.uint(change.start_op);
    writer.len(change.ops.len());
    for op in &change.ops {
        writer.text(&op.key);
        match &op.value {
            None => writer.byte(0),
            Some(Value::Bool(value)) => writer.byte(1 + u8::from(*value)),
            Some(Value::Int(value)) => {
                writer.byte(3);
                writer.int(*value);
            }
            Some(Value::Text(text)) => {
                writer.byte(4);
                writer.text(text);
            }
        }
        writer.len(op.preds.len());
        for pred in &op.preds {
            writer.uint(pred.counter);
            writer.raw(&pred.actor.0);
        }
    }
    let origin = &change.origin;
    writer.raw(&origin.author.key.0);
    writer.raw(&origin.author.epoch.0);
    writer.byte(level_code(origin.level));
    writer.raw(&origin.place.0);
    writer.uint(origin.lamport);
    writer.int(origin.time.0);
    writer.text(&origin.person.name);
    writer.text(&origin.person.role);
    writer.uint(origin.arrival.map_or(0, |arrival| arrival + 1));
    writer.byte(u8::from(origin.counted));
}

fn level_code(level: Level) -> u8 {
    Level::ALL.iter().zip(0..).find(|(one, _)| **one == level).map_or(0, |(_, code)| code)
}

fn read_change(reader: &mut Reader<'_>) -> Result<LoggedChange, CodecError> {
    let hash = Hash(reader.array()?);
    let mut deps = Vec::new();
    for _ in 0..reader.len(limits::CHANGE_DEPS_MAX)? {
        deps.push(reader.len(limits::RECORD_CHANGES_MAX)?);
    }
    let actor = Actor(reader.array()?);
    let seq = reader.uint()?;
    let start_op = reader.uint()?;
    let mut ops = Vec::new();
    for _ in 0..reader.len(limits::ENTRY_BYTES_MAX)? {
        let key = reader.text(limits::KEY_BYTES_MAX)?.to_owned();
        let value = match reader.byte()? {
            0 => None,
            1 => Some(Value::Bool(false)),
            2 => Some(Value::Bool(true)),
            3 => Some(Value::Int(reader.int()?)),
            4 => Some(Value::Text(reader.text(limits::VALUE_BYTES_MAX)?.to_owned())),
            tag => return Err(CodecError::Tag(tag.into())),
        };
        let mut preds = Vec::new();
        for _ in 0..reader.len(limits::ENTRY_BYTES_MAX)? {
            preds.push(OpId { counter: reader.uint()?, actor: Actor(reader.array()?) });
        }
        ops.push(Op { key, value, preds });
    }
    let author = AuthorId { key: SealKey(reader.array()?), epoch: Epoch(reader.array()?) };
    let level = reader.byte()?;
    let level = *Level::ALL.get(usize::from(level)).ok_or_else(|| CodecError::Tag(level.into()))?;
    let origin = Origin {
        author,
        level,
        place: PlaceId(reader.array()?),
        lamport: reader.uint()?,
        time: UtcMillis(reader.int()?),
        person: Person {
            name: reader.text(limits::NAME_BYTES_MAX)?.to_owned(),
            role: reader.text(limits::NAME_BYTES_MAX)?.to_owned(),
        },
        arrival: reader.uint()?.checked_sub(1),
        counted: reader.byte()? == 1,
    };
    Ok(LoggedChange { hash, deps, actor, seq, start_op, ops, origin })
}
