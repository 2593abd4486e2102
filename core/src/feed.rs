//! Feeds: one author's append-only log in one slice and lane, cut into sealed segments.
//!
//! Read in this order: [`entry`] (one action of one user), [`segment`] (the sealed run of entries),
//! [`frontier`] (how far feeds are held), [`receipt`] (a signed statement of that).
//!
//! # Invariants
//!
//! - The seal covers canonical bytes of ours ([`crate::codec`]), kept verbatim. The transfer codec
//!   (later: `feed/codec.rs`) may undo and redo their form on any hop, never their content.
//! - A segment with a good seal and chain is always stored, whatever it contains; whether content
//!   counts is decided by the prescan and the verdict.

pub mod entry;
pub mod fork;
pub mod frontier;
pub mod line;
pub mod receipt;
pub mod segment;
