//! Recomputing a frozen report from the segments that its frontier names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Serialize;
use taizhang_core::feed::frontier::Frontiers;
use taizhang_core::feed::segment::{Segment, verify_seal};
use taizhang_core::id::{Hash, RecordId, SliceId, hex};
use taizhang_core::record::attachment::BlobRef;
use taizhang_core::record::fold::FOLD_VERSION;
use taizhang_core::time::{Date, UtcMillis};

use super::make::Maker;
use super::period::Period;
use super::{FILING, Figures, Made, frontier, named};
use crate::engine::Engine;
use crate::engine::command::{CommandError, refuse};
use crate::identity::keys::Identity;
use crate::store::blobs::blob_path;
use crate::store::read::{Detail, Readers};
use crate::store::replay::{COPIES, each_segment};
use crate::store::{Durability, Store, StoreError};

/// Problems named; more say nothing new.
const PROBLEMS_MAX: usize = 50;
/// Noon: any time of the day for which the report was made.
const NOON_MS: i64 = 12 * 3_600_000;

/// Data folders in which one is under way: each takes the room of a whole ledger.
static UNDER_WAY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The one verification of a data folder.
struct Turn {
    folder: PathBuf,
}

impl Turn {
    fn take(folder: &Path) -> Option<Self> {
        let mut under_way = UNDER_WAY.lock().ok()?;
        under_way.insert(folder.to_owned()).then(|| Self { folder: folder.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Ok(mut under_way) = UNDER_WAY.lock() {
            under_way.remove(&self.folder);
        }
    }
}

/// What recomputation found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Segments read again.
    pub segments: u64,
    /// What is not as it was frozen; empty if everything is.
    pub problems: Vec<String>,
}

impl Verdict {
    fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(text);
        }
    }
}

/// The bytes that a field of a filing names, if they are what they were.
fn blob(folder: &Path, detail: &Detail, field: &str) -> Result<Vec<u8>, String> {
    let one = named(&detail.row, field).ok_or_else(|| format!("the record names no {field}"))?;
    let bytes = std::fs::read(blob_path(folder, one.hash))
        .map_err(|_| format!("the {field} has not arrived here"))?;
    if BlobRef::of(&bytes) != one {
        return Err(format!("the {field} is not the one that was frozen"));
    }
    Ok(bytes)
}

/// A frozen report, if the record is one and its content is here.
///
/// # Errors
///
/// What is missing, for people.
pub fn frozen(folder: &Path, detail: &Detail) -> Result<Made, String> {
    if detail.ledger != FILING {
        return Err("the record is no filed report".into());
    }
    serde_json::from_slice(&blob(folder, detail, "content")?)
        .map_err(|error| format!("the content cannot be read: {error}"))
}

/// Recomputes a frozen report. Reads only; works in a folder of its own, which it removes.
///
/// # Errors
///
/// If there is no such report, or a copy cannot be made.
pub fn verify(
    folder: &Path,
    identity: &Identity,
    record: RecordId,
) -> Result<Verdict, CommandError> {
    let Some(_turn) = Turn::take(folder) else {
        return refuse(
            "正在核验另一份报表,请稍后",
            "another report is being verified; try again later",
        );
    };
    let readers = Readers::new(folder);
    let Some(detail) = readers.with(|reader| reader.detail(record))? else {
        return refuse("没有这份报表", "there is no such report");
    };
    let made = match frozen(folder, &detail) {
        Ok(made) => made,
        Err(reason) => return refuse(format!("不能核验:{reason}"), reason),
    };
    let mut verdict = Verdict::default();
    let is_own = made.report == detail.row.text("report")
        && made.period == detail.row.text("period")
        && SliceId::ledger(made.place) == detail.slice;
    if !is_own {
        verdict.problem("the content is of another report, period or place".into());
    }
    if super::freeze::figures_hash(&made) != detail.row.text("figures_hash") {
        verdict.problem("the figures are not those whose hash the record states".into());
    }
    let heads = blob(folder, &detail, "frontier");
    let heads = heads.and_then(|bytes| frontier::from_bytes(&bytes).map_err(|one| one.to_string()));
    let heads = match heads {
        Ok(heads) => heads,
        Err(reason) => {
            verdict.problem(reason);
            return Ok(verdict);
        }
    };
    let mut known = Known::default();
    each_segment(&readers, |one| {
        known.take(one.arrival, one.hash, &one.sealed);
        Ok::<(), StoreError>(())
    })?;
    let wanted = known.wanted(&heads, &mut verdict);
    if verdict.problems.is_empty() {
        let copy = Copied::new(folder, record)?;
        recompute(folder, &copy.path, identity, &wanted, &made, &mut verdict)?;
    }
    if !verdict.problems.is_empty() && made.folds != FOLD_VERSION {
        verdict.problem(format!("made by folds {}, this program has {FOLD_VERSION}", made.folds));
    }
    Ok(verdict)
}

/// Segments by hash, each with its arrival and the one before it.
#[derive(Default)]
struct Known {
    by_hash: BTreeMap<Hash, (u64, Hash)>,
    altered: BTreeMap<Hash, u64>,
}

impl Known {
    fn take(&mut self, arrival: u64, stored: Hash, sealed: &taizhang_core::feed::segment::Sealed) {
        let hash = sealed.hash();
        let header = Segment::header(&sealed.plain);
        match header {
            Ok(header)
                if hash == stored && verify_seal(header.feed.author.key, hash, &sealed.seal) =>
            {
                self.by_hash.insert(hash, (arrival, header.previous));
            }
            _ => drop(self.altered.insert(stored, arrival)),
        }
    }

    /// Arrivals of the segments that lead to each head; what is missing or altered is a problem.
    fn wanted(&self, heads: &Frontiers, verdict: &mut Verdict) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        for (slice, frontier) in &heads.slices {
            for head in frontier.heads.values() {
                let mut at = head.hash;
                while at != Hash::default() {
                    if let Some(arrival) = self.altered.get(&at) {
                        verdict.problem(format!(
                            "slice {slice}: segment {arrival} of the ledger was altered"
                        ));
                        break;
                    }
                    let Some((arrival, before)) = self.by_hash.get(&at) else {
                        verdict.problem(format!(
                            "slice {slice}: segment {} is no longer held",
                            hex(&at.0[..8])
                        ));
                        break;
                    };
                    if !found.insert(*arrival) {
                        break;
                    }
                    at = *before;
                }
            }
        }
        found
    }
}

/// A folder that is removed when it is done with.
struct Copied {
    path: PathBuf,
}

impl Copied {
    fn new(folder: &Path, record: RecordId) -> Result<Self, StoreError> {
        let path = folder.join(format!("{COPIES}{record}"));
        let copy = Self { path };
        copy.remove();
        Ok(copy)
    }

    fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a folder of a verification could not be removed");
        }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.remove();
    }
}

fn recompute(
    folder: &Path,
    scratch: &Path,
    identity: &Identity,
    wanted: &BTreeSet<u64>,
    made: &Made,
    verdict: &mut Verdict,
) -> Result<(), CommandError> {
    let store = Store::open(scratch, Durability::Simulated)?;
    store.begin()?;
    let readers = Readers::new(folder);
    readers.with(|reader| store.copy_chains(reader))?;
    each_segment(&readers, |one| match wanted.contains(&one.arrival) {
        true => {
            verdict.segments += 1;
            store.replay(&one)
        }
        false => Ok(()),
    })?;
    store.commit()?;
    let Some(as_of) = Date::parse(&made.as_of) else {
        return refuse("报表的日期不对", "the report's date is wrong");
    };
    let now = UtcMillis(as_of.start().0 + NOON_MS);
    let engine = Engine::open_copy(store, identity.clone(), now)?;
    if engine.directives.catalogue.digest() != made.catalogue {
        verdict.problem("the catalogue in force was another one".into());
    }
    let catalogue = &engine.directives.catalogue;
    let report = catalogue.reports.get(&made.report);
    let period = report.and_then(|report| Period::parse(report.every, &made.period));
    let (Some(report), Some(period)) = (report, period) else {
        verdict.problem(format!("report {} is not declared in that catalogue", made.report));
        return Ok(());
    };
    let blobs = |blob: BlobRef| std::fs::read(blob_path(folder, blob.hash)).ok();
    let figures = Readers::new(scratch).with(|reader| {
        let directives = &engine.directives;
        let place = made.place;
        Maker { reader, directives, place, report, period, as_of, blobs: &blobs }.figures()
    })?;
    compare(&made.figures, &figures, verdict);
    Ok(())
}

/// Names every figure that differs.
fn compare(frozen: &Figures, again: &Figures, verdict: &mut Verdict) {
    for table in &frozen.tables {
        let Some(other) = again.tables.iter().find(|one| one.id == table.id) else {
            verdict.problem(format!("table {} is not there", table.id));
            continue;
        };
        for line in &table.lines {
            let now = other.lines.iter().find(|one| one.place == line.place);
            if now.is_none_or(|now| now.score != line.score || now.rank != line.rank) {
                verdict.problem(format!("{}, {}: score or rank differs", table.id, line.name));
            }
            for (at, head) in table.heads.iter().enumerate() {
                let (was, is) = (line.cells.get(at), now.and_then(|now| now.cells.get(at)));
                if was != is {
                    let text = |cell: Option<&super::Cell>| {
                        cell.map_or_else(|| "—".to_owned(), |cell| cell.value.to_string())
                    };
                    verdict.problem(format!(
                        "{}, {}, {}: frozen {}, recomputed {}",
                        table.id,
                        line.name,
                        head.id,
                        text(was),
                        text(is)
                    ));
                }
            }
        }
    }
    if frozen.lists != again.lists {
        verdict.problem("the lists of records differ".into());
    }
    if (frozen.late_total, &frozen.late) != (again.late_total, &again.late) {
        verdict.problem("what is listed as late differs".into());
    }
    if frozen.parked != again.parked {
        verdict.problem(format!("parked: {} then, {} now", frozen.parked, again.parked));
    }
    if frozen != again && verdict.problems.is_empty() {
        verdict.problem("the figures differ".into());
    }
}
