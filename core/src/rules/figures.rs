//! What a row adds to indicators: [`crate::catalogue::indicator`] evaluated.

use std::collections::BTreeMap;

use cel::Context;

use super::{
    Evaluator, Finding, Outcome, Surroundings, add, cel_list, figures_map, line_map, params_map,
    row_map, step_map,
};
use crate::catalogue::board::{BoardColumn, Shows};
use crate::catalogue::expression::Expression;
use crate::catalogue::{Board, FieldKind, Indicator, Ledger, Measure, When};
use crate::id::RecordId;
use crate::limits;
use crate::record::fold::Row;
use crate::record::state::Step;
use crate::record::value::Value;
use crate::time::Date;

/// What one row may add to one sum: a million rows stay within 63 bits, whatever was typed.
const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// Where an addition counts.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// Indicator id.
    pub indicator: String,
    /// `2018-05`, `2018`, or empty for a standing figure.
    pub period: String,
    /// The value of which different ones are counted; empty for sums.
    pub value: String,
}

/// Additions of one row.
pub type Additions = BTreeMap<Place, i64>;

/// States of no workflow: a record that left for another place, and one that came from there.
pub const LEFT: &str = "_left";
/// See [`LEFT`].
pub const CAME: &str = "_came";

/// The month of a day, `2018-05`; a month or a year is its own period.
fn period_of(value: &Value) -> Option<String> {
    match value {
        Value::Int(year) => Some(format!("{year:04}")),
        Value::Text(text) => Some(month_of(text).to_owned()),
        Value::Bool(_) => None,
    }
}

/// The month of an ISO day.
fn month_of(day: &str) -> &str {
    day.get(..7).unwrap_or(day)
}

/// What `row` adds to the indicators of its ledger. A row that does not count adds nothing; nor
/// does one whose expression fails, which its rules show as a defect.
///
/// Of a record that moved, what happened before the month of the move counts at the old place, all
/// else at the new one (DOMAIN.md §6, scenario 7).
pub(super) fn additions(
    mut context: Context<'_, 'static>,
    ledger: &Ledger,
    (row, id): (&Row, RecordId),
    around: &dyn Surroundings,
    findings: &[Finding],
) -> Additions {
    let mut found = Additions::new();
    if row.void.is_some() || ledger.indicators.is_empty() {
        return found;
    }
    let rules_with = |outcome: Outcome| {
        let with = findings.iter().filter(|one| one.outcome == outcome);
        cel_list(with.map(|one| one.rule.as_str()))
    };
    add(&mut context, "failed", rules_with(Outcome::Failed));
    add(&mut context, "unchecked", rules_with(Outcome::Unchecked));
    for (name, uses) in ledger.registers() {
        let read = ledger.indicators.iter().any(|one| one.reads(name) && may_count(one, row));
        if let Some(register) = around.ledger(&uses.ledger).filter(|_| read) {
            let rows = around.related(Some((row, id)), uses);
            let rows = rows.iter().map(|(id, row)| row_map(row, *id, &register));
            add(&mut context, name, cel_list(rows));
        }
    }
    let span = Span::of(row);
    for indicator in &ledger.indicators {
        let mut adding = Adding { indicator, row, span: &span, found: &mut found };
        if indicator.params.is_empty() && indicator.figures.is_empty() {
            adding.add(ledger, &context);
            continue;
        }
        // What rests on a parameter that is not set counts nothing.
        let day = row.business_date(ledger);
        if let Ok(params) = params_map(&indicator.params, around, day) {
            let mut inner = context.new_inner_scope();
            add(&mut inner, "p", params);
            add(&mut inner, "f", figures_map(&indicator.figures, around));
            adding.add(ledger, &inner);
        }
    }
    found.retain(|_, value| *value != 0);
    found
}

/// Whether an indicator has anything to count on a row.
fn may_count(indicator: &Indicator, row: &Row) -> bool {
    match &indicator.when {
        When::Step { to, .. } if to != LEFT && to != CAME => {
            row.all_steps().any(|step| step.to == *to)
        }
        _ => true,
    }
}

impl Evaluator {
    /// What the numbers of a board come to for a row, column by column: a number, or a number and what it is
    /// a share of; none for a field, and if they cannot be told.
    pub fn numbers_of(
        &self,
        board: &Board,
        (ledger, row, id): (&Ledger, &Row, RecordId),
        around: &dyn Surroundings,
        as_of: Date,
    ) -> Vec<Option<(i64, Option<i64>)>> {
        let of_field = |column: &BoardColumn| matches!(column.shows, Shows::Field(_));
        let unknown = vec![None; board.columns.len()];
        if board.columns.iter().all(of_field) {
            return unknown;
        }
        let mut context = self.context(Some((ledger, row, id)), as_of);
        for (name, uses) in &board.uses {
            let rows = around.related(Some((row, id)), uses);
            let related = around.ledger(&uses.ledger);
            let Some(related) = related.filter(|_| rows.len() <= limits::RELATED_ROWS_MAX) else {
                return unknown;
            };
            let rows = rows.iter().map(|(id, row)| row_map(row, *id, &related));
            add(&mut context, name, cel_list(rows));
        }
        let number = |one: &Expression| one.number(&context).ok();
        let columns = board.columns.iter().map(|column| match &column.shows {
            Shows::Field(_) => None,
            Shows::Number(of) => Some((number(of)?, None)),
            Shows::Share(of, per) => Some((number(of)?, Some(number(per)?))),
        });
        columns.collect()
    }

    /// Whether a row that stands is one of those that an expression selects.
    pub fn selects(
        &self,
        filter: &Expression,
        ledger: &Ledger,
        row: &Row,
        id: RecordId,
        as_of: Date,
    ) -> bool {
        let context = self.context(Some((ledger, row, id)), as_of);
        Self::stands_and(filter, row, &context)
    }

    /// Whether a row that stands is one of those that a list of a report shows.
    pub fn lists(
        &self,
        filter: &Expression,
        (ledger, row, id): (&Ledger, &Row, RecordId),
        listing: &Listing<'_>,
        as_of: Date,
    ) -> bool {
        let mut context = self.context(Some((ledger, row, id)), as_of);
        add(&mut context, "first", listing.first.to_string().into());
        add(&mut context, "last", listing.last.to_string().into());
        add(&mut context, "failed", cel_list(listing.failed.iter().map(String::as_str)));
        Self::stands_and(filter, row, &context)
    }

    fn stands_and(filter: &Expression, row: &Row, context: &Context<'_, '_>) -> bool {
        let stands = row.void.is_none() && row.moved.is_none();
        stands && filter.holds(context) == Ok(true)
    }
}

/// What a list of a report reads beside a row's own names.
pub struct Listing<'a> {
    /// First day of the period.
    pub first: Date,
    /// Last day of the period.
    pub last: Date,
    /// Rules that found something on the row.
    pub failed: &'a [String],
}

/// Which periods of a record count where it stands.
struct Span {
    /// The month in which it came here.
    from: Option<String>,
    /// The month in which it left.
    until: Option<String>,
}

impl Span {
    fn of(row: &Row) -> Self {
        let came = row.from.iter().map(|from| from.date.as_str()).find(|date| !date.is_empty());
        let left = row.moved.as_ref().map(|moved| moved.date.as_str());
        Self {
            from: came.map(|day| month_of(day).to_owned()),
            until: left.map(|day| month_of(day).to_owned()),
        }
    }

    /// When something counts that was written here: not before the record came.
    fn own(&self, period: String) -> String {
        match &self.from {
            Some(from) if !period.is_empty() && period < *from => from.clone(),
            _ => period,
        }
    }

    fn holds(&self, period: &str) -> bool {
        // What stands is where the record is.
        if period.is_empty() {
            return self.until.is_none();
        }
        self.from.as_deref().is_none_or(|from| from <= period)
            && self.until.as_deref().is_none_or(|until| period < until)
    }
}

/// The names of a row and of one of its steps.
fn scope_of<'a>(
    context: &'a Context<'_, 'static>,
    step: &Step,
    before: &[&str],
) -> Context<'a, 'static> {
    let mut inner = context.new_inner_scope();
    add(&mut inner, "step", step_map(step));
    add(&mut inner, "before", cel_list(before.iter().copied()));
    inner
}

/// One indicator of one row.
struct Adding<'a> {
    indicator: &'a Indicator,
    row: &'a Row,
    span: &'a Span,
    found: &'a mut Additions,
}

impl Adding<'_> {
    fn add(&mut self, ledger: &Ledger, context: &Context<'_, 'static>) {
        match &self.indicator.when {
            When::Now => self.count(String::new(), context),
            When::Field(field) => {
                // Without a day it counts in the sum of all periods only.
                let period = self.row.fields.get(field).and_then(period_of);
                self.count(period.unwrap_or_default(), context);
            }
            When::Step { to, from } => self.steps(ledger, to, from, context),
            When::Lines { log, column } => {
                let kind = ledger.field(log).map(|field| &field.kind);
                let Some(FieldKind::Log(columns)) = kind else { return };
                let row = self.row;
                for line in row.logs.get(log).into_iter().flatten() {
                    let value = column.as_ref().and_then(|column| line.columns.get(column));
                    let period = value.and_then(period_of).unwrap_or_default();
                    let period = if line.carried { period } else { self.span.own(period) };
                    let mut inner = context.new_inner_scope();
                    add(&mut inner, "line", line_map(line, columns));
                    self.count(period, &inner);
                }
            }
        }
    }

    /// Every step into a state: `step` is that step, `before` the states passed until then.
    fn steps(
        &mut self,
        ledger: &Ledger,
        to: &str,
        from: &[String],
        context: &Context<'_, 'static>,
    ) {
        let initial = ledger.workflow.as_ref().map(|workflow| workflow.initial.as_str());
        let mut before = vec![initial.unwrap_or_default()];
        let row = self.row;
        let edge = match to {
            LEFT => self.span.until.clone(),
            CAME => self.span.from.clone(),
            _ => None,
        };
        if let Some(month) = edge {
            // What it was when the month began; all that happened in that month counts at the new place.
            if month_of(&row.business_date(ledger).to_string()) >= month.as_str() {
                return;
            }
            let earlier = |step: &&Step| month_of(&step.day()) < month.as_str();
            before.extend(row.all_steps().filter(earlier).map(|step| step.to.as_str()));
            let step = Step { to: to.to_owned(), date: month.clone(), ..Step::default() };
            self.put(month, &scope_of(context, &step, &before));
            return;
        }
        let carried = row.from.iter().map(|from| from.steps.len()).sum();
        for (at, step) in row.all_steps().enumerate() {
            let left = before.last().copied().unwrap_or_default();
            if step.to == to && (from.is_empty() || from.iter().any(|one| one == left)) {
                let month = month_of(&step.day()).to_owned();
                let month = if at < carried { month } else { self.span.own(month) };
                self.count(month, &scope_of(context, step, &before));
            }
            before.push(&step.to);
        }
    }

    /// Counts in a period, if the record counts here then.
    fn count(&mut self, period: String, context: &Context<'_, 'static>) {
        if self.span.holds(&period) {
            self.put(period, context);
        }
    }

    fn put(&mut self, period: String, context: &Context<'_, 'static>) {
        if self.indicator.filter.holds(context) != Ok(true) {
            return;
        }
        let indicator = self.indicator.id.clone();
        let mut place = Place { indicator, period, value: String::new() };
        let amount = match &self.indicator.measure {
            Measure::Count => 1,
            Measure::Sum(sum) => sum.number(context).unwrap_or(0),
            Measure::Distinct(field) => {
                let Some(value) = self.row.fields.get(field) else { return };
                place.value = value.to_string();
                *self.found.entry(place).or_default() = 1;
                return;
            }
        };
        let sum = self.found.entry(place).or_default();
        let amount = amount.clamp(-AMOUNT_MAX, AMOUNT_MAX);
        *sum = sum.saturating_add(amount).clamp(-AMOUNT_MAX, AMOUNT_MAX);
    }
}
