//! Who may ask for which page: every request passes [`guard`], and what no row of [`super::ROUTES`] allows is
//! refused.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use taizhang_core::id::Level;

use super::shell::{Visitor, cookie, is_english};
use super::signin::{send_again, sign_in_again};
use super::words::word;
use super::{PageError, ROUTES};
use crate::account::{Duty, Session};
use crate::driver::Replica;

/// Name of the session's cookie.
pub const SESSION_COOKIE: &str = "taizhang_session";
/// Bytes of a form that waits for a new session: the longest notes with room.
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a form.
const FORM_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a route asks of whoever wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// Nothing: styles, the language, sign-in.
    Nothing,
    /// No account yet, on this machine itself.
    SetUp,
    /// A session.
    Session,
    /// To read ledgers.
    Read,
    /// To write records.
    Write,
    /// To take steps and decide conflicts: above the village that is a reviewer's.
    Decide,
    /// To publish policy.
    Publish,
    /// To look after replicas, rights and places; each action asks again.
    Office,
    /// To keep accounts.
    Administer,
}

/// A page, and what it needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// `get` or `post`.
    pub method: &'static str,
    /// With places for values in braces.
    pub path: &'static str,
    /// What it needs.
    pub need: Need,
}

impl Need {
    /// Whether an account of a duty at an office of a level has it.
    pub fn allows(self, duty: Duty, level: Level) -> bool {
        match self {
            Self::Nothing | Self::Session | Self::Read => true,
            Self::SetUp => false,
            Self::Write => matches!(duty, Duty::Clerk | Duty::Reviewer),
            Self::Decide => {
                duty == Duty::Reviewer || (duty == Duty::Clerk && level == Level::Village)
            }
            Self::Publish => duty == Duty::Reviewer && level >= Level::County,
            Self::Office => matches!(duty, Duty::Administrator | Duty::Reviewer),
            Self::Administer => duty == Duty::Administrator,
        }
    }
}

/// The row of a route.
pub fn need_of(method: &Method, path: &str) -> Option<Need> {
    let method = if method == Method::POST { "post" } else { "get" };
    ROUTES.iter().find(|row| row.method == method && row.path == path).map(|row| row.need)
}

/// How pages are reached.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Names and addresses under which pages answer beside this machine's own, without port.
    pub hosts: Vec<String>,
    /// Whether pages go over TLS.
    pub tls: bool,
}

/// What the guard needs.
#[derive(Clone)]
pub struct Gate {
    /// The replica.
    pub replica: Replica,
    /// How pages are reached.
    pub site: Arc<Site>,
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn host_name(host: &str) -> &str {
    // A port follows the last colon, unless that is inside of an IPv6 address.
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback(host: &str) -> bool {
    matches!(host_name(host), "127.0.0.1" | "localhost" | "[::1]")
}

/// Whether a request is under a name that is not ours, or was sent by another site's page.
fn is_foreign(headers: &HeaderMap, method: &Method, site: &Site) -> bool {
    let host = text(headers, header::HOST);
    let ours = is_loopback(host) || site.hosts.iter().any(|name| name == host_name(host));
    let scheme = if site.tls { "https://" } else { "http://" };
    let origin = text(headers, header::ORIGIN);
    let other = !origin.is_empty() && origin.strip_prefix(scheme) != Some(host);
    let fetched = text(headers, HeaderName::from_static("sec-fetch-site"));
    let cross = matches!(fetched, "cross-site" | "same-site");
    !ours || (method == Method::POST && (other || cross))
}

/// Whether what was typed waits when its session has ended: deeds on records and policy do; passwords and
/// the end of a session do not.
fn is_kept(need: Need) -> bool {
    matches!(need, Need::Write | Need::Decide | Need::Publish | Need::Office)
}

fn is_form(headers: &HeaderMap) -> bool {
    text(headers, header::CONTENT_TYPE).starts_with("application/x-www-form-urlencoded")
}

/// The body of a form with its `csrf` checked; multipart forms carry the word in their address. A form of
/// an earlier session comes back, to be sent again by whoever signed in since.
async fn checked_form(
    gate: &Gate,
    need: Need,
    request: Request,
    session: &Session,
) -> Result<Request, Response> {
    let denied = || {
        let text = "表单已过期,请返回重新打开页面 / this form is out of date; open the page again";
        (StatusCode::FORBIDDEN, text).into_response()
    };
    let wanted = format!("csrf={}", session.csrf);
    let in_address = request.uri().query().is_some_and(|q| q.split('&').any(|one| one == wanted));
    if in_address {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| denied())?;
    let carried = bytes.split(|byte| *byte == b'&').any(|one| one == wanted.as_bytes());
    if !carried {
        let waits = is_kept(need) && is_form(&parts.headers) && bytes.len() <= KEPT_BYTES_MAX;
        if !waits {
            return Err(denied());
        }
        let path = parts.uri.path().to_owned();
        let visitor = match Visitor::from_request_parts(&mut parts, &()).await {
            Ok(visitor) => visitor,
            Err(never) => match never {},
        };
        let page = send_again(&gate.replica, &visitor, &session.csrf, &path, &bytes).await;
        return Err((StatusCode::FORBIDDEN, page).into_response());
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// To the sign-in page: back to what was wanted, or with the form that was sent, so that nothing typed
/// is lost.
async fn without_session(gate: &Gate, need: Need, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET {
        return Redirect::to(&format!("/signin?next={path}")).into_response();
    }
    if !is_kept(need) || !is_form(request.headers()) {
        return Redirect::to("/signin?next=/").into_response();
    }
    let (mut parts, body) = request.into_parts();
    let Ok(fields) = to_bytes(body, KEPT_BYTES_MAX).await else {
        return Redirect::to("/signin?next=/").into_response();
    };
    match Visitor::from_request_parts(&mut parts, &()).await {
        Ok(visitor) => sign_in_again(&gate.replica, &visitor, &path, &fields),
        Err(never) => match never {},
    }
}

fn refused(english: bool) -> Response {
    let text = word("account.not_allowed", english);
    let back = word("account.back", english);
    let page = format!(
        "<!DOCTYPE html><meta charset=utf-8><link rel=stylesheet href=/static/app.css>\
         <main><div class=errors>{text}</div><p><a href=\"/\">{back}</a></p></main>"
    );
    (StatusCode::FORBIDDEN, Html(page)).into_response()
}

async fn admit(gate: &Gate, mut request: Request) -> Result<Request, Response> {
    let headers = request.headers();
    if is_foreign(headers, request.method(), &gate.site) {
        let text = "pages answer under their own name only";
        return Err((StatusCode::FORBIDDEN, text).into_response());
    }
    let Some(path) = request.extensions().get::<MatchedPath>() else {
        return Err(PageError::NotFound.into_response());
    };
    let Some(need) = need_of(request.method(), path.as_str()) else {
        return Err(StatusCode::METHOD_NOT_ALLOWED.into_response());
    };
    if need == Need::Nothing {
        return Ok(request);
    }
    let empty =
        gate.replica.needs_set_up().map_err(|error| PageError::from(error).into_response())?;
    if empty || need == Need::SetUp {
        let here = is_loopback(text(headers, header::HOST));
        return match (empty, need == Need::SetUp, here) {
            (true, true, true) => Ok(request),
            (true, false, true) => Err(Redirect::to("/setup").into_response()),
            (true, _, false) => {
                let text = "请在本机上完成首次设置 / set this replica up on its own computer first";
                Err((StatusCode::FORBIDDEN, text).into_response())
            }
            (false, ..) => Err(Redirect::to("/signin").into_response()),
        };
    }
    let token = cookie(headers, SESSION_COOKIE).unwrap_or_default();
    let session = gate.replica.session(&token);
    let session = session.map_err(|error| PageError::from(error).into_response())?;
    let Some(session) = session else { return Err(without_session(gate, need, request).await) };
    let level = gate.replica.identity().checked.name.level();
    if !need.allows(session.account.duty, level) {
        return Err(refused(is_english(headers)));
    }
    if request.method() == Method::POST {
        request = checked_form(gate, need, request, &session).await?;
    }
    request.extensions_mut().insert(Arc::new(session));
    Ok(request)
}

/// Refuses what is foreign, not signed in, not allowed or forged, and sets the security headers.
pub async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let mut response = match admit(&gate, request).await {
        Ok(request) => next.run(request).await,
        Err(response) => response,
    };
    let headers = response.headers_mut();
    let cookie = headers.get(header::SET_COOKIE).and_then(|value| value.to_str().ok());
    if let Some(cookie) = cookie.filter(|_| gate.site.tls)
        && let Ok(secure) = HeaderValue::from_str(&format!("{cookie}; Secure"))
    {
        headers.insert(header::SET_COOKIE, secure);
    }
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
