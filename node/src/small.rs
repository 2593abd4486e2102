//! Small numbers of people that do not show: few enough to be known by name (R-PRV-02, DOMAIN.md §5.2).

use taizhang_core::catalogue::{Catalogue, Indicator};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::record::value::Value;
use taizhang_core::time::Date;

/// The parameter with the least number that shows.
const PARAM: &str = "small_cell_min";

/// What stands for a number that does not show.
pub const SMALL: &str = "*";

/// The indicators of a figure, and those of its denominator.
#[derive(Clone, Copy, Debug)]
pub struct Close<'a> {
    /// What is counted.
    pub of: &'a [String],
    /// Out of what.
    pub per: &'a [String],
}

/// Which numbers do not show at an office.
#[derive(Clone, Debug)]
pub struct Small<'a> {
    catalogue: &'a Catalogue,
    least: i64,
}

impl<'a> Small<'a> {
    /// By the parameter in force at the office on a day. Villages and townships look after these people:
    /// there everything shows.
    pub fn at(directives: &'a Directives, office: PlaceId, day: Date) -> Self {
        let level = directives.tree.place(office).map_or(Level::City, |place| place.level);
        if level >= Level::County {
            Self::for_strangers(directives, office, day)
        } else {
            Self { catalogue: &directives.catalogue, least: 0 }
        }
    }

    /// The same for whoever has no account, at any office.
    pub fn for_strangers(directives: &'a Directives, office: PlaceId, day: Date) -> Self {
        let catalogue = &*directives.catalogue;
        let found = directives.param(PARAM, office, day).value;
        // Before the first version is in force people are few just the same.
        let least = found.as_ref().or_else(|| catalogue.params.get(PARAM)?.initial.as_ref());
        Self { catalogue, least: least.and_then(Value::as_int).unwrap_or(0) }
    }

    /// An indicator by its id.
    pub fn indicator(&self, id: &str) -> Option<&'a Indicator> {
        self.catalogue.indicator(id).map(|(_, one)| &**one)
    }

    /// Whether any of these indicators counts people so closely.
    pub fn is_close(&self, indicators: &[String]) -> bool {
        let close = |id: &String| self.indicator(id).is_some_and(|one| one.is_small);
        self.least > 0 && indicators.iter().any(close)
    }

    /// Whether a figure does not show: because of itself, or of its denominator.
    pub fn is_few(&self, figure: &Close<'_>, value: i64, per: Option<i64>) -> bool {
        self.hides(figure.of, value) || per.is_some_and(|per| self.hides(figure.per, per))
    }

    /// Which figures of a column do not show: those of the units, and last that of them all. Where one
    /// unit alone is left out, the sum would tell it: then the next smallest goes too, or the sum.
    pub fn column(&self, figure: &Close<'_>, cells: &[(i64, Option<i64>)]) -> Vec<bool> {
        let mut hidden: Vec<bool> =
            cells.iter().map(|(value, per)| self.is_few(figure, *value, *per)).collect();
        let Some((sum, units)) = hidden.split_last_mut() else { return hidden };
        if units.iter().filter(|hidden| **hidden).count() == 1 {
            let shown = (0..units.len()).filter(|at| !units[*at] && cells[*at].0 != 0);
            match shown.min_by_key(|at| cells[*at].0) {
                Some(next) => units[next] = true,
                None => *sum = true,
            }
        }
        hidden
    }

    /// Whether a sum of these indicators does not show.
    pub fn hides(&self, indicators: &[String], value: i64) -> bool {
        self.is_too_few(value) && self.is_close(indicators)
    }

    /// Whether so many people are few enough to be known by name.
    pub fn is_too_few(&self, people: i64) -> bool {
        (1..self.least).contains(&people)
    }
}
