//! What a person does to a record from its page: steps, decisions, voids, photos.

use std::collections::BTreeMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use serde::Deserialize;

use super::Posted;
use super::inspection::ROUND;
use super::record::record_id;
use super::shell::Visitor;
use crate::driver::Replica;
use crate::engine::act::Asked;
use crate::engine::command::{Choice, Inputs, refuse};
use crate::engine::values::date;

/// A step.
#[derive(Deserialize)]
pub struct ActForm {
    to: String,
    #[serde(default)]
    reason: String,
    /// The day on which it was done, if that is not today.
    #[serde(default)]
    date: String,
}

/// Back to the record, which says when it was saved.
pub(super) fn saved(id: &str) -> Redirect {
    let time = crate::driver::clock::now().local_text().replace(' ', "%20");
    Redirect::to(&format!("/records/{id}?saved={time}"))
}

/// Takes a step.
///
/// # Errors
///
/// Says what would have to hold.
pub async fn act(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<ActForm>,
) -> Posted {
    let record = record_id(&id)?;
    let person = visitor.person;
    replica
        .run(move |engine, now| {
            if engine.find(record)?.ledger.id == ROUND {
                return refuse("督查在督查页面办理", "a round's steps are taken on its own page");
            }
            let typed = form.date.trim();
            // What is no date is refused there, in words.
            let date = date(typed).map_or_else(|| typed.to_owned(), |date| date.to_string());
            let asked = Asked { to: &form.to, reason: &form.reason, date: &date };
            engine.act_on(record, asked, &person, now)
        })
        .await?;
    Ok(saved(&id))
}

/// Settles a conflict.
///
/// # Errors
///
/// Says who decides.
pub async fn resolve(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Posted {
    let record = record_id(&id)?;
    let sent = |name: &str| form.get(name).cloned().unwrap_or_default();
    let (field, seen, value) = (sent("field"), sent("conflict"), sent("value"));
    let take = form.get("take").and_then(|take| take.parse().ok());
    let person = visitor.person;
    replica
        .run(move |engine, now| {
            let found = engine.find(record)?;
            // A value that came after the page was made would shift the others.
            if !found.row.conflicts.iter().any(|one| one.field == field && one.id == seen) {
                return refuse(
                    "该冲突已有变化,请重新打开页面后裁定",
                    "this conflict has changed; open the page again",
                );
            }
            let choice = match take {
                Some(at) => Choice::Candidate(at),
                None if value.trim().is_empty() => {
                    return refuse("请填写值", "enter a value");
                }
                None => {
                    let mut inputs = Inputs::from([(field.clone(), value)]);
                    engine.name_references(found.slice.place, &found.ledger, &mut inputs)?;
                    Choice::Other(inputs.remove(&field).unwrap_or_default())
                }
            };
            engine.resolve(record, &field, &choice, &person, now)
        })
        .await?;
    Ok(saved(&id))
}

/// Voids a record, or takes the void back.
///
/// # Errors
///
/// If there is no reason.
pub async fn void(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<BTreeMap<String, String>>,
) -> Posted {
    let record = record_id(&id)?;
    let reason = form.get("reason").cloned();
    let person = visitor.person;
    replica.run(move |engine, now| engine.void(record, reason.as_deref(), &person, now)).await?;
    Ok(saved(&id))
}
