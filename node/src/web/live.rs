//! Pages that follow the data: a stream of server-sent events says that something changed, and a script
//! of a few lines fetches the page again. Without the script a reload does the same.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use taizhang_core::id::Hash;
use tokio::sync::watch;
use tokio::time::Instant;

use super::access::SESSION_COOKIE;
use super::shell::cookie;
use crate::account::token_hash;
use crate::driver::{Replica, clock};

/// Between two events at least.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two signs of life at most: proxies close what is silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
const SCRIPT: &str = include_str!("../../static/live.js");

/// The script of pages that follow the data.
pub async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

/// Streams of all sessions at most: each holds a connection for hours.
const ALL_MAX: usize = 256;
/// Streams of one session at most: the windows of one person.
pub const SESSION_MAX: usize = 12;

/// Streams that are open, by session.
static OPEN: Mutex<BTreeMap<Hash, usize>> = Mutex::new(BTreeMap::new());

/// The place of one stream among those that may be open.
struct Seat(Hash);

impl Seat {
    /// Takes a place; none if there are too many.
    fn take(session: Hash) -> Option<Self> {
        let mut open = OPEN.lock().ok()?;
        let own = open.get(&session).copied().unwrap_or(0);
        if own >= SESSION_MAX || open.values().sum::<usize>() >= ALL_MAX {
            return None;
        }
        open.insert(session, own + 1);
        Some(Self(session))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Ok(mut open) = OPEN.lock() else { return };
        let left = open.remove(&self.0).unwrap_or(0).saturating_sub(1);
        if left > 0 {
            open.insert(self.0, left);
        }
    }
}

/// One browser that listens.
struct Listener {
    replica: Replica,
    changes: watch::Receiver<u64>,
    /// Before then no further event is sent.
    pause: Instant,
    /// Then the next sign of life is due.
    beat: Instant,
    seat: Seat,
}

impl Listener {
    /// Whether the session still holds. Asking does not prolong it.
    fn holds(&self) -> bool {
        let found = self.replica.readers().with(|reader| reader.session(self.seat.0));
        found.ok().flatten().is_some_and(|session| session.holds(clock::now()))
    }

    /// The next event; none when the replica ends, or the session: that is asked with each sign of life, for
    /// an event alone says nothing.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let (replica, beat) = (self.replica.clone(), self.beat);
        let changed = tokio::select! {
            () = replica.closed() => return None,
            changed = self.changed() => changed.is_some(),
            () = tokio::time::sleep_until(beat) => {
                self.beat = Instant::now() + HEARTBEAT;
                return self.holds().then_some((Ok(Event::default().comment("")), self));
            }
        };
        changed.then_some((Ok(Event::default().event("changed").data("1")), self))
    }

    /// Completes at a change, not sooner than [`PAUSE`] after the last event; none when there will be no
    /// more. Changes that come meanwhile are one.
    async fn changed(&mut self) -> Option<()> {
        tokio::time::sleep_until(self.pause).await;
        self.changes.changed().await.ok()?;
        self.pause = Instant::now() + PAUSE;
        Some(())
    }
}

/// Says `changed` when records, directives or receipts have come, at most once a second, until the session
/// ends.
///
/// # Errors
///
/// 503 if too many listen already; the page is then as fresh as its last load.
pub async fn events(
    State(replica): State<Replica>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, StatusCode> {
    let token = cookie(&headers, SESSION_COOKIE).unwrap_or_default();
    let seat = Seat::take(token_hash(&token)).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let (changes, now) = (replica.changes(), Instant::now());
    let listener = Listener { replica, changes, pause: now, beat: now + HEARTBEAT, seat };
    Ok(Sse::new(stream::unfold(listener, Listener::next)))
}
