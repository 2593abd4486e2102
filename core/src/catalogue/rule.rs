//! Rules as a part writes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::expression::Expression;
use super::{Catalogue, Field, Ledger, Rule, Severity, Text, Uses};

impl Rule {
    /// Fields of its own record that a finding tells of: those that it marks, and those that it reads.
    pub fn own_fields<'a>(&'a self, ledger: &'a Ledger) -> impl Iterator<Item = &'a Field> {
        ledger.fields.iter().filter(|field| {
            self.fields.contains(&field.id)
                || self.uses.values().any(|uses| uses.eq == field.id)
                || self.texts().any(|text| text.reads(&field.id))
        })
    }

    /// Fields that it reads of linked records.
    pub fn linked_fields<'a>(
        &'a self,
        catalogue: &'a Catalogue,
    ) -> impl Iterator<Item = &'a Field> {
        self.uses.values().flat_map(|uses| {
            let fields = catalogue.ledger(&uses.ledger).map(|ledger| &ledger.fields);
            fields.into_iter().flatten().filter(|field| {
                uses.by == field.id || self.texts().any(|text| text.selects(&field.id))
            })
        })
    }

    fn texts(&self) -> impl Iterator<Item = &Expression> {
        self.applies.iter().chain([&self.assert])
    }
}

/// As written in a part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) id: String,
    severity: Severity,
    zh: String,
    en: String,
    pub(super) applies: Option<Spanned<String>>,
    pub(super) assert: Spanned<String>,
    #[serde(default)]
    uses: BTreeMap<String, RawUses>,
    #[serde(default)]
    params: Vec<String>,
    #[serde(default)]
    figures: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    at: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    about_place: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUses {
    ledger: String,
    #[serde(default)]
    by: String,
    #[serde(default = "own_id")]
    eq: String,
    #[serde(default)]
    path: bool,
    #[serde(default)]
    below: bool,
}

fn own_id() -> String {
    "_id".into()
}

impl RawRule {
    /// The rule, given its expressions.
    pub(super) fn read(self, assert: Expression, applies: Option<Expression>) -> Rule {
        let dated = assert.reads_today()
            || applies.as_ref().is_some_and(Expression::reads_today)
            || !self.figures.is_empty()
            || self.uses.values().any(|uses| uses.below);
        let uses = self.uses.into_iter().map(|(name, uses)| {
            let RawUses { ledger, by, eq, path, below } = uses;
            (name, Uses { ledger, by, eq, path, below })
        });
        Rule {
            id: self.id,
            severity: self.severity,
            text: Text { zh: self.zh, en: self.en },
            applies,
            assert,
            uses: uses.collect(),
            params: self.params,
            figures: self.figures,
            needs: self.needs,
            at: self.at,
            dated,
            fields: self.fields,
            about_place: self.about_place,
        }
    }
}
