//! Reports and charts, declared over indicators: which figures stand in which column.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::expression::{Expression, Type};
use super::{Catalogue, FieldKind, Ledger, Text};
use crate::id::Level;

/// How long a report's period is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// A calendar month.
    Month,
    /// Three months.
    Quarter,
    /// A calendar year.
    Year,
}

/// Which time a column adds up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// What stands when the report is made.
    #[default]
    Now,
    /// The period.
    Period,
    /// Everything before the period.
    Before,
    /// Everything up to the end of the period.
    Until,
}

/// How a column's figure is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// A whole number; with denominators a share.
    #[default]
    Plain,
    /// 分, shown in 元.
    Money,
    /// Numerator by denominator, with one decimal.
    Average,
    /// The same of 分, shown in 元.
    MoneyAverage,
}

/// What a column counts of the reports that offices owe.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// Filed after their day.
    Late,
    /// Not filed, and their day is past.
    Missing,
}

/// A column of a table: sums of indicators, or a count of the reports that were owed.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Column id.
    pub id: String,
    /// Chinese head.
    zh: String,
    /// English head.
    en: String,
    /// Indicators added.
    #[serde(default)]
    pub add: Vec<String>,
    /// Indicators taken away.
    #[serde(default)]
    pub take: Vec<String>,
    /// Denominator, if it is a share or an average.
    #[serde(default)]
    pub per: Vec<String>,
    /// In place of indicators: what is counted of the reports owed for the period.
    pub owed: Option<Owed>,
    /// Which time.
    #[serde(default)]
    pub over: Over,
    /// How it is written.
    #[serde(default, rename = "as")]
    pub written: Written,
}

impl Column {
    /// Its head.
    pub fn label(&self) -> Text {
        Text { zh: self.zh.clone(), en: self.en.clone() }
    }

    fn indicators(&self) -> impl Iterator<Item = &String> {
        self.add.iter().chain(&self.take).chain(&self.per)
    }
}

/// Sums of columns that must be equal in every row.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// Chinese text.
    zh: String,
    /// English text.
    en: String,
    /// Columns of one side.
    pub left: Vec<String>,
    /// Columns of the other.
    pub right: Vec<String>,
}

impl Balance {
    /// What must be equal.
    pub fn label(&self) -> Text {
        Text { zh: self.zh.clone(), en: self.en.clone() }
    }
}

/// Units in order of a score: weights by part, share columns as percent.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// The parameter with the weights.
    pub param: String,
    /// Columns of each part.
    pub parts: BTreeMap<String, Vec<String>>,
    /// Columns of which less is better.
    #[serde(default)]
    pub lower: Vec<String>,
    /// Only units that filed this report of the period in time are ranked.
    pub filed: Option<String>,
    /// Parts without which a unit has no score, if others have data of them. Declared without any, a part
    /// was left out and the others weighed more: bulletins of then are recomputed so.
    #[serde(default)]
    pub complete: Vec<String>,
}

/// A table: one row a child place, and the office itself as the sum.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Table id.
    pub id: String,
    /// Chinese title.
    zh: String,
    /// English title.
    en: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// What must balance.
    #[serde(default)]
    pub balance: Vec<Balance>,
    /// Its order of units, if they are ranked.
    pub rank: Option<Rank>,
}

impl Table {
    /// Its title.
    pub fn label(&self) -> Text {
        Text { zh: self.zh.clone(), en: self.en.clone() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    id: String,
    zh: String,
    en: String,
    ledger: String,
    #[serde(rename = "where")]
    filter: String,
    #[serde(default)]
    over: Over,
    by: Option<String>,
    columns: Vec<String>,
}

/// Records listed one by one.
#[derive(Clone, Debug)]
pub struct List {
    /// List id.
    pub id: String,
    /// Title.
    pub label: Text,
    /// Their ledger.
    pub ledger: String,
    /// Which of them. Beside the row's names it reads `first` and `last`, the days of the period, and
    /// `failed`, the rules that found something.
    pub filter: Expression,
    /// Of which time, by their business date or the day that `by` names.
    pub over: Over,
    /// The date that tells the time, if the record has it.
    pub by: Option<String>,
    /// Field ids, or `_place`, `_title`, `_state`, `_date`. `log.column` is that of the log's last line,
    /// `_on.state` the day of the last step into a state; of several with `|` between them, the first that
    /// has something.
    pub columns: Vec<String>,
}

impl List {
    /// What a column shows: a field, and the column if it is a log; or `_on` and a state.
    pub fn parts(column: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
        column.split('|').map(|part| match part.split_once('.') {
            Some((log, column)) => (log, Some(column)),
            None => (part, None),
        })
    }

    /// What is wrong with a column of a list of `ledger`.
    fn check_column(ledger: &Ledger, column: &str) -> Option<String> {
        const OWN: [&str; 4] = ["_place", "_title", "_state", "_date"];
        let states = ledger.workflow.iter().flat_map(|workflow| &workflow.states);
        let states: Vec<&str> = states.map(|state| state.id.as_str()).collect();
        let is_sound = |(id, of_log): (&str, Option<&str>)| {
            if id == "_on" {
                return of_log.is_some_and(|state| states.contains(&state));
            }
            let field = ledger.field(id).filter(|field| field.is_printed());
            match (field.map(|field| &field.kind), of_log) {
                (None, of_log) => of_log.is_none() && OWN.contains(&id),
                (Some(FieldKind::Log(columns)), Some(of_log)) => {
                    columns.iter().any(|one| one.id == of_log)
                }
                (Some(_), of_log) => of_log.is_none(),
            }
        };
        let sound = Self::parts(column).all(is_sound);
        (!sound).then(|| format!("no field to print `{column}`"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnits {
    ledger: String,
    #[serde(rename = "where")]
    filter: String,
    field: String,
}

/// Units of an office that answer for a report: 各县(区)、各行业部门.
#[derive(Clone, Debug)]
pub struct Units {
    /// The register in which offices keep them.
    pub ledger: String,
    /// Which of them.
    pub filter: Expression,
    /// The field of a filing that names them.
    pub field: String,
}

/// A block that the program knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// R02: which reports the offices below owed, and when they were filed.
    Duties,
    /// R18: how offices are reached, and what they run.
    Network,
    /// R19: which policy version has arrived where.
    Reach,
    /// R19: when each office applied each version.
    Applied,
    /// R19: local values in force, and those that a value from above covers.
    Localised,
    /// R-QUA-01: sudden patterns before the freeze.
    Events,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its number, such as R01.
    pub id: String,
    /// Title.
    pub label: Text,
    /// Clause of the document.
    pub clause: String,
    /// Its period.
    pub every: Every,
    /// Levels whose offices make and file it.
    pub by: Vec<Level>,
    /// The parameter with the day of the following month until which it is due.
    pub due_day: Option<String>,
    /// Who of an office answers for it.
    pub units: Option<Units>,
    /// Lines at its foot.
    pub signatures: Vec<Text>,
    /// What is observed rather than recomputed.
    pub observed: Vec<Observed>,
    /// Ledgers whose late records are listed by name (补报).
    pub late: Vec<String>,
    /// Whether a record of this period is searched for lines of an earlier one. Declared without it, only
    /// records with an earlier date or step were: reports of then are recomputed so.
    pub late_lines: bool,
    /// Tables.
    pub tables: Vec<Table>,
    /// Lists.
    pub lists: Vec<List>,
}

/// As written in a part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReport {
    zh: String,
    en: String,
    clause: String,
    every: Every,
    by: Vec<Level>,
    due_day: Option<String>,
    units: Option<RawUnits>,
    #[serde(default)]
    signatures: Vec<Text>,
    #[serde(default)]
    observed: Vec<Observed>,
    #[serde(default)]
    late: Vec<String>,
    #[serde(default)]
    late_lines: bool,
    #[serde(default)]
    table: Vec<Spanned<Table>>,
    #[serde(default)]
    list: Vec<RawList>,
}

impl RawReport {
    pub(super) fn read(self, id: &str) -> Result<Report, String> {
        let lists: Result<Vec<List>, String> = self
            .list
            .into_iter()
            .map(|list| {
                let filter = Expression::compile(&list.filter)
                    .map_err(|reason| format!("list {}: {reason}", list.id))?;
                Ok(List {
                    id: list.id,
                    label: Text { zh: list.zh, en: list.en },
                    ledger: list.ledger,
                    filter,
                    over: list.over,
                    by: list.by,
                    columns: list.columns,
                })
            })
            .collect();
        let units = |raw: RawUnits| {
            let filter =
                Expression::compile(&raw.filter).map_err(|reason| format!("units: {reason}"))?;
            Ok::<_, String>(Units { ledger: raw.ledger, filter, field: raw.field })
        };
        Ok(Report {
            id: id.to_owned(),
            label: Text { zh: self.zh, en: self.en },
            clause: self.clause,
            every: self.every,
            by: self.by,
            due_day: self.due_day,
            units: self.units.map(units).transpose()?,
            signatures: self.signatures,
            observed: self.observed,
            late: self.late,
            late_lines: self.late_lines,
            tables: self.table.into_iter().map(Spanned::into_inner).collect(),
            lists: lists?,
        })
    }
}

/// What a chart of the overview looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// One figure.
    Figure,
    /// One bar a child place.
    Bars,
    /// The last twelve months.
    Trend,
    /// A share against a target.
    Progress,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChart {
    pub(super) id: String,
    zh: String,
    en: String,
    kind: ChartKind,
    add: Vec<String>,
    #[serde(default)]
    take: Vec<String>,
    #[serde(default)]
    per: Vec<String>,
    target: Option<String>,
    until: Option<String>,
    at: Vec<Level>,
}

/// A chart of the overview.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Chart id.
    pub id: String,
    /// Title.
    pub label: Text,
    /// What it looks like.
    pub kind: ChartKind,
    /// Indicators added.
    pub add: Vec<String>,
    /// Indicators taken away.
    pub take: Vec<String>,
    /// Denominator, if it is a share.
    pub per: Vec<String>,
    /// The parameter with the percent to reach.
    pub target: Option<String>,
    /// The parameter with the day until which.
    pub until: Option<String>,
    /// Levels whose overview shows it.
    pub at: Vec<Level>,
}

impl From<RawChart> for Chart {
    fn from(raw: RawChart) -> Self {
        Self {
            id: raw.id,
            label: Text { zh: raw.zh, en: raw.en },
            kind: raw.kind,
            add: raw.add,
            take: raw.take,
            per: raw.per,
            target: raw.target,
            until: raw.until,
            at: raw.at,
        }
    }
}

/// What is wrong with reports and charts: key and reason.
pub(super) fn check(catalogue: &Catalogue) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for report in catalogue.reports.values() {
        let key = format!("report.{}", report.id);
        let reasons = check_report(catalogue, report);
        found.extend(reasons.into_iter().map(|reason| (key.clone(), reason)));
    }
    for chart in &catalogue.charts {
        let key = format!("chart.{}", chart.id);
        let named = chart.add.iter().chain(&chart.take).chain(&chart.per);
        for id in named {
            match catalogue.indicator(id) {
                None => found.push((key.clone(), format!("no indicator `{id}`"))),
                Some((_, one)) if chart.kind == ChartKind::Trend && !one.is_flow() => {
                    found.push((key.clone(), format!("a trend needs months: `{id}` is standing")));
                }
                Some(_) => {}
            }
        }
        for param in chart.target.iter().chain(&chart.until) {
            if !catalogue.params.contains_key(param) {
                found.push((key.clone(), format!("no parameter `{param}`")));
            }
        }
    }
    found
}

fn check_report(catalogue: &Catalogue, report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(param) = &report.due_day
        && catalogue.params.get(param).is_none_or(|param| param.kind != FieldKind::Int)
    {
        found.push(format!("due_day names no parameter of whole days: {param}"));
    }
    if let Some(units) = &report.units {
        match catalogue.ledger(&units.ledger) {
            None => found.push(format!("units: no ledger `{}`", units.ledger)),
            Some(ledger) => {
                let wrong = units.filter.check(&super::check::own_scope(ledger)).err();
                found.extend(wrong.map(|reason| format!("units: {reason}")));
            }
        }
    }
    for table in &report.tables {
        found.extend(check_table(catalogue, table));
    }
    for list in &report.lists {
        let Some(ledger) = catalogue.ledger(&list.ledger) else {
            found.push(format!("list {}: no ledger `{}`", list.id, list.ledger));
            continue;
        };
        let mut scope = super::check::own_scope(ledger);
        scope.extend(["first", "last"].map(|name| (name.to_owned(), Type::Text)));
        scope.insert("failed".into(), Type::List(Box::new(Type::Text)));
        if let Err(reason) = list.filter.check(&scope) {
            found.push(format!("list {}: {reason}", list.id));
        }
        let is_date = |id: &String| ledger.field(id).is_some_and(|one| one.kind == FieldKind::Date);
        if let Some(by) = list.by.as_ref().filter(|by| !is_date(by)) {
            found.push(format!("list {}: no date `{by}`", list.id));
        }
        let wrong = list.columns.iter().filter_map(|column| List::check_column(ledger, column));
        found.extend(wrong.map(|reason| format!("list {}: {reason}", list.id)));
    }
    for ledger in report.late.iter().filter(|id| catalogue.ledger(id).is_none()) {
        found.push(format!("late names no ledger `{ledger}`"));
    }
    found
}

fn check_table(catalogue: &Catalogue, table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let has = |id: &String| table.columns.iter().any(|column| column.id == *id);
    for column in &table.columns {
        for id in column.indicators() {
            match catalogue.indicator(id) {
                None => found.push(format!("column {}: no indicator `{id}`", column.id)),
                Some((_, one)) if column.over != Over::Now && !one.is_flow() => {
                    let id = &column.id;
                    found.push(format!("column {id}: `{}` is standing, over = now", one.id));
                }
                Some(_) => {}
            }
        }
        let summed = column.indicators().next().is_some();
        if summed == column.owed.is_some() {
            found.push(format!("column {}: either indicators or `owed`", column.id));
        }
        let averages = matches!(column.written, Written::Average | Written::MoneyAverage);
        if averages && column.per.is_empty() {
            found.push(format!("column {}: an average needs `per`", column.id));
        }
    }
    let sides = table.balance.iter().flat_map(|one| one.left.iter().chain(&one.right));
    let ranked = table.rank.iter().flat_map(|rank| rank.parts.values().flatten());
    for id in sides.chain(ranked).filter(|id| !has(id)) {
        found.push(format!("table {}: no column `{id}`", table.id));
    }
    if let Some(rank) = &table.rank {
        let weights = catalogue.params.get(&rank.param).map(|param| &param.kind);
        if !matches!(weights, Some(FieldKind::Weights(_))) {
            found.push(format!("rank names no parameter of weights: {}", rank.param));
        }
        for part in rank.complete.iter().filter(|part| !rank.parts.contains_key(*part)) {
            found.push(format!("table {}: no part `{part}` to be complete", table.id));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_a_list_names_fields_and_columns_of_logs() {
        let parts = |column| List::parts(column).collect::<Vec<_>>();
        assert_eq!(parts("due_on"), [("due_on", None)]);
        assert_eq!(
            parts("told.day|told_above.day"),
            [("told", Some("day")), ("told_above", Some("day"))]
        );
    }
}
