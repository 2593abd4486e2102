//! Cases: rows on which a rule must hold, and rows on which it must not. A rule without both proves
//! nothing, so `catalogue check` asks for them.
//!
//! They stand in files of their own and are never published: `ledger = "..."`, then `[[case]]` with
//! `rule`, `holds`, `row`, and as far as the rule reads them `related` (rows by name of the relation),
//! `params`, `figures` and `as_of`. Names of records are any words; `state`, `passed`, `superseded`, `steps`,
//! `needs_recheck`, `created_level`, `_id` and a log line's `_level` may be given beside the fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use toml::{Spanned, Table};

use super::parse::{CatalogueError, Part, line_of};
use super::{Catalogue, FieldKind, Ledger, Rule, Uses};
use crate::feed::entry::Person;
use crate::id::{AuthorId, Epoch, Level, PlaceId, RecordId, SealKey};
use crate::record::fold::{LogLine, Row, Writer};
use crate::record::state::{StateFold, Step};
use crate::record::value::Value;
use crate::rules::{Evaluator, Outcome, Surroundings};
use crate::time::{Date, UtcMillis};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCases {
    ledger: String,
    case: Vec<Spanned<RawCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    rule: String,
    holds: bool,
    #[serde(default)]
    row: Table,
    #[serde(default)]
    related: BTreeMap<String, Vec<Table>>,
    #[serde(default)]
    params: BTreeMap<String, Value>,
    #[serde(default)]
    figures: BTreeMap<String, i64>,
    #[serde(default = "seed_day")]
    as_of: String,
}

/// The day of the document.
fn seed_day() -> String {
    "2018-04-09".into()
}

/// Whether a TOML text holds cases rather than a part.
pub fn is_cases(source: &str) -> bool {
    toml::from_str::<Table>(source).is_ok_and(|table| table.contains_key("case"))
}

/// The ledger of a file of cases.
pub fn ledger_of(file: &Part) -> Option<String> {
    let table = toml::from_str::<Table>(&file.source).ok()?;
    table.get("ledger")?.as_str().map(str::to_owned)
}

/// What is wrong with the cases of a catalogue: cases that do not come out as stated, and rules without
/// a case that holds and one that does not.
pub fn check(catalogue: &Catalogue, files: &[Part]) -> Vec<CatalogueError> {
    let evaluator = Evaluator::default();
    let mut errors = Vec::new();
    let mut shown: BTreeSet<(String, bool)> = BTreeSet::new();
    for file in files {
        let fail = |line: usize, key: &str, reason: String| CatalogueError {
            file: file.name.clone(),
            line,
            key: key.to_owned(),
            reason,
        };
        let raw: RawCases = match toml::from_str(&file.source) {
            Ok(raw) => raw,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(&file.source, span.start));
                errors.push(fail(line, "toml", error.message().to_owned()));
                continue;
            }
        };
        let Some(ledger) = catalogue.ledger(&raw.ledger) else {
            errors.push(fail(1, "ledger", format!("no ledger `{}`", raw.ledger)));
            continue;
        };
        for spanned in raw.case {
            let line = line_of(&file.source, spanned.span().start);
            let case = spanned.into_inner();
            match prove(&evaluator, catalogue, ledger, &case) {
                Ok(()) => drop(shown.insert((case.rule, case.holds))),
                Err(reason) => errors.push(fail(line, &case.rule, reason)),
            }
        }
    }
    errors.extend(lacking(catalogue, &shown));
    errors
}

fn lacking<'a>(
    catalogue: &'a Catalogue,
    shown: &'a BTreeSet<(String, bool)>,
) -> impl Iterator<Item = CatalogueError> + 'a {
    let declared = |rule: &&Arc<Rule>| rule.needs.iter().all(|id| catalogue.ledger(id).is_some());
    let rules = catalogue.ledgers.values().flat_map(move |ledger| {
        ledger.rules.iter().filter(declared).map(move |rule| (ledger, rule))
    });
    rules.flat_map(move |(ledger, rule)| {
        let missing = [true, false].into_iter();
        missing.filter(|holds| !shown.contains(&(rule.id.clone(), *holds))).map(|holds| {
            CatalogueError {
                file: "cases".into(),
                line: 0,
                key: format!("ledger.{}.rule.{}", ledger.id, rule.id),
                reason: if holds { "no case that holds" } else { "no case that fails" }.into(),
            }
        })
    })
}

fn prove(
    evaluator: &Evaluator,
    catalogue: &Catalogue,
    ledger: &Ledger,
    case: &RawCase,
) -> Result<(), String> {
    let Some(rule) = ledger.rules.iter().find(|rule| rule.id == case.rule) else {
        return Err(format!("{} has no such rule", ledger.id));
    };
    if let Some(unknown) = case.related.keys().find(|name| !rule.uses.contains_key(*name)) {
        return Err(format!("the rule uses nothing by the name `{unknown}`"));
    }
    let day = Date::parse(&case.as_of).ok_or("as_of is no date")?;
    let (id, row) = read_row(ledger, &case.row)?;
    let mut related = Vec::new();
    for (name, uses) in &rule.uses {
        let of = catalogue.ledger(&uses.ledger).ok_or("a related ledger is missing")?;
        let rows = case.related.get(name).into_iter().flatten();
        related.push((uses, rows.map(|row| read_row(of, row)).collect::<Result<Vec<_>, _>>()?));
    }
    let around = Around { catalogue, related, params: &case.params, figures: &case.figures };
    let found = if rule.about_place {
        evaluator.apply(rule, None, &around, day, day)
    } else {
        evaluator.applies(rule, ledger, &row, id, day)?;
        evaluator.apply(rule, Some((ledger, &row, id)), &around, day, day)
    };
    match (found, case.holds) {
        (None, true) | (Some((Outcome::Failed, _)), false) => Ok(()),
        (None, false) => Err("holds, but should not".into()),
        (Some((Outcome::Failed, _)), true) => Err("does not hold, but should".into()),
        (Some((outcome, reason)), _) => Err(format!("{outcome:?}: {reason}")),
    }
}

struct Around<'a> {
    catalogue: &'a Catalogue,
    related: Vec<(&'a Uses, Vec<(RecordId, Row)>)>,
    params: &'a BTreeMap<String, Value>,
    figures: &'a BTreeMap<String, i64>,
}

impl Surroundings for Around<'_> {
    fn related(&self, _: Option<(&Row, RecordId)>, uses: &Uses) -> Vec<(RecordId, Row)> {
        let rows = self.related.iter().find(|(one, _)| std::ptr::eq(*one, uses));
        rows.map(|(_, rows)| rows.clone()).unwrap_or_default()
    }

    fn param(&self, id: &str, _: Date) -> Option<Value> {
        let initial = || self.catalogue.params.get(id)?.initial.clone();
        self.params.get(id).cloned().or_else(initial)
    }

    fn is_set(&self, id: &str) -> bool {
        self.catalogue.is_set_param(id)
    }

    fn ledger(&self, id: &str) -> Option<Arc<Ledger>> {
        self.catalogue.ledger(id).cloned()
    }

    fn knows_below(&self) -> bool {
        true
    }

    fn figure(&self, id: &str) -> i64 {
        self.figures.get(id).copied().unwrap_or(0)
    }
}

/// The record of that name in a case.
fn named(name: &str) -> RecordId {
    let hash = blake3::hash(name.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    RecordId(id)
}

fn writer(level: Level) -> Writer {
    Writer {
        level,
        place: PlaceId([0; 8]),
        author: AuthorId { key: SealKey([0; 32]), epoch: Epoch([0; 16]) },
        person: Person { name: String::new(), role: String::new() },
        time: UtcMillis(0),
        lamport: 0,
    }
}

fn read_row(ledger: &Ledger, table: &Table) -> Result<(RecordId, Row), String> {
    let mut row = Row::new(ledger.id.clone(), writer(Level::Village));
    let mut state = StateFold {
        state: ledger.workflow.as_ref().map(|one| one.initial.clone()).unwrap_or_default(),
        steps: Vec::new(),
        needs_recheck: false,
        lapsed: Vec::new(),
        superseded: Vec::new(),
        pending: Vec::new(),
    };
    let mut id = named("");
    for (key, value) in table {
        match key.as_str() {
            "_id" => id = named(text(key, value)?),
            "state" => text(key, value)?.clone_into(&mut state.state),
            "superseded" => state.superseded = texts(key, value)?,
            "needs_recheck" => {
                state.needs_recheck = value.as_bool().ok_or("`needs_recheck` is no truth value")?;
            }
            "created_level" => row.created.level = level_of(text(key, value)?)?,
            "passed" => state.steps.extend(texts(key, value)?.into_iter().map(|to| step(to, ""))),
            "steps" => {
                for line in tables(key, value)? {
                    let part = |name: &str| line.get(name).and_then(toml::Value::as_str);
                    let to = part("to").ok_or("a step needs `to`")?.to_owned();
                    let mut taken = step(to, part("date").unwrap_or_default());
                    taken.level = part("level").map_or(Ok(taken.level), level_of)?;
                    state.steps.push(taken);
                }
            }
            _ => put(ledger, &mut row, key, value)?,
        }
    }
    row.state = ledger.workflow.is_some().then_some(state);
    Ok((id, row))
}

fn level_of(word: &str) -> Result<Level, String> {
    let found = Level::ALL.into_iter().find(|level| level.name() == word);
    found.ok_or_else(|| format!("no level `{word}`"))
}

fn step(to: String, date: &str) -> Step {
    let (level, time) = (Level::Village, UtcMillis(0));
    Step { to, level, time, reason: String::new(), date: date.to_owned() }
}

fn put(ledger: &Ledger, row: &mut Row, key: &str, value: &toml::Value) -> Result<(), String> {
    let field = ledger.field(key).ok_or_else(|| format!("no field `{}.{key}`", ledger.id))?;
    match &field.kind {
        FieldKind::Attach | FieldKind::Set(_) => {
            row.sets.insert(key.to_owned(), texts(key, value)?.into_iter().collect());
        }
        FieldKind::Log(columns) => {
            let mut lines = Vec::new();
            for (at, line) in tables(key, value)?.into_iter().enumerate() {
                let mut level = Level::Village;
                let mut values = BTreeMap::new();
                for (name, value) in line {
                    if name == "_level" {
                        level = level_of(text(name, value)?)?;
                        continue;
                    }
                    let column = columns.iter().find(|column| column.id == *name);
                    let column = column.ok_or_else(|| format!("no column `{key}.{name}`"))?;
                    values.insert(name.clone(), scalar(name, &column.kind, value)?);
                }
                lines.push(LogLine {
                    id: at.to_string(),
                    columns: values,
                    writer: writer(level),
                    carried: false,
                });
            }
            row.logs.insert(key.to_owned(), lines);
        }
        kind => {
            row.fields.insert(key.to_owned(), scalar(key, kind, value)?);
        }
    }
    Ok(())
}

fn scalar(key: &str, kind: &FieldKind, value: &toml::Value) -> Result<Value, String> {
    let value = match (kind, value) {
        (FieldKind::Ref(_), toml::Value::String(name)) => named(name).to_string().into(),
        (_, toml::Value::String(text)) => Value::Text(text.clone()),
        (_, toml::Value::Integer(number)) => Value::Int(*number),
        (_, toml::Value::Boolean(truth)) => Value::Bool(*truth),
        _ => return Err(format!("`{key}` is no text, whole number or truth value")),
    };
    if crate::record::fold::well_typed(kind, &value) {
        Ok(value)
    } else {
        Err(format!("`{key}` is not of its field's kind"))
    }
}

fn text<'a>(key: &str, value: &'a toml::Value) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("`{key}` is no text"))
}

fn texts(key: &str, value: &toml::Value) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or_else(|| format!("`{key}` is no list"))?;
    list.iter().map(|one| text(key, one).map(str::to_owned)).collect()
}

fn tables<'a>(key: &str, value: &'a toml::Value) -> Result<Vec<&'a Table>, String> {
    let list = value.as_array().ok_or_else(|| format!("`{key}` is no list"))?;
    list.iter().map(|one| one.as_table().ok_or_else(|| format!("`{key}`: no line"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::parse::parse;

    #[test]
    fn every_rule_of_the_program_has_its_cases() {
        let catalogue = parse(&crate::base_catalogue()).unwrap();
        let errors = check(&catalogue, &crate::base_cases());
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }

    #[test]
    fn a_case_that_does_not_come_out_as_stated_is_named() {
        let catalogue = parse(&crate::base_catalogue()).unwrap();
        let file = |source: &str| Part { name: "x.toml".into(), source: source.into() };
        let grant = "ledger = \"household_grant\"\n\n[[case]]\nrule = \"R-GRT-01\"\n";
        for (source, reason) in [
            ("holds = true\nrow = { requested = 800001 }", "does not hold, but should"),
            ("holds = false\nrow = { requested = 800000 }", "holds, but should not"),
            ("holds = true\nrow = { wages = 1 }", "no field `household_grant.wages`"),
            ("holds = true\nrow = { requested = true }", "is not of its field's kind"),
            ("holds = true\nrelated = { aunts = [] }", "uses nothing by the name `aunts`"),
        ] {
            let errors = check(&catalogue, &[file(&format!("{grant}{source}"))]);
            let found = errors.iter().find(|error| error.file == "x.toml").expect(source);
            assert!(found.line == 3 && found.reason.contains(reason), "{found}");
        }
    }
}
