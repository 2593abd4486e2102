//! Sign-in, the end of a session, and forms that wait for a new one: what was typed is not lost.

use askama::Template;
use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::access::SESSION_COOKIE;
use super::shell::{Frame, Visitor, cookie, onward};
use super::{Page, PageError, Posted};
use crate::account::SESSION_MS;
use crate::driver::Replica;
use crate::engine::command::CommandError;

/// Why something was refused, as a page says it.
pub(super) fn refusal(error: &CommandError, english: bool) -> String {
    match error {
        CommandError::Refused(text) | CommandError::Busy(text) => text.in_lang(english).to_owned(),
        other => other.to_string(),
    }
}

/// The token of a new session.
pub(super) async fn signed_in(
    replica: &Replica,
    login: &str,
    password: String,
) -> Result<String, PageError> {
    Ok(replica.sign_in(login, password).await?.token)
}

fn session_cookie(token: &str) -> String {
    let token = taizhang_core::id::hex(token.as_bytes());
    let seconds = SESSION_MS / 1000;
    format!("{SESSION_COOKIE}={token}; Path=/; SameSite=Strict; HttpOnly; Max-Age={seconds}")
}

/// To a page, with the new session.
pub(super) fn to_next(token: &str, next: &str) -> Response {
    let kept = [(header::SET_COOKIE, session_cookie(token))];
    (kept, Redirect::to(onward(next))).into_response()
}

#[derive(Template)]
#[template(path = "signin.html")]
struct SignIn {
    frame: Frame,
    error: String,
    login: String,
    next: String,
    kept: Kept,
}

/// A form that was sent after its session had ended: what was typed waits until somebody has signed in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Where it was sent.
    kept_to: String,
    /// Its fields, as a browser sends them.
    kept: String,
}

#[derive(Template)]
#[template(path = "kept.html")]
struct KeptPage {
    frame: Frame,
    action: String,
    csrf: String,
    fields: Vec<(String, String)>,
}

/// The sign-in page for whoever sent a form without a session.
pub(super) fn sign_in_again(
    replica: &Replica,
    visitor: &Visitor,
    sent_to: &str,
    fields: &[u8],
) -> Response {
    let (kept_to, kept) = (sent_to.to_owned(), String::from_utf8_lossy(fields).into_owned());
    let page = SignIn {
        frame: Frame { path: "/signin".into(), ..Frame::new(replica, visitor) },
        error: String::new(),
        login: String::new(),
        next: "/".into(),
        kept: Kept { kept_to, kept },
    };
    match page.render() {
        Ok(page) => (StatusCode::UNAUTHORIZED, Html(page)).into_response(),
        Err(error) => PageError::from(error).into_response(),
    }
}

/// The form that waited, with the word of the new session: one press sends it again.
async fn kept_page(
    replica: &Replica,
    visitor: &Visitor,
    csrf: String,
    kept: &Kept,
) -> Result<Html<String>, PageError> {
    let sent = Request::post("/")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(kept.kept.clone()))
        .map_err(|error| PageError::Sheet(error.to_string()))?;
    let Form(mut fields): Form<Vec<(String, String)>> =
        Form::from_request(sent, &()).await.map_err(|error| PageError::Sheet(error.to_string()))?;
    fields.retain(|(name, _)| name != "csrf");
    let frame = Frame { path: "/".into(), ..Frame::new(replica, visitor) };
    Ok(Html(KeptPage { frame, action: onward(&kept.kept_to).into(), csrf, fields }.render()?))
}

/// The form of a session that has ended, for whoever signed in again elsewhere: one press sends it.
pub(super) async fn send_again(
    replica: &Replica,
    visitor: &Visitor,
    csrf: &str,
    sent_to: &str,
    fields: &[u8],
) -> Result<Html<String>, PageError> {
    let (kept_to, kept) = (sent_to.to_owned(), String::from_utf8_lossy(fields).into_owned());
    kept_page(replica, visitor, csrf.to_owned(), &Kept { kept_to, kept }).await
}

/// Where to go after sign-in.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct NextPage {
    next: String,
}

/// The form of sign-in.
///
/// # Errors
///
/// [`PageError`].
pub async fn sign_in_form(
    State(replica): State<Replica>,
    Query(after): Query<NextPage>,
    visitor: Visitor,
) -> Page {
    let frame = Frame::new(&replica, &visitor);
    let (error, login, kept) = Default::default();
    let page = SignIn { frame, error, login, next: after.next, kept };
    Ok(Html(page.render()?))
}

/// What is typed at sign-in.
#[derive(Deserialize)]
pub struct SignInForm {
    login: String,
    password: String,
    #[serde(default)]
    next: String,
    #[serde(flatten)]
    kept: Kept,
}

/// Opens a session.
///
/// # Errors
///
/// [`PageError`]; a refusal shows on the form.
pub async fn sign_in(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<SignInForm>,
) -> Result<Response, PageError> {
    match signed_in(&replica, &form.login, form.password).await {
        Err(PageError::Command(error @ (CommandError::Refused(_) | CommandError::Busy(_)))) => {
            let status = match error {
                CommandError::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::UNAUTHORIZED,
            };
            let error = refusal(&error, visitor.english);
            let frame = Frame::new(&replica, &visitor);
            let page = SignIn { frame, error, login: form.login, next: form.next, kept: form.kept };
            Ok((status, Html(page.render()?)).into_response())
        }
        Err(error) => Err(error),
        Ok(token) if form.kept.kept_to.is_empty() => Ok(to_next(&token, &form.next)),
        Ok(token) => {
            let csrf =
                replica.session(&token, true)?.map(|session| session.csrf).unwrap_or_default();
            let page = kept_page(&replica, &visitor, csrf, &form.kept).await?;
            Ok(([(header::SET_COOKIE, session_cookie(&token))], page).into_response())
        }
    }
}

/// Ends the session.
///
/// # Errors
///
/// [`PageError`].
pub async fn sign_out(State(replica): State<Replica>, headers: HeaderMap) -> Posted {
    replica.sign_out(&cookie(&headers, SESSION_COOKIE).unwrap_or_default()).await?;
    Ok(Redirect::to("/signin"))
}
