//! The page about the network itself: replicas, duplicates, entries held back, rights, place events. It
//! shows and sends what `office` does on the command line; values of held-back entries stay out of it.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{Html, Redirect};
use serde_json::Value;
use taizhang_core::id::Level;

use super::shell::{Shell, Visitor};
use super::words::word;
use super::{Page, PageError, Posted};
use crate::account::Duty;
use crate::driver::Replica;
use crate::ops::office::OfficeRequest;

/// Characters of a seal key that are shown: enough to tell replicas apart.
const KEY_CHARS: usize = 16;

struct ReplicaLine {
    place: String,
    key: String,
    own: bool,
    below: bool,
    revoked: bool,
}

struct HeldLine {
    place: String,
    person: String,
    why: String,
    arrival: String,
    entry: String,
}

struct Pair {
    id: String,
    ledger: String,
    canonical: String,
    canonical_place: String,
    other: String,
    other_place: String,
    decided: bool,
}

struct RightLine {
    name: String,
    place: String,
    amount: String,
    pool: String,
    holder: String,
    own: bool,
    gone: bool,
}

#[derive(Template)]
#[template(path = "office.html")]
struct Office {
    shell: Shell,
    is_city: bool,
    replicas: Vec<ReplicaLine>,
    held: Vec<HeldLine>,
    duplicates: Vec<Pair>,
    rights: Vec<RightLine>,
}

fn text(row: &Value, key: &str) -> String {
    match &row[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn flag(row: &Value, key: &str) -> bool {
    row[key].as_bool().unwrap_or(false)
}

/// Rows of one question.
async fn rows(
    replica: &Replica,
    visitor: &Visitor,
    ask: OfficeRequest,
) -> Result<Vec<Value>, PageError> {
    let answer = replica.office(ask, visitor.person.clone()).await?;
    Ok(answer["rows"].as_array().cloned().unwrap_or_default())
}

/// Everything about the network that a person may have to act on.
///
/// # Errors
///
/// [`PageError`].
pub async fn show(State(replica): State<Replica>, visitor: Visitor) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let name = |row: &Value, key: &str| {
        let id = text(row, key).parse();
        id.map(|id| directives.tree.full_name(id)).unwrap_or_default()
    };
    let replicas = rows(&replica, &visitor, OfficeRequest::Replicas).await?;
    let held = rows(&replica, &visitor, OfficeRequest::HeldBack).await?;
    let pairs = rows(&replica, &visitor, OfficeRequest::Duplicates).await?;
    let rights = rows(&replica, &visitor, OfficeRequest::Rights).await?;
    let page = Office {
        is_city: replica.identity().checked.name.level() == Level::City,
        replicas: replicas
            .iter()
            .map(|row| ReplicaLine {
                place: text(row, "place"),
                key: text(row, "key").chars().take(KEY_CHARS).collect(),
                own: flag(row, "own"),
                below: flag(row, "below"),
                revoked: flag(row, "revoked"),
            })
            .collect(),
        held: held
            .iter()
            .map(|row| HeldLine {
                place: name(row, "place"),
                person: text(row, "person"),
                why: word(&format!("office.{}", text(row, "kind")), english).to_owned(),
                arrival: text(row, "arrival"),
                entry: text(row, "entry"),
            })
            .collect(),
        duplicates: pairs
            .iter()
            .map(|row| Pair {
                id: text(row, "id"),
                ledger: match directives.catalogue.ledgers.get(&text(row, "ledger")) {
                    Some(ledger) => ledger.label.in_lang(english).to_owned(),
                    None => text(row, "ledger"),
                },
                canonical: text(row, "canonical"),
                canonical_place: name(row, "canonical_place"),
                other: text(row, "other"),
                other_place: name(row, "other_place"),
                decided: !row["same"].is_null(),
            })
            .collect(),
        rights: rights
            .iter()
            .map(|row| RightLine {
                name: text(row, "name"),
                place: text(row, "place"),
                amount: text(row, "amount"),
                pool: text(row, "pool"),
                holder: text(row, "holder"),
                own: flag(row, "own"),
                gone: flag(row, "gone"),
            })
            .collect(),
        shell: Shell::new(&replica, &visitor)?,
    };
    Ok(Html(page.render()?))
}

/// Whose it is: keys and places are an administrator's, records and rights a reviewer's.
fn duty_of(request: &OfficeRequest) -> Duty {
    match request {
        OfficeRequest::Replicas
        | OfficeRequest::Revoke { .. }
        | OfficeRequest::PlaceEvent { .. } => Duty::Administrator,
        _ => Duty::Reviewer,
    }
}

/// Does what a form of the page says.
///
/// # Errors
///
/// [`PageError`]: the refusal, or a form that says nothing.
pub async fn act(
    State(replica): State<Replica>,
    Path(what): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Posted {
    let mut request = serde_json::Map::from_iter([("what".to_owned(), Value::from(what))]);
    for (key, typed) in form {
        let typed = typed.trim();
        let value = match (key.as_str(), typed) {
            ("different", flag) => Value::from(flag == "true"),
            ("amount" | "arrival" | "entry", number) => match number.parse::<i64>() {
                Ok(number) => Value::from(number),
                Err(_) => Value::from(number),
            },
            (_, text) => Value::from(text),
        };
        request.insert(key, value);
    }
    let request: OfficeRequest =
        serde_json::from_value(Value::Object(request)).map_err(|_| PageError::NotFound)?;
    if visitor.duty() != Some(duty_of(&request)) {
        let (zh, en) = match duty_of(&request) {
            Duty::Administrator => ("此事由管理员办理", "an administrator does this"),
            _ => ("此事由审核人办理", "a reviewer does this"),
        };
        return crate::engine::command::refuse(zh, en).map_err(PageError::Command);
    }
    replica.office(request, visitor.person).await?;
    Ok(Redirect::to("/office"))
}
