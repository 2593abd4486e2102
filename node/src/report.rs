//! Reports: drafted live, frozen with everything they were read from, recomputed at any later time.
//!
//! What a report must say is data (`core/src/catalogue/report.rs`). [`period`] names its time,
//! [`make`] computes its figures from a snapshot, [`late`] lists what came too late (补报),
//! [`observe`] notes what cannot be recomputed, [`network`] how offices are reached, [`reached`] how
//! policy arrived, [`freeze`] writes it down by content address, [`verify`] recomputes it from the
//! segments named by its frontier (DESIGN §8, promise 10). [`shown`] is what another office may see of it.

pub mod due;
pub mod freeze;
pub mod frontier;
pub mod late;
pub mod make;
pub mod network;
pub mod observe;
pub mod period;
pub mod rank;
pub mod reached;
pub mod shown;
pub mod verify;

use serde::{Deserialize, Serialize};
use taizhang_core::catalogue::Text;
use taizhang_core::catalogue::report::Written;
use taizhang_core::id::{Hash, PlaceId, hex};
use taizhang_core::record::attachment::{Attachment, BlobRef};
use taizhang_core::record::fold::Row;

/// The ledger in which frozen reports are filed (S62 报送登记).
pub const FILING: &str = "report_filing";

/// One figure: a sum, or a numerator with its denominator.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The sum, in 分 if it is money.
    pub value: i64,
    /// The denominator, if it is a share or an average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<i64>,
    /// So few people that the number does not show; then it is not kept either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// A column of a table as it was made.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Column id.
    pub id: String,
    /// Its text.
    pub label: Text,
    /// How its figures are written.
    pub written: Written,
    /// Indicators whose records make it: the numerator's.
    pub indicators: Vec<String>,
    /// First and last period of these; empty for what stands.
    pub from: String,
    /// Last period.
    pub to: String,
}

/// One office in a table.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The office.
    pub place: PlaceId,
    /// Its name then.
    pub name: String,
    /// Figures in the order of the columns.
    pub cells: Vec<Cell>,
    /// Score in hundredths of a point, if units are ranked and it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
    /// Its rank among those that filed in time; ties share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Why it has none, if units are ranked and that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unranked: Vec<Text>,
}

/// A table as it was made: the children, then the office itself as the sum.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TableFigures {
    /// Table id.
    pub id: String,
    /// Its title.
    pub label: Text,
    /// Its columns.
    pub heads: Vec<Head>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Offices in which something does not balance, and what.
    pub unbalanced: Vec<(String, Text)>,
    /// Whether its units are ranked.
    pub ranked: bool,
}

/// Records listed one by one, as they may be printed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ListFigures {
    /// List id.
    pub id: String,
    /// Its title.
    pub label: Text,
    /// Its heads.
    pub heads: Vec<Text>,
    /// Its rows.
    pub rows: Vec<Vec<Text>>,
    /// Records that match in all.
    pub total: usize,
}

/// Something of an earlier period that came after that period's report.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LateLine {
    /// The office's name.
    pub place: String,
    /// The record, as it may be printed.
    pub title: String,
    /// What came: a new record, or the state entered.
    pub what: Text,
    /// The day to which it belongs.
    pub day: String,
}

/// What recomputation must give again.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Tables.
    pub tables: Vec<TableFigures>,
    /// Lists.
    pub lists: Vec<ListFigures>,
    /// 补报
    pub late: Vec<LateLine>,
    /// Late lines in all; more than these are not named.
    pub late_total: usize,
    /// Entries parked in the slices read.
    pub parked: u64,
}

/// A version of policy under which figures were made.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PolicyLine {
    /// 文号
    pub doc_no: String,
    /// Publisher.
    pub publisher: String,
    /// First day.
    pub effective_from: String,
}

/// A block of what was seen of the network: not recomputed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Its title.
    pub label: Text,
    /// Its heads.
    pub heads: Vec<Text>,
    /// Its rows.
    pub rows: Vec<Vec<Text>>,
    /// Rows in all; more than these are not named.
    #[serde(default)]
    pub total: usize,
}

/// How complete the figures of an office were: not recomputed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The office.
    pub place: PlaceId,
    /// Places that keep ledgers.
    pub places: u64,
    /// Of these, those from which anything came.
    pub reported: u64,
    /// Day of the oldest of the newest data; empty if there is none.
    pub until: String,
    /// Names of places from which nothing came since the period ended, with the day of their newest data.
    pub behind: Vec<(String, String)>,
    /// How many such places there are in all.
    pub behind_total: u64,
    /// Entries parked below.
    pub parked: u64,
    /// Open conflicts below.
    pub conflicts: u64,
}

/// A report as it was made.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Its number, such as R01.
    pub report: String,
    /// Its title.
    pub label: Text,
    /// Clause of the document.
    pub clause: String,
    /// Who made it.
    pub place: PlaceId,
    /// Name of that office.
    pub name: String,
    /// Its statistical code then: frozen reports keep it.
    pub code: String,
    /// Its period.
    pub period: String,
    /// The day for which dated findings hold.
    pub as_of: String,
    /// Version of folds and rules.
    pub folds: u32,
    /// Digest of the catalogue.
    pub catalogue: Hash,
    /// Versions of policy in force at the end of the period.
    pub policies: Vec<PolicyLine>,
    /// Lines at its foot.
    pub signatures: Vec<Text>,
    /// What recomputation must give again.
    pub figures: Figures,
    /// How complete they were, by office.
    pub known: Vec<Known>,
    /// What was seen of the network.
    pub seen: Vec<Seen>,
    /// Ranks in the report of the period before, as far as this office held it frozen.
    #[serde(default)]
    pub ranks_before: Vec<(PlaceId, usize)>,
}

/// The blob that a filing names in a field: the one whose hash it stated when it was made, whatever else
/// was put there.
pub(crate) fn named(row: &Row, field: &str) -> Option<BlobRef> {
    let hash = row.text(&format!("{field}_hash"));
    let members = row.sets.get(field)?.iter().filter_map(|member| Attachment::parse(member));
    members.map(|one| one.blob).find(|blob| hex(&blob.hash.0) == hash)
}

impl Made {
    /// The rank of an office in the report of the period before.
    pub fn rank_before(&self, place: PlaceId) -> Option<usize> {
        self.ranks_before.iter().find(|(of, _)| *of == place).map(|(_, rank)| *rank)
    }

    /// How complete the figures of an office were.
    pub fn known_of(&self, place: PlaceId) -> Option<&Known> {
        self.known.iter().find(|known| known.place == place)
    }
}
