//! The workflow's fold: from immutable transition lines to a state (DOMAIN.md §0.4).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::log::RecordLog;
use super::value::Value;
use crate::catalogue::{Transition, Workflow};
use crate::id::Level;
use crate::time::UtcMillis;

/// What a transition line holds, as JSON under `_state/<line id>`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TransitionLine {
    /// The state that the author left.
    pub from: String,
    /// The state entered.
    pub to: String,
    /// Why, where the step asks for it.
    #[serde(default)]
    pub reason: String,
    /// Hash of the certified content; empty if the step certifies nothing.
    #[serde(default)]
    pub certified: String,
    /// 16 random bytes in hexadecimal.
    pub nonce: String,
}

/// One applied step.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// State entered.
    pub to: String,
    /// Level that took it.
    pub level: Level,
    /// Author's wall clock. Annotation only.
    pub time: UtcMillis,
    /// Reason given.
    pub reason: String,
}

/// The result of the fold.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct StateFold {
    /// The state.
    pub state: String,
    /// Applied steps in order.
    pub steps: Vec<Step>,
    /// The content that the last certifying step covered has changed since: 待复核.
    pub needs_recheck: bool,
}

struct Line<'a> {
    change: usize,
    line: TransitionLine,
    rule: Option<&'a Transition>,
    before: BTreeSet<usize>,
}

/// Folds `lines` (position of the change, JSON text). Gives the fold and the superseded lines.
pub fn fold(
    log: &RecordLog,
    workflow: &Workflow,
    lines: &[(usize, &Value)],
    certify: impl Fn(&[String]) -> String,
) -> (StateFold, Vec<(usize, String)>) {
    let lines: Vec<Line<'_>> = lines
        .iter()
        .filter_map(|(change, value)| {
            let line: TransitionLine = serde_json::from_str(value.as_text()?).ok()?;
            let rule = workflow
                .transitions
                .iter()
                .find(|rule| rule.to == line.to && rule.from.contains(&line.from));
            Some(Line { change: *change, line, rule, before: log.ancestors(*change) })
        })
        .collect();
    let mut state = workflow.initial.clone();
    let (mut steps, mut late, mut certified) = (Vec::new(), Vec::new(), None);
    for at in order(log, &lines) {
        let Line { change, line, rule, .. } = &lines[at];
        let origin = &log.changes[*change].origin;
        let anchor = rule.is_some_and(|rule| rule.irrevocable);
        let fits = line.from == state;
        if !fits {
            late.push((*change, format!("{} → {}", line.from, line.to)));
        }
        if !fits && !anchor {
            continue;
        }
        state.clone_from(&line.to);
        if let Some(rule) = rule.filter(|rule| !rule.certifies.is_empty()) {
            certified = Some((line.certified.clone(), &rule.certifies));
        }
        steps.push(Step {
            to: line.to.clone(),
            level: origin.level,
            time: origin.time,
            reason: line.reason.clone(),
        });
    }
    let needs_recheck = certified.is_some_and(|(hash, fields)| certify(fields) != hash);
    (StateFold { state, steps, needs_recheck }, late)
}

/// Emission order: finality anchors first, each after its own causal past, then the rest.
fn order(log: &RecordLog, lines: &[Line<'_>]) -> Vec<usize> {
    let key = |at: usize| {
        let line = &lines[at];
        let change = &log.changes[line.change];
        let priority = line.rule.map_or(i64::MIN, |rule| rule.priority);
        let level = change.origin.level;
        (std::cmp::Reverse((priority, level)), change.origin.lamport, change.actor, at_id(line))
    };
    let follows = |one: usize, other: usize| lines[one].before.contains(&lines[other].change);
    let mut emitted: Vec<usize> = Vec::with_capacity(lines.len());
    let mut emit = |wanted: BTreeSet<usize>| {
        let mut open: BTreeSet<usize> =
            wanted.into_iter().filter(|at| !emitted.contains(at)).collect();
        while !open.is_empty() {
            let ready = open.iter().filter(|at| !open.iter().any(|other| follows(**at, *other)));
            let Some(next) = ready.copied().min_by_key(|at| key(*at)) else { break };
            open.remove(&next);
            emitted.push(next);
        }
    };
    let all: BTreeSet<usize> = (0..lines.len()).collect();
    let mut anchors: BTreeSet<usize> = all
        .iter()
        .copied()
        .filter(|at| lines[*at].rule.is_some_and(|rule| rule.irrevocable))
        .collect();
    while !anchors.is_empty() {
        let ready = anchors.iter().filter(|at| !anchors.iter().any(|o| follows(**at, *o)));
        let Some(next) = ready.copied().min_by_key(|at| key(*at)) else { break };
        anchors.remove(&next);
        let mut past: BTreeSet<usize> =
            all.iter().copied().filter(|other| follows(next, *other)).collect();
        past.insert(next);
        emit(past);
    }
    emit(all);
    emitted
}

fn at_id<'a>(line: &'a Line<'_>) -> &'a str {
    &line.line.nonce
}

/// The steps that `level` may take from `state`, in catalogue order.
pub fn steps_from<'a>(
    workflow: &'a Workflow,
    state: &str,
    level: Level,
) -> impl Iterator<Item = &'a Transition> {
    let state = state.to_owned();
    workflow
        .transitions
        .iter()
        .filter(move |step| step.from.contains(&state) && step.by.contains(&level))
}

/// Times at which states were entered last.
pub fn entered(fold: &StateFold) -> BTreeMap<&str, UtcMillis> {
    fold.steps.iter().map(|step| (step.to.as_str(), step.time)).collect()
}
