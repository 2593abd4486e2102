//! The read API of other systems: JSON over HTTP under `/api/v1`, each request with a token. What it says
//! is decided in `ops/query.rs`; what it looks like is described in [`openapi`].

pub mod openapi;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::block_in_place;

use super::access::Gate;
use crate::account::LOCK_MS;
use crate::driver::{Replica, clock};
use crate::ops::OpsError;
use crate::ops::query::{Asking, QueryError, RecordsAsked};
use crate::token::{Token, bearer};

/// How the API's addresses begin.
pub const API: &str = "/api/";
const JSON: &str = "application/json; charset=utf-8";

/// Why another system gets no answer: a word for programs, and the reason in both languages.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    text: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into() }
    }

    fn no_token() -> Self {
        let text = "请求须带有效令牌 / a request needs a token that holds";
        Self::new(StatusCode::UNAUTHORIZED, "token", text)
    }

    /// Nothing stands at an address.
    pub(super) fn nowhere() -> Self {
        QueryError::NotFound.into()
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let (status, code) = match &error {
            QueryError::Cursor => (StatusCode::GONE, "cursor"),
            QueryError::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            QueryError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            QueryError::Scope => (StatusCode::FORBIDDEN, "scope"),
            QueryError::TooMany => (StatusCode::BAD_REQUEST, "limit"),
            QueryError::Ops(error) => {
                tracing::error!(%error, "a query failed");
                let text = "暂时无法回答 / there is no answer now";
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text);
            }
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<OpsError> for ApiError {
    fn from(error: OpsError) -> Self {
        QueryError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let text = self.text.as_str();
        let (zh, en) = text.split_once(" / ").unwrap_or((text, text));
        let body = json!({"error": self.code, "zh": zh, "en": en}).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(LOCK_MS / 1000));
        }
        response
    }
}

fn secret(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok().and_then(bearer)
}

/// Lets in whoever carries a token that holds and whose scope has `word`. Of wrong ones a few are written
/// down; then they are told to wait. Cookies count for nothing here, so no other site's page can ask.
///
/// # Errors
///
/// The refusal.
pub(super) async fn admit(
    gate: &Gate,
    word: &str,
    mut request: Request,
) -> Result<Request, ApiError> {
    let secret = secret(request.headers()).map(str::to_owned).ok_or_else(ApiError::no_token)?;
    let Some(token) = gate.replica.use_token(&secret).await? else {
        if gate.wrong.note(clock::now()) {
            let text = "错误令牌过多,请稍后再试 / too many wrong tokens; try again later";
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "wait", text));
        }
        gate.replica.audit_refusal("token refused", request.uri().path().to_owned());
        return Err(ApiError::no_token());
    };
    if !token.allows(word) {
        return Err(QueryError::Scope.into());
    }
    request.extensions_mut().insert(Arc::new(token));
    Ok(request)
}

/// The token of a request, which the guard has checked.
pub struct Caller(Arc<Token>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Arc<Token>>().cloned().map(Self).ok_or_else(ApiError::no_token)
    }
}

/// An answer, or why there is none.
pub type Answer = Result<Response, ApiError>;

fn answer(value: &impl Serialize) -> Answer {
    let text = serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        let text = "暂时无法回答 / there is no answer now";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    })?;
    Ok(([(header::CONTENT_TYPE, JSON)], text).into_response())
}

fn rows(rows: &impl Serialize) -> Answer {
    answer(&json!({"rows": rows}))
}

/// The description of everything here, made from the catalogue in force.
///
/// # Errors
///
/// [`ApiError`].
pub async fn description(State(replica): State<Replica>) -> Answer {
    answer(&openapi::document(&replica.directives().catalogue))
}

/// Open ledgers.
///
/// # Errors
///
/// [`ApiError`].
pub async fn ledgers(State(replica): State<Replica>, Caller(token): Caller) -> Answer {
    answer(&Asking::new(&replica, &token).ledgers())
}

/// Records of a ledger.
///
/// # Errors
///
/// [`ApiError`].
pub async fn records(
    State(replica): State<Replica>,
    Path(ledger): Path<String>,
    Query(asked): Query<RecordsAsked>,
    Caller(token): Caller,
) -> Answer {
    answer(&Asking::new(&replica, &token).records(&ledger, &asked).await?)
}

/// One record.
///
/// # Errors
///
/// [`ApiError`].
pub async fn record(
    State(replica): State<Replica>,
    Path((place, record)): Path<(String, String)>,
    Caller(token): Caller,
) -> Answer {
    answer(&Asking::new(&replica, &token).record(&place, &record)?)
}

/// Places.
///
/// # Errors
///
/// [`ApiError`].
pub async fn places(State(replica): State<Replica>, Caller(token): Caller) -> Answer {
    rows(&Asking::new(&replica, &token).places())
}

/// What is counted.
///
/// # Errors
///
/// [`ApiError`].
pub async fn indicators(State(replica): State<Replica>, Caller(token): Caller) -> Answer {
    answer(&Asking::new(&replica, &token).indicators())
}

/// Which figures.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct FiguresAsked {
    place: String,
    from: String,
    to: String,
}

/// Figures of a place and its children.
///
/// # Errors
///
/// [`ApiError`].
pub async fn figures(
    State(replica): State<Replica>,
    Query(asked): Query<FiguresAsked>,
    Caller(token): Caller,
) -> Answer {
    let asking = Asking::new(&replica, &token);
    let found = block_in_place(|| asking.figures(asked.place.trim(), &asked.from, &asked.to));
    answer(&found?)
}

/// Policy versions and values in force.
///
/// # Errors
///
/// [`ApiError`].
pub async fn policy(State(replica): State<Replica>, Caller(token): Caller) -> Answer {
    answer(&Asking::new(&replica, &token).policy()?)
}

/// Where a policy version has arrived.
///
/// # Errors
///
/// [`ApiError`].
pub async fn reach(
    State(replica): State<Replica>,
    Path(record): Path<String>,
    Caller(token): Caller,
) -> Answer {
    answer(&Asking::new(&replica, &token).reach(&record)?)
}

/// Filed reports.
///
/// # Errors
///
/// [`ApiError`].
pub async fn reports(
    State(replica): State<Replica>,
    Query(asked): Query<RecordsAsked>,
    Caller(token): Caller,
) -> Answer {
    answer(&Asking::new(&replica, &token).reports(&asked).await?)
}

/// One filed report.
///
/// # Errors
///
/// [`ApiError`].
pub async fn report(
    State(replica): State<Replica>,
    Path(record): Path<String>,
    Caller(token): Caller,
) -> Answer {
    answer(&Asking::new(&replica, &token).report(&record)?)
}
