//! Sync sessions: one conversation between this replica and one peer.
//!
//! A session compares frontiers, offers the segments the peer lacks, takes those it lacks itself and
//! acknowledges what has been stored. It performs no IO: it has no socket, no database and no clock.
//! The driver (`taizhang_node::driver`) owns those and moves values between them; so does the
//! simulator.
//!
//! ```text
//!   Input  ──►  Session::handle        greeting ─► frontiers ─► segments both ways ─► live
//!   Output ◄──  Session::poll_output                    ▲                          │
//!   time   ◄──  Session::deadline                       └──── either side has news ┘
//! ```
//!
//! Read in this order: [`message`] (what is said), [`session`] (who may say it when), [`outbound`]
//! (lanes, windows and cursors), [`inbound`] (what is checked before a commit), [`blobs`], [`backoff`].
//!
//! # Invariants
//!
//! - **An ack is a promise.** It leaves only after the driver reported the commit.
//! - **Scope is checked twice:** when choosing what to offer and again on what arrives.
//! - **Same inputs, same outputs.** Replaying a trace gives identical messages.
//!
//! # Not here
//!
//! The wire encoding (`taizhang_node::transport::convert`); the digest descent down the place tree,
//! whose place is [`session`] between greeting and frontiers; verdicts, which come after storage.

pub mod backoff;
pub mod blobs;
pub mod inbound;
pub mod message;
pub mod outbound;
pub mod session;
