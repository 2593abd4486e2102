//! The catalogue: every ledger, field, workflow, rule, indicator and parameter as data.
//!
//! Parts (a base and one file a ledger) are TOML texts that the city publishes as directives; this
//! module turns the parts in force into one [`Catalogue`]. Forms, tables, validation, roll-ups and
//! verdicts derive from it, so a new ledger needs no new code.
//!
//! Read in this order: this page (what there is), [`parse`] (TOML with positions), [`check`] (what
//! must hold between parts), [`expression`] (CEL: limits and types), [`indicator`] and [`report`] (figures), [`board`] (tables for everybody),
//! [`workflow`] (states and steps),
//! [`cases`] (rows on which each rule must hold and must not).

pub mod board;
pub mod cases;
pub mod check;
pub mod expression;
pub(crate) mod functions;
pub mod indicator;
pub mod parse;
pub mod report;
mod rule;
pub mod workflow;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Hash, Lane, Level, SliceKind};
use crate::record::value::Value;
pub use board::Board;
use expression::Expression;
pub use indicator::{Indicator, Measure, When};
pub use report::{Chart, ChartKind, Report};
pub use workflow::{Number, Spend, State, Transition, Workflow};

/// A text in both languages of the product.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// Chinese, the first language.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// The text in the language wanted.
    pub fn in_lang(&self, english: bool) -> &str {
        if english { &self.en } else { &self.zh }
    }
}

/// Which sides of bands are money: 分, typed and shown in 元.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Steps {
    /// The amount from which a step begins.
    pub from_money: bool,
    /// The figure of the step.
    pub figure_money: bool,
}

/// What a field holds. Units: money in 分, dates ISO, references record ids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FieldKind {
    /// Photos and scans, each a member such as [`crate::record::attachment`] words it.
    Attach,
    /// Ascending steps from an amount to a figure, such as income to star tier: [`crate::policy::band`].
    Bands(Steps),
    /// Account number; digits, shown as its last four.
    BankNo,
    /// True or false.
    Bool,
    /// A civil date.
    Date,
    /// One value of a vocabulary.
    Enum(String),
    /// Citizen identity number, GB 11643.
    IdNo,
    /// A whole number.
    Int,
    /// Append-only lines with their own columns.
    Log(Vec<LogColumn>),
    /// Integer 分.
    Money,
    /// A calendar month, `YYYY-MM`.
    Month,
    /// Long text.
    Note,
    /// Telephone number.
    Phone,
    /// A place by id.
    Place,
    /// A record of a ledger in the same slice, or of a register in a directive slice on its path.
    Ref(String),
    /// Values of a vocabulary.
    Set(String),
    /// Short text.
    Text,
    /// Whole numbers for the values of a vocabulary that add up to 100: `duty=20,work=80`.
    Weights(String),
    /// A calendar year.
    Year,
}

/// One column of a log field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogColumn {
    /// Column id.
    pub id: String,
    /// Label.
    pub label: Text,
    /// Scalar kinds only.
    pub kind: FieldKind,
    /// Whether a line needs it.
    pub required: bool,
}

/// How concurrent values of a field meet (DESIGN §3).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// All concurrent values are kept; a person decides.
    Conflict,
    /// Written by the creating entry only.
    Fixed,
    /// The greatest in the fold's order shows; notes only.
    Latest,
    /// Union of lines.
    Log,
    /// The greatest counted value ever written.
    Max,
    /// The least counted value ever written.
    Min,
    /// Single writing level; several replicas of that level fall back to conflict.
    Own,
    /// Add wins.
    Set,
}

/// When a field must be filled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Required {
    /// From the first save on.
    Always,
    /// Before the record may enter one of these states.
    At(Vec<String>),
    /// Never.
    No,
}

/// One field of a ledger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// Root key, or the part before the slash.
    pub id: String,
    /// Label.
    pub label: Text,
    /// What to enter, with the clause of the document.
    pub help: Text,
    /// What it holds.
    pub kind: FieldKind,
    /// When it must be filled.
    pub required: Required,
    /// Privacy class 0 to 3 (DOMAIN.md §5.1).
    pub privacy: u8,
    /// Levels that may write it.
    pub write: Vec<Level>,
    /// How concurrent values meet.
    pub merge: Merge,
    /// The level whose decision settles a conflict of this field.
    pub resolve: Level,
    /// Levels that will hold the key once sealed fields are delivered; empty if never sealed.
    pub sealed: Vec<Level>,
    /// Group of the paper form.
    pub group: Text,
    /// Further headers under which spreadsheets carry it.
    pub headers: Vec<String>,
    /// Of a log: the columns that alone make a line's id, so that a repetition counts once and
    /// differing contents are a conflict item.
    pub once_by: Vec<String>,
    /// Of a log: what one replica may add before its parent has confirmed it.
    pub unconfirmed: Option<Unconfirmed>,
}

impl Field {
    /// Whether a paper may carry it: numbers of people and accounts, and what will be sealed, are
    /// never printed (DOMAIN.md §5.2).
    pub fn is_printed(&self) -> bool {
        !matches!(self.kind, FieldKind::BankNo | FieldKind::IdNo) && self.sealed.is_empty()
    }
}

/// A bound on lines that no receipt of the parent covers yet: terminals that are off-line at once
/// overdraw by (terminals - 1) times it at most (DOMAIN.md §6, scenario 6).
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unconfirmed {
    /// The parameter with the bound.
    pub param: String,
    /// The column that is added up.
    pub sum: String,
    /// Only lines whose column ...
    pub column: String,
    /// ... has this value.
    pub value: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// W
    Warn,
    /// V: listed and counted in reports.
    Violation,
    /// B: stops the named step at the node that takes it.
    Block,
}

/// Related rows that a rule reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Uses {
    /// The ledger of the related rows.
    pub ledger: String,
    /// Their field that must equal [`Uses::eq`] of the row under test; all rows if empty.
    pub by: String,
    /// Field of the row under test; `_id` is its record id.
    pub eq: String,
    /// Rows of the directive slices on the path instead of the row's own slice.
    pub path: bool,
    /// Rows of the ledger slices of the row's place and of all places below it, by a field. They are known
    /// at offices at or above that place only, so that the rule is silent elsewhere.
    pub below: bool,
}

/// A predicate over one row.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Id of DOMAIN.md, Appendix A.
    pub id: String,
    /// How bad a finding is.
    pub severity: Severity,
    /// What a person reads.
    pub text: Text,
    /// Rows it applies to; all if absent.
    pub applies: Option<Expression>,
    /// What must hold.
    pub assert: Expression,
    /// Related rows by name.
    pub uses: BTreeMap<String, Uses>,
    /// Parameters it needs.
    pub params: Vec<String>,
    /// Standing indicators whose sum at the row's place it reads, as [`Uses::below`] only where that is known.
    pub figures: Vec<String>,
    /// Ledgers without which it reads 未检查.
    pub needs: Vec<String>,
    /// States it blocks entry to.
    pub at: Vec<String>,
    /// Whether the result depends on today, or on places below: what holders of the row may see differently,
    /// and no slice hash covers.
    pub dated: bool,
    /// Fields to mark.
    pub fields: Vec<String>,
    /// The field that carries the record's own business date, for parameters.
    pub about_place: bool,
}

impl Rule {
    /// Whether it reads what only offices at or above the row's place hold.
    pub fn looks_below(&self) -> bool {
        !self.figures.is_empty() || self.uses.values().any(|uses| uses.below)
    }
}

/// One ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Ledger id.
    pub id: String,
    /// Version of its part.
    pub version: u32,
    /// Name.
    pub label: Text,
    /// Clause of the document.
    pub clause: String,
    /// Levels whose slices hold its records.
    pub scope: Vec<Level>,
    /// Which kind of slice.
    pub slice: SliceKind,
    /// Which lane.
    pub lane: Lane,
    /// Fields that make a record's title.
    pub title: Vec<String>,
    /// Field of the record's own date, for parameters; the creation date if absent.
    pub business_date: Option<String>,
    /// Until when a record must be dealt with.
    pub due: Option<Due>,
    /// Fields in form order.
    pub fields: Vec<Field>,
    /// Workflow, if it has one.
    pub workflow: Option<Workflow>,
    /// Papers that can be printed of a record, beside the record itself.
    pub forms: Vec<Form>,
    /// Tables of its records for a wall or a screen.
    pub boards: Vec<Arc<Board>>,
    /// A void stays, also against edits made apart from it.
    pub void_wins: bool,
    /// Field whose equal values make two records of this ledger duplicates, wherever they stand.
    pub identity: Option<String>,
    /// Declared, but accepts no data yet: its fields wait for sealed storage.
    pub closed: bool,
    /// Rules.
    pub rules: Vec<Arc<Rule>>,
    /// Indicators.
    pub indicators: Vec<Arc<Indicator>>,
    /// Fields that must be indexed for rules of any ledger.
    pub indexed: BTreeSet<String>,
}

impl Ledger {
    /// A field by id.
    pub fn field(&self, id: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// Whole registers of the path that its rules read, by name: its indicators may read them too. Rows are
    /// evaluated anew when such a register of the city changes, and with the day.
    pub fn registers(&self) -> impl Iterator<Item = (&str, &Uses)> {
        let whole = |(name, uses): &(&String, &Uses)| {
            uses.path && uses.by.is_empty() && self.field(name).is_none()
        };
        let named = self.rules.iter().flat_map(|rule| &rule.uses).filter(whole);
        let named: BTreeMap<&str, &Uses> =
            named.map(|(name, uses)| (name.as_str(), uses)).collect();
        named.into_iter()
    }

    /// Whether any rule or indicator depends on today.
    pub fn is_dated(&self) -> bool {
        self.rules.iter().any(|rule| rule.dated)
            || self.indicators.iter().any(|indicator| indicator.dated)
    }

    /// Whether `level` may create records here: it may write at least one field.
    pub fn may_create(&self, level: Level) -> bool {
        self.fields
            .iter()
            .filter(|field| field.required == Required::Always)
            .all(|field| field.write.contains(&level))
            && self.fields.iter().any(|field| field.write.contains(&level))
    }
}

/// An official paper made of a record: a card, a list, a notice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Form {
    /// Form id, unique in the ledger.
    pub id: String,
    /// Its title.
    pub label: Text,
    /// What it shows, in order: the only fields that may appear on it.
    pub fields: Vec<String>,
    /// Related records under it.
    pub tables: Vec<FormTable>,
    /// Lines at the foot for signatures and stamps.
    pub signatures: Vec<Text>,
    /// Hung on a board: only what DOMAIN.md §5.3 allows, which `catalogue check` proves.
    pub public: bool,
}

/// Records of another ledger on a printed form.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormTable {
    /// The ledger.
    pub ledger: String,
    /// Its field that refers to the record printed.
    pub by: String,
    /// Its columns.
    pub fields: Vec<String>,
}

/// Until when a record must be dealt with: work lists and their marks.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Due {
    /// The field that holds the day, or the day from which [`Due::workdays`] count.
    pub field: String,
    /// A parameter: working days after the field's day (the day itself does not count).
    pub workdays: Option<String>,
    /// States in which it has been dealt with.
    pub done: Vec<String>,
}

/// How a lower level may change a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Localise {
    /// A local value inside the bounds replaces the upper one.
    Bounded,
    /// The lower level sets it freely; there is no upper value.
    Free,
    /// Not at all.
    None,
    /// The lesser of both: caps and deadlines.
    StricterMax,
    /// The greater of both: minima.
    StricterMin,
    /// Of a set: the lower level may take away.
    Subset,
    /// Of a set: the lower level may add.
    Superset,
}

/// A policy parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Param {
    /// Identifier of DOMAIN.md §2.
    pub id: String,
    /// Label.
    pub label: Text,
    /// Scalar kind of its value.
    pub kind: FieldKind,
    /// Unit for people.
    pub unit: Text,
    /// Level that owns it.
    pub owner: Level,
    /// What counties may do.
    pub localise: Localise,
    /// Least allowed value, in the unit.
    pub min: Option<i64>,
    /// Greatest allowed value, in the unit.
    pub max: Option<i64>,
    /// Value that `init` publishes; `None` is 未设定.
    pub initial: Option<Value>,
}

/// A closed list of values.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Vocab {
    /// Label of the list.
    pub label: Text,
    /// Value id and label, in order.
    pub values: Vec<(String, Text)>,
}

/// A role and the level at which it acts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Role {
    /// Label.
    pub label: Text,
    /// Level.
    pub level: Level,
}

/// Everything in force.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Part name to version and source hash.
    pub parts: BTreeMap<String, (u32, Hash)>,
    /// Vocabularies.
    pub vocabs: BTreeMap<String, Vocab>,
    /// Roles.
    pub roles: BTreeMap<String, Role>,
    /// Parameters.
    pub params: BTreeMap<String, Param>,
    /// Ledgers, those of the program included.
    pub ledgers: BTreeMap<String, Arc<Ledger>>,
    /// Reports.
    pub reports: BTreeMap<String, Arc<Report>>,
    /// Charts of the overview, in order.
    pub charts: Vec<Arc<Chart>>,
}

impl Catalogue {
    /// A ledger by id.
    pub fn ledger(&self, id: &str) -> Option<&Arc<Ledger>> {
        self.ledgers.get(id)
    }

    /// Whether a parameter is a set.
    pub fn is_set_param(&self, id: &str) -> bool {
        self.params.get(id).is_some_and(|param| matches!(param.kind, FieldKind::Set(_)))
    }

    /// An indicator by id, and its ledger.
    pub fn indicator(&self, id: &str) -> Option<(&Arc<Ledger>, &Arc<Indicator>)> {
        self.ledgers
            .values()
            .find_map(|ledger| Some((ledger, ledger.indicators.iter().find(|one| one.id == id)?)))
    }

    /// Ledgers that people work with: not those of the program itself.
    pub fn ledgers_for_people(&self) -> impl Iterator<Item = &Arc<Ledger>> {
        self.ledgers.values().filter(|ledger| !ledger.id.starts_with("sys_"))
    }

    /// BLAKE3 over the parts in force: equal digests, equal catalogue.
    pub fn digest(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        for (name, (version, hash)) in &self.parts {
            hasher.update(name.as_bytes());
            hasher.update(&version.to_le_bytes());
            hasher.update(&hash.0);
        }
        Hash(*hasher.finalize().as_bytes())
    }

    /// Ledgers with rules that read the sum of an indicator.
    pub fn readers_of_figure<'a>(
        &'a self,
        indicator: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Ledger>> {
        self.ledgers.values().filter(move |ledger| {
            ledger.rules.iter().any(|rule| rule.figures.iter().any(|id| id == indicator))
        })
    }

    /// The label of a vocabulary's value; an unknown value of a newer version is shown raw.
    pub fn value_label(&self, vocab: &str, value: &str, english: bool) -> String {
        self.vocabs
            .get(vocab)
            .and_then(|vocab| vocab.values.iter().find(|(id, _)| id == value))
            .map_or_else(|| value.to_owned(), |(_, text)| text.in_lang(english).to_owned())
    }

    /// Rules of other ledgers that read rows of `ledger`, with the name of the relation.
    pub fn readers_of<'a>(
        &'a self,
        ledger: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<Ledger>, &'a Uses)> {
        self.ledgers.values().flat_map(move |reader| {
            reader
                .rules
                .iter()
                .flat_map(|rule| rule.uses.values())
                .filter(move |uses| uses.ledger == ledger)
                .map(move |uses| (reader, uses))
        })
    }
}
