//! A policy draft: what it would change, and the steps to the second person's approval.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use taizhang_core::catalogue::Param;
use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{RecordId, SliceId};
use taizhang_core::record::value::Value;
use taizhang_core::rules::Outcome;
use taizhang_core::time::UtcMillis;

use super::access::Need;
use super::policy::{Values, reach_link, state_word, waits_for};
use super::record::record_id;
use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use super::{PageError, Posted};
use crate::driver::Replica;
use crate::engine::Engine;
use crate::engine::command::CommandError;
use crate::engine::draft::{Draft, DraftState, problems};
use crate::engine::values::yuan;
use crate::preview::{Preview, compare, locals};

/// A draft of this office.
pub(super) fn opened(replica: &Replica, id: RecordId) -> Result<Draft, PageError> {
    let place = replica.place();
    let row = replica.readers().with(|reader| reader.lookup().row(SliceId::ledger(place), id))?;
    row.and_then(|row| Draft::read(id, place, &row)).ok_or(PageError::NotFound)
}

struct StepLine {
    what: &'static str,
    person: String,
    time: String,
    reason: String,
}

struct CompareLine {
    label: String,
    upper: String,
    local: String,
    before: String,
    proposed: String,
    after: String,
    bounds: String,
    changed: bool,
    same_day: bool,
}

struct LocalLine {
    county: String,
    label: String,
    local: String,
    before: String,
    after: String,
    overridden: bool,
}

fn compare_lines(
    directives: &Directives,
    after: &Directives,
    draft: &Draft,
    english: bool,
) -> (Vec<CompareLine>, Vec<LocalLine>) {
    let values = Values { catalogue: &directives.catalogue, english };
    let param_of = |id: &str| directives.catalogue.params.get(id);
    let own = |param: &Param, found: &Option<(Value, RecordId)>| {
        found.as_ref().map(|(value, _)| values.text(param, value)).unwrap_or_default()
    };
    let compared = compare(directives, after, draft).into_iter().filter_map(|one| {
        let param = param_of(&one.param)?;
        Some(CompareLine {
            label: param.label.in_lang(english).to_owned(),
            upper: own(param, &one.before.upper),
            local: own(param, &one.before.local),
            before: values.or_unset(param, one.before.value.as_ref()),
            proposed: values.text(param, &one.proposed),
            after: values.or_unset(param, one.after.value.as_ref()),
            bounds: values.bounds(param),
            changed: one.before.value != one.after.value,
            same_day: one.same_day,
        })
    });
    let local = locals(directives, after, draft).into_iter().filter_map(|one| {
        let param = param_of(&one.param)?;
        let standing = if one.after.local.is_some() { &one.after } else { &one.before };
        Some(LocalLine {
            county: place_name(directives, one.county),
            label: format!("{} · {}", param.label.in_lang(english), one.day),
            local: own(param, &standing.local),
            before: values.or_unset(param, one.before.value.as_ref()),
            after: values.or_unset(param, one.after.value.as_ref()),
            overridden: one.after.overridden,
        })
    });
    (compared.collect(), local.collect())
}

struct RuleLine {
    id: String,
    text: String,
    outcome: &'static str,
    gained: u64,
    lost: u64,
}

struct TouchedLine {
    link: String,
    title: String,
    ledger: String,
    place: String,
    gained: String,
    lost: String,
}

/// A preview as the page shows it.
struct Shown {
    is_done: bool,
    is_sample: bool,
    error: String,
    as_of: String,
    rows: u64,
    total: u64,
    touched: u64,
    rules: Vec<RuleLine>,
    places: Vec<(String, u64, u64)>,
    figures: Vec<(String, String)>,
    records: Vec<TouchedLine>,
}

fn outcome_word(outcome: Outcome, english: bool) -> &'static str {
    match outcome {
        Outcome::Defect => word("draft.defect", english),
        Outcome::Failed => word("draft.failed", english),
        Outcome::Unchecked => word("draft.unchecked", english),
    }
}

fn difference(amount: i64, is_money: bool) -> String {
    let text = if is_money { yuan(amount) } else { amount.to_string() };
    if amount > 0 { format!("+{text}") } else { text }
}

fn shown(replica: &Replica, visitor: &Visitor, preview: Preview) -> Shown {
    let directives = replica.directives();
    let english = visitor.english;
    let catalogue = &directives.catalogue;
    let text_of = |id: &str| {
        let mut rules = catalogue.ledgers.values().flat_map(|ledger| &ledger.rules);
        let rule = rules.find(|rule| rule.id == id);
        rule.map(|rule| rule.text.in_lang(english).to_owned()).unwrap_or_default()
    };
    let words = |findings: &[(String, Outcome)]| {
        let words = findings
            .iter()
            .map(|(rule, outcome)| format!("{rule} {}", outcome_word(*outcome, english)));
        words.collect::<Vec<_>>().join("、")
    };
    let viewer = visitor.viewer(replica);
    // Of rules that tell what does not show here, only the tally shows.
    let told = preview.records.iter().filter(|one| {
        let mut rules = one.gained.iter().chain(&one.lost);
        let ledger = catalogue.ledger(&one.ledger);
        ledger.is_none_or(|ledger| rules.all(|(rule, _)| viewer.may_tell(ledger, rule, catalogue)))
    });
    let records = told.map(|one| {
        let ledger = catalogue.ledger(&one.ledger);
        // Masked as lists are.
        let title = ledger.map(|ledger| viewer.title(&one.title, ledger)).unwrap_or_default();
        let title = if title.is_empty() { one.record.short() } else { title };
        TouchedLine {
            link: format!("/records/{}", one.record),
            title,
            ledger: ledger.map(|one| one.label.in_lang(english).to_owned()).unwrap_or_default(),
            place: place_name(&directives, one.place),
            gained: words(&one.gained),
            lost: words(&one.lost),
        }
    });
    let figures = preview.figures.iter().filter_map(|(id, amount)| {
        let (_, indicator) = catalogue.indicator(id)?;
        let label = indicator.label.in_lang(english).to_owned();
        Some((label, difference(*amount, indicator.is_money)))
    });
    let rules = preview.rules.iter().map(|((id, outcome), tally)| RuleLine {
        id: id.clone(),
        text: text_of(id),
        outcome: outcome_word(*outcome, english),
        gained: tally.gained,
        lost: tally.lost,
    });
    let places = preview
        .places
        .iter()
        .map(|(place, tally)| (place_name(&directives, *place), tally.gained, tally.lost));
    Shown {
        is_done: preview.is_done,
        is_sample: preview.is_sample,
        as_of: preview.started.local_text(),
        rows: preview.rows,
        total: preview.total,
        touched: preview.touched,
        rules: rules.collect(),
        places: places.collect(),
        figures: figures.collect(),
        records: records.collect(),
        error: preview.error,
    }
}

#[derive(Template)]
#[template(path = "policy_draft.html")]
struct DraftPage {
    shell: Shell,
    id: String,
    draft: Draft,
    time: String,
    state: &'static str,
    withdraws: String,
    version: String,
    steps: Vec<StepLine>,
    problems: Vec<String>,
    compared: Vec<CompareLine>,
    locals: Vec<LocalLine>,
    preview: Option<Shown>,
    may_submit: bool,
    may_decide: bool,
    /// Why the visitor cannot approve what waits for approval; empty if that is no question.
    reason: &'static str,
    may_draft: bool,
}

fn steps(draft: &Draft, english: bool) -> Vec<StepLine> {
    let lines = draft.steps.iter().map(|step| StepLine {
        what: state_word(step.to, english),
        person: step.person.name.clone(),
        time: step.time.local_text(),
        reason: step.reason.clone(),
    });
    lines.collect()
}

/// A draft: steps, comparison with the version in force, preview, decisions.
///
/// # Errors
///
/// [`PageError::NotFound`] if this office has no such draft.
pub async fn show(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let draft = opened(&replica, record_id(&id)?)?;
    let directives = replica.directives();
    let (english, state) = (visitor.english, draft.state());
    let level = replica.identity().checked.name.level();
    let is_open = matches!(state, DraftState::Drafted | DraftState::Submitted);
    let (compared, locals) = if is_open {
        let after = draft.published_in(&directives, level);
        compare_lines(&directives, &after, &draft, english)
    } else {
        (Vec::new(), Vec::new())
    };
    let found = match is_open {
        true => problems(&directives, draft.place, level, &draft.policy, draft.withdraws),
        false => Vec::new(),
    };
    let may_draft = visitor.may(Need::Draft, &replica);
    let may_decide = waits_for(&draft, &visitor, &replica);
    let waits = state == DraftState::Submitted && !may_decide;
    let preview = replica.previews().of(draft.record).filter(|_| is_open);
    let is_running = preview.as_ref().is_some_and(|preview| !preview.is_done);
    let page = DraftPage {
        shell: Shell::new(&replica, &visitor)?,
        id: draft.record.to_string(),
        time: draft.time.local_text(),
        state: state_word(state, english),
        withdraws: draft.withdraws.map(reach_link).unwrap_or_default(),
        version: draft.version().map(reach_link).unwrap_or_default(),
        steps: steps(&draft, english),
        problems: found.iter().map(|text| text.in_lang(english).to_owned()).collect(),
        compared,
        locals,
        preview: preview.map(|preview| shown(&replica, &visitor, preview)),
        may_submit: state == DraftState::Drafted && may_draft,
        may_decide,
        reason: if waits { word("draft.second_person", english) } else { "" },
        may_draft,
        draft,
    };
    let page = Html(page.render()?);
    // The page asks again by itself while the preview runs.
    if is_running {
        return Ok(([(header::REFRESH, "2")], page).into_response());
    }
    Ok(page.into_response())
}

/// Begins the preview of a draft.
///
/// # Errors
///
/// [`PageError::NotFound`] if this office has no such draft; that another one is being previewed.
pub async fn preview(State(replica): State<Replica>, Path(id): Path<String>) -> Posted {
    let draft = opened(&replica, record_id(&id)?)?;
    replica.begin_preview(draft)?;
    Ok(Redirect::to(&format!("/policy/draft/{id}")))
}

/// Takes a step of a draft, and writes down which account did: a name is claimed, a login is this office's.
async fn taken<T: Send + 'static>(
    replica: &Replica,
    visitor: Visitor,
    id: &str,
    what: &'static str,
    deed: impl FnOnce(&mut Engine, RecordId, &Person, UtcMillis) -> Result<T, CommandError>
    + Send
    + 'static,
) -> Result<T, PageError> {
    let draft = record_id(id)?;
    let done = replica.run(move |engine, now| {
        let done = deed(engine, draft, &visitor.person, now)?;
        engine.store.audit(what, &format!("{}: draft {draft}", visitor.login()), now)?;
        Ok(done)
    });
    Ok(done.await?)
}

/// Submits a draft for approval.
///
/// # Errors
///
/// Says what would have to hold.
pub async fn submit(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Posted {
    taken(&replica, visitor, &id, "draft submitted", Engine::submit_draft).await?;
    Ok(Redirect::to(&format!("/policy/draft/{id}")))
}

/// Approves a draft of somebody else, which publishes it.
///
/// # Errors
///
/// Says what would have to hold.
pub async fn approve(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Posted {
    let version = taken(&replica, visitor, &id, "draft approved", Engine::approve_draft).await?;
    Ok(Redirect::to(&reach_link(version)))
}

/// Sends a draft back.
///
/// # Errors
///
/// Says what would have to hold.
pub async fn send_back(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Posted {
    let reason = form.get("reason").cloned().unwrap_or_default();
    let deed = move |engine: &mut Engine, draft, person: &Person, now| {
        engine.return_draft(draft, &reason, person, now)
    };
    taken(&replica, visitor, &id, "draft returned", deed).await?;
    Ok(Redirect::to(&format!("/policy/draft/{id}")))
}
