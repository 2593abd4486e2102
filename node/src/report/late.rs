//! 补报: what belongs to an earlier period and came after that period's report was frozen.

use std::collections::BTreeSet;

use taizhang_core::catalogue::{FieldKind, Ledger, Text};
use taizhang_core::feed::frontier::Frontiers;
use taizhang_core::record::fold::Row;
use taizhang_core::record::log::LoggedChange;
use taizhang_core::record::moved::{FROM_FIELD, MOVED_KEY, Moved, MovedFrom};
use taizhang_core::record::state::TransitionLine;
use taizhang_core::record::value::{STATE_FIELD, Value};

use super::due::{Filing, filings};
use super::make::{Maker, state_label};
use super::{LateLine, frontier, named};
use crate::store::StoreError;
use crate::store::read::Listed;

/// Lines named one by one.
const LINES_MAX: usize = 2_000;

/// The lines and how many there are in all, against the frontier of the last report of an earlier period; none before there is one.
pub(super) fn lines(maker: &Maker<'_>) -> Result<(Vec<LateLine>, usize), StoreError> {
    if maker.report.late.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let Some(before) = frontier_before(maker)? else { return Ok((Vec::new(), 0)) };
    let changed = maker.reader.changed_beyond(&before)?;
    let mut found = Vec::new();
    for id in &maker.report.late {
        let Some(ledger) = maker.directives.catalogue.ledger(id) else { continue };
        maker.each_record(id, |listed, row| {
            if !changed.contains(&listed.record) {
                return Ok(());
            }
            // A line of an earlier day may stand in a record of this period.
            if maker.report.late_lines || may_be_late(maker, ledger, row) {
                record_lines(maker, ledger, listed, row, &before, &mut found)?;
            }
            Ok(())
        })?;
    }
    // What ties in all of these is equal: the order of the logs is that of arrival here.
    let key =
        |line: &LateLine| [&line.day, &line.place, &line.title, &line.what.zh].map(String::clone);
    found.sort_by_cached_key(key);
    let total = found.len();
    found.truncate(LINES_MAX);
    Ok((found, total))
}

/// The frontier of the newest frozen report of the latest earlier period.
fn frontier_before(maker: &Maker<'_>) -> Result<Option<Frontiers>, StoreError> {
    let period = maker.period.to_string();
    let found = filings(maker.reader, &[maker.place])?;
    let earlier = found.iter().filter(|one| one.report == maker.report.id && one.period < period);
    let last =
        earlier.max_by(|one, two| (&one.period, one.version).cmp(&(&two.period, two.version)));
    let Some(filing) = last else { return Ok(None) };
    // Without it nothing late could be told from what was known: better no report than a silent one.
    let missing = || {
        let Filing { report, period, version, .. } = filing;
        StoreError::Damaged(format!("the frontier of {report} {period} v{version} is not here yet"))
    };
    let bytes = frontier_blob(maker, filing).ok_or_else(missing)?;
    frontier::from_bytes(&bytes).map(Some).map_err(|_| missing())
}

fn frontier_blob(maker: &Maker<'_>, filing: &Filing) -> Option<Vec<u8>> {
    (maker.blobs)(named(&filing.row, "frontier")?)
}

/// Whether a record itself, or a step of it, belongs to an earlier period.
fn may_be_late(maker: &Maker<'_>, ledger: &Ledger, row: &Row) -> bool {
    let first = maker.period.first();
    let day = first.to_string();
    let steps = row.state.iter().flat_map(|state| &state.steps);
    let moved = row.moved.as_ref().is_some_and(|moved| moved.date < day);
    let came = row.from.iter().any(|from| !from.date.is_empty() && from.date < day);
    row.business_date(ledger) < first
        || moved
        || came
        || steps.into_iter().any(|step| step.day() < day)
}

fn record_lines(
    maker: &Maker<'_>,
    ledger: &Ledger,
    listed: &Listed,
    row: &Row,
    before: &Frontiers,
    found: &mut Vec<LateLine>,
) -> Result<(), StoreError> {
    let Some(detail) = maker.reader.detail(listed.record)? else { return Ok(()) };
    let positions = maker.reader.positions(&detail.log)?;
    let counted = detail.log.changes.iter().filter(|change| change.origin.counted);
    let first = maker.period.first();
    let mut named = BTreeSet::new();
    for (at, (change, position)) in counted.zip(positions).enumerate() {
        let known = position.is_some_and(|(feed, number)| before.head(feed).count > number);
        if known {
            continue;
        }
        let mut push = |what: Text, day: String| {
            if named.insert((what.zh.clone(), day.clone())) {
                found.push(LateLine {
                    place: maker.directives.tree.full_name(listed.slice.place),
                    title: maker.title(ledger, listed),
                    what,
                    day,
                });
            }
        };
        let business = row.business_date(ledger);
        // A record that moved was registered where it came from.
        if at == 0 && business < first && row.from.is_empty() {
            push(Text { zh: "新登记".into(), en: "Registered".into() }, business.to_string());
        }
        for (what, day) in moves_of(change).filter(|(_, day)| *day < first.to_string()) {
            push(what, day);
        }
        // What is new as a whole is named once; a new record of this period may hold older lines, unless it
        // brought them from where it was before.
        let has_lines = maker.report.late_lines && row.from.is_empty() && business >= first;
        if at == 0 && !has_lines {
            continue;
        }
        for (to, day) in steps_of(change).filter(|(_, day)| *day < first.to_string()) {
            push(state_label(ledger, &to), day);
        }
        let months = maker.report.late_lines;
        for day in lines_of(ledger, change, months).filter(|day| *day < first.to_string()) {
            push(Text { zh: "补记".into(), en: "Line added".into() }, day);
        }
    }
    Ok(())
}

/// A move that a change states, with its day.
fn moves_of(change: &LoggedChange) -> impl Iterator<Item = (Text, String)> + '_ {
    change.ops.iter().filter_map(|op| {
        let text = op.value.as_ref()?.as_text()?;
        if op.key == MOVED_KEY {
            let moved: Moved = serde_json::from_str(text).ok()?;
            return Some((Text { zh: "迁出".into(), en: "Left".into() }, moved.date));
        }
        let from: MovedFrom = serde_json::from_str(text).ok().filter(|_| is_from(&op.key))?;
        let dated = !from.date.is_empty();
        dated.then(|| (Text { zh: "迁入".into(), en: "Came".into() }, from.date))
    })
}

fn is_from(key: &str) -> bool {
    key.split_once('/').is_some_and(|(field, _)| field == FROM_FIELD)
}

/// States entered by a change, with their days.
fn steps_of(change: &LoggedChange) -> impl Iterator<Item = (String, String)> + '_ {
    change.ops.iter().filter_map(|op| {
        let (field, _) = op.key.split_once('/')?;
        let text = op.value.as_ref().and_then(Value::as_text).filter(|_| field == STATE_FIELD)?;
        let line: TransitionLine = serde_json::from_str(text).ok()?;
        let day = match line.date.is_empty() {
            true => change.origin.time.date().to_string(),
            false => line.date,
        };
        Some((line.to, day))
    })
}

/// Days of log lines that a change adds; with `months`, also the first days of those that have a month.
fn lines_of<'a>(
    ledger: &'a Ledger,
    change: &'a LoggedChange,
    months: bool,
) -> impl Iterator<Item = String> + 'a {
    change.ops.iter().filter_map(move |op| {
        let (id, _) = op.key.split_once('/')?;
        let FieldKind::Log(columns) = &ledger.field(id)?.kind else { return None };
        let of = |kind: FieldKind| columns.iter().find(|column| column.kind == kind);
        let month = of(FieldKind::Month).filter(|_| months);
        let column = of(FieldKind::Date).or(month)?;
        let line: serde_json::Value = serde_json::from_str(op.value.as_ref()?.as_text()?).ok()?;
        let text = line.get(&column.id)?.as_str()?.to_owned();
        Some(if column.kind == FieldKind::Month { format!("{text}-01") } else { text })
    })
}
