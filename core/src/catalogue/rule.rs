//! Rules as a part writes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::expression::Expression;
use super::{Rule, Severity, Text, Uses};

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
