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
    /// The business date on which it was done; the entry's day if empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub date: String,
    /// The right that it spent, by the id of the spend.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spends: String,
    /// 16 random bytes in hexadecimal.
    pub nonce: String,
}

/// One applied step.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// State entered.
    pub to: String,
    /// Level that took it.
    pub level: Level,
    /// Author's wall clock. Annotation only.
    pub time: UtcMillis,
    /// Reason given.
    pub reason: String,
    /// Business date.
    #[serde(default)]
    pub date: String,
}

impl Step {
    /// The business date, or the day on the author's clock.
    pub fn day(&self) -> String {
        if self.date.is_empty() { self.time.date().to_string() } else { self.date.clone() }
    }
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
    /// States of steps that fell back because what they certified changed: 需重新签字.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lapsed: Vec<String>,
    /// States of steps that came too late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<String>,
    /// States of ordered steps that wait for their predecessor: 待补前序步骤.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
}

impl StateFold {
    /// Whether somebody must look again at what was certified.
    pub fn is_to_recheck(&self) -> bool {
        self.needs_recheck || !self.lapsed.is_empty()
    }
}

struct Line<'a> {
    change: usize,
    line: TransitionLine,
    rule: Option<&'a Transition>,
    before: BTreeSet<usize>,
}

/// Folds `lines` (position of the change, JSON text) from the state `start`. Gives the fold and the superseded lines.
pub fn fold(
    log: &RecordLog,
    workflow: &Workflow,
    start: String,
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
    let mut folding = Folding {
        log,
        lines: &lines,
        state: start,
        applied: Vec::new(),
        pending: Vec::new(),
        late: Vec::new(),
        superseded: Vec::new(),
        certify: &certify,
    };
    for at in order(log, &lines) {
        folding.take(at);
    }
    folding.finish()
}

struct Folding<'a> {
    log: &'a RecordLog,
    lines: &'a [Line<'a>],
    state: String,
    applied: Vec<usize>,
    pending: Vec<usize>,
    late: Vec<(usize, String)>,
    superseded: Vec<String>,
    certify: &'a dyn Fn(&[String]) -> String,
}

impl Folding<'_> {
    /// Whether the content that a step certified is still the same.
    fn holds(&self, at: usize) -> bool {
        let line = &self.lines[at];
        line.rule.is_none_or(|rule| {
            rule.certifies.is_empty() || (self.certify)(&rule.certifies) == line.line.certified
        })
    }

    fn has(&self, at: usize, what: fn(&Transition) -> bool) -> bool {
        self.lines[at].rule.is_some_and(what)
    }

    /// Where the applied steps fall back to: the first lapsing one whose content changed, unless an
    /// irrevocable one followed.
    fn falls_at(&self) -> Option<usize> {
        let first = self
            .applied
            .iter()
            .position(|at| self.has(*at, |rule| rule.lapses) && !self.holds(*at))?;
        let anchored =
            self.applied[first..].iter().any(|at| self.has(*at, |rule| rule.irrevocable));
        (!anchored).then_some(first)
    }

    fn date(&self, at: usize) -> String {
        let line = &self.lines[at];
        if line.line.date.is_empty() {
            self.log.changes[line.change].origin.time.date().to_string()
        } else {
            line.line.date.clone()
        }
    }

    fn take(&mut self, at: usize) {
        let Line { change, line, rule, .. } = &self.lines[at];
        let fits = line.from == self.state;
        let anchor =
            rule.is_some_and(|rule| rule.irrevocable) && !crate::sabotaged!(AnchorSuperseded);
        // A step taken again after the first one fell back.
        let again = self.falls_at().filter(|first| {
            let fallen = &self.lines[self.applied[*first]];
            !fits && fallen.line.from == line.from && self.lines[at].before.contains(&fallen.change)
        });
        if let Some(first) = again {
            self.applied.truncate(first);
            self.apply(at);
            return;
        }
        if !fits && rule.is_some_and(|rule| rule.ordered) {
            self.pending.push(at);
            return;
        }
        if !fits {
            self.late.push((*change, format!("{} → {}", line.from, line.to)));
            self.superseded.push(line.to.clone());
        }
        if fits || anchor {
            self.apply(at);
        }
    }

    /// Applies a step, then whatever waited for it and was done no earlier.
    fn apply(&mut self, at: usize) {
        self.state.clone_from(&self.lines[at].line.to);
        self.applied.push(at);
        let since = self.date(at);
        let next = self.pending.iter().position(|waiting| {
            self.lines[*waiting].line.from == self.state && self.date(*waiting) >= since
        });
        if let Some(next) = next {
            let waiting = self.pending.remove(next);
            self.apply(waiting);
        }
    }

    fn finish(mut self) -> (StateFold, Vec<(usize, String)>) {
        let fallen = self.falls_at().map_or_else(Vec::new, |first| self.applied.split_off(first));
        if let Some(first) = fallen.first() {
            self.state.clone_from(&self.lines[*first].line.from);
        }
        let certified = |at: &&usize| self.has(**at, |rule| !rule.certifies.is_empty());
        let needs_recheck =
            self.applied.iter().rev().find(certified).is_some_and(|at| !self.holds(*at));
        let to = |at: &usize| self.lines[*at].line.to.clone();
        let step = |at: &usize| {
            let line = &self.lines[*at];
            let origin = &self.log.changes[line.change].origin;
            Step {
                to: line.line.to.clone(),
                level: origin.level,
                time: origin.time,
                reason: line.line.reason.clone(),
                date: self.date(*at),
            }
        };
        let fold = StateFold {
            state: self.state.clone(),
            steps: self.applied.iter().map(step).collect(),
            needs_recheck,
            lapsed: fallen.iter().map(to).collect(),
            superseded: self.superseded,
            pending: self.pending.iter().map(to).collect(),
        };
        (fold, self.late)
    }
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
        .filter(|_| !crate::sabotaged!(AnchorSuperseded))
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
