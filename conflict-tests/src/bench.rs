//! Load on one hub: its real process is measured, and everything below it is played from here.
//!
//! Villages' entries are composed and sealed beforehand, by keys whose certificates and roster entries
//! stand as in a real network, so the hub counts them like any others. The hub's direct children are
//! players: they speak the real protocol over real links from segments in a file, and have no store.
//!
//! Read in this order: [`network`] (founding), [`chains`] (keys below), [`records`] and [`village`]
//! (what a village wrote), [`feeds`] (segments in a file), [`generate`], [`receipts`], [`player`] (the
//! links), [`measure`] and [`run`].

pub mod chains;
pub mod feeds;
pub mod generate;
pub mod measure;
pub mod network;
pub mod player;
pub mod receipts;
pub mod records;
pub mod run;
pub mod village;

use std::time::Duration;

use taizhang_core::id::Level;

/// What is played.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The level of the hub that is measured: the city or a county.
    pub level: Level,
    /// Records that its villages hold after the initial load.
    pub records: usize,
    /// Villages below it.
    pub villages: usize,
    /// Edits of each village in the reconnect storm.
    pub edits: usize,
    /// Single edits that are timed up to the hub's figure.
    pub probes: usize,
    /// Requests of each page.
    pub pages: usize,
    /// Seed of records and keys.
    pub seed: u64,
    /// How long one step may take.
    pub limit: Duration,
}

/// An error as its words.
pub(crate) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
