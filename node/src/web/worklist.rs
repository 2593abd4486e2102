//! The work list of the first page: what is due, and which steps wait for this office.

use std::collections::BTreeMap;

use taizhang_core::calendar;
use taizhang_core::catalogue::Ledger;
use taizhang_core::catalogue::workflow::{Transition, Workflow};
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::place::Place;
use taizhang_core::time::Date;

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

/// Working days that a ledger's deadline leaves after its field, by the value in force here today.
pub(super) fn workdays(replica: &Replica, ledger: &Ledger) -> Option<i64> {
    let param = ledger.due.as_ref()?.workdays.as_ref()?;
    let today = clock::now().date();
    replica.directives().param(param, replica.place(), today).value?.as_int()
}

/// A span of due dates by its word in the address bar.
///
/// # Errors
///
/// [`PageError`] if the calendar cannot be read.
pub(super) fn due(
    replica: &Replica,
    ledger: &Ledger,
    span: &str,
) -> Result<Option<Due>, PageError> {
    let Some(deadline) = ledger.due.as_ref() else { return Ok(None) };
    let today = clock::now().date();
    let first = Date { year: 1, month: 1, day: 1 };
    let (mut from, mut to) = match span {
        "late" => (first, today.plus_days(-1)),
        "today" => (today, today),
        "soon" => (today.plus_days(1), today.plus_days(AHEAD_DAYS)),
        _ => return Ok(None),
    };
    if deadline.workdays.is_some() {
        let Some(workdays) = workdays(replica, ledger) else { return Ok(None) };
        let calendar = replica.readers().with(|reader| reader.calendar())?;
        (from, to) = calendar.before((from, to), workdays);
    }
    let (from, to) = (from.to_string(), to.to_string());
    Ok(Some(Due { from, to }))
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
            let Some(due) = due(replica, ledger, span)? else { continue };
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
    lines.extend(calendar_ends(replica, own, english)?);
    for (id, count) in replica.readers().with(|reader| reader.recheck_counts())? {
        let Some(ledger) = directives.catalogue.ledger(&id) else { continue };
        lines.push(WorkLine {
            ledger: label(ledger),
            what: word("work.recheck", english).to_owned(),
            count,
            link: format!("/ledgers/{id}?recheck=1"),
            late: true,
        });
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

/// Days before the end of the calendar at which the city is told.
const CALENDAR_AHEAD_DAYS: i64 = 60;

/// The calendar's own warning, at the office that publishes it: deadlines beyond its end are
/// provisional.
fn calendar_ends(
    replica: &Replica,
    own: Level,
    english: bool,
) -> Result<Option<WorkLine>, PageError> {
    let year = clock::now().date().plus_days(CALENDAR_AHEAD_DAYS).year;
    if own != Level::City {
        return Ok(None);
    }
    let known = replica.readers().with(|reader| reader.calendar())?.knows(year);
    let directives = replica.directives();
    let ledger = directives.catalogue.ledger(calendar::LEDGER).filter(|_| !known);
    Ok(ledger.map(|ledger| WorkLine {
        ledger: ledger.label.in_lang(english).to_owned(),
        what: format!("{} {year}", word("work.calendar_ends", english)),
        count: 1,
        link: format!("/ledgers/{}", calendar::LEDGER),
        late: true,
    }))
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
