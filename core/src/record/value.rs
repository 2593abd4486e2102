//! What one root key of a record may hold.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One scalar. Money is integer 分, dates are ISO texts, references are record ids in hexadecimal.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number in the field's unit.
    Int(i64),
    /// Everything else.
    Text(String),
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The root key that names a record's ledger; written by the creating entry only.
pub const LEDGER_KEY: &str = "_ledger";
/// The root key that holds the reason of a void; deleting it takes the void back.
pub const VOID_KEY: &str = "_void";
/// The field under which workflow transitions stand, one key a line.
pub const STATE_FIELD: &str = "_state";

/// Splits `field/element` at the first slash; a plain key has no element.
pub fn split_key(key: &str) -> (&str, Option<&str>) {
    match key.split_once('/') {
        Some((field, element)) => (field, Some(element)),
        None => (key, None),
    }
}
