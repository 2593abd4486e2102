//! Indicators: additive figures declared over one row, and when each counts.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::expression::{Expression, Type};
use super::{FieldKind, Ledger, Text};
use crate::rules::figures;

/// What an indicator adds up.
#[derive(Clone, Debug)]
pub enum Measure {
    /// One a row, step or line.
    Count,
    /// Different values of a field within the slice.
    Distinct(String),
    /// A whole number of each: a field, a line's column, or a CEL expression.
    Sum(Expression),
}

/// When a row counts. Standing figures say what is; flows say what happened in a month or year.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum When {
    /// Standing: as long as the row is so.
    Now,
    /// In the month or year that a field holds.
    Field(String),
    /// At every applied step into a state, in the month of its date.
    Step {
        /// The state entered.
        to: String,
        /// States left; any if empty.
        from: Vec<String>,
    },
    /// At every line of a log, in the month that a column holds; standing without a column.
    Lines {
        /// The log.
        log: String,
        /// The column with the day or month.
        column: Option<String>,
    },
}

/// An additive figure.
#[derive(Clone, Debug)]
pub struct Indicator {
    /// Indicator id.
    pub id: String,
    /// Label.
    pub label: Text,
    /// Rows that count.
    pub filter: Expression,
    /// What each adds.
    pub measure: Measure,
    /// When.
    pub when: When,
    /// Parameters that it reads, in force on the row's business date.
    pub params: Vec<String>,
    /// Standing sums at the place that it reads: of those that its ledger's rules read.
    pub figures: Vec<String>,
    /// Whether it depends on today.
    pub dated: bool,
    /// Whether it is money, in 分.
    pub is_money: bool,
    /// Whether it counts people so closely that small numbers of them do not show (R-PRV-02).
    pub is_small: bool,
}

impl Indicator {
    /// Whether it says what happened, month by month.
    pub fn is_flow(&self) -> bool {
        !matches!(self.when, When::Now | When::Lines { column: None, .. })
    }

    /// Whether it reads a field or a register.
    pub fn reads(&self, field: &str) -> bool {
        let measured = match &self.measure {
            Measure::Count => false,
            Measure::Distinct(of) => of == field,
            Measure::Sum(sum) => sum.reads(field),
        };
        let dated = match &self.when {
            When::Field(of) | When::Lines { log: of, .. } => of == field,
            When::Now | When::Step { .. } => false,
        };
        measured || dated || self.filter.reads(field)
    }
}

/// As written in a part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIndicator {
    pub(super) id: String,
    zh: String,
    en: String,
    #[serde(rename = "where")]
    pub(super) filter: Spanned<String>,
    sum: Option<String>,
    distinct: Option<String>,
    period: Option<String>,
    step: Option<String>,
    #[serde(default)]
    from: Vec<String>,
    lines: Option<String>,
    line: Option<String>,
    #[serde(default)]
    params: Vec<String>,
    #[serde(default)]
    figures: Vec<String>,
    #[serde(default)]
    small: bool,
}

impl RawIndicator {
    /// Reads what it says, given its filter; types and references are checked later.
    pub(super) fn read(
        self,
        filter: Expression,
        fields: &[super::Field],
    ) -> Result<Indicator, String> {
        let when = match (self.period, self.step, self.lines) {
            (None, None, None) => When::Now,
            (Some(field), None, None) => When::Field(field),
            (None, Some(to), None) => When::Step { to, from: self.from.clone() },
            (None, None, Some(log)) => When::Lines { log, column: self.line.clone() },
            _ => return Err("period, step and lines exclude each other".into()),
        };
        if !self.from.is_empty() && !matches!(when, When::Step { .. }) {
            return Err("`from` belongs to `step`".into());
        }
        if self.line.is_some() && !matches!(when, When::Lines { .. }) {
            return Err("`line` belongs to `lines`".into());
        }
        let columns = match &when {
            When::Lines { log, .. } => columns_of(fields, log),
            _ => &[],
        };
        let of_line = self.sum.as_ref().and_then(|sum| columns.iter().find(|one| one.id == *sum));
        let of_row = self.sum.as_ref().and_then(|sum| fields.iter().find(|one| one.id == *sum));
        let kind = of_line.map(|one| &one.kind).or_else(|| of_row.map(|one| &one.kind));
        let is_money = kind == Some(&FieldKind::Money);
        let measure = match (self.sum, self.distinct) {
            (None, None) => Measure::Count,
            (Some(_), Some(_)) => return Err("sum and distinct exclude each other".into()),
            (None, Some(field)) => Measure::Distinct(field),
            (Some(sum), None) => {
                let source = if of_line.is_some() { format!("line.{sum}") } else { sum };
                Measure::Sum(Expression::compile(&source)?)
            }
        };
        let today = matches!(&measure, Measure::Sum(sum) if sum.reads_today());
        Ok(Indicator {
            id: self.id,
            label: Text { zh: self.zh, en: self.en },
            dated: today || filter.reads_today(),
            filter,
            measure,
            when,
            params: self.params,
            figures: self.figures,
            is_money,
            is_small: self.small,
        })
    }
}

fn columns_of<'a>(fields: &'a [super::Field], log: &str) -> &'a [super::LogColumn] {
    match fields.iter().find(|field| field.id == log).map(|field| &field.kind) {
        Some(FieldKind::Log(columns)) => columns,
        _ => &[],
    }
}

/// What is wrong with an indicator of a ledger; `scope` holds the names of its row.
pub(super) fn check(
    indicator: &Indicator,
    ledger: &Ledger,
    mut scope: BTreeMap<String, Type>,
    row_of: impl Fn(&FieldKind) -> Type,
) -> Result<(), String> {
    let dated =
        |kind: &FieldKind| matches!(kind, FieldKind::Date | FieldKind::Month | FieldKind::Year);
    match &indicator.when {
        When::Now => {}
        When::Field(id) => {
            if !ledger.field(id).is_some_and(|field| dated(&field.kind)) {
                return Err(format!("period names no date, month or year: {id}"));
            }
        }
        When::Step { to, from } => {
            let states = ledger.workflow.iter().flat_map(|workflow| &workflow.states);
            let states: Vec<&String> = states.map(|state| &state.id).collect();
            let edges = [figures::LEFT, figures::CAME];
            let known = |id: &String| states.contains(&id) || edges.contains(&id.as_str());
            if let Some(unknown) = from.iter().chain([to]).find(|id| !known(id)) {
                return Err(format!("no state `{unknown}`"));
            }
            if let Some(Type::List(step)) = scope.get("steps").cloned() {
                scope.insert("step".into(), *step);
                scope.insert("before".into(), Type::List(Box::new(Type::Text)));
            }
        }
        When::Lines { log, column } => {
            let columns = columns_of(&ledger.fields, log);
            if columns.is_empty() {
                return Err(format!("lines names no log: {log}"));
            }
            let is_dated =
                |id: &String| columns.iter().any(|column| column.id == *id && dated(&column.kind));
            if let Some(id) = column.as_ref().filter(|id| !is_dated(id)) {
                return Err(format!("line names no date, month or year: {id}"));
            }
            if let Type::List(line) = row_of(&FieldKind::Log(columns.to_vec())) {
                scope.insert("line".into(), *line);
            }
        }
    }
    match indicator.filter.check(&scope)? {
        Type::Bool | Type::Any => {}
        _ => return Err("`where` is no truth value".into()),
    }
    match &indicator.measure {
        Measure::Count => Ok(()),
        Measure::Distinct(id) => {
            let scalar = ledger.field(id).is_some_and(|field| {
                !matches!(field.kind, FieldKind::Attach | FieldKind::Log(_) | FieldKind::Set(_))
            });
            match (scalar, indicator.is_flow()) {
                (false, _) => Err(format!("distinct names no single value: {id}")),
                (_, true) => Err("different values do not add up over months: no period".into()),
                _ => Ok(()),
            }
        }
        Measure::Sum(sum) => match sum.check(&scope)? {
            Type::Int | Type::Any => Ok(()),
            _ => Err("`sum` is no whole number or money".into()),
        },
    }
}
