//! Records: one ledger record is one Automerge document with a flat map of root keys.
//!
//! Read in this order: [`value`] (what a key may hold), [`change`] (the prescan and the operations
//! of one change), [`log`] (everything known of one record), [`fold`] (from operations to a row),
//! [`state`] (the workflow's fold), [`edit`] (making changes).
//!
//! # Invariants
//!
//! - **The fold is the authority for values**; Automerge is the encoding, the history and the
//!   causality. A property test holds the two equal.
//! - **Nothing reaches the library that the prescan has not passed.**

pub mod attachment;
pub mod change;
pub mod edit;
pub mod fold;
pub mod log;
pub mod moved;
pub mod state;
pub mod twin;
pub mod value;
