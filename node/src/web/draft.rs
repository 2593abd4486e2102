//! Drafting a policy version: the form, what it would change, and the second person's approval.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use taizhang_core::catalogue::{Field, FieldKind, Merge, Param, Required, Text};
use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{PlaceId, RecordId, SliceId};
use taizhang_core::policy::{check_publisher, members};
use taizhang_core::record::value::Value;
use taizhang_core::rules::Outcome;
use taizhang_core::time::{Date, UtcMillis};

use super::access::Need;
use super::policy::{Values, grouped, reach_link, state_word, waits_for};
use super::record::record_id;
use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use super::{Page, PageError, Posted};
use crate::driver::{Replica, clock};
use crate::engine::Engine;
use crate::engine::command::CommandError;
use crate::engine::draft::{Draft, DraftState, NewDraft, earlier, problems};
use crate::engine::policy::NewPolicy;
use crate::engine::values::{Source, date, form_text, parse, yuan};
use crate::preview::{Preview, compare, locals};
use crate::reach::version;

/// From what a new draft is filled.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct DraftQuery {
    /// A draft to change.
    from: String,
    /// A version whose earlier values to restore.
    withdraws: String,
}

/// A form's fields as sent: those of a set come several times.
type Sent = Vec<(String, String)>;

/// What stands in the form.
#[derive(Clone, Default)]
struct Typed {
    doc_no: String,
    title: String,
    effective_from: String,
    note: String,
    withdraws: String,
    /// Parameter to the text of its field; absent if it stays as it is.
    values: BTreeMap<String, String>,
}

impl Typed {
    fn of_policy(directives: &Directives, policy: &NewPolicy) -> Self {
        let values = policy.values.iter().filter_map(|(id, value)| {
            let param = directives.catalogue.params.get(id)?;
            Some((id.clone(), form_text(&param.kind, value)))
        });
        Self {
            doc_no: policy.doc_no.clone(),
            title: policy.title.clone(),
            effective_from: policy.effective_from.clone(),
            values: values.collect(),
            ..Self::default()
        }
    }

    /// The values that would hold without a version, from today on or from its first day; and which
    /// parameters would have none, which a version cannot say.
    fn before(
        directives: &Directives,
        place: PlaceId,
        id: RecordId,
        english: bool,
    ) -> Option<(Self, Vec<String>)> {
        let withdrawn = version(directives, id).filter(|version| version.place == place)?;
        let today = clock::now().date();
        let day = Date::parse(&withdrawn.effective_from).map_or(today, |first| first.max(today));
        let (values, unset) = earlier(directives, withdrawn, day);
        let unset = unset.iter().map(|id| {
            let param = directives.catalogue.params.get(id);
            let label = param.map_or(id.as_str(), |param| param.label.in_lang(english));
            format!("{label}: {}", word("draft.no_earlier", english))
        });
        let policy = NewPolicy {
            doc_no: String::new(),
            title: format!("{} {}", word("draft.withdraws", english), withdrawn.doc_no),
            effective_from: day.to_string(),
            values,
        };
        let typed = Self { withdraws: id.to_string(), ..Self::of_policy(directives, &policy) };
        Some((typed, unset.collect()))
    }

    fn of_form(directives: &Directives, sent: &Sent) -> Self {
        let all = |name: &str| -> Vec<&str> {
            let of_name = sent.iter().filter(|(one, _)| one == name);
            of_name.map(|(_, text)| text.trim()).filter(|text| !text.is_empty()).collect()
        };
        let text = |name: &str| all(name).first().copied().unwrap_or_default().to_owned();
        let values = directives.catalogue.params.values().filter_map(|param| {
            let given = all(&format!("p.{}", param.id));
            let is_set = matches!(param.kind, FieldKind::Set(_));
            let used = if is_set {
                !all(&format!("use.{}", param.id)).is_empty()
            } else {
                !given.is_empty()
            };
            used.then(|| (param.id.clone(), given.join(",")))
        });
        Self {
            doc_no: text("doc_no"),
            title: text("title"),
            effective_from: text("effective_from"),
            note: text("note"),
            withdraws: text("withdraws"),
            values: values.collect(),
        }
    }

    /// The draft that it means; what is wrong otherwise.
    fn read(&self, directives: &Directives) -> Result<NewDraft, Vec<Text>> {
        let mut values = BTreeMap::new();
        let mut errors = Vec::new();
        for (id, text) in &self.values {
            let Some(param) = directives.catalogue.params.get(id) else { continue };
            match value_of(directives, param, text) {
                Ok(Some(value)) => drop(values.insert(id.clone(), value)),
                Ok(None) => {}
                Err(reason) => errors.push(reason),
            }
        }
        let typed = self.effective_from.as_str();
        let first = if typed.is_empty() { Some(clock::now().date()) } else { date(typed) };
        let effective_from = first.map_or_else(|| typed.to_owned(), |date| date.to_string());
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(NewDraft {
            policy: NewPolicy {
                doc_no: self.doc_no.clone(),
                title: self.title.clone(),
                effective_from,
                values,
            },
            note: self.note.clone(),
            withdraws: self.withdraws.parse().ok(),
        })
    }
}

/// A parameter's value from the text of its field.
fn value_of(directives: &Directives, param: &Param, text: &str) -> Result<Option<Value>, Text> {
    match &param.kind {
        FieldKind::Set(_) => {
            let mut given = members(text);
            given.sort_unstable();
            given.dedup();
            return Ok(Some(given.join(",").into()));
        }
        FieldKind::Weights(_) => return Ok(Some(text.trim().into())),
        _ => {}
    }
    let as_field = Field {
        id: param.id.clone(),
        label: param.label.clone(),
        help: Text::default(),
        kind: param.kind.clone(),
        required: Required::No,
        privacy: 0,
        write: Vec::new(),
        merge: Merge::Fixed,
        resolve: param.owner,
        sealed: Vec::new(),
        group: Text::default(),
        headers: Vec::new(),
        once_by: Vec::new(),
        unconfirmed: None,
    };
    let read = parse(&as_field, text, Source::People, &directives.catalogue);
    read.map_err(|error| error.reason)
}

struct Choice {
    id: String,
    label: String,
    chosen: bool,
}

struct FormParam {
    id: String,
    label: String,
    now: String,
    bounds: String,
    /// `choice`, `set` or `text`.
    kind: &'static str,
    text: String,
    used: bool,
    choices: Vec<Choice>,
}

struct FormGroup {
    label: String,
    params: Vec<FormParam>,
}

#[derive(Template)]
#[template(path = "policy_form.html")]
struct DraftForm {
    shell: Shell,
    typed: Typed,
    groups: Vec<FormGroup>,
    errors: Vec<String>,
}

fn form_param(
    directives: &Directives,
    place: PlaceId,
    param: &Param,
    typed: &Typed,
    english: bool,
) -> FormParam {
    let values = Values { catalogue: &directives.catalogue, english };
    let text = typed.values.get(&param.id).cloned();
    let given = text.clone().unwrap_or_default();
    let of_vocab = |vocab: &str| -> Vec<Choice> {
        let listed = directives.catalogue.vocabs.get(vocab).map(|vocab| vocab.values.as_slice());
        let choices = listed.unwrap_or_default().iter().map(|(id, label)| Choice {
            id: id.clone(),
            label: label.in_lang(english).to_owned(),
            chosen: members(&given).contains(&id.as_str()),
        });
        choices.collect()
    };
    let (kind, choices) = match &param.kind {
        FieldKind::Bool => {
            let choice = |id: &str| Choice {
                id: id.to_owned(),
                label: values.text(param, &Value::Bool(id == "true")),
                chosen: given == id,
            };
            ("choice", vec![choice("true"), choice("false")])
        }
        FieldKind::Enum(vocab) => ("choice", of_vocab(vocab)),
        FieldKind::Set(vocab) => ("set", of_vocab(vocab)),
        _ => ("text", Vec::new()),
    };
    let now = directives.param(&param.id, place, clock::now().date());
    FormParam {
        id: param.id.clone(),
        label: param.label.in_lang(english).to_owned(),
        now: values.or_unset(param, now.value.as_ref()),
        bounds: values.bounds(param),
        kind,
        used: text.is_some(),
        text: given.clone(),
        choices,
    }
}

fn form_page(
    replica: &Replica,
    visitor: &Visitor,
    typed: Typed,
    errors: Vec<String>,
) -> Result<Html<String>, PageError> {
    let directives = replica.directives();
    let level = replica.identity().checked.name.level();
    let (english, place) = (visitor.english, replica.place());
    let mut groups = Vec::new();
    for (label, params) in grouped(&directives.catalogue, english) {
        let mine = params.into_iter().filter(|param| check_publisher(param, level).is_ok());
        let params: Vec<FormParam> =
            mine.map(|param| form_param(&directives, place, param, &typed, english)).collect();
        if !params.is_empty() {
            groups.push(FormGroup { label: label.to_owned(), params });
        }
    }
    let page = DraftForm { shell: Shell::new(replica, visitor)?, typed, groups, errors };
    Ok(Html(page.render()?))
}

/// The form of a new draft: empty, from an older draft, or with the values before a version.
///
/// # Errors
///
/// [`PageError::NotFound`] if the draft or version is not of this office.
pub async fn new(
    State(replica): State<Replica>,
    Query(query): Query<DraftQuery>,
    visitor: Visitor,
) -> Page {
    let directives = replica.directives();
    if let Ok(id) = query.withdraws.parse() {
        let earlier = Typed::before(&directives, replica.place(), id, visitor.english);
        let (typed, unset) = earlier.ok_or(PageError::NotFound)?;
        return form_page(&replica, &visitor, typed, unset);
    }
    let typed = if query.from.is_empty() {
        Typed::default()
    } else {
        let draft = opened(&replica, record_id(&query.from)?)?;
        let withdraws = draft.withdraws.map(|id| id.to_string()).unwrap_or_default();
        let note = draft.note.clone();
        Typed { note, withdraws, ..Typed::of_policy(&directives, &draft.policy) }
    };
    form_page(&replica, &visitor, typed, Vec::new())
}

/// Writes a draft.
///
/// # Errors
///
/// [`PageError`]; refusals show on the form, with what was typed.
pub async fn create(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(sent): Form<Sent>,
) -> Result<Response, PageError> {
    let directives = replica.directives();
    let typed = Typed::of_form(&directives, &sent);
    let level = replica.identity().checked.name.level();
    let read = typed.read(&directives).and_then(|draft| {
        let found = problems(&directives, replica.place(), level, &draft.policy, draft.withdraws);
        if found.is_empty() { Ok(draft) } else { Err(found) }
    });
    let english = visitor.english;
    let errors = match read {
        Err(errors) => errors,
        Ok(draft) => {
            let person = visitor.person.clone();
            let done =
                replica.run(move |engine, now| engine.draft_policy(&draft, &person, now)).await;
            match done {
                Ok(id) => {
                    return Ok(Redirect::to(&format!("/policy/draft/{id}")).into_response());
                }
                Err(CommandError::Refused(reason)) => vec![reason],
                Err(error) => return Err(error.into()),
            }
        }
    };
    let errors = errors.iter().map(|error| error.in_lang(english).to_owned()).collect();
    Ok(form_page(&replica, &visitor, typed, errors)?.into_response())
}

/// A draft of this office.
fn opened(replica: &Replica, id: RecordId) -> Result<Draft, PageError> {
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
        ledger.is_none_or(|ledger| rules.all(|(rule, _)| viewer.may_tell(ledger, rule)))
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
