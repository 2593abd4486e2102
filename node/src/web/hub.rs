//! Pages of a hub: places with freshness and roll-ups.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;
use taizhang_core::catalogue::report::Written;
use taizhang_core::catalogue::{Chart, ChartKind};
use taizhang_core::directives::Directives;
use taizhang_core::id::Level;

use super::below::coverage_line;
use super::report_view::figure;
use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use super::{Page, PageError};
use crate::driver::{Replica, clock};
use crate::report::Cell;
use crate::small::{Close, Small};

/// What the address bar says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Under {
    under: String,
}

struct PlaceLine {
    name: String,
    link: String,
    code: String,
    values: Vec<String>,
    coverage: String,
    newest: String,
    contact: String,
}

#[derive(Template)]
#[template(path = "places.html")]
struct Places {
    shell: Shell,
    name: String,
    as_of: String,
    heads: Vec<String>,
    rows: Vec<PlaceLine>,
}

/// A figure of the own place for the first page: label and value.
pub(super) struct Figure {
    pub(super) label: String,
    pub(super) value: String,
}

/// The figures that the catalogue declares for the overview of a level.
fn cards(directives: &Directives, level: Level) -> impl Iterator<Item = &Arc<Chart>> {
    let shown =
        move |chart: &&Arc<Chart>| chart.kind == ChartKind::Figure && chart.at.contains(&level);
    directives.catalogue.charts.iter().filter(shown)
}

/// A chart's figure, from the sums of a place.
fn card(chart: &Chart, sums: &BTreeMap<String, i64>, small: &Small<'_>) -> String {
    let sum = |ids: &[String]| ids.iter().filter_map(|id| sums.get(id)).sum::<i64>();
    let value = sum(&chart.add) - sum(&chart.take);
    let per = (!chart.per.is_empty()).then(|| sum(&chart.per));
    let first = chart.add.first().and_then(|id| small.indicator(id));
    let written = match first.is_some_and(|one| one.is_money) {
        true => Written::Money,
        false => Written::Plain,
    };
    figure(
        written,
        Cell {
            value,
            per,
            hidden: small.is_few(&Close { of: &chart.add, per: &chart.per }, value, per),
        },
    )
}

/// Figures of the own place, and their coverage.
pub(super) fn figures(
    replica: &Replica,
    english: bool,
) -> Result<(Vec<Figure>, String), PageError> {
    let place = replica.place();
    let sums: BTreeMap<String, i64> =
        replica.readers().with(|reader| reader.rollup(place))?.into_iter().collect();
    let directives = replica.directives();
    let small = Small::at(&directives, place, clock::now().date());
    let level = replica.identity().checked.name.level();
    let figures = cards(&directives, level).map(|chart| Figure {
        label: chart.label.in_lang(english).to_owned(),
        value: card(chart, &sums, &small),
    });
    let view = replica.view()?;
    let coverage = coverage_line(&view.cover(place), view.at, english);
    Ok((figures.collect(), coverage))
}

/// A place and its children: figures, coverage, freshness.
///
/// # Errors
///
/// [`PageError`].
pub async fn places(
    State(replica): State<Replica>,
    Query(query): Query<Under>,
    visitor: Visitor,
) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let under = query.under.parse().unwrap_or_else(|_| replica.place());
    if !directives.tree.is_above_or_same(replica.place(), under) {
        return Err(PageError::NotFound);
    }
    let view = replica.view()?;
    let level = replica.identity().checked.name.level();
    let small = Small::at(&directives, replica.place(), clock::now().date());
    let charts: Vec<&Arc<Chart>> = cards(&directives, level).collect();
    let mut rows = Vec::new();
    for id in std::iter::once(under).chain(directives.tree.children(under)) {
        let Some(place) = directives.tree.place(id) else { continue };
        let sums: BTreeMap<String, i64> =
            replica.readers().with(|reader| reader.rollup(id))?.into_iter().collect();
        let cover = view.cover(id);
        let values = charts.iter().map(|chart| match cover.has_data {
            false => word("places.no_data", english).to_owned(),
            true => card(chart, &sums, &small),
        });
        let known = view.of(id);
        let when = |time: taizhang_core::time::UtcMillis| match time.0 {
            0 => "—".to_owned(),
            _ => format!("{} ({})", Replica::ago(time, english), time.local_text()),
        };
        let has_children = place.level > Level::Village && id != under;
        rows.push(PlaceLine {
            name: place.name().to_owned(),
            link: if has_children { id.to_string() } else { String::new() },
            code: place.code().to_owned(),
            values: values.collect(),
            coverage: coverage_line(&cover, view.at, english),
            newest: when(known.newest),
            contact: when(known.heard),
        });
    }
    let page = Places {
        shell: Shell::new(&replica, &visitor)?,
        name: place_name(&directives, under),
        as_of: clock::now().local_text(),
        heads: charts.iter().map(|one| one.label.in_lang(english).to_owned()).collect(),
        rows,
    };
    Ok(Html(page.render()?))
}
