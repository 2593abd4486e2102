//! Rules about places, policy, clocks and disclosure, which no single record shows: codes of the tree
//! (R-REG), versions of parameters (R-PAR-02) and the plans behind them (R-PLN-02), silence and clocks
//! (R-SYN), bulk looks at personal data (R-PRV-01). Like rules of the catalogue they say what they find
//! and change nothing.

use std::collections::{BTreeMap, BTreeSet};

use taizhang_core::catalogue::{Severity, Text};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, SliceId};
use taizhang_core::place::Tree;
use taizhang_core::place::import::nests;
use taizhang_core::record::value::Value;
use taizhang_core::time::{Date, UtcMillis};

use crate::driver::{Replica, clock};
use crate::health::OfficeState;
use crate::ops::OpsError;

/// The ledger of the plans that counties file.
const PLANS: &str = "implementation_plan_filing";
/// Records that one login may reveal within [`REVEALED_WITHIN_MS`] before R-PRV-01 names it: a day's
/// casework needs fewer.
pub const REVEALED_MAX: usize = 30;
/// Time in which they are counted: a day, in milliseconds.
pub const REVEALED_WITHIN_MS: i64 = 24 * 3_600_000;
/// Places named one by one by each rule; more are counted by the pages of health.
const NAMED_MAX: usize = 50;

/// Something found about an office.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfficeFinding {
    /// The rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Which place it is about.
    pub place: PlaceId,
    /// What a person reads.
    pub text: Text,
}

fn found(
    rule: &'static str,
    severity: Severity,
    place: PlaceId,
    zh: String,
    en: String,
) -> OfficeFinding {
    OfficeFinding { rule, severity, place, text: Text { zh, en } }
}

/// Codes that do not continue their parent's, codes used twice, and places that ended without a
/// successor (R-REG-01 to 03).
pub fn tree_findings(tree: &Tree, day: Date) -> Vec<OfficeFinding> {
    let mut all = Vec::new();
    let mut by_code: BTreeMap<&str, Vec<PlaceId>> = BTreeMap::new();
    for place in tree.standing() {
        by_code.entry(place.code_on(day)).or_default().push(place.id);
        let parent = tree.parent(place.id).and_then(|id| tree.place(id));
        if let Some(parent) = parent
            && !nests(place.code_on(day), parent.code_on(day), parent.level)
        {
            let (code, upper) = (place.code_on(day), parent.code_on(day));
            all.push(found(
                "R-REG-01",
                Severity::Violation,
                place.id,
                format!("代码{code}与上级代码{upper}不衔接,应由市级改码"),
                format!("the code {code} does not continue {upper}; the city gives it a new one"),
            ));
        }
    }
    for (code, places) in by_code.into_iter().filter(|(_, places)| places.len() > 1) {
        all.extend(places.into_iter().map(|place| {
            let zh = format!("代码{code}同时用于两个在用区划");
            found(
                "R-REG-02",
                Severity::Violation,
                place,
                zh,
                format!("the code {code} is in use twice"),
            )
        }));
    }
    for (place, into) in tree.merged() {
        if tree.place(into).is_none() {
            let (zh, en) = ("已撤并,但没有承接单位", "ended without a successor");
            all.push(found("R-REG-03", Severity::Violation, place, zh.into(), en.into()));
        }
    }
    all
}

/// Parameters without a value until the first of their versions, and two values for one day (R-PAR-02).
pub fn policy_findings(directives: &Directives, today: Date) -> Vec<OfficeFinding> {
    let mut all = Vec::new();
    for (place, versions) in &directives.policies {
        let mut days: BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
        for version in versions {
            for (param, value) in &version.values {
                let of = days.entry(param).or_default().entry(&version.effective_from).or_default();
                of.insert(shown(value));
            }
        }
        for (param, days) in days {
            let label = directives.catalogue.params.get(param).map(|one| one.label.clone());
            let label = label.unwrap_or_default();
            for (day, _) in days.iter().filter(|(_, values)| values.len() > 1) {
                all.push(found(
                    "R-PAR-02",
                    Severity::Violation,
                    *place,
                    format!("参数「{}」自{day}起有两个不同的值,以后发布的为准", label.zh),
                    format!("{} has two values from {day}; the later one holds", label.en),
                ));
            }
            if let Some((first, _)) = days.first_key_value()
                && **first > *today.to_string()
                && directives.param(param, *place, today).value.is_none()
            {
                all.push(found(
                    "R-PAR-02",
                    Severity::Violation,
                    *place,
                    format!("参数「{}」在{first}之前没有版本", label.zh),
                    format!("{} has no version before {first}", label.en),
                ));
            }
        }
    }
    all
}

fn shown(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Parameters that a county has set while no plan that it has filed names them (R-PLN-02); `plans` are the
/// parameters that the filed plans of each county name.
pub fn plan_findings(
    directives: &Directives,
    plans: &BTreeMap<PlaceId, BTreeSet<String>>,
    today: Date,
) -> Vec<OfficeFinding> {
    let today = today.to_string();
    let lacking = |(place, named): (&PlaceId, &BTreeSet<String>)| {
        let versions = directives.policies.get(place).into_iter().flatten();
        let begun = versions.filter(|version| version.effective_from <= today);
        let set: BTreeSet<&String> = begun.flat_map(|version| version.values.keys()).collect();
        let bare = set.into_iter().filter(|param| !named.contains(*param));
        let labels: Vec<&Text> =
            bare.filter_map(|id| Some(&directives.catalogue.params.get(id)?.label)).collect();
        let zh: Vec<&str> = labels.iter().map(|label| label.zh.as_str()).collect();
        let en: Vec<&str> = labels.iter().map(|label| label.en.as_str()).collect();
        (!labels.is_empty()).then(|| {
            found(
                "R-PLN-02",
                Severity::Violation,
                *place,
                format!("参数「{}」已由县级确定,但没有已报备的方案载明", zh.join("、")),
                format!("set by the county, but in no plan that it has filed: {}", en.join(", ")),
            )
        })
    };
    plans.iter().filter_map(lacking).collect()
}

/// Clocks that differ by more than is allowed (R-SYN-02): places and differences in milliseconds.
pub fn clock_findings(skews: &[(PlaceId, i64)], allowed_minutes: i64) -> Vec<OfficeFinding> {
    let allowed = allowed_minutes.saturating_mul(60_000);
    let wrong = skews.iter().filter(|(_, skew)| skew.saturating_abs() > allowed);
    wrong
        .map(|(place, skew)| {
            let minutes = skew / 60_000;
            found(
                "R-SYN-02",
                Severity::Warn,
                *place,
                format!("该单位电脑时钟与本机相差{minutes}分钟,请校时"),
                format!("its clock differs by {minutes} minutes; set it right"),
            )
        })
        .collect()
}

/// The record of which a line of the audit speaks; the line itself if it names none.
fn record_in(text: &str) -> &str {
    let named = text.rsplit_once("record ").and_then(|(_, rest)| rest.split(' ').next());
    named.unwrap_or(text)
}

/// Logins that revealed more records within a day than casework needs (R-PRV-01), from lines of the
/// audit: when, and what it says. Who looks at a record twice has looked at one.
pub fn disclosure_findings(
    lines: &[(UtcMillis, String)],
    own: PlaceId,
    now: UtcMillis,
) -> Vec<OfficeFinding> {
    let mut records: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, text) in lines.iter().filter(|(time, _)| now.since(*time) <= REVEALED_WITHIN_MS) {
        if let Some((login, seen)) = text.split_once(" saw ") {
            records.entry(login).or_default().insert(record_in(seen));
        }
    }
    let counts = records.into_iter().map(|(login, seen)| (login, seen.len()));
    let many = counts.filter(|(_, count)| *count > REVEALED_MAX);
    many.map(|(login, count)| {
        found(
            "R-PRV-01",
            Severity::Violation,
            own,
            format!("账号{login}一天内查看了{count}条未遮盖的个人信息,请核实用途"),
            format!("{login} revealed {count} records within a day; ask what for"),
        )
    })
    .collect()
}

impl Replica {
    /// The parameters that plans on file name, of every county at and below this office.
    fn filed_plans(
        &self,
        directives: &Directives,
    ) -> Result<BTreeMap<PlaceId, BTreeSet<String>>, OpsError> {
        let mut plans = BTreeMap::new();
        if directives.catalogue.ledger(PLANS).is_none() {
            return Ok(plans);
        }
        let (tree, own) = (&directives.tree, self.place());
        let counties = tree.iter().filter(|place| place.level == Level::County);
        for county in counties.map(|place| place.id).filter(|id| tree.is_above_or_same(own, *id)) {
            let slice = SliceId::ledger(county);
            let rows = self.readers().with(|reader| reader.lookup().rows_of(slice, PLANS))?;
            let filed = rows.iter().map(|(_, row)| row);
            let filed = filed.filter(|row| matches!(row.state_id(), Some("filed" | "recorded")));
            let lines = filed.filter_map(|row| row.logs.get("localised")).flatten();
            let named = lines.filter_map(|line| line.columns.get("param")?.as_text());
            plans.insert(county, named.map(|id| id.trim().to_owned()).collect());
        }
        Ok(plans)
    }

    /// What the rules about offices find at and below a place.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn office_findings(&self, under: PlaceId) -> Result<Vec<OfficeFinding>, OpsError> {
        let (directives, now, own) = (self.directives(), clock::now(), self.place());
        let mut all = tree_findings(&directives.tree, now.date());
        all.extend(policy_findings(&directives, now.date()));
        let plans = self.filed_plans(&directives)?;
        all.extend(plan_findings(&directives, &plans, now.date()));
        let days = self.view()?.silence_days;
        let silent =
            self.offices(under)?.into_iter().filter(|one| one.state == OfficeState::Silent);
        all.extend(silent.filter_map(|one| {
            let (days, heard) = (days?, one.known.heard.local_text());
            let zh = format!("超过{days}天没有消息,最后一次{heard}");
            let en = format!("silent for more than {days} days, last heard of {heard}");
            Some(found("R-SYN-01", Severity::Warn, one.place, zh, en))
        }));
        let (skews, seen) = self.readers().with(|reader| {
            let since = now.plus(-REVEALED_WITHIN_MS);
            Ok((reader.clock_differences()?, reader.audit_since("revealed", since)?))
        })?;
        let param = directives.param("max_clock_skew_minutes", own, now.date()).value;
        if let Some(Value::Int(minutes)) = param {
            all.extend(clock_findings(&skews, minutes));
        }
        all.extend(disclosure_findings(&seen, own, now));
        all.retain(|one| directives.tree.is_above_or_same(under, one.place));
        all.sort_by(|one, two| (one.rule, one.place).cmp(&(two.rule, two.place)));
        Ok(named(all))
    }
}

/// The first [`NAMED_MAX`] of each rule, so that none hides the others.
fn named(mut all: Vec<OfficeFinding>) -> Vec<OfficeFinding> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    all.retain(|one| {
        let count = counts.entry(one.rule).or_default();
        *count += 1;
        *count <= NAMED_MAX
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    use taizhang_core::id::{Actor, AuthorId, Epoch, Level, RecordId, SealKey, SliceId};
    use taizhang_core::place::event::{DatedEvent, PlaceEvent};
    use taizhang_core::place::{Dated, Place};

    const NOW: UtcMillis = UtcMillis(1_530_000_000_000);
    const DAY: Date = Date { year: 2018, month: 6, day: 1 };

    fn place(byte: u8, level: Level, code: &str) -> Place {
        let dated = |value: &str| vec![Dated { from: "2018-01-01".into(), value: value.into() }];
        let id = PlaceId([byte; 8]);
        Place { id, level, names: dated("某地"), codes: dated(code) }
    }

    /// A city, a county and two townships with these codes.
    fn tree(townships: [&str; 2]) -> Tree {
        let mut tree = Tree::default();
        tree.set_root(place(1, Level::City, "411400000000"));
        tree.add(PlaceId([1; 8]), place(2, Level::County, "411423000000"));
        for (byte, code) in (3..).zip(townships) {
            tree.add(PlaceId([2; 8]), place(byte, Level::Township, code));
        }
        tree
    }

    fn rules(tree: &Tree) -> Vec<(&'static str, u8)> {
        tree_findings(tree, DAY).iter().map(|one| (one.rule, one.place.0[0])).collect()
    }

    #[test]
    fn codes_of_the_tree_nest_and_are_used_once() {
        assert!(rules(&tree(["411423101000", "411423102000"])).is_empty());
        assert_eq!(rules(&tree(["411423101000", "411426102000"])), [("R-REG-01", 4)]);
        let twice = rules(&tree(["411423101000", "411423101000"]));
        assert_eq!(twice, [("R-REG-02", 3), ("R-REG-02", 4)]);
    }

    #[test]
    fn a_place_that_ends_has_a_successor() {
        for (into, found) in [(4, vec![]), (9, vec![("R-REG-03", 3)])] {
            let first = tree(["411423101000", "411423102000"]);
            let mut tree = first.clone();
            let author = AuthorId { key: SealKey([7; 32]), epoch: Epoch([0; 16]) };
            let actor: Actor = author.actor();
            let event = DatedEvent {
                from: "2018-05-01".into(),
                event: PlaceEvent::Merge { place: PlaceId([3; 8]), into: PlaceId([into; 8]) },
                position: (SliceId::directive(PlaceId([2; 8])), author, 0),
            };
            tree.apply_event((1, actor, RecordId([1; 16])), event, &first);
            assert_eq!(rules(&tree), found, "{into}");
        }
    }

    #[test]
    fn a_clock_may_differ_by_as_much_as_is_allowed_and_no_more() {
        let place = PlaceId([1; 8]);
        let at = |minutes: i64| clock_findings(&[(place, minutes * 60_000)], 1440).len();
        assert_eq!((at(1440), at(-1440), at(1441), at(-1441)), (0, 0, 1, 1));
    }

    #[test]
    fn a_day_of_many_looks_is_named_and_many_looks_at_one_record_are_not() {
        let own = PlaceId([1; 8]);
        let lines = |count: usize, age: i64| -> Vec<(UtcMillis, String)> {
            let line = |nth| (NOW.plus(-age), format!("clerk saw record {nth:032x}"));
            (0..count).map(line).collect()
        };
        let named = |lines: Vec<_>| disclosure_findings(&lines, own, NOW).len();
        assert_eq!(named(lines(REVEALED_MAX, 0)), 0);
        assert_eq!(named(lines(REVEALED_MAX + 1, 0)), 1);
        let old = [lines(REVEALED_MAX, 0), lines(REVEALED_MAX + 9, REVEALED_WITHIN_MS + 1)];
        assert_eq!(named(old.concat()), 0);
        let again = vec![lines(1, 0); REVEALED_MAX + 9];
        assert_eq!(named(again.concat()), 0);
        let photo = (NOW, format!("clerk saw photo ab12 of record {:032x}", 1));
        assert_eq!(named([lines(REVEALED_MAX, 0), vec![photo]].concat()), 0);
        let never = (UtcMillis(0), "clerk saw record 00".to_owned());
        assert_eq!(named(vec![never]), 0, "a clock that was never set is no reason to stop");
    }

    #[test]
    fn no_rule_hides_the_others() {
        let of = |rule: &'static str, count: usize| {
            let one = found(rule, Severity::Warn, PlaceId([1; 8]), "甲".into(), "a".into());
            vec![one; count]
        };
        let all = named([of("R-REG-01", NAMED_MAX + 9), of("R-SYN-02", 2)].concat());
        let count = |rule: &str| all.iter().filter(|one| one.rule == rule).count();
        assert_eq!((count("R-REG-01"), count("R-SYN-02")), (NAMED_MAX, 2));
    }
}
