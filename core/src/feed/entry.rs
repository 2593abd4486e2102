//! An entry: one action of one user, one or more changes, applied all or none.

use serde::{Deserialize, Serialize};

use crate::codec::{CodecError, Reader, Writer};
use crate::id::{ImportId, RecordId};
use crate::limits;
use crate::time::UtcMillis;

/// Who acted, in the words of the author's replica. The certificate proves the replica, never the
/// person (DESIGN §6).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Name as claimed.
    pub name: String,
    /// Role as claimed.
    pub role: String,
}

/// What kind of action it was: for people; nothing is decided by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A workflow step.
    Act,
    /// A new record.
    Create,
    /// Issued by the program itself: roster, tree, catalogue.
    Directive,
    /// Part of an import.
    Import,
    /// A policy version.
    Publish,
    /// A choice between concurrent values.
    Resolve,
    /// New values.
    Set,
    /// A void, or taking one back.
    Void,
}

impl Action {
    const ALL: [Self; 8] = [
        Self::Create,
        Self::Set,
        Self::Act,
        Self::Resolve,
        Self::Void,
        Self::Import,
        Self::Publish,
        Self::Directive,
    ];

    fn code(self) -> u8 {
        let at = Self::ALL.iter().position(|action| *action == self).unwrap_or(0);
        u8::try_from(at).unwrap_or(0)
    }

    /// The word used in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Create => "create",
            Self::Directive => "directive",
            Self::Import => "import",
            Self::Publish => "publish",
            Self::Resolve => "resolve",
            Self::Set => "set",
            Self::Void => "void",
        }
    }
}

/// One change of one record: the complete Automerge change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordChange {
    /// The record.
    pub record: RecordId,
    /// Automerge's bytes, raw chunk.
    pub bytes: Vec<u8>,
}

/// One action of one user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Author's wall clock. Annotation only.
    pub time: UtcMillis,
    /// Who acted.
    pub person: Person,
    /// What kind of action.
    pub action: Action,
    /// 1 + the highest Lamport counter that the author had applied in the slice.
    pub lamport: u64,
    /// Policy digest seen when acting, for evidence of good faith (DESIGN §9): count of policy
    /// versions applied on the path.
    pub policy_seen: u64,
    /// Set for entries of one import.
    pub import: Option<ImportId>,
    /// The changes, at least one.
    pub changes: Vec<RecordChange>,
}

impl Entry {
    /// Bytes of its changes, counted against [`limits::ENTRY_BYTES_MAX`].
    pub fn bytes_count(&self) -> usize {
        self.changes.iter().map(|change| change.bytes.len() + RecordId::LEN).sum()
    }

    /// Appends the canonical form.
    pub fn write(&self, writer: &mut Writer) {
        writer.int(self.time.0);
        writer.text(&self.person.name);
        writer.text(&self.person.role);
        writer.byte(self.action.code());
        writer.uint(self.lamport);
        writer.uint(self.policy_seen);
        match self.import {
            None => writer.byte(0),
            Some(import) => {
                writer.byte(1);
                writer.raw(&import.0);
            }
        }
        writer.len(self.changes.len());
        for change in &self.changes {
            writer.raw(&change.record.0);
            writer.blob(&change.bytes);
        }
    }

    /// Reads the canonical form.
    ///
    /// # Errors
    ///
    /// Anything [`Self::write`] would not have written, and entries above the limits.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let time = UtcMillis(reader.int()?);
        let person = Person {
            name: reader.text(limits::NAME_BYTES_MAX)?.to_owned(),
            role: reader.text(limits::NAME_BYTES_MAX)?.to_owned(),
        };
        let code = reader.byte()?;
        let action =
            *Action::ALL.get(usize::from(code)).ok_or_else(|| CodecError::Tag(code.into()))?;
        let lamport = reader.uint()?;
        let policy_seen = reader.uint()?;
        let import = match reader.byte()? {
            0 => None,
            1 => Some(ImportId(reader.array()?)),
            tag => return Err(CodecError::Tag(tag.into())),
        };
        let count = reader.len(limits::ENTRY_CHANGES_MAX)?;
        if count == 0 {
            return Err(CodecError::Short);
        }
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            let record = RecordId(reader.array()?);
            let bytes = reader.blob(limits::CHANGE_BYTES_MAX)?.to_vec();
            changes.push(RecordChange { record, bytes });
        }
        let entry = Self { time, person, action, lamport, policy_seen, import, changes };
        let found = entry.bytes_count();
        if found > limits::ENTRY_BYTES_MAX {
            let limit = limits::ENTRY_BYTES_MAX;
            return Err(CodecError::Length { found: found as u64, limit });
        }
        Ok(entry)
    }

    /// The canonical form on its own, as the unsealed tail keeps it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// See [`Self::read`]; also bytes that remain.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let entry = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(entry)
    }
}
