//! The judges of Taizhang: a whole hierarchy in one thread, with the production engine, store and
//! session; only links, crashes and the clock are simulated.
//!
//! A seed draws topology, workload and faults. [`world`] holds replicas and links, [`run`] plays a
//! seed, [`oracle`] judges and shares no code with what it judges: it keeps its own topology, reads
//! the databases with its own SQL, and computes values with its own register. Replay a seed with
//! `cargo run -p conflict-tests --bin sim -- --seed N`.

#![allow(clippy::unwrap_used, reason = "a judge that cannot go on panics, and the test fails")]

pub mod bench;
pub mod chance;
pub mod disk;
pub mod fuzz;
pub mod oracle;
pub mod pages;
pub mod plan;
pub mod player;
pub mod run;
pub mod scenario;
pub mod scenarios;
pub mod shaper;
pub mod table;
pub mod trace;
pub mod world;
