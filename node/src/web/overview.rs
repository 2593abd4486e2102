//! The overview of a level: figures, bars, trends and progress as the catalogue declares them, each with
//! how complete it is and the policy under which it was computed, each leading to the records that make it.
//!
//! Reads single sums only: what a page costs does not grow with the records.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;
use taizhang_core::catalogue::{Chart, ChartKind, FieldKind, Indicator, Ledger, Rule, When};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::place::Tree;
use taizhang_core::time::Date;

use super::below::{Crumb, coverage_brief, coverage_line, crumbs, place_of};
use super::chart::{self, Bar, Group, Mark, Point, Progress, Tile};
use super::reading::may_list;
use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use super::{Page, PageError};
use crate::driver::{Replica, clock};
use crate::engine::values::{display, yuan};
use crate::health::View;
use crate::small::{Close, SMALL, Small};
use crate::viewer::Viewer;

/// Months of a trend.
const MONTHS: i64 = 12;
/// Steps from a village to the place shown at most.
const DEPTH_MAX: usize = 12;
/// Where periods of any time begin and end, as texts.
const EVER: (&str, &str) = ("0", "~");

/// What the address bar says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct At {
    place: String,
    month: String,
}

/// An indicator in a figure.
struct Part {
    sign: &'static str,
    label: String,
    shown: String,
    link: String,
}

/// A figure, or a chart, with what it rests on.
struct Card {
    label: String,
    /// The figure in words; empty for bars and trends.
    shown: String,
    /// Where the figure itself leads; nowhere if no one list has its records.
    link: String,
    parts: Vec<Part>,
    /// What time it is of.
    time: String,
    /// Values of policy under which it was computed, with their documents.
    policy: Vec<String>,
    svg: String,
    twin: String,
}

struct PlaceRow {
    name: String,
    link: String,
    coverage: String,
    newest: String,
    is_silent: bool,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    name: String,
    place: String,
    month: String,
    previous: String,
    next: String,
    crumbs: Vec<Crumb>,
    coverage: String,
    brief: String,
    figures: Vec<Card>,
    charts: Vec<Card>,
    places: Vec<PlaceRow>,
    tiles: String,
    tiles_twin: String,
}

/// Sums that a page shows.
#[derive(Default)]
struct Numbers {
    /// By place and indicator.
    sums: BTreeMap<(PlaceId, String), i64>,
    /// By indicator and month.
    months: BTreeMap<(String, String), i64>,
}

/// A chart's sum at a place.
#[derive(Clone, Copy)]
struct Sum {
    part: i64,
    whole: Option<i64>,
    is_money: bool,
}

/// Who looks, at what.
struct Look<'a> {
    replica: &'a Replica,
    directives: &'a Directives,
    view: &'a View,
    place: PlaceId,
    children: Vec<PlaceId>,
    /// `2018-05`, or empty for all time.
    month: String,
    english: bool,
    viewer: Viewer,
    small: Small<'a>,
}

/// Whether a figure in words begins with a number.
fn is_number(shown: &str) -> bool {
    shown.starts_with(|one: char| one.is_ascii_digit() || one == '-')
}

fn amount(value: i64, is_money: bool) -> String {
    if is_money { yuan(value) } else { chart::grouped(value) }
}

impl Look<'_> {
    fn t(&self, key: &'static str) -> &'static str {
        word(key, self.english)
    }

    fn today(&self) -> Date {
        self.view.at.date()
    }

    /// The day whose policy is named: the last of the month shown, today at most.
    fn day(&self) -> Date {
        let first = Date::parse(&format!("{}-01", self.month));
        let last = first.map(|first| first.plus_months(1).plus_days(-1));
        last.map_or_else(|| self.today(), |last| last.min(self.today()))
    }

    /// The periods of an indicator that a figure adds up.
    fn span(&self, ledger: &Ledger, one: &Indicator) -> (String, String) {
        let by_year = match &one.when {
            When::Field(id) => ledger.field(id).is_some_and(|one| one.kind == FieldKind::Year),
            _ => false,
        };
        let (from, to) = match (one.is_flow(), self.month.as_str()) {
            (false, _) => ("", ""),
            (true, "") => EVER,
            (true, month) if by_year => (&month[..4], &month[..4]),
            (true, month) => (month, month),
        };
        (from.to_owned(), to.to_owned())
    }

    /// The last months up to the one shown, oldest first.
    fn months(&self) -> Vec<String> {
        let last = Date::parse(&format!("{}-01", self.month)).unwrap_or_else(|| self.today());
        let months = (0..MONTHS).rev().map(|back| last.plus_months(-back).to_string());
        months.map(|mut day| day.drain(..7).collect()).collect()
    }

    /// Reads every sum of the charts from one snapshot.
    fn numbers(&self, charts: &[Arc<Chart>], months: &[String]) -> Result<Numbers, PageError> {
        let (first, last) = match (months.first(), months.last()) {
            (Some(first), Some(last)) => (first.as_str(), last.as_str()),
            _ => ("", ""),
        };
        let found = self.replica.readers().with(|reader| {
            let mut numbers = Numbers::default();
            for chart in charts {
                for id in indicators(chart) {
                    let Some((ledger, one)) = self.directives.catalogue.indicator(id) else {
                        continue;
                    };
                    if chart.kind == ChartKind::Trend {
                        for (month, value) in reader.trend(self.place, id, first, last)? {
                            numbers.months.insert((id.clone(), month), value);
                        }
                        continue;
                    }
                    let (from, to) = self.span(ledger, one);
                    let below = self.children.iter().filter(|_| chart.kind == ChartKind::Bars);
                    for at in std::iter::once(&self.place).chain(below) {
                        let key = (*at, id.clone());
                        if let Entry::Vacant(free) = numbers.sums.entry(key) {
                            free.insert(reader.amount(*at, id, &from, &to)?);
                        }
                    }
                }
            }
            Ok(numbers)
        })?;
        Ok(found)
    }

    fn sum(&self, chart: &Chart, place: PlaceId, numbers: &Numbers) -> Sum {
        let add = |ids: &[String]| -> i64 {
            let values = ids.iter().map(|id| numbers.sums.get(&(place, id.clone())));
            values.map(|value| value.copied().unwrap_or(0)).sum()
        };
        Sum {
            part: add(&chart.add) - add(&chart.take),
            whole: (!chart.per.is_empty()).then(|| add(&chart.per)),
            is_money: self.is_money(chart),
        }
    }

    fn is_money(&self, chart: &Chart) -> bool {
        let first = chart.add.first().and_then(|id| self.directives.catalogue.indicator(id));
        first.is_some_and(|(_, one)| one.is_money)
    }

    /// Whether a parameter has a value here, or at a county below.
    fn is_set(&self, id: &str) -> bool {
        let day = self.day();
        let here = self.directives.param(id, self.place, day).value.is_some();
        let day = day.to_string();
        here || self.directives.policies.iter().any(|(at, versions)| {
            self.directives.tree.is_above_or_same(self.place, *at)
                && versions
                    .iter()
                    .any(|one| one.effective_from <= day && one.values.contains_key(id))
        })
    }

    /// Whether a figure is zero because its rules could not be checked: a parameter has no value.
    fn is_unchecked(&self, chart: &Chart) -> bool {
        let found = indicators(chart).filter_map(|id| self.directives.catalogue.indicator(id));
        let mut needed = found.flat_map(|(ledger, one)| params(ledger, one));
        needed.any(|id| !self.is_set(id))
    }

    /// A figure in words. Zero, not checked, and no data are three different things.
    fn shown(&self, chart: &Chart, place: PlaceId, sum: Sum) -> String {
        let figure = Close { of: &chart.add, per: &chart.per };
        if self.small.is_few(&figure, sum.part, sum.whole) {
            return SMALL.to_owned();
        }
        match sum.whole {
            None if sum.part == 0 && !self.view.has_data(place) => "—".to_owned(),
            None if sum.part == 0 && self.is_unchecked(chart) => {
                self.t("home.unchecked").to_owned()
            }
            None => amount(sum.part, sum.is_money),
            Some(whole) => {
                let share = chart::percent(sum.part, whole).unwrap_or_else(|| "—".to_owned());
                let (part, whole) = (amount(sum.part, sum.is_money), amount(whole, sum.is_money));
                format!("{part}/{whole} = {share}")
            }
        }
    }

    /// Where the records of indicators stand, if one ledger has them all and nothing is taken away.
    fn records(&self, ids: &[String], place: PlaceId) -> String {
        self.list(ids, place, |ledger, one| self.span(ledger, one))
    }

    /// A list of what counts in some indicators, which belong to one ledger and time; nowhere if the list would
    /// say more than the visitor may see.
    fn list(
        &self,
        ids: &[String],
        place: PlaceId,
        span: impl Fn(&Ledger, &Indicator) -> (String, String),
    ) -> String {
        let found = |id: &String| {
            let (ledger, one) = self.directives.catalogue.indicator(id)?;
            let listed = may_list(self.viewer, ledger, one, &self.directives.catalogue);
            listed.then(|| (ledger.id.as_str(), span(ledger, one)))
        };
        let Some(first) = ids.first().and_then(found) else { return String::new() };
        if ids.iter().any(|id| found(id).as_ref() != Some(&first)) {
            return String::new();
        }
        let (ledger, (from, to)) = first;
        let times = match from.as_str() {
            "" | "0" => String::new(),
            _ => format!("&from={from}&to={to}"),
        };
        format!("/ledgers/{ledger}?figure={}{times}&place={place}", ids.join(","))
    }

    /// Where a chart's records stand; nowhere if it takes something away.
    fn single(&self, chart: &Chart, place: PlaceId) -> String {
        match chart.take.is_empty() {
            true => self.records(&chart.add, place),
            false => String::new(),
        }
    }

    /// The same of one month.
    fn records_of_month(&self, chart: &Chart, month: &str) -> String {
        match chart.take.is_empty() {
            true => self.list(&chart.add, self.place, |_, _| (month.to_owned(), month.to_owned())),
            false => String::new(),
        }
    }

    fn parts(&self, chart: &Chart, numbers: &Numbers) -> Vec<Part> {
        let signed = [("", &chart.add), ("−", &chart.take), ("÷", &chart.per)];
        let all = signed.iter().flat_map(|(sign, ids)| ids.iter().map(move |id| (*sign, id)));
        let parts: Vec<Part> = all
            .enumerate()
            .filter_map(|(at, (sign, id))| {
                let (_, one) = self.directives.catalogue.indicator(id)?;
                let value = numbers.sums.get(&(self.place, id.clone())).copied().unwrap_or(0);
                Some(Part {
                    sign: if at > 0 && sign.is_empty() { "+" } else { sign },
                    label: one.label.in_lang(self.english).to_owned(),
                    shown: match self.small.hides(std::slice::from_ref(id), value) {
                        true => SMALL.to_owned(),
                        false => amount(value, one.is_money),
                    },
                    link: self.records(std::slice::from_ref(id), self.place),
                })
            })
            .collect();
        // One indicator is the figure itself.
        if parts.len() > 1 { parts } else { Vec::new() }
    }

    /// What time a chart is of.
    fn time(&self, chart: &Chart) -> String {
        let found = chart.add.first().and_then(|id| self.directives.catalogue.indicator(id));
        match (found.is_some_and(|(_, one)| one.is_flow()), self.month.as_str()) {
            (false, _) => self.t("overview.standing").to_owned(),
            (true, "") => self.t("overview.ever").to_owned(),
            (true, month) => month.to_owned(),
        }
    }

    /// A parameter's value here with its unit and the documents that say so.
    fn policy(&self, id: &str) -> Option<String> {
        let catalogue = &self.directives.catalogue;
        let param = catalogue.params.get(id)?;
        let label = param.label.in_lang(self.english);
        let found = self.directives.param(id, self.place, self.day());
        let Some(value) = &found.value else {
            return Some(format!("{label}: {}", self.t("policy.unset")));
        };
        let local = found.local.as_ref().filter(|_| !found.overridden);
        let records = found.upper.iter().chain(local).map(|(_, record)| *record);
        let versions = || self.directives.policies.values().flatten();
        let documents: Vec<&str> = records
            .filter_map(|record| versions().find(|version| version.record == record))
            .map(|version| version.doc_no.as_str())
            .collect();
        let text = display(&param.kind, value, catalogue, self.english);
        let unit = param.unit.in_lang(self.english);
        let space = if unit.is_empty() { "" } else { " " };
        Some(format!("{label}: {text}{space}{unit}（{}）", documents.join("、")))
    }

    fn policies(&self, chart: &Chart) -> Vec<String> {
        let found = indicators(chart).filter_map(|id| self.directives.catalogue.indicator(id));
        let mut ids: Vec<&String> = found.flat_map(|(ledger, one)| params(ledger, one)).collect();
        ids.extend(chart.target.iter().chain(&chart.until));
        ids.sort();
        ids.dedup();
        ids.into_iter().filter_map(|id| self.policy(id)).collect()
    }

    fn card(&self, chart: &Chart, numbers: &Numbers, months: &[String]) -> Card {
        let label = chart.label.in_lang(self.english).to_owned();
        let mut card = Card {
            shown: String::new(),
            link: String::new(),
            parts: self.parts(chart, numbers),
            time: self.time(chart),
            policy: self.policies(chart),
            svg: String::new(),
            twin: String::new(),
            label,
        };
        let sum = self.sum(chart, self.place, numbers);
        match chart.kind {
            ChartKind::Figure => {
                card.shown = self.shown(chart, self.place, sum);
                card.link = self.single(chart, self.place);
            }
            ChartKind::Bars => {
                card.shown = self.shown(chart, self.place, sum);
                card.link = self.single(chart, self.place);
                (card.svg, card.twin) = self.bars(chart, numbers, &card.label);
            }
            ChartKind::Trend => {
                card.parts.clear();
                card.time.clear();
                (card.svg, card.twin) = self.trend(chart, numbers, months, &card.label);
            }
            ChartKind::Progress => (card.svg, card.twin) = self.progress(chart, sum, &card.label),
        }
        card
    }

    /// One bar a child; shares by their tenths of a percent.
    fn bars(&self, chart: &Chart, numbers: &Numbers, label: &str) -> (String, String) {
        let bar = |place: &PlaceId| {
            let sum = self.sum(chart, *place, numbers);
            let shown = self.shown(chart, *place, sum);
            let value = match sum.whole {
                None => Some(sum.part),
                Some(0) => None,
                Some(whole) => sum.part.checked_mul(1000).map(|part| part / whole),
            };
            Bar {
                label: place_name(self.directives, *place),
                drill: format!("/overview?place={place}&month={}", self.month),
                // What is not checked, or not there, has no bar.
                value: value.filter(|_| is_number(&shown)),
                shown,
                link: self.single(chart, *place),
            }
        };
        let bars: Vec<Bar> = self.children.iter().map(bar).collect();
        let heads = [self.t("places.place").to_owned(), label.to_owned()];
        let rows: Vec<Vec<String>> =
            bars.iter().map(|bar| vec![bar.label.clone(), bar.shown.clone()]).collect();
        (chart::bars(label, &bars), chart::twin(label, &heads, &rows))
    }

    fn trend(
        &self,
        chart: &Chart,
        numbers: &Numbers,
        months: &[String],
        label: &str,
    ) -> (String, String) {
        let is_money = self.is_money(chart);
        let points: Vec<Point> = months
            .iter()
            .map(|month| {
                let add = |ids: &[String]| -> i64 {
                    let keys = ids.iter().map(|id| (id.clone(), month.clone()));
                    keys.map(|key| numbers.months.get(&key).copied().unwrap_or(0)).sum()
                };
                let value = add(&chart.add) - add(&chart.take);
                let link = self.records_of_month(chart, month);
                Point { month: month.clone(), value, shown: amount(value, is_money), link }
            })
            .collect();
        let heads = [self.t("overview.month").to_owned(), label.to_owned()];
        let rows: Vec<Vec<String>> =
            points.iter().map(|point| vec![point.month.clone(), point.shown.clone()]).collect();
        (chart::trend(label, &points), chart::twin(label, &heads, &rows))
    }

    /// A share against the target of its parameter, with the day until which.
    fn progress(&self, chart: &Chart, sum: Sum, label: &str) -> (String, String) {
        let value = |id: &String| self.directives.param(id, self.place, self.day()).value;
        let until = chart.until.as_ref().map(|id| {
            let day = value(id).and_then(|value| value.as_text().and_then(Date::parse));
            match day {
                None => format!("{}: {}", self.t("overview.until"), self.t("policy.unset")),
                Some(day) => {
                    let left = day.to_days() - self.today().to_days();
                    format!(
                        "{} {day}（{} {left}）",
                        self.t("overview.until"),
                        self.t("overview.left")
                    )
                }
            }
        });
        let target = chart.target.as_ref().map(|id| value(id).and_then(|value| value.as_int()));
        let mut marks: Vec<(i64, String)> = Vec::new();
        let mut words = Vec::new();
        match target {
            Some(Some(percent)) => {
                words.push(format!("{} {percent} %", self.t("overview.target")));
                marks.push((percent, words[0].clone()));
            }
            Some(None) => {
                words.push(format!("{}: {}", self.t("overview.target"), self.t("policy.unset")));
                marks.push((0, words[0].clone()));
            }
            None => {}
        }
        if let Some(until) = until {
            marks.push((100, until.clone()));
            words.push(until);
        }
        let shown = self.shown(chart, self.place, sum);
        let share = sum.whole.map(|whole| (sum.part, whole));
        let link = self.single(chart, self.place);
        let way = Progress { share, shown: shown.clone(), link, marks };
        let heads = [label.to_owned(), String::new()];
        (
            chart::progress(label, &way),
            chart::twin(label, &heads, &[vec![shown, words.join(" · ")]]),
        )
    }

    fn place_rows(&self) -> Vec<PlaceRow> {
        let row = |id: &PlaceId| {
            let known = self.view.of(*id);
            let cover = self.view.cover(*id);
            let newest = match self.directives.tree.place(*id).map(|place| place.level) {
                Some(Level::Village) => known.newest,
                _ => cover.oldest,
            };
            PlaceRow {
                name: place_name(self.directives, *id),
                link: format!("/overview?place={id}&month={}", self.month),
                coverage: coverage_line(&cover, self.view.at, self.english),
                newest: match newest.0 {
                    0 => "—".to_owned(),
                    _ => Replica::ago(newest, self.english),
                },
                is_silent: self.view.is_silent(*id),
            }
        };
        self.children.iter().map(row).collect()
    }

    /// How fresh the data of every village below are, grouped by the place under the one shown.
    fn tiles(&self) -> (String, String) {
        let mut below: BTreeMap<PlaceId, Vec<PlaceId>> = BTreeMap::new();
        for id in &self.view.villages {
            let Some(top) = child_above(&self.directives.tree, self.place, *id) else { continue };
            let top = if top == *id { self.place } else { top };
            below.entry(top).or_default().push(*id);
        }
        let total: usize = below.values().map(Vec::len).sum();
        let tops = self.children.iter().chain([&self.place]);
        let groups: Vec<Group> = tops
            .filter_map(|top| Some((*top, below.get(top)?)))
            .map(|(top, villages)| Group {
                name: place_name(self.directives, top),
                link: if top == self.place {
                    String::new()
                } else {
                    format!("/overview?place={top}")
                },
                tiles: villages.iter().map(|id| self.tile(*id, total)).collect(),
            })
            .collect();
        let keys = ["overview.fresh", "places.parked", "overview.silent", "overview.never"];
        let words = keys.map(|key| self.t(key));
        let label = self.t("overview.freshness");
        let mut heads = vec![self.t("places.place").to_owned()];
        heads.extend(words.iter().map(|word| (*word).to_owned()));
        let rows: Vec<Vec<String>> = groups
            .iter()
            .map(|group| {
                let marks = [Mark::Good, Mark::Part, Mark::Bad, Mark::Unknown];
                let counts = marks.iter().map(|mark| group.count(*mark).to_string());
                std::iter::once(group.name.clone()).chain(counts).collect()
            })
            .collect();
        (chart::tiles(label, &groups, &words), chart::twin(label, &heads, &rows))
    }

    fn tile(&self, id: PlaceId, total: usize) -> Tile {
        let known = self.view.of(id);
        let mark = match known {
            _ if self.view.is_silent(id) => Mark::Bad,
            known if known.heard.0 == 0 && id != self.replica.place() => Mark::Unknown,
            known if known.parked > 0 => Mark::Part,
            _ => Mark::Good,
        };
        // Beyond that many, tiles carry no words: they would make up most of the page.
        if total > chart::TITLED_MAX {
            let empty = String::new;
            return Tile { name: empty(), title: empty(), link: empty(), mark };
        }
        Tile {
            name: place_name(self.directives, id),
            title: Replica::ago(known.heard, self.english),
            link: format!("/overview?place={id}"),
            mark,
        }
    }
}

/// Parameters that the rules behind an indicator read.
fn params<'a>(ledger: &'a Ledger, one: &Indicator) -> Vec<&'a String> {
    let named = |rule: &&Arc<Rule>| one.filter.source().contains(&rule.id);
    ledger.rules.iter().filter(named).flat_map(|rule| &rule.params).collect()
}

/// The place directly below `top` on the way to another one.
fn child_above(tree: &Tree, top: PlaceId, place: PlaceId) -> Option<PlaceId> {
    let mut at = place;
    for _ in 0..DEPTH_MAX {
        match tree.parent(at)? {
            parent if parent == top => return Some(at),
            parent => at = parent,
        }
    }
    None
}

/// Every indicator of a chart.
fn indicators(chart: &Chart) -> impl Iterator<Item = &String> {
    chart.add.iter().chain(&chart.take).chain(&chart.per)
}

/// The month that an address names; none if it is no month.
fn month_of(text: &str) -> Option<String> {
    Date::parse(&format!("{text}-01")).map(|_| text.to_owned())
}

/// The overview of a place.
///
/// # Errors
///
/// [`PageError::NotFound`] for a place that is not below this office.
pub async fn show(State(replica): State<Replica>, Query(at): Query<At>, visitor: Visitor) -> Page {
    let place = place_of(&replica, &at.place)?;
    let (directives, view) = (replica.directives(), replica.view()?);
    let english = visitor.english;
    let look = Look {
        replica: &replica,
        directives: &directives,
        view: &view,
        place,
        children: directives.tree.children(place),
        month: month_of(&at.month).unwrap_or_default(),
        english,
        viewer: visitor.viewer(&replica),
        small: Small::at(&directives, replica.place(), clock::now().date()),
    };
    let level = directives.tree.place(place).map(|place| place.level);
    let shown = |chart: &&Arc<Chart>| level.is_some_and(|level| chart.at.contains(&level));
    let charts: Vec<Arc<Chart>> =
        directives.catalogue.charts.iter().filter(shown).cloned().collect();
    let months = look.months();
    let numbers = look.numbers(&charts, &months)?;
    let (mut figures, mut others) = (Vec::new(), Vec::new());
    for chart in &charts {
        let card = look.card(chart, &numbers, &months);
        if chart.kind == ChartKind::Figure { figures.push(card) } else { others.push(card) }
    }
    let beside = |by: i64| -> String {
        let month = look.month.as_str();
        let from = Date::parse(&format!("{month}-01")).unwrap_or_else(|| look.today());
        from.plus_months(by).to_string().chars().take(7).collect()
    };
    let (tiles, tiles_twin) =
        if look.children.is_empty() { Default::default() } else { look.tiles() };
    let cover = view.cover(place);
    let page = Overview {
        shell: Shell::new(&replica, &visitor)?,
        name: place_name(&directives, place),
        place: place.to_string(),
        previous: beside(-1),
        next: beside(1),
        crumbs: crumbs(&replica, place, "/overview"),
        coverage: coverage_line(&cover, view.at, english),
        brief: coverage_brief(&cover, view.at, english),
        figures,
        charts: others,
        places: look.place_rows(),
        tiles,
        tiles_twin,
        month: look.month.clone(),
    };
    Ok(Html(page.render()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_read_or_left_out() {
        assert_eq!(month_of("2018-05").as_deref(), Some("2018-05"));
        for text in ["", "2018", "2018-13", "2018-05-01", "../x"] {
            assert_eq!(month_of(text), None, "{text}");
        }
    }
}
