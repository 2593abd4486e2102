//! What of a field whoever looks may see: by level, by duty, and whether it was revealed (DOMAIN.md §5.2).

use std::collections::BTreeSet;

use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Ledger};
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

    /// Whether it may be told of whom a rule holds or fails: not where that tells a value that does not show, be
    /// it of a linked record. Who sees the ends of a number may hear that it is wrong; and money that many people
    /// got tells of none of them where it is a matter of a workshop or a shop.
    pub fn may_tell(self, ledger: &Ledger, rule: &str, catalogue: &Catalogue) -> bool {
        let hidden = |field: &Field| {
            field.privacy >= 2 && !matches!(self.sight(field), Sight::Full | Sight::Ends)
        };
        let of_person = ledger.fields.iter().any(|field| {
            let names = ledger.title.contains(&field.id) || matches!(field.kind, FieldKind::Ref(_));
            names && field.privacy > 0
        });
        let told = |field: &Field| hidden(field) && (of_person || field.privacy >= 3);
        ledger.rules.iter().find(|one| one.id == rule).is_none_or(|rule| {
            !rule.own_fields(ledger).any(hidden) && !rule.linked_fields(catalogue).any(told)
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

    /// A record's title as far as its parts show. Where one part ends and the next begins is not known from the
    /// text: names leave a first character, anything else hidden leaves nothing.
    pub fn title(self, text: &str, ledger: &Ledger) -> String {
        let parts = || ledger.title.iter().filter_map(|id| ledger.field(id));
        let hidden = || parts().filter(|field| self.sight(field) != Sight::Full);
        let name = |field: &Field| {
            field.privacy == 1 && matches!(field.kind, FieldKind::Text | FieldKind::Ref(_))
        };
        match (hidden().next().is_none(), hidden().all(name)) {
            (true, _) => text.to_owned(),
            (_, true) => text.chars().next().map(|first| format!("{first}**")).unwrap_or_default(),
            _ => String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(level: Level, duty: Duty) -> Viewer {
        Viewer { duty: Some(duty), ..Viewer::machine(level) }
    }

    fn catalogue() -> Catalogue {
        taizhang_core::catalogue::parse::parse(&taizhang_core::base_catalogue()).unwrap()
    }

    #[test]
    fn a_title_shows_no_part_that_is_masked() {
        let catalogue = catalogue();
        let city = viewer(Level::City, Duty::Clerk);
        let titles = [
            ("poor_household", "张三 一组", "张**"),
            ("welfare_post", "保洁员 张三 户主", "保**"),
            ("policy_question", "张三的补助何时发", ""),
            ("workshop", "样本村藤编车间", "样本村藤编车间"),
        ];
        for (ledger, title, shown) in titles {
            let ledger = catalogue.ledger(ledger).unwrap();
            assert_eq!(city.title(title, ledger), shown, "{}", ledger.id);
            assert_eq!(viewer(Level::Village, Duty::Clerk).title(title, ledger), title);
        }
    }

    #[test]
    fn a_finding_is_told_by_what_its_rule_reads() {
        let catalogue = catalogue();
        let told = |viewer: Viewer, ledger: &str, rule: &str| {
            let ledger = catalogue.ledger(ledger).unwrap();
            assert!(ledger.rules.iter().any(|one| one.id == rule), "{rule}");
            viewer.may_tell(ledger, rule, &catalogue)
        };
        let village = viewer(Level::Village, Duty::Clerk);
        let township = viewer(Level::Township, Duty::Clerk);
        // It marks a day, and reads whether the member is able to work.
        assert!(told(village, "job_demand", "R-EMP-03"));
        assert!(!told(township, "job_demand", "R-EMP-03"), "of a linked record");
        assert!(told(Viewer { revealed: true, ..township }, "job_demand", "R-EMP-03"));
        // The ends of a number show.
        assert!(told(village, "household_member", "R-ID-02"));
        assert!(!told(viewer(Level::Village, Duty::Administrator), "household_member", "R-ID-02"));
        assert!(!told(viewer(Level::City, Duty::Clerk), "household_member", "R-ID-03"));
        let city = viewer(Level::City, Duty::Clerk);
        assert!(told(city, "area_profile", "R-VIL-02"));
        // Both read the lists of wages; one is about a person.
        assert!(told(city, "workshop", "R-WKS-02"));
        assert!(!told(city, "workshop_worker", "R-WKS-02"));
    }
}
