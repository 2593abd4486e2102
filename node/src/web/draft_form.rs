//! The form of a policy draft: empty, from an older draft, or with the values before a version.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use taizhang_core::catalogue::{Field, FieldKind, Merge, Param, Required, Text};
use taizhang_core::directives::Directives;
use taizhang_core::id::{PlaceId, RecordId};
use taizhang_core::policy::{check_publisher, members};
use taizhang_core::record::value::Value;
use taizhang_core::time::Date;

use super::draft::opened;
use super::policy::{Values, grouped};
use super::record::record_id;
use super::shell::{Shell, Visitor};
use super::words::word;
use super::{Page, PageError};
use crate::driver::{Replica, clock};
use crate::engine::command::CommandError;
use crate::engine::draft::{NewDraft, earlier, problems};
use crate::engine::policy::NewPolicy;
use crate::engine::values::{Source, date, form_text, parse};
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
