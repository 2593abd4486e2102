//! The pages: server-rendered, without JavaScript, Chinese first.
//!
//! Until sign-in is delivered they listen on loopback only; requests under another host name or from
//! another site are refused, so that no page of a stranger can reach the ledgers through a browser.

pub mod form;
pub mod home;
pub mod hub;
pub mod ledger;
pub mod office;
pub mod record;
pub mod shell;
pub mod words;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::driver::Replica;
use crate::ops::OpsError;

const CSS: &str = include_str!("../static/app.css");

/// All routes.
pub fn router(replica: Replica) -> Router {
    Router::new()
        .route("/", get(home::show))
        .route("/person", post(home::set_person))
        .route("/lang", get(home::set_language))
        .route("/sync", get(home::sync).post(home::sync_now))
        .route("/ledgers", get(ledger::index))
        .route("/ledgers/{ledger}", get(ledger::show))
        .route("/ledgers/{ledger}/new", get(form::new).post(form::create))
        .route("/records/{id}", get(record::show))
        .route("/records/{id}/edit", get(form::edit).post(form::update))
        .route("/records/{id}/act", post(record::act))
        .route("/records/{id}/resolve", post(record::resolve))
        .route("/records/{id}/void", post(record::void))
        .route("/conflicts", get(record::conflicts))
        .route("/office", get(office::show))
        .route("/office/{what}", post(office::act))
        .route("/places", get(hub::places))
        .route("/policy", get(hub::policy).post(hub::publish))
        .route("/static/app.css", get(css))
        .layer(middleware::from_fn_with_state(replica.clone(), guard))
        .with_state(replica)
}

async fn css() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], CSS)
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

fn is_foreign(request: &Request) -> bool {
    let text = |name: header::HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let (host, origin) = (text(header::HOST), text(header::ORIGIN));
    let cross_site = request.method() == Method::POST
        && !origin.is_empty()
        && origin.strip_prefix("http://") != Some(host);
    !is_loopback(host) || cross_site
}

/// Refuses foreign host names and cross-site posts, and sets the security headers.
async fn guard(State(_): State<Replica>, request: Request, next: Next) -> Response {
    let foreign = is_foreign(&request);
    if foreign {
        return (StatusCode::FORBIDDEN, "pages answer to this computer only").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What goes wrong on a page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The operation was refused or failed.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// The command was refused or failed.
    #[error(transparent)]
    Command(#[from] crate::engine::command::CommandError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The template failed.
    #[error("the page could not be made: {0}")]
    Template(#[from] askama::Error),
    /// Nothing is there.
    #[error("没有找到 / not found")]
    NotFound,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound | Self::Ops(OpsError::Record(_)) => StatusCode::NOT_FOUND,
            Self::Store(_) | Self::Template(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let text = self.to_string().replace('&', "&amp;").replace('<', "&lt;");
        let page = format!(
            "<!DOCTYPE html><meta charset=utf-8><link rel=stylesheet href=/static/app.css>\
             <main><h1>无法完成 / This cannot be done</h1><div class=errors>{text}</div>\
             <p><a href=\"/\">返回 / Back</a></p></main>"
        );
        (status, Html(page)).into_response()
    }
}

/// A page, or why there is none.
pub type Page = Result<Html<String>, PageError>;

/// Where a post leads, or why it did nothing.
pub type Posted = Result<Redirect, PageError>;
