//! Who owes which report until when, and whether it was filed: from the filings that offices keep.

use std::collections::BTreeMap;

use serde::Serialize;
use taizhang_core::calendar::Calendar;
use taizhang_core::catalogue::Report;
use taizhang_core::catalogue::report::{Every, Owed, Table};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, RecordId, SliceId};
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::Value;
use taizhang_core::rules::Evaluator;
use taizhang_core::time::Date;

use super::make::Maker;
use super::period::Period;
use super::{FILING, Line};
use crate::store::StoreError;
use crate::store::read::Reader;

/// One filing.
#[derive(Clone, Debug, Serialize)]
pub struct Filing {
    /// Its record.
    pub record: RecordId,
    /// Whose it is.
    pub place: PlaceId,
    /// Report id.
    pub report: String,
    /// Period.
    pub period: String,
    /// Version, from 1.
    pub version: i64,
    /// State.
    pub state: String,
    /// Day on which it was filed; empty while it is not.
    pub filed_on: String,
    /// Day on which the level above received it.
    pub received_on: String,
    /// Until when it was due; empty if there is no such day.
    pub due_on: String,
    /// The row.
    #[serde(skip)]
    pub row: Row,
}

fn day_of(row: &Row, state: &str) -> String {
    let steps = row.state.iter().flat_map(|state| &state.steps);
    steps.filter(|step| step.to == state).map(|step| step.day()).next_back().unwrap_or_default()
}

impl Filing {
    fn read(record: RecordId, place: PlaceId, row: Row) -> Self {
        Self {
            record,
            place,
            report: row.text("report"),
            period: row.text("period"),
            version: row.fields.get("version").and_then(Value::as_int).unwrap_or(1),
            state: row.state_id().unwrap_or_default().to_owned(),
            filed_on: day_of(&row, "filed"),
            received_on: day_of(&row, "received"),
            due_on: row.text("due_on"),
            row,
        }
    }

    /// Whether it was filed by the day that it says.
    pub fn is_in_time(&self) -> bool {
        !self.filed_on.is_empty() && (self.due_on.is_empty() || self.filed_on <= self.due_on)
    }
}

/// Filings of some offices that stand, the newest version of each report and period last.
///
/// # Errors
///
/// [`StoreError`].
pub fn filings(reader: &Reader<'_>, places: &[PlaceId]) -> Result<Vec<Filing>, StoreError> {
    let mut found = Vec::new();
    for place in places {
        reader.each_of(FILING, *place, |listed, row| {
            found.push(Filing::read(listed.record, *place, row.clone()));
            Ok(())
        })?;
    }
    found.sort_by(|one, two| {
        let key = |one: &Filing| (one.report.clone(), one.period.clone(), one.place, one.version);
        key(one).cmp(&key(two))
    });
    Ok(found)
}

/// How many versions of a report an office has made of a period, void ones included: a number is never
/// given twice.
///
/// # Errors
///
/// [`StoreError`].
pub fn versions(
    reader: &Reader<'_>,
    place: PlaceId,
    report: &str,
    period: &str,
) -> Result<i64, StoreError> {
    let rows = reader.rows_ever(SliceId::ledger(place), FILING)?;
    let of = rows.iter().filter(|row| row.text("report") == report && row.text("period") == period);
    let numbers = of.filter_map(|row| row.fields.get("version").and_then(Value::as_int));
    Ok(numbers.max().unwrap_or(0))
}

/// Children that filed a report of the maker's period, and whether they did in time.
pub(super) fn filed(
    maker: &Maker<'_>,
    report: &str,
) -> Result<BTreeMap<PlaceId, bool>, StoreError> {
    let children = maker.directives.tree.children(maker.place);
    let period = maker.period.to_string();
    let mut found = BTreeMap::new();
    for one in filings(maker.reader, &children)? {
        if one.report == report && one.period == period && !one.filed_on.is_empty() {
            *found.entry(one.place).or_insert(false) |= one.is_in_time();
        }
    }
    Ok(found)
}

/// Names of the units of an office that answer for a report on a day.
///
/// # Errors
///
/// [`StoreError`].
pub fn units(
    reader: &Reader<'_>,
    directives: &Directives,
    report: &Report,
    place: PlaceId,
    day: Date,
) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let Some(units) = &report.units else { return Ok(names) };
    let Some(ledger) = directives.catalogue.ledger(&units.ledger) else { return Ok(names) };
    let evaluator = Evaluator::default();
    reader.each_of(&units.ledger, place, |listed, row| {
        if evaluator.selects(&units.filter, ledger, row, listed.record, day) {
            names.push(listed.title.clone());
        }
        Ok(())
    })?;
    Ok(names)
}

/// What happens to a report's day that is no working day.
const ROLL: &str = "monthly_report_roll";

/// Until when an office owes a report of a period to the one above it; the topmost owes it to nobody.
///
/// What a county sets holds among its own offices: its townships file by the stricter day, the county
/// itself by the day of the office to which it files.
pub fn due_on(
    directives: &Directives,
    calendar: &Calendar,
    report: &Report,
    place: PlaceId,
    period: Period,
) -> Option<Date> {
    let tree = &directives.tree;
    tree.parent(place)?;
    let is_below_county = tree.place(place).is_some_and(|one| one.level < Level::County);
    let found = directives.param(report.due_day.as_ref()?, place, period.last());
    let value = if is_below_county { found.value } else { found.upper.map(|(value, _)| value) };
    let day = value?.as_int()?;
    let roll = directives.param(ROLL, place, period.last()).value;
    Some(rolled(period.due(day), roll.as_ref().and_then(Value::as_text), calendar))
}

/// The day, or the working day before or after it, as the parameter says.
fn rolled(day: Date, roll: Option<&str>, calendar: &Calendar) -> Date {
    match roll {
        Some("next_workday") => calendar.after(day.plus_days(-1), 1),
        Some("previous_workday") => {
            let days = (0..31).map(|back| day.plus_days(-back));
            days.into_iter().find(|day| calendar.is_workday(*day)).unwrap_or(day)
        }
        _ => day,
    }
}

/// What an office owes.
#[derive(Clone, Debug, Serialize)]
pub struct Duty {
    /// Who.
    pub place: PlaceId,
    /// Report id.
    pub report: String,
    /// Period.
    pub period: String,
    /// Until when.
    pub due_on: String,
    /// What there is of it, the newest version.
    pub filing: Option<Filing>,
    /// The first day on which any version was filed; empty if none was.
    pub filed_on: String,
    /// Units of the office that answer for it.
    pub units: Vec<String>,
}

impl Duty {
    /// Whether it is late on a day: not filed by then, or filed too late.
    pub fn is_late(&self, today: Date) -> bool {
        if self.due_on.is_empty() {
            return false;
        }
        let by = if self.filed_on.is_empty() { today.to_string() } else { self.filed_on.clone() };
        by > self.due_on
    }
}

/// Fills the columns that count what was owed: for each line, the reports of offices there and below for the
/// periods that were the last to have ended when that of the maker had.
pub(super) fn count(
    maker: &Maker<'_>,
    table: &Table,
    lines: &mut [Line],
) -> Result<(), StoreError> {
    if table.columns.iter().all(|column| column.owed.is_none()) {
        return Ok(());
    }
    let tree = &maker.directives.tree;
    let mut offices = tree.subtree(maker.place);
    offices.retain(|id| tree.place(*id).is_some_and(|place| place.level > Level::Village));
    let ended = maker.period.after().first();
    let mut owed = duties(maker.reader, maker.directives, &offices, ended, 1)?;
    owed.retain(|duty| duty.is_late(maker.as_of));
    for line in lines {
        let of = |kind: Owed| {
            let found = owed.iter().filter(|duty| {
                tree.is_above_or_same(line.place, duty.place)
                    && (kind == Owed::Missing) == duty.filed_on.is_empty()
            });
            i64::try_from(found.count()).unwrap_or(i64::MAX)
        };
        for (column, cell) in table.columns.iter().zip(&mut line.cells) {
            cell.value = column.owed.map_or(cell.value, of);
        }
    }
    Ok(())
}

/// What some offices owe for the last periods that ended before `today`.
///
/// # Errors
///
/// [`StoreError`].
pub fn duties(
    reader: &Reader<'_>,
    directives: &Directives,
    places: &[PlaceId],
    today: Date,
    back: usize,
) -> Result<Vec<Duty>, StoreError> {
    let calendar = reader.calendar()?;
    let mut newest: BTreeMap<(PlaceId, String, String), Filing> = BTreeMap::new();
    let mut first: BTreeMap<(PlaceId, String, String), String> = BTreeMap::new();
    for one in filings(reader, places)? {
        let key = (one.place, one.report.clone(), one.period.clone());
        if !one.filed_on.is_empty() {
            let day = first.entry(key.clone()).or_insert_with(|| one.filed_on.clone());
            *day = one.filed_on.clone().min(day.clone());
        }
        newest.insert(key, one);
    }
    let mut found = Vec::new();
    for report in directives.catalogue.reports.values() {
        for place in places {
            let level = directives.tree.place(*place).map(|place| place.level);
            if level.is_none_or(|level| !report.by.contains(&level)) {
                continue;
            }
            let mut period = Period::of(report.every, today);
            let wanted = if report.every == Every::Month { back } else { 1 };
            for _ in 0..wanted {
                period = period.before();
                let due = due_on(directives, &calendar, report, *place, period);
                let key = (*place, report.id.clone(), period.to_string());
                let filing = newest.remove(&key);
                let units = units(reader, directives, report, *place, period.last())?;
                found.push(Duty {
                    place: *place,
                    report: report.id.clone(),
                    period: period.to_string(),
                    due_on: due.map(|day| day.to_string()).unwrap_or_default(),
                    filing,
                    filed_on: first.remove(&key).unwrap_or_default(),
                    units,
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fifth of May 2018 was a Saturday; the fifth of October lies in the holiday of that week.
    #[test]
    fn a_day_of_rest_stays_or_rolls_as_the_parameter_says() {
        let day = |text: &str| Date::parse(text).unwrap();
        let off = (1..=7).map(|of| (Date::new(2018, 10, of).unwrap(), false));
        let calendar = Calendar::new(off);
        for (from, roll, to) in [
            ("2018-05-05", "none", "2018-05-05"),
            ("2018-05-05", "next_workday", "2018-05-07"),
            ("2018-05-05", "previous_workday", "2018-05-04"),
            ("2018-06-05", "next_workday", "2018-06-05"),
            ("2018-06-05", "previous_workday", "2018-06-05"),
            ("2018-10-05", "next_workday", "2018-10-08"),
            ("2018-10-05", "previous_workday", "2018-09-28"),
        ] {
            assert_eq!(rolled(day(from), Some(roll), &calendar), day(to), "{from} {roll}");
        }
    }
}
