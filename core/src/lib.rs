//! The pure domain of Taizhang: what a ledger network is, without a socket, a database or a clock.
//!
//! Read in this order: [`id`] and [`time`] (names of things), [`place`] (the hierarchy and who holds
//! what), [`catalogue`] (ledgers as data), [`record`] (one ledger record: changes, log, fold),
//! [`rules`] and [`policy`] (what is remarked on it), [`feed`] (entries, sealed segments, frontiers),
//! [`directives`] and [`verdict`] (what counts), [`sync`] (the session machine).
//!
//! # Absent on purpose
//!
//! No tokio, tonic, prost, rusqlite, file, environment, clock or randomness: time is `now`, chance is
//! a `seed`, certificates are read through [`directives::ChainReader`]. `clippy.toml` beside this
//! crate refuses hash maps, so the same inputs give the same outputs on every machine.

mod base;
pub mod calendar;
pub mod catalogue;
pub mod codec;
pub mod directives;
pub mod feed;
pub mod id;
pub mod limits;
pub mod place;
pub mod policy;
pub mod record;
pub mod revocation;
pub mod rights;
pub mod rules;
pub mod sabotage;
pub mod sync;
pub mod time;
pub mod verdict;

pub use base::{base_cases, base_catalogue};
