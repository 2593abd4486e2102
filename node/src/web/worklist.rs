//! The work list of the first page: what is due, and which steps wait for this office.

use std::collections::BTreeMap;

use taizhang_core::catalogue::Ledger;
use taizhang_core::catalogue::workflow::{Transition, Workflow};
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::place::Place;

use super::PageError;
use super::words::word;
use crate::driver::{Replica, clock};
use crate::store::worklist::Due;

/// Days ahead that a person looks.
const AHEAD_DAYS: i64 = 7;

/// Records that wait for the same thing.
pub(super) struct WorkLine {
    pub(super) ledger: String,
    pub(super) what: String,
    pub(super) count: u64,
    pub(super) link: String,
    pub(super) late: bool,
}

/// Steps on the way forward from a state: not those that send something back or end it for a reason.
fn forward<'a>(workflow: &'a Workflow, state: &str) -> Vec<&'a Transition> {
    let onward = |step: &&Transition| {
        !step.reason && step.to != state && step.from.iter().any(|from| from == state)
    };
    workflow.transitions.iter().filter(onward).collect()
}

/// The level whose turn it is: what was sent up goes on above whoever sent it; of several that may go on, it is the
/// one whose record it is, or else the lowest.
pub(super) fn turn(workflow: &Workflow, state: &str, home: Level) -> Option<Level> {
    let steps = forward(workflow, state);
    let mut levels: Vec<Level> = steps.iter().flat_map(|step| step.by.clone()).collect();
    levels.sort_unstable();
    let entering = workflow.transitions.iter().filter(|step| step.to == state);
    let sent = entering.clone().all(|step| step.reason);
    let sender = entering.flat_map(|step| step.by.clone()).max().filter(|_| sent);
    let above = levels.iter().copied().find(|level| Some(*level) > sender);
    match (sender, above) {
        (Some(_), Some(above)) => Some(above),
        _ if levels.contains(&home) => Some(home),
        _ => levels.first().copied(),
    }
}

/// A span of due dates by its word in the address bar.
pub(super) fn due(ledger: &Ledger, span: &str) -> Option<Due> {
    let deadline = ledger.due.as_ref()?;
    let today = clock::now().date();
    let day = |days: i64| today.plus_days(days).to_string();
    let (from, to) = match span {
        "late" => ("0000-01-01".to_owned(), day(-1)),
        "today" => (day(0), day(0)),
        "soon" => (day(1), day(AHEAD_DAYS)),
        _ => return None,
    };
    let states = ledger.workflow.iter().flat_map(|workflow| &workflow.states);
    let open = states.filter(|state| !deadline.done.contains(&state.id));
    let states = open.map(|state| state.id.clone()).collect();
    Some(Due { field: deadline.field.clone(), from, to, states })
}

/// Places whose records in a state wait for an office of a level.
pub(super) fn places(replica: &Replica, ledger: &Ledger, state: &str) -> Vec<PlaceId> {
    let directives = replica.directives();
    let own = replica.identity().checked.name.level();
    let Some(workflow) = &ledger.workflow else { return Vec::new() };
    let waits = |place: &&Place| turn(workflow, state, place.level) == Some(own);
    directives.tree.iter().filter(waits).map(|place| place.id).collect()
}

/// What waits, most urgent first.
///
/// # Errors
///
/// [`PageError`] if the store cannot be read.
pub(super) fn lines(replica: &Replica, english: bool) -> Result<Vec<WorkLine>, PageError> {
    let directives = replica.directives();
    let own = replica.identity().checked.name.level();
    let mut lines = Vec::new();
    let label = |ledger: &Ledger| ledger.label.in_lang(english).to_owned();
    for ledger in directives.catalogue.ledgers_for_people() {
        for span in ["late", "today", "soon"] {
            let Some(due) = due(ledger, span) else { continue };
            let count = replica.readers().with(|reader| reader.due_count(&ledger.id, &due))?;
            lines.push(WorkLine {
                ledger: label(ledger),
                what: word(&format!("work.{span}"), english).to_owned(),
                count,
                link: format!("/ledgers/{}?due={span}", ledger.id),
                late: span == "late",
            });
        }
    }
    let mut waiting: BTreeMap<(String, String), u64> = BTreeMap::new();
    for one in replica.readers().with(|reader| reader.state_counts())? {
        let ledger = directives.catalogue.ledger(&one.ledger);
        let Some(workflow) = ledger.and_then(|ledger| ledger.workflow.as_ref()) else { continue };
        let home = directives.tree.place(one.place).map_or(own, |place| place.level);
        if turn(workflow, &one.state, home) == Some(own) {
            *waiting.entry((one.ledger, one.state)).or_default() += one.count;
        }
    }
    for ((id, state), count) in waiting {
        let Some(ledger) = directives.catalogue.ledger(&id) else { continue };
        let Some(workflow) = &ledger.workflow else { continue };
        let steps: Vec<&str> = forward(workflow, &state)
            .into_iter()
            .filter(|step| step.by.contains(&own))
            .map(|step| step.label.in_lang(english))
            .collect();
        let state_name = super::ledger::state_label(ledger, &state, english);
        lines.push(WorkLine {
            ledger: label(ledger),
            what: format!("{state_name} → {}", steps.join(" / ")),
            count,
            link: format!("/ledgers/{id}?state={state}&turn=1"),
            late: false,
        });
    }
    lines.retain(|line| line.count > 0);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_is_whose_step_comes_next() {
        let parts = taizhang_core::base_catalogue();
        let catalogue = taizhang_core::catalogue::parse::parse(&parts).unwrap();
        let turn_of = |ledger: &str, state: &str| {
            turn(
                catalogue.ledger(ledger).unwrap().workflow.as_ref().unwrap(),
                state,
                Level::Village,
            )
        };
        for (ledger, state, level) in [
            ("problem_ticket", "registered", Some(Level::Village)),
            ("problem_ticket", "escalated_township", Some(Level::Township)),
            ("problem_ticket", "escalated_county", Some(Level::County)),
            ("problem_ticket", "closed", None),
            ("household_grant", "submitted", Some(Level::Township)),
            ("household_grant", "reviewed", Some(Level::County)),
            ("household_grant", "returned", Some(Level::Village)),
            ("star_rating", "noticed", Some(Level::Township)),
            ("income_measure", "running", Some(Level::Township)),
        ] {
            assert_eq!(turn_of(ledger, state), level, "{ledger} {state}");
        }
    }
}
