//! What of a field whoever looks may see: by level, by duty, and whether it was revealed (DOMAIN.md §5.2).

use std::collections::BTreeSet;

use taizhang_core::catalogue::{Field, FieldKind, Ledger};
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::place::Tree;
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::Value;
use taizhang_core::time::Date;

use crate::account::Duty;

/// Days for which a round gives sight at most, from its first day and from the day on which it was begun.
pub const ROUND_DAYS_MAX: i64 = 31;

/// Who looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Viewer {
    /// Level of the office.
    pub level: Level,
    /// Duty of the account; none is whoever runs commands on the machine itself.
    pub duty: Option<Duty>,
    /// Whether this record was revealed, which the audit says.
    pub revealed: bool,
    /// Whether a round of inspection that runs now covers the place whose record it is.
    pub inspects: bool,
}

/// How much of a value shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    /// All of it.
    Full,
    /// The ends of a number.
    Ends,
    /// The first character of a name.
    Initial,
    /// That there is a value.
    Hidden,
}

impl Viewer {
    /// Whoever runs commands on the machine of an office.
    pub fn machine(level: Level) -> Self {
        Self { level, duty: None, revealed: false, inspects: false }
    }

    /// Whether it may be told of whom a rule holds or fails: not where that tells a value that does not show.
    pub fn may_tell(self, ledger: &Ledger, rule: &str) -> bool {
        let rule = ledger.rules.iter().find(|one| one.id == rule);
        let hidden = |field: &&Field| field.privacy >= 2 && self.sight(field) != Sight::Full;
        rule.is_none_or(|rule| {
            !ledger.fields.iter().filter(hidden).any(|field| rule.fields.contains(&field.id))
        })
    }

    /// How much of a field's values shows.
    pub fn sight(self, field: &Field) -> Sight {
        let number = matches!(field.kind, FieldKind::IdNo | FieldKind::BankNo);
        let inspector = self.duty == Some(Duty::Inspector);
        if inspector && self.inspects {
            return match (&field.kind, field.privacy) {
                (FieldKind::BankNo, _) | (_, 3..) => Sight::Hidden,
                _ if number => Sight::Ends,
                _ => Sight::Full,
            };
        }
        // Without a round an inspector sees what the city sees.
        if self.level == Level::City || inspector {
            return match field.privacy {
                0 => Sight::Full,
                1 if field.kind == FieldKind::Text => Sight::Initial,
                _ => Sight::Hidden,
            };
        }
        // The whole account number is for those who pay (DOMAIN.md §5.2).
        if field.kind == FieldKind::BankNo {
            return match self.duty {
                Some(Duty::Administrator) => Sight::Hidden,
                Some(_) if self.revealed && self.level == Level::County => Sight::Full,
                _ => Sight::Ends,
            };
        }
        match (self.duty, field.privacy) {
            (_, 0 | 1) if !number => Sight::Full,
            (Some(Duty::Administrator), _) => Sight::Hidden,
            (Some(Duty::Clerk | Duty::Reviewer), _) if self.revealed => Sight::Full,
            (Some(Duty::Clerk | Duty::Reviewer), 3..) if self.level != Level::Village => {
                Sight::Hidden
            }
            _ if number => Sight::Ends,
            _ => Sight::Full,
        }
    }

    /// The same person before a record of a place.
    pub fn at(self, place: PlaceId, scope: &Scope) -> Self {
        Self { inspects: scope.covers(place), ..self }
    }

    /// A record's title as far as its first part shows.
    pub fn title(self, text: &str, ledger: &Ledger) -> String {
        let first = ledger.title.first().and_then(|id| ledger.field(id));
        let first = first.filter(|one| matches!(one.kind, FieldKind::Text | FieldKind::Ref(_)));
        match first.map_or(Sight::Full, |field| self.sight(field)) {
            Sight::Full => text.to_owned(),
            _ => text.chars().next().map(|first| format!("{first}**")).unwrap_or_default(),
        }
    }

    /// Whether revealing a record would show more of a field.
    pub fn may_reveal(self, field: &Field) -> bool {
        let more = Self { revealed: true, ..self };
        !self.revealed && more.sight(field) != self.sight(field)
    }
}

/// The places that a round names and has not taken out again, in the order in which they were named.
pub fn sampled(round: &Row) -> Vec<PlaceId> {
    let mut places: Vec<PlaceId> = Vec::new();
    for line in round.logs.get("places").into_iter().flatten() {
        let named = line.columns.get("place").and_then(Value::as_text);
        let Some(place) = named.and_then(|text| text.parse::<PlaceId>().ok()) else {
            continue;
        };
        places.retain(|known| *known != place);
        if line.columns.get("out") != Some(&Value::Bool(true)) {
            places.push(place);
        }
    }
    places
}

/// Places whose people an inspector may see: those of rounds that run, with all below them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scope {
    places: BTreeSet<PlaceId>,
}

/// Whether a day is within a round's dates, and within [`ROUND_DAYS_MAX`]: dates can be moved while it runs,
/// the day on which it was begun cannot.
fn is_dated(round: &Row, day: Date) -> bool {
    let date = |field: &str| Date::parse(&round.text(field));
    let (Some(from), Some(until)) = (date("start_on"), date("end_on")) else { return false };
    let steps = round.state.as_ref().map_or(&[][..], |state| state.steps.as_slice());
    let begun = steps.iter().find(|step| step.to == "running").map(|step| step.time.date());
    let first = begun.map_or(from, |begun| begun.min(from));
    from <= day && day <= until.min(first.plus_days(ROUND_DAYS_MAX - 1))
}

impl Scope {
    /// Of rounds on a day: only those that are running and within their dates count, and none for more than
    /// [`ROUND_DAYS_MAX`] days.
    pub fn of<'a>(rounds: impl IntoIterator<Item = &'a Row>, tree: &Tree, day: Date) -> Self {
        let runs = |row: &&Row| {
            row.state_id() == Some("running") && row.void.is_none() && is_dated(row, day)
        };
        let named = rounds.into_iter().filter(runs).flat_map(sampled);
        Self { places: named.flat_map(|place| tree.subtree(place)).collect() }
    }

    /// Whether a place is one of them.
    pub fn covers(&self, place: PlaceId) -> bool {
        self.places.contains(&place)
    }

    /// All of them.
    pub fn places(&self) -> Vec<PlaceId> {
        self.places.iter().copied().collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
