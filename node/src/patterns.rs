//! R-QUA-01: what looks made up shortly before a report is frozen. Rankings can induce falsification
//! (DOMAIN.md §5.5), so sudden mass edits, identical values and back-dated lines are shown to inspectors
//! and to whoever freezes. A pattern is a question, never a verdict: it names places, ledgers and the
//! official who wrote, no value and nobody whom a record is about.
//!
//! Clocks are those of the authors. Whoever sets one back escapes the day before the freeze, not the
//! mark of clocks that are wrong; who was off-line for a month is not blamed for arriving late.

use std::collections::BTreeMap;

use taizhang_core::catalogue::{Catalogue, FieldKind, LogColumn};
use taizhang_core::id::{PlaceId, SealKey};
use taizhang_core::record::value::Value;
use taizhang_core::time::{Date, UtcMillis};

use crate::store::StoreError;
use crate::store::inspection::{Shared, Written};
use crate::store::read::Reader;

/// The rule.
pub const RULE: &str = "R-QUA-01";
/// Milliseconds before a freeze in which edits are sudden: a day (DOMAIN.md, R-QUA-01).
pub const SUDDEN_MS: i64 = 24 * 3_600_000;
/// Entries of one author in that day that are not many yet: a clerk who types all day makes as many.
pub const MANY_ENTRIES: u64 = 60;
/// How many times its usual day an author must write.
pub const USUAL_TIMES: u64 = 5;
/// Days before that day that show what is usual.
pub const USUAL_DAYS: u64 = 30;
/// Records that may share a value (DOMAIN.md, R-QUA-01).
pub const SAME_RECORDS: u64 = 20;
/// Days after which a line is late: a month's papers are entered in the next.
pub const BACK_DAYS: i64 = 35;
/// Late lines of one person in one log that are not many yet.
pub const BACK_LINES: u64 = 4;

/// What is striking.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PatternKind {
    /// Lines of a log dated long before they were written.
    BackDated,
    /// Far more entries of one author in the last day than it usually writes.
    Mass,
    /// The same value in many records.
    Same,
}

/// Something striking at one place.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pattern {
    /// Where.
    pub place: PlaceId,
    /// What.
    pub kind: PatternKind,
    /// Ledger; empty if entries of all are counted.
    pub ledger: String,
    /// Field; empty if entries are counted.
    pub field: String,
    /// Who wrote, as claimed; empty if records are counted.
    pub person: String,
    /// Entries, records or lines.
    pub count: u64,
    /// Of entries: how many are usual in a day.
    pub usual: u64,
}

/// Days before a freeze of which anything is looked at: a report of long ago reads no more.
const LOOK_BACK_DAYS: i64 = 400;

/// What a place's ledgers show.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Entries of the period and of the days that show what is usual.
    pub written: Vec<Written>,
    /// Values that many records changed in the period share.
    pub shared: Vec<Shared>,
}

/// Patterns of some places between the first day of a period and a freeze, place by place.
///
/// # Errors
///
/// If the store cannot be read.
pub fn patterns(
    reader: &Reader<'_>,
    catalogue: &Catalogue,
    places: &[PlaceId],
    from: Date,
    freeze: UtcMillis,
) -> Result<Vec<Pattern>, StoreError> {
    let mut found = Vec::new();
    // Of a report of long ago, only what was written of late is looked at.
    let from = from.max(freeze.date().plus_days(-LOOK_BACK_DAYS));
    for place in places {
        let since = usual_since(freeze).min(from.start());
        let observed = Observed {
            written: reader.written(*place, since)?,
            shared: reader.shared_values(*place, (from.start(), freeze), SAME_RECORDS)?,
        };
        found.extend(find(*place, &observed, catalogue, from, freeze));
    }
    Ok(found)
}

/// When the days begin that show what is usual.
fn usual_since(freeze: UtcMillis) -> UtcMillis {
    let days = i64::try_from(USUAL_DAYS).unwrap_or(0) + 1;
    freeze.plus(-days * SUDDEN_MS)
}

/// Patterns in what was observed at a place: the same observation, the same patterns.
pub fn find(
    place: PlaceId,
    observed: &Observed,
    catalogue: &Catalogue,
    from: Date,
    freeze: UtcMillis,
) -> Vec<Pattern> {
    let mut found = mass(place, &observed.written, freeze);
    found.extend(same(place, &observed.shared, catalogue));
    found.extend(back_dated(place, &observed.written, catalogue, from, freeze));
    found.sort();
    found
}

/// Authors who wrote far more in the last day than in others.
fn mass(place: PlaceId, written: &[Written], freeze: UtcMillis) -> Vec<Pattern> {
    let mut counts: BTreeMap<(SealKey, &str), (u64, u64)> = BTreeMap::new();
    for one in written {
        let (last, before) = counts.entry((one.author.key, one.person.as_str())).or_insert((0, 0));
        if one.time > freeze || one.time < usual_since(freeze) {
            continue;
        }
        if freeze.since(one.time) < SUDDEN_MS { *last += 1 } else { *before += 1 }
    }
    let sudden = counts.into_iter().filter_map(|((_, person), (count, before))| {
        let usual = before.div_ceil(USUAL_DAYS);
        let much = count > MANY_ENTRIES && count > USUAL_TIMES * usual;
        much.then(|| Pattern {
            place,
            kind: PatternKind::Mass,
            ledger: String::new(),
            field: String::new(),
            person: person.to_owned(),
            count,
            usual,
        })
    });
    sudden.collect()
}

/// Whether equal values of a kind are striking: amounts, numbers of people and accounts, free texts.
/// Choices, dates, groups and small counts repeat honestly.
fn is_telling(kind: &FieldKind) -> bool {
    use FieldKind::{BankNo, IdNo, Money, Note, Phone};
    matches!(kind, BankNo | IdNo | Money | Note | Phone)
}

/// Fields with one value in many records; of several such values the most frequent.
fn same(place: PlaceId, shared: &[Shared], catalogue: &Catalogue) -> Vec<Pattern> {
    let mut most: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for one in shared.iter().filter(|one| one.count > SAME_RECORDS) {
        let field = catalogue.ledger(&one.ledger).and_then(|ledger| ledger.field(&one.field));
        if field.is_some_and(|field| is_telling(&field.kind)) {
            let count = most.entry((one.ledger.as_str(), one.field.as_str())).or_insert(0);
            *count = one.count.max(*count);
        }
    }
    let same = most.into_iter().map(|((ledger, field), count)| Pattern {
        place,
        kind: PatternKind::Same,
        ledger: ledger.to_owned(),
        field: field.to_owned(),
        person: String::new(),
        count,
        usual: 0,
    });
    same.collect()
}

/// The day that a line of a log speaks of: its first day, or the last of its first month.
fn day_of(columns: &[LogColumn], text: &str) -> Option<Date> {
    let line: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
    columns.iter().find_map(|column| {
        let value = line.get(&column.id)?.as_text()?;
        match column.kind {
            FieldKind::Date => Date::parse(value),
            FieldKind::Month => {
                Some(Date::parse(&format!("{value}-01"))?.plus_months(1).plus_days(-1))
            }
            _ => None,
        }
    })
}

/// Logs to which one person added many lines of days long past.
fn back_dated(
    place: PlaceId,
    written: &[Written],
    catalogue: &Catalogue,
    from: Date,
    freeze: UtcMillis,
) -> Vec<Pattern> {
    let mut counts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    let period = from.start()..=freeze;
    for one in written.iter().filter(|one| period.contains(&one.time)) {
        let late = one.lines.iter().filter(|line| {
            let ledger = catalogue.ledger(&line.ledger);
            let field = ledger.and_then(|ledger| ledger.field(&line.field));
            let Some(FieldKind::Log(columns)) = field.map(|field| &field.kind) else {
                return false;
            };
            day_of(columns, &line.text).is_some_and(|day| {
                one.time.date().to_days().saturating_sub(day.to_days()) > BACK_DAYS
            })
        });
        for line in late {
            let key = (line.ledger.as_str(), line.field.as_str(), one.person.as_str());
            *counts.entry(key).or_insert(0) += 1;
        }
    }
    let many = counts.into_iter().filter(|(_, count)| *count > BACK_LINES);
    many.map(|((ledger, field, person), count)| Pattern {
        place,
        kind: PatternKind::BackDated,
        ledger: ledger.to_owned(),
        field: field.to_owned(),
        person: person.to_owned(),
        count,
        usual: 0,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use taizhang_core::id::{AuthorId, Epoch};

    use super::*;
    use crate::store::inspection::WrittenLine;

    fn entries(count: u64, time: UtcMillis, lines: &[WrittenLine]) -> Vec<Written> {
        let author = AuthorId { key: SealKey([1; 32]), epoch: Epoch([1; 16]) };
        let one = Written { author, person: "甲".into(), time, lines: lines.to_vec() };
        (0..count).map(|_| one.clone()).collect()
    }

    fn kinds(written: Vec<Written>, shared: Vec<Shared>) -> Vec<PatternKind> {
        let parts = taizhang_core::base_catalogue();
        let catalogue = taizhang_core::catalogue::parse::parse(&parts).unwrap();
        let from = Date::parse("2018-05-01").unwrap();
        let observed = Observed { written, shared };
        let found = find(PlaceId([5; 8]), &observed, &catalogue, from, freeze());
        found.into_iter().map(|one| one.kind).collect()
    }

    fn freeze() -> UtcMillis {
        Date::parse("2018-06-05").unwrap().start()
    }

    #[test]
    fn many_entries_in_the_last_day_strike_only_beside_what_is_usual() {
        let last = freeze().plus(-3_600_000);
        let many = || entries(MANY_ENTRIES + 1, last, &[]);
        assert_eq!(kinds(many(), Vec::new()), [PatternKind::Mass]);
        assert!(kinds(entries(MANY_ENTRIES, last, &[]), Vec::new()).is_empty());
        let mut busy = many();
        busy.extend(entries(MANY_ENTRIES * USUAL_DAYS, last.plus(-5 * SUDDEN_MS), &[]));
        assert!(kinds(busy, Vec::new()).is_empty(), "it writes as much every day");
        assert!(kinds(entries(100, freeze().plus(-SUDDEN_MS), &[]), Vec::new()).is_empty());
        assert!(kinds(entries(100, freeze().plus(1), &[]), Vec::new()).is_empty());
    }

    #[test]
    fn one_amount_in_many_records_strikes_and_a_choice_does_not() {
        let shared = |field: &str, count| Shared {
            ledger: "household_grant".into(),
            field: field.into(),
            count,
        };
        assert_eq!(
            kinds(Vec::new(), vec![shared("requested", SAME_RECORDS + 1)]),
            [PatternKind::Same]
        );
        assert!(kinds(Vec::new(), vec![shared("requested", SAME_RECORDS)]).is_empty());
        assert!(kinds(Vec::new(), vec![shared("household", 100)]).is_empty());
    }

    #[test]
    fn many_lines_of_days_long_past_strike() {
        let line = |day: &str| WrittenLine {
            ledger: "problem_ticket".into(),
            field: "actions".into(),
            text: format!("{{\"date\":\"{day}\",\"text\":\"整改\"}}"),
        };
        let time = freeze().plus(-10 * SUDDEN_MS);
        let old = || line("2018-03-01");
        let many = usize::try_from(BACK_LINES + 1).unwrap();
        assert_eq!(
            kinds(entries(1, time, &vec![old(); many]), Vec::new()),
            [PatternKind::BackDated]
        );
        assert!(kinds(entries(1, time, &vec![old(); many - 1]), Vec::new()).is_empty());
        assert!(kinds(entries(1, time, &vec![line("2018-05-20"); many]), Vec::new()).is_empty());
    }
}
