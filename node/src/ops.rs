//! What commands and pages can ask of a replica, as data: one request, one JSON answer.
//!
//! The command line sends a [`Request`] to the running replica, or runs it on the data folder itself;
//! the answer is the same.

pub mod account;
pub mod answer;
pub mod dump;
pub mod file;
pub mod import;
pub mod mapping;
pub mod mask;
pub mod office;
pub mod query;
pub mod report;
pub mod sheet;
pub mod sheet_import;
mod sheet_size;
pub mod token;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{PlaceId, RecordId};

use crate::engine::command::{Choice, CommandError, Inputs};
use crate::engine::policy::NewPolicy;
use crate::store::StoreError;

/// Everything that can be asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Request {
    /// Badge, contact, pending, links, counts.
    Status,
    /// Stop the running replica.
    Stop,
    /// Dial the parent at once.
    SyncNow,
    /// Slice hashes, after cutting the tail.
    Hashes,
    /// Verify seals, chains of segments, and roll-ups.
    Check {
        /// Only the roll-ups.
        #[serde(default)]
        rollups: bool,
    },
    /// Delete derived.db and make it anew.
    Rebuild,
    /// Audit lines.
    Audit,
    /// Accounts of the pages.
    Account {
        /// What of them.
        ask: account::AccountRequest,
    },
    /// Tokens of other systems.
    Token {
        /// What of them.
        ask: token::TokenRequest,
    },
    /// Write figures and the records that make them, for another program to add up again.
    FiguresDump {
        /// File to write.
        path: PathBuf,
    },
    /// Reports.
    Report {
        /// What of them.
        ask: report::ReportRequest,
    },
    /// List records.
    List {
        /// Ledger id, or empty.
        ledger: String,
        /// Place id or code.
        place: Option<String>,
        /// Words.
        search: String,
        /// State id, or empty.
        state: String,
        /// Rows at most.
        limit: usize,
    },
    /// Show a record.
    Show {
        /// Which.
        id: RecordId,
    },
    /// Show a record's history.
    History {
        /// Which.
        id: RecordId,
    },
    /// Records with conflicts.
    Conflicts,
    /// Create a record.
    Create {
        /// Ledger id.
        ledger: String,
        /// Place id or code; the own place if none.
        place: Option<String>,
        /// Fields.
        inputs: Inputs,
        /// Who acts.
        person: Person,
    },
    /// Set fields.
    Set {
        /// Which.
        id: RecordId,
        /// Fields.
        inputs: Inputs,
        /// Who acts.
        person: Person,
    },
    /// Take a step, on one record or on all of a ledger in one state.
    Act {
        /// One record.
        id: Option<RecordId>,
        /// Or all of a ledger.
        ledger: String,
        /// In this state.
        in_state: String,
        /// State to enter.
        to: String,
        /// Reason.
        reason: String,
        /// Who acts.
        person: Person,
    },
    /// Settle a conflict.
    Resolve {
        /// Which.
        id: RecordId,
        /// Field.
        field: String,
        /// Decision.
        choice: Choice,
        /// Who acts.
        person: Person,
    },
    /// Void a record, or take it back.
    Void {
        /// Which.
        id: RecordId,
        /// Reason; none takes the void back.
        reason: Option<String>,
        /// Who acts.
        person: Person,
    },
    /// Import a file.
    Import {
        /// xlsx, csv or jsonl.
        path: PathBuf,
        /// Ledger id; for jsonl the lines name theirs.
        ledger: String,
        /// Only look.
        preview: bool,
        /// Who acts.
        person: Person,
    },
    /// Export records as jsonl, or one record's Automerge document.
    Export {
        /// Ledger id, or empty for all.
        ledger: String,
        /// One record's document.
        id: Option<RecordId>,
        /// File to write.
        path: PathBuf,
    },
    /// Sums by place with coverage.
    Rollup {
        /// Place id or code; the own place if none.
        place: Option<String>,
    },
    /// Known places.
    Places {
        /// Only children of this one.
        under: Option<String>,
    },
    /// Policy versions and values in force.
    PolicyList,
    /// Publish a version.
    PolicyPublish {
        /// The version.
        policy: NewPolicy,
        /// Who acts.
        person: Person,
        /// A second person; empty when a network is founded.
        #[serde(default)]
        approved_by: String,
    },
    /// Who holds and has applied each version.
    PolicyReach {
        /// Document number, or empty for all.
        doc_no: String,
    },
    /// Write what an office lacks as files.
    BundleExport {
        /// `parent`, or a place id or code.
        to: String,
        /// First file.
        path: PathBuf,
        /// Everything, whatever its receipts say.
        all: bool,
    },
    /// Take such files in.
    BundleImport {
        /// In order.
        paths: Vec<PathBuf>,
    },
    /// Answer a request file of a replica below.
    AdmitFile {
        /// Place id or code.
        place: String,
        /// The request.
        request: PathBuf,
        /// File to write.
        answer: PathBuf,
    },
    /// Copy ledger and keys into an empty folder.
    Backup {
        /// Which.
        path: PathBuf,
    },
    /// Publish catalogue parts (name, TOML).
    CataloguePublish {
        /// Files.
        parts: Vec<(String, String)>,
        /// Who acts.
        person: Person,
    },
    /// About places, replicas, rights, duplicates and entries held back.
    Office {
        /// What.
        request: office::OfficeRequest,
        /// Who acts.
        person: Person,
    },
    /// A one-time code for a place.
    Invite {
        /// Place id or code.
        place: String,
        /// Addresses of this hub.
        addresses: Vec<String>,
        /// Hours until it expires.
        hours: i64,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// Refused, or not possible.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the request.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Rows of an import, each with its place.
    #[error("{} row(s) cannot be imported; nothing was: {}", .0.len(), .0.first().map(String::as_str).unwrap_or_default())]
    Rows(Vec<String>),
    /// No such place.
    #[error("no place `{0}` is known here; give its id or 12-digit code / 没有区划{0}")]
    Place(String),
    /// No such record.
    #[error("no record {0} is held here / 没有记录{0}")]
    Record(RecordId),
    /// Problems found by `check`.
    #[error("check found problems: {}", .0.join("; "))]
    Problems(Vec<String>),
}

/// Progress of long work: what, done, total.
pub type Progress = std::sync::Arc<dyn Fn(&str, u64, u64) + Send + Sync>;

/// Progress that nobody watches.
pub fn silent() -> Progress {
    std::sync::Arc::new(|_, _, _| {})
}

/// Values by indicator, as JSON.
pub(crate) fn sums(values: Vec<(String, i64)>) -> BTreeMap<String, i64> {
    values.into_iter().filter(|(_, value)| *value != 0).collect()
}

/// A place by id or code.
///
/// # Errors
///
/// [`OpsError::Place`].
pub fn find_place(
    directives: &taizhang_core::directives::Directives,
    text: &str,
) -> Result<PlaceId, OpsError> {
    let by_id = text.parse().ok().filter(|id| directives.tree.place(*id).is_some());
    by_id
        .or_else(|| directives.tree.by_code(text).map(|place| place.id))
        .ok_or_else(|| OpsError::Place(text.to_owned()))
}
