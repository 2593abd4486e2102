//! Rules: predicates over one row and its related rows. They yield findings and never fail on data.

#![expect(clippy::disallowed_types, reason = "CEL's map type; fields are read, never its order")]

pub mod figures;
pub mod id_number;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Value as CelValue};
use serde::{Deserialize, Serialize};

use crate::catalogue::{FieldKind, Ledger, LogColumn, Rule, Severity, Uses};
use crate::id::RecordId;
use crate::limits;
use crate::record::fold::{LogLine, Row};
use crate::record::state::Step;
use crate::record::value::Value;
use crate::time::Date;

/// Why a finding stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The expression could not be evaluated: a defect of the catalogue.
    Defect,
    /// The rule does not hold.
    Failed,
    /// 未检查: a parameter is unset, or a ledger is not declared.
    Unchecked,
}

/// A remark on a record. Never an error: the record is stored all the same.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Finding {
    /// Rule id.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// Why it stands.
    pub outcome: Outcome,
    /// Of a defect or 未检查: what is missing.
    pub reason: String,
    /// Whether it depends on today; such findings are in no hash.
    pub dated: bool,
}

/// Rule id of the built-in finding on values of the wrong type.
pub const TYPE_RULE: &str = "R-TYPE";

/// Rule id of the built-in finding on rows that refer to a record that has moved away.
pub const MOVED_RULE: &str = "R-MOVED";

impl Finding {
    /// What it refers to has moved to another place: it counts nowhere until it is carried over.
    pub fn left_behind() -> Self {
        Self {
            rule: MOVED_RULE.into(),
            severity: Severity::Violation,
            outcome: Outcome::Failed,
            reason: String::new(),
            dated: false,
        }
    }
}

/// What rules may ask for beyond the row.
pub trait Surroundings {
    /// Related rows of a row, or of a place when there is none.
    fn related(&self, subject: Option<(&Row, RecordId)>, uses: &Uses) -> Vec<(RecordId, Row)>;
    /// The parameter's value in force on `day` at the row's place; `None` is 未设定.
    fn param(&self, id: &str, day: Date) -> Option<Value>;
    /// Whether a parameter is a set: expressions see its members as a list.
    fn is_set(&self, id: &str) -> bool;
    /// A ledger by id, if it is declared.
    fn ledger(&self, id: &str) -> Option<Arc<Ledger>>;
    /// Whether all places below the row's place are known.
    fn knows_below(&self) -> bool;
    /// The sum of a standing indicator at the row's place.
    fn figure(&self, id: &str) -> i64;
}

/// CEL's value of one of ours.
fn cel_value(value: &Value) -> CelValue {
    match value {
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Int(value) => CelValue::Int(*value),
        Value::Text(text) => CelValue::from(text.as_str()),
    }
}

fn cel_list<T: Into<CelValue>>(values: impl IntoIterator<Item = T>) -> CelValue {
    CelValue::List(Arc::new(values.into_iter().map(Into::into).collect()))
}

/// The variables of a row: every declared field, absent ones as null.
fn variables(row: &Row, id: RecordId, ledger: &Ledger) -> Vec<(String, CelValue)> {
    let mut found = Vec::with_capacity(ledger.fields.len() + 2);
    for field in &ledger.fields {
        let value = match &field.kind {
            FieldKind::Attach | FieldKind::Set(_) => {
                let set = row.sets.get(&field.id);
                cel_list(set.into_iter().flatten().map(String::as_str))
            }
            FieldKind::Log(columns) => {
                let lines = row.logs.get(&field.id);
                cel_list(lines.into_iter().flatten().map(|line| line_map(line, columns)))
            }
            _ => row.fields.get(&field.id).map_or(CelValue::Null, cel_value),
        };
        found.push((field.id.clone(), value));
    }
    found.push(("_id".into(), CelValue::from(id.to_string())));
    found.push(("state".into(), row.state_id().map_or(CelValue::Null, CelValue::from)));
    let passed = row.all_steps().map(|step| step.to.as_str());
    found.push(("passed".into(), cel_list(passed)));
    let late = row.state.iter().flat_map(|state| &state.superseded).map(String::as_str);
    found.push(("superseded".into(), cel_list(late)));
    let recheck = row.state.as_ref().is_some_and(|state| state.needs_recheck);
    found.push(("needs_recheck".into(), CelValue::Bool(recheck)));
    found.push(("created_level".into(), row.created.level.name().into()));
    let steps = row.all_steps().map(step_map);
    found.push(("steps".into(), cel_list(steps)));
    found
}

fn step_map(step: &Step) -> CelValue {
    let level = step.level.name().to_owned();
    let parts = [("to", step.to.clone()), ("date", step.day()), ("level", level)];
    let parts = parts.map(|(name, text)| (Key::from(name), CelValue::from(text)));
    CelValue::Map(Map { map: Arc::new(HashMap::from(parts)) })
}

fn line_map(line: &LogLine, columns: &[LogColumn]) -> CelValue {
    let mut map: HashMap<Key, CelValue> = columns
        .iter()
        .map(|column| {
            let value = line.columns.get(&column.id);
            (column.id.as_str().into(), value.map_or(CelValue::Null, cel_value))
        })
        .collect();
    map.insert("_level".into(), line.writer.level.name().into());
    CelValue::Map(Map { map: Arc::new(map) })
}

fn row_map(row: &Row, id: RecordId, ledger: &Ledger) -> CelValue {
    let map = variables(row, id, ledger).into_iter().map(|(name, value)| (name.into(), value));
    CelValue::Map(Map { map: Arc::new(map.collect::<HashMap<Key, CelValue>>()) })
}

/// Parameters in force by id, sets as lists; or the first one that is not set.
fn params_map<'a>(
    ids: &'a [String],
    around: &dyn Surroundings,
    day: Date,
) -> Result<CelValue, &'a str> {
    let mut params: HashMap<Key, CelValue> = HashMap::new();
    for id in ids {
        let value = match &around.param(id, day).ok_or(id.as_str())? {
            Value::Text(text) if around.is_set(id) => cel_list(crate::policy::members(text)),
            value => cel_value(value),
        };
        params.insert(id.as_str().into(), value);
    }
    Ok(CelValue::Map(Map { map: Arc::new(params) }))
}

/// Standing sums at the row's place, by indicator.
fn figures_map(ids: &[String], around: &dyn Surroundings) -> CelValue {
    let sums = ids.iter().map(|id| (id.as_str().into(), around.figure(id).into()));
    CelValue::Map(Map { map: Arc::new(sums.collect::<HashMap<Key, CelValue>>()) })
}

fn add(context: &mut Context<'_, '_>, name: &str, value: CelValue) {
    context.add_variable_from_value(name, value);
}

/// Evaluates rules of one catalogue; holds CEL's function table.
pub struct Evaluator {
    base: Context<'static, 'static>,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self { base: crate::catalogue::functions::base_context() }
    }
}

impl Evaluator {
    /// Findings of every rule of `ledger` on `row`. Void rows have none, nor have those that moved.
    pub fn findings(
        &self,
        ledger: &Ledger,
        row: &Row,
        id: RecordId,
        around: &dyn Surroundings,
        as_of: Date,
    ) -> Vec<Finding> {
        if row.moved.is_some() {
            return Vec::new();
        }
        self.findings_even_moved(ledger, row, id, around, as_of)
    }

    /// As [`Self::findings`], of a row that has moved too: they tell how it counted.
    pub fn findings_even_moved(
        &self,
        ledger: &Ledger,
        row: &Row,
        id: RecordId,
        around: &dyn Surroundings,
        as_of: Date,
    ) -> Vec<Finding> {
        let own = self.context(Some((ledger, row, id)), as_of);
        Self::findings_in(&own, ledger, row, id, around)
    }

    /// The findings of a row, `more` among them, and what it adds to indicators, which may read them.
    pub fn findings_and_additions(
        &self,
        ledger: &Ledger,
        row: &Row,
        id: RecordId,
        around: &dyn Surroundings,
        as_of: Date,
        more: Option<Finding>,
    ) -> (Vec<Finding>, figures::Additions) {
        // The row's names are the same for all of its rules and indicators.
        let own = self.context(Some((ledger, row, id)), as_of);
        let mut findings = Self::findings_in(&own, ledger, row, id, around);
        findings.extend(more);
        findings.sort();
        let additions = figures::additions(own, ledger, (row, id), around, &findings);
        // Nobody mends a record that has moved; what it failed still tells how it counted.
        if row.moved.is_some() {
            findings.clear();
        }
        (findings, additions)
    }

    fn findings_in(
        own: &Context<'_, '_>,
        ledger: &Ledger,
        row: &Row,
        id: RecordId,
        around: &dyn Surroundings,
    ) -> Vec<Finding> {
        if row.void.is_some() {
            return Vec::new();
        }
        let mut found = Vec::new();
        if !row.mistyped.is_empty() {
            found.push(Finding {
                rule: TYPE_RULE.into(),
                severity: Severity::Violation,
                outcome: Outcome::Failed,
                reason: row.mistyped.iter().cloned().collect::<Vec<_>>().join(", "),
                dated: false,
            });
        }
        let day = row.business_date(ledger);
        for rule in ledger.rules.iter().filter(|rule| !rule.about_place) {
            let result = Self::apply_in(own, rule, Some((row, id)), around, day);
            if let Some((outcome, reason)) = result {
                let dated = rule.dated;
                let (rule, severity) = (rule.id.clone(), rule.severity);
                found.push(Finding { rule, severity, outcome, reason, dated });
            }
        }
        found.sort();
        found
    }

    /// Whether a rule applies to a row at all.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn applies(
        &self,
        rule: &Rule,
        ledger: &Ledger,
        row: &Row,
        id: RecordId,
        as_of: Date,
    ) -> Result<(), String> {
        let context = self.context(Some((ledger, row, id)), as_of);
        match rule.applies.as_ref().map(|applies| applies.holds(&context)) {
            None | Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => Err("the rule does not apply to this row".into()),
            Some(Err(reason)) => Err(reason),
        }
    }

    /// The names of one row and of the day.
    fn context(
        &self,
        subject: Option<(&Ledger, &Row, RecordId)>,
        as_of: Date,
    ) -> Context<'_, 'static> {
        let mut context = self.base.new_inner_scope();
        add(&mut context, "as_of", as_of.to_string().into());
        add(&mut context, "as_of_year", CelValue::Int(as_of.year.into()));
        add(&mut context, "report_year", CelValue::Int(as_of.plus_months(-1).year.into()));
        if let Some((ledger, row, id)) = subject {
            for (name, value) in variables(row, id, ledger) {
                add(&mut context, &name, value);
            }
        }
        context
    }

    /// Applies one rule. `None` when it holds or does not apply.
    pub fn apply(
        &self,
        rule: &Rule,
        subject: Option<(&Ledger, &Row, RecordId)>,
        around: &dyn Surroundings,
        day: Date,
        as_of: Date,
    ) -> Option<(Outcome, String)> {
        let own = self.context(subject, as_of);
        Self::apply_in(&own, rule, subject.map(|(_, row, id)| (row, id)), around, day)
    }

    fn apply_in(
        own: &Context<'_, '_>,
        rule: &Rule,
        subject: Option<(&Row, RecordId)>,
        around: &dyn Surroundings,
        day: Date,
    ) -> Option<(Outcome, String)> {
        match rule.applies.as_ref().map(|applies| applies.holds(own)) {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => return None,
            Some(Err(reason)) => return Some((Outcome::Defect, reason)),
        }
        if rule.looks_below() && !around.knows_below() {
            return None;
        }
        if let Some(missing) = rule.needs.iter().find(|id| around.ledger(id).is_none()) {
            return Some((Outcome::Unchecked, format!("ledger {missing} is not declared yet")));
        }
        let params = match params_map(&rule.params, around, day) {
            Ok(params) => params,
            Err(id) => {
                return Some((Outcome::Unchecked, format!("parameter {id} is not set")));
            }
        };
        let mut context = own.new_inner_scope();
        add(&mut context, "p", params);
        if !rule.figures.is_empty() {
            add(&mut context, "f", figures_map(&rule.figures, around));
        }
        for (name, uses) in &rule.uses {
            let Some(related_ledger) = around.ledger(&uses.ledger) else {
                return Some((Outcome::Unchecked, format!("ledger {} is missing", uses.ledger)));
            };
            let rows = around.related(subject, uses);
            if rows.len() > limits::RELATED_ROWS_MAX {
                return Some((Outcome::Unchecked, format!("`{name}` has too many rows")));
            }
            let rows = rows.iter().map(|(id, row)| row_map(row, *id, &related_ledger));
            add(&mut context, name, cel_list(rows));
        }
        match rule.assert.holds(&context) {
            Ok(true) => None,
            Ok(false) => Some((Outcome::Failed, String::new())),
            Err(reason) => Some((Outcome::Defect, reason)),
        }
    }
}

/// Findings that block entry to `state`, by name.
pub fn blocking<'a>(
    ledger: &'a Ledger,
    findings: &'a [Finding],
    state: &'a str,
) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(move |finding| {
        finding.outcome == Outcome::Failed
            && ledger
                .rules
                .iter()
                .any(|rule| rule.id == finding.rule && rule.at.iter().any(|at| at == state))
    })
}

/// Labels of rules by id, for pages.
pub fn rule_of<'a>(ledger: &'a Ledger, id: &str) -> Option<&'a Arc<Rule>> {
    ledger.rules.iter().find(|rule| rule.id == id)
}

/// Counts findings by outcome, for lists.
pub fn tally(findings: &[Finding]) -> BTreeMap<Outcome, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.outcome).or_default() += 1;
    }
    counts
}
