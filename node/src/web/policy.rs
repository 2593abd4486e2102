//! The policy console: versions in force and coming, drafts, parameters with their sources and history.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use taizhang_core::catalogue::{Catalogue, FieldKind, Ledger, Localise, Param};
use taizhang_core::directives::{Directives, POLICY_DRAFT};
use taizhang_core::id::{Level, PlaceId, RecordId, SliceId};
use taizhang_core::policy::{PolicyVersion, members, weights};
use taizhang_core::record::value::Value;

use super::Page;
use super::access::Need;
use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use crate::driver::{Replica, clock};
use crate::engine::draft::{Draft, DraftState, check_second};
use crate::engine::values::display;
use crate::store::StoreError;

/// Versions listed, newest first.
const VERSIONS_MAX: usize = 60;

/// Values of parameters as people read them.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) english: bool,
}

impl Values<'_> {
    /// A value with its unit.
    pub(super) fn text(self, param: &Param, value: &Value) -> String {
        let label = |vocab: &str, id: &str| self.catalogue.value_label(vocab, id, self.english);
        let shown = match (&param.kind, value) {
            (FieldKind::Set(vocab), Value::Text(text)) => {
                let labels = members(text).into_iter().map(|id| label(vocab, id));
                labels.collect::<Vec<_>>().join("、")
            }
            (FieldKind::Weights(vocab), Value::Text(text)) => {
                let weights = weights(text).unwrap_or_default().into_iter();
                let parts = weights.map(|(id, weight)| format!("{} {weight}", label(vocab, &id)));
                parts.collect::<Vec<_>>().join("、")
            }
            (kind, value) => display(kind, value, self.catalogue, self.english),
        };
        format!("{shown}{}", param.unit.in_lang(self.english))
    }

    /// A value, or that there is none.
    pub(super) fn or_unset(self, param: &Param, value: Option<&Value>) -> String {
        let unset = || word("policy.unset", self.english).to_owned();
        value.map_or_else(unset, |value| self.text(param, value))
    }

    /// What is allowed, and what a county may do.
    pub(super) fn bounds(self, param: &Param) -> String {
        let bound = |bound: Option<i64>| {
            bound.map_or_else(|| "…".to_owned(), |one| self.text(param, &Value::Int(one)))
        };
        let local = match param.localise {
            Localise::Bounded => "policy.loc_bounded",
            Localise::Free => "policy.loc_free",
            Localise::None => "policy.loc_none",
            Localise::StricterMax => "policy.loc_stricter_max",
            Localise::StricterMin => "policy.loc_stricter_min",
            Localise::Subset => "policy.loc_subset",
            Localise::Superset => "policy.loc_superset",
        };
        let local = word(local, self.english);
        if param.min.is_none() && param.max.is_none() {
            return local.to_owned();
        }
        format!("{} – {} · {local}", bound(param.min), bound(param.max))
    }

    /// All values of a version.
    fn all(self, values: &BTreeMap<String, Value>) -> String {
        let parts = values.iter().map(|(id, value)| match self.catalogue.params.get(id) {
            Some(param) => {
                format!("{} = {}", param.label.in_lang(self.english), self.text(param, value))
            }
            None => format!("{id} = {value}"),
        });
        parts.collect::<Vec<_>>().join("；")
    }
}

/// The ledger under which a parameter is shown: the first whose rules or deadline name it.
fn ledger_of<'a>(catalogue: &'a Catalogue, id: &str) -> Option<&'a Ledger> {
    let names = |ledger: &Ledger| {
        let due = ledger.due.as_ref().and_then(|due| due.workdays.as_deref());
        due == Some(id) || ledger.rules.iter().any(|rule| rule.params.iter().any(|one| one == id))
    };
    catalogue.ledgers_for_people().map(|ledger| &**ledger).find(|ledger| names(ledger))
}

/// Parameters by the ledger that reads them, what none reads at the end.
pub(super) fn grouped(catalogue: &Catalogue, english: bool) -> Vec<(&str, Vec<&Param>)> {
    let mut groups: BTreeMap<&str, (&str, Vec<&Param>)> = BTreeMap::new();
    let mut general = Vec::new();
    for param in catalogue.params.values() {
        match ledger_of(catalogue, &param.id) {
            Some(ledger) => {
                let label = ledger.label.in_lang(english);
                groups.entry(&ledger.id).or_insert_with(|| (label, Vec::new())).1.push(param);
            }
            None => general.push(param),
        }
    }
    let mut found: Vec<_> = groups.into_values().collect();
    if !general.is_empty() {
        found.push((word("policy.general", english), general));
    }
    found
}

struct HistoryLine {
    from: String,
    value: String,
    doc_no: String,
    publisher: String,
}

struct ParamLine {
    id: String,
    label: String,
    value: String,
    /// Documents whose values make it, with their links.
    sources: Vec<(String, String)>,
    local: String,
    overridden: bool,
    bounds: String,
    history: Vec<HistoryLine>,
}

struct ParamGroup {
    label: String,
    params: Vec<ParamLine>,
}

/// Versions that hold on the path to a place, oldest first.
fn versions_on(directives: &Directives, place: PlaceId) -> Vec<&PolicyVersion> {
    let path = directives.tree.path(place);
    let versions = path.iter().filter_map(|id| directives.policies.get(id)).flatten();
    let mut versions: Vec<&PolicyVersion> = versions.collect();
    versions.sort_by(|one, two| {
        (&one.effective_from, one.lamport, one.actor).cmp(&(
            &two.effective_from,
            two.lamport,
            two.actor,
        ))
    });
    versions
}

fn param_line(
    directives: &Directives,
    place: PlaceId,
    param: &Param,
    versions: &[&PolicyVersion],
    english: bool,
) -> ParamLine {
    let values = Values { catalogue: &directives.catalogue, english };
    let found = directives.param(&param.id, place, clock::now().date());
    let holds = |(value, _): &(Value, RecordId)| found.value.as_ref() == Some(value);
    let is_local = found.local.as_ref().is_some_and(holds);
    // Of two lists both documents make what holds.
    let is_joined = matches!(param.localise, Localise::Subset | Localise::Superset);
    let upper = found.upper.iter().filter(|_| is_joined || !is_local);
    let local = found.local.iter().filter(|_| is_joined || is_local);
    let sources = upper.chain(local).map(|(_, record)| {
        let version = versions.iter().find(|one| one.record == *record);
        let doc_no = version.map(|one| one.doc_no.clone()).unwrap_or_default();
        (doc_no, reach_link(*record))
    });
    let history = versions.iter().rev().filter_map(|version| {
        let value = version.values.get(&param.id)?;
        Some(HistoryLine {
            from: version.effective_from.clone(),
            value: values.text(param, value),
            doc_no: version.doc_no.clone(),
            publisher: place_name(directives, version.place),
        })
    });
    ParamLine {
        id: param.id.clone(),
        label: param.label.in_lang(english).to_owned(),
        value: values.or_unset(param, found.value.as_ref()),
        sources: sources.collect(),
        local: found.local.as_ref().map(|(value, _)| values.text(param, value)).unwrap_or_default(),
        overridden: found.overridden,
        bounds: values.bounds(param),
        history: history.collect(),
    }
}

/// Where the reach of a version shows.
pub(super) fn reach_link(version: RecordId) -> String {
    format!("/policy/{version}/reach")
}

struct VersionLine {
    doc_no: String,
    title: String,
    publisher: String,
    effective: String,
    is_coming: bool,
    signed: String,
    values: String,
    reach: String,
    draft: String,
    withdraw: String,
}

fn version_line(
    directives: &Directives,
    version: &PolicyVersion,
    own: Option<PlaceId>,
    english: bool,
) -> VersionLine {
    let values = Values { catalogue: &directives.catalogue, english };
    let t = |key| word(key, english);
    let signed = &version.signed;
    let is_own = own == Some(version.place);
    let names = match signed.approver.as_str() {
        "" => version.person.clone(),
        approver => format!(
            "{} {} · {} {approver}",
            t("draft.drafter"),
            signed.drafter,
            t("draft.approver")
        ),
    };
    // Without a draft nobody signed in for it.
    let by = if signed.draft.is_empty() { t("policy.command_line") } else { "" };
    VersionLine {
        doc_no: version.doc_no.clone(),
        title: version.title.clone(),
        publisher: directives.tree.full_name(version.place),
        effective: version.effective_from.clone(),
        is_coming: version.effective_from > clock::now().date().to_string(),
        signed: format!("{names}{by}"),
        values: values.all(&version.values),
        reach: reach_link(version.record),
        draft: match signed.draft.as_str() {
            draft if is_own && !draft.is_empty() => format!("/policy/draft/{draft}"),
            _ => String::new(),
        },
        withdraw: if is_own {
            format!("/policy/draft?withdraws={}", version.record)
        } else {
            String::new()
        },
    }
}

struct DraftLine {
    link: String,
    doc_no: String,
    title: String,
    effective: String,
    state: &'static str,
    drafter: String,
    waits: bool,
}

/// A state of a draft as a word.
pub(super) fn state_word(state: DraftState, english: bool) -> &'static str {
    match state {
        DraftState::Drafted => word("draft.drafted", english),
        DraftState::Submitted => word("draft.submitted", english),
        DraftState::Returned => word("draft.returned", english),
        DraftState::Published => word("draft.published", english),
    }
}

/// Drafts of this office, newest first.
pub(super) fn drafts(replica: &Replica) -> Result<Vec<Draft>, StoreError> {
    let place = replica.place();
    let rows = replica
        .readers()
        .with(|reader| reader.lookup().rows_of(SliceId::ledger(place), POLICY_DRAFT))?;
    let read = rows.iter().filter_map(|(id, row)| Draft::read(*id, place, row));
    let mut found: Vec<Draft> = read.collect();
    found.sort_by_key(|draft| std::cmp::Reverse((draft.time, draft.record)));
    Ok(found)
}

/// Whether a draft waits for a visitor: submitted, and by others.
pub(super) fn waits_for(draft: &Draft, visitor: &Visitor, replica: &Replica) -> bool {
    draft.state() == DraftState::Submitted
        && visitor.may(Need::Publish, replica)
        && check_second(draft.hands(), &visitor.person.name).is_ok()
}

#[derive(Template)]
#[template(path = "policy.html")]
struct PolicyPage {
    shell: Shell,
    may_draft: bool,
    draft_label: &'static str,
    drafts: Vec<DraftLine>,
    versions: Vec<VersionLine>,
    groups: Vec<ParamGroup>,
}

/// Versions, drafts and parameters.
///
/// # Errors
///
/// [`super::PageError`].
pub async fn show(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let directives = replica.directives();
    let (english, place) = (visitor.english, replica.place());
    let may_draft = visitor.may(Need::Draft, &replica);
    let on_path = versions_on(&directives, place);
    let params = grouped(&directives.catalogue, english).into_iter().map(|(label, params)| {
        let line = |param: &&Param| param_line(&directives, place, param, &on_path, english);
        ParamGroup { label: label.to_owned(), params: params.iter().map(line).collect() }
    });
    let mut versions: Vec<&PolicyVersion> = directives.policies.values().flatten().collect();
    versions.sort_by_key(|one| {
        std::cmp::Reverse((one.effective_from.clone(), one.published, one.record))
    });
    let own = may_draft.then_some(place);
    let line = |version: &&PolicyVersion| version_line(&directives, version, own, english);
    let mut drafts: Vec<DraftLine> = drafts(&replica)?
        .iter()
        .filter(|draft| draft.state() != DraftState::Published)
        .map(|draft| DraftLine {
            link: format!("/policy/draft/{}", draft.record),
            doc_no: draft.policy.doc_no.clone(),
            title: draft.policy.title.clone(),
            effective: draft.policy.effective_from.clone(),
            state: state_word(draft.state(), english),
            drafter: draft.drafter.name.clone(),
            waits: waits_for(draft, &visitor, &replica),
        })
        .collect();
    drafts.sort_by_key(|draft| !draft.waits);
    let is_city = replica.identity().checked.name.level() == Level::City;
    let page = PolicyPage {
        shell: Shell::new(&replica, &visitor)?,
        may_draft,
        draft_label: word(if is_city { "policy.publish" } else { "policy.localise" }, english),
        drafts,
        versions: versions.iter().take(VERSIONS_MAX).map(line).collect(),
        groups: params.collect(),
    };
    Ok(Html(page.render()?))
}
