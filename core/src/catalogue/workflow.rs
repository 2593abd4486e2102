//! Workflows as data: states, and the steps between them.

use serde::Deserialize;
use toml::Spanned;

use super::Text;
use crate::id::Level;

/// One allowed step of a workflow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transition {
    /// States it leaves.
    pub from: Vec<String>,
    /// State it enters.
    pub to: String,
    /// Levels that may take it.
    pub by: Vec<Level>,
    /// The post that a person must hold to take it; the replica's word, like the person's name.
    pub role: Option<String>,
    /// Greater first among concurrent entries.
    pub priority: i64,
    /// Fields whose content it certifies.
    pub certifies: Vec<String>,
    /// Fields that must be filled.
    pub requires: Vec<String>,
    /// Whether a reason must be given.
    pub reason: bool,
    /// Finality anchor: never superseded (DOMAIN.md §0.4).
    pub irrevocable: bool,
    /// Falls back when the content that it certifies changes: 需重新签字.
    pub lapses: bool,
    /// May be taken only while nothing certified has changed: 待复核 stops it.
    pub settled: bool,
    /// Waits for its predecessor instead of being superseded, and needs its date not before that of
    /// the step it follows (ordered workflows).
    pub ordered: bool,
    /// What it spends of a right, if it does.
    pub spend: Option<Spend>,
    /// The office (an indivisible right) without which nobody takes it.
    pub office: Option<String>,
    /// The number series from which it fills a field.
    pub number: Option<Number>,
    /// The word on the button.
    pub label: Text,
}

/// What a step spends of an escrowed right (DESIGN §3).
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spend {
    /// The budget's name; with the year of the record's business date it names a pool.
    pub pool: String,
    /// The field that holds the amount.
    pub amount: String,
    /// A parameter that caps the sum for one value of `by` and year, kept by the office that pays.
    pub cap: Option<String>,
    /// The field by which the cap is kept.
    #[serde(default)]
    pub by: String,
}

/// A field that a step fills from a series of numbers, held as a right.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The series.
    pub series: String,
    /// The field.
    pub field: String,
}

/// A state of a workflow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// State id.
    pub id: String,
    /// Label.
    pub label: Text,
    /// Whether nothing follows.
    pub last: bool,
}

/// A workflow: states and the steps between them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workflow {
    /// The state of a new record.
    pub initial: String,
    /// All states.
    pub states: Vec<State>,
    /// All steps.
    pub transitions: Vec<Transition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkflow {
    initial: String,
    states: Vec<RawState>,
    pub(super) transition: Vec<Spanned<RawTransition>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawState {
    id: String,
    zh: String,
    en: String,
    #[serde(default)]
    last: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTransition {
    from: Vec<String>,
    pub(super) to: String,
    by: Vec<Level>,
    priority: i64,
    zh: String,
    en: String,
    #[serde(default)]
    certifies: Vec<String>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    reason: bool,
    #[serde(default)]
    irrevocable: bool,
    #[serde(default)]
    lapses: bool,
    #[serde(default)]
    settled: bool,
    #[serde(default)]
    ordered: bool,
    role: Option<String>,
    spend: Option<Spend>,
    office: Option<String>,
    number: Option<Number>,
}

impl From<RawTransition> for Transition {
    fn from(raw: RawTransition) -> Self {
        Self {
            from: raw.from,
            to: raw.to,
            by: raw.by,
            role: raw.role,
            priority: raw.priority,
            certifies: raw.certifies,
            requires: raw.requires,
            reason: raw.reason,
            irrevocable: raw.irrevocable,
            lapses: raw.lapses,
            settled: raw.settled,
            ordered: raw.ordered,
            spend: raw.spend,
            office: raw.office,
            number: raw.number,
            label: Text { zh: raw.zh, en: raw.en },
        }
    }
}

impl From<RawWorkflow> for Workflow {
    fn from(raw: RawWorkflow) -> Self {
        let states = raw.states.into_iter();
        let states = states.map(|state| State {
            id: state.id,
            label: Text { zh: state.zh, en: state.en },
            last: state.last,
        });
        let transitions = raw.transition.into_iter().map(|step| step.into_inner().into());
        Self { initial: raw.initial, states: states.collect(), transitions: transitions.collect() }
    }
}
