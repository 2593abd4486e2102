//! Records that moved to another place: the old one ends, a new one stands in the target slice.
//!
//! A slice holds other households too, so it is never forwarded for one. An office above both places
//! writes the new record with the old values (mark `_from/<hash>`) and the mark `_moved` on the old
//! one. The mark lets it write what only the lower level writes; nobody else may set it (DESIGN §2).

use serde::{Deserialize, Serialize};

use super::state::Step;
use crate::id::{PlaceId, RecordId, SliceId};

/// The root key that ends a record here.
pub const MOVED_KEY: &str = "_moved";
/// The field under which a record's origins stand, one key each.
pub const FROM_FIELD: &str = "_from";

/// Where a record went.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// The place that has it now.
    pub to: PlaceId,
    /// The record there.
    pub record: RecordId,
    /// First day there.
    pub date: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// It went along with another record to which it refers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub along: bool,
}

/// Where a record came from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct MovedFrom {
    /// The slice that had it.
    pub slice: SliceId,
    /// The record there.
    pub record: RecordId,
    /// The state that it was in: the new record's workflow goes on from there.
    #[serde(default)]
    pub state: Option<String>,
    /// The steps by which it came into that state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// First day at the new place: what happened before counts at the old one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub date: String,
    /// Its history in words, oldest first.
    #[serde(default)]
    pub history: Vec<String>,
}
