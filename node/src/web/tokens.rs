//! The page on which an administrator makes and withdraws tokens of other systems.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::shell::{Shell, Visitor, place_name};
use super::signin::refusal;
use super::words::word;
use super::{Page, PageError};
use crate::account::Duty;
use crate::driver::{Replica, clock};
use crate::engine::command::CommandError;
use crate::ops::OpsError;
use crate::ops::token::{NewToken, TokenRequest};
use crate::token::{DAYS_MAX, Token};

struct TokenLine {
    name: String,
    scope: String,
    place: String,
    duty: String,
    expires: String,
    used: String,
    state: String,
    holds: bool,
}

struct DutyChoice {
    id: &'static str,
    label: String,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    shell: Shell,
    rows: Vec<TokenLine>,
    duties: Vec<DutyChoice>,
    days_max: i64,
    error: String,
    /// The secret of a token that was just made.
    secret: String,
}

fn duty_word(duty: Duty, english: bool) -> String {
    word(&format!("duty.{}", duty.word()), english).to_owned()
}

fn line(replica: &Replica, token: Token, english: bool) -> TokenLine {
    let holds = token.holds(clock::now());
    let state = match (holds, token.withdrawn) {
        (true, _) => "tokens.holds",
        (false, true) => "tokens.withdrawn",
        (false, false) => "tokens.expired",
    };
    TokenLine {
        scope: token.scope.into_iter().collect::<Vec<_>>().join(", "),
        place: place_name(&replica.directives(), token.place),
        duty: duty_word(token.duty, english),
        expires: token.expires.date().to_string(),
        used: Replica::ago(token.used, english),
        state: word(state, english).to_owned(),
        name: token.name,
        holds,
    }
}

fn page(replica: &Replica, visitor: &Visitor, error: String, secret: String) -> Page {
    let english = visitor.english;
    let all = replica.readers().with(|reader| reader.tokens())?;
    // The least first: what is chosen unless somebody chooses.
    let duties =
        Duty::ALL.map(|duty| DutyChoice { id: duty.word(), label: duty_word(duty, english) });
    let page = Tokens {
        shell: Shell::new(replica, visitor)?,
        rows: all.into_iter().map(|token| line(replica, token, english)).collect(),
        duties: duties.into(),
        days_max: DAYS_MAX,
        error,
        secret,
    };
    Ok(Html(page.render()?))
}

/// All tokens.
///
/// # Errors
///
/// [`PageError`].
pub async fn show(State(replica): State<Replica>, visitor: Visitor) -> Page {
    page(&replica, &visitor, String::new(), String::new())
}

/// A refusal shows on the page; anything else is an error.
fn refused(replica: &Replica, visitor: &Visitor, error: OpsError) -> Result<Response, PageError> {
    match error {
        OpsError::Command(error @ CommandError::Refused(_)) => {
            let text = refusal(&error, visitor.english);
            let page = page(replica, visitor, text, String::new())?;
            Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        other => Err(other.into()),
    }
}

/// Makes a token; the page that follows shows its secret, and no other does.
///
/// # Errors
///
/// [`PageError`]; a refusal shows on the page.
pub async fn add(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<NewToken>,
) -> Result<Response, PageError> {
    match replica.tokens(TokenRequest::Add(form), visitor.login()).await {
        Ok(made) => {
            let secret = made["token"].as_str().unwrap_or_default().to_owned();
            Ok(page(&replica, &visitor, String::new(), secret)?.into_response())
        }
        Err(error) => refused(&replica, &visitor, error),
    }
}

/// Which token.
#[derive(Deserialize)]
pub struct WithdrawForm {
    name: String,
}

/// Withdraws a token.
///
/// # Errors
///
/// [`PageError`]; a refusal shows on the page.
pub async fn withdraw(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<WithdrawForm>,
) -> Result<Response, PageError> {
    let request = TokenRequest::Withdraw { name: form.name };
    match replica.tokens(request, visitor.login()).await {
        Ok(_) => Ok(Redirect::to("/tokens").into_response()),
        Err(error) => refused(&replica, &visitor, error),
    }
}
