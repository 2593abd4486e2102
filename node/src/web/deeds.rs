//! What a person does to a record from its page: steps, decisions, voids, photos.

use std::collections::BTreeMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use serde::Deserialize;

use super::Posted;
use super::record::record_id;
use super::shell::Visitor;
use crate::driver::Replica;
use crate::engine::act::Asked;
use crate::engine::command::Choice;

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
            let asked = Asked { to: &form.to, reason: &form.reason, date: form.date.trim() };
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
    let field = form.get("field").cloned().unwrap_or_default();
    let choice = match form.get("take").and_then(|take| take.parse().ok()) {
        Some(at) => Choice::Candidate(at),
        None => Choice::Other(form.get("value").cloned().unwrap_or_default()),
    };
    let person = visitor.person;
    replica.run(move |engine, now| engine.resolve(record, &field, &choice, &person, now)).await?;
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
