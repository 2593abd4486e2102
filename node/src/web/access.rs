//! Who may ask for which page: every request passes [`guard`], and what no row of [`super::ROUTES`] allows is
//! refused.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, FromRequestParts as _, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use taizhang_core::id::{Level, RecordId};

use super::api::{self, ApiError};
use super::inspection::{FINDING, ROUND, TICKET};
use super::serve::Peer;
use super::shell::{Visitor, cookie, is_english};
use super::signin::{send_again, sign_in_again};
use super::words::word;
use super::{PageError, ROUTES};
use crate::account::{Duty, Session};
use crate::driver::Replica;
use crate::token::{FIGURES, METRICS, WrongTokens};

/// Sent by a page that shows itself again because data changed.
const LIVE_HEADER: &str = "x-live";
/// Name of the session's cookie.
pub const SESSION_COOKIE: &str = "taizhang_session";
/// Bytes of a form that waits for a new session: the longest notes with room.
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a form that needs no session: names and passwords.
const OPEN_BYTES_MAX: usize = 8 * 1024;
/// Bytes of the form of sign-in, which carries a form that waits: each of its bytes becomes three at most.
const SIGN_IN_BYTES_MAX: usize = 3 * KEPT_BYTES_MAX + OPEN_BYTES_MAX;
/// Bytes of a form.
const FORM_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Ledgers that inspectors write (DOMAIN.md §0.1); all else they only read.
const INSPECTED: [&str; 3] = [FINDING, ROUND, TICKET];

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
    /// To draft policy.
    Draft,
    /// To approve and publish policy.
    Publish,
    /// To follow and make rounds of inspection.
    Inspect,
    /// To look after replicas, rights and places; each action asks again.
    Office,
    /// To keep accounts.
    Administer,
    /// A token of another system; which ledgers it reads is asked again by each answer.
    Token,
    /// Such a token with figures in its scope.
    TokenFigures,
    /// Such a token with metrics in its scope.
    TokenMetrics,
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
            Self::SetUp | Self::Token | Self::TokenFigures | Self::TokenMetrics => false,
            Self::Write => matches!(duty, Duty::Clerk | Duty::Reviewer),
            Self::Decide => {
                duty == Duty::Reviewer || (duty == Duty::Clerk && level == Level::Village)
            }
            Self::Draft => matches!(duty, Duty::Clerk | Duty::Reviewer) && level >= Level::County,
            Self::Publish => duty == Duty::Reviewer && level >= Level::County,
            Self::Inspect => {
                matches!(duty, Duty::Inspector | Duty::Reviewer) && level >= Level::County
            }
            Self::Office => matches!(duty, Duty::Administrator | Duty::Reviewer),
            Self::Administer => duty == Duty::Administrator,
        }
    }

    /// The word that a token's scope must have for it; none if it is for people.
    pub fn token_word(self) -> Option<&'static str> {
        match self {
            Self::Token => Some(""),
            Self::TokenFigures => Some(FIGURES),
            Self::TokenMetrics => Some(METRICS),
            _ => None,
        }
    }

    /// The same for records of one ledger: inspectors of a county or the city write what supervision is
    /// about.
    pub fn allows_in(self, duty: Duty, level: Level, ledger: &str) -> bool {
        let writes = matches!(self, Self::Write | Self::Decide);
        let theirs = writes && duty == Duty::Inspector && level >= Level::County;
        self.allows(duty, level) || (theirs && INSPECTED.contains(&ledger))
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
    /// Wrong tokens of late.
    pub wrong: Arc<WrongTokens>,
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
    matches!(
        need,
        Need::Write | Need::Decide | Need::Draft | Need::Publish | Need::Inspect | Need::Office
    )
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

/// The ledger that a page is about: named in its address, or that of the record named there.
fn ledger_asked(replica: &Replica, path: &str) -> Option<String> {
    let mut parts = path.split('/').skip(1);
    match (parts.next()?, parts.next()?) {
        ("ledgers", ledger) => Some(ledger.to_owned()),
        ("records", id) => {
            let record: RecordId = id.parse().ok()?;
            let found = replica.readers().with(|reader| reader.title(record)).ok()?;
            found.map(|(_, ledger)| ledger)
        }
        _ => None,
    }
}

/// The request, if what anybody may send is no longer than it needs to be.
async fn bounded(request: Request, bytes_max: usize) -> Result<Request, Response> {
    if request.method() != Method::POST {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let too_long = |_| {
        let text = "提交的内容过长 / what was sent is too long";
        (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
    };
    let bytes = to_bytes(body, bytes_max).await.map_err(too_long)?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

async fn admit(gate: &Gate, mut request: Request) -> Result<Request, Response> {
    let headers = request.headers();
    if is_foreign(headers, request.method(), &gate.site) {
        let text = "pages answer under their own name only";
        return Err((StatusCode::FORBIDDEN, text).into_response());
    }
    let Some(path) = request.extensions().get::<MatchedPath>() else {
        let of_api = request.uri().path().starts_with(api::API);
        let nowhere = || PageError::NotFound.into_response();
        return Err(if of_api { ApiError::nowhere().into_response() } else { nowhere() });
    };
    let Some(need) = need_of(request.method(), path.as_str()) else {
        return Err(StatusCode::METHOD_NOT_ALLOWED.into_response());
    };
    if need == Need::Nothing {
        return bounded(request, SIGN_IN_BYTES_MAX).await;
    }
    if let Some(word) = need.token_word() {
        return api::admit(gate, word, request).await.map_err(ApiError::into_response);
    }
    let empty =
        gate.replica.needs_set_up().map_err(|error| PageError::from(error).into_response())?;
    if empty || need == Need::SetUp {
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        let here =
            is_loopback(text(headers, header::HOST)) && peer.is_some_and(|one| one.0.is_here());
        return match (empty, need == Need::SetUp, here) {
            (true, true, true) => bounded(request, OPEN_BYTES_MAX).await,
            (true, false, true) => Err(Redirect::to("/setup").into_response()),
            (true, _, false) => {
                let text = "请在本机上完成首次设置 / set this replica up on its own computer first";
                Err((StatusCode::FORBIDDEN, text).into_response())
            }
            (false, ..) => Err(Redirect::to("/signin").into_response()),
        };
    }
    let token = cookie(headers, SESSION_COOKIE).unwrap_or_default();
    let by_itself = headers.contains_key(LIVE_HEADER);
    let session = gate.replica.session(&token, !by_itself);
    let session = session.map_err(|error| PageError::from(error).into_response())?;
    let Some(session) = session else { return Err(without_session(gate, need, request).await) };
    let level = gate.replica.identity().checked.name.level();
    let duty = session.account.duty;
    let allowed = need.allows(duty, level)
        || ledger_asked(&gate.replica, request.uri().path())
            .is_some_and(|ledger| need.allows_in(duty, level, &ledger));
    if !allowed {
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
    super::metrics::count(response.status());
    let headers = response.headers_mut();
    let cookie = headers.get(header::SET_COOKIE).and_then(|value| value.to_str().ok());
    if let Some(cookie) = cookie.filter(|_| gate.site.tls)
        && let Ok(secure) = HeaderValue::from_str(&format!("{cookie}; Secure"))
    {
        headers.insert(header::SET_COOKIE, secure);
    }
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                  connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
