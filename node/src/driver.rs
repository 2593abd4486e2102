//! The runtime: one engine thread, a handle that pages and links share, and the links.
//!
//! ```text
//!   pages, commands ──► Replica::run ──► engine thread: group of jobs, one commit, replies
//!   links           ──►                   then: flush, projection, receipts, in idle time
//!   links           ◄── events ◄──
//! ```

pub mod clock;
pub mod dial;
pub mod link;
pub mod machine;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use taizhang_core::directives::Directives;
use taizhang_core::id::{PlaceId, ReplicaId};
use taizhang_core::time::UtcMillis;
use tokio::sync::broadcast;

use crate::engine::command::CommandError;
use crate::engine::{Engine, Event};
use crate::identity::keys::Identity;
use crate::ops::account::Passwords;
use crate::preview::Previews;
use crate::store::StoreError;
use crate::store::audit::cut;
use crate::store::read::Readers;
pub use worker::{Job, Outcome};

/// What is known of a link right now.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct LinkState {
    /// The peer's place.
    pub place: PlaceId,
    /// Whether the peer is the parent.
    pub is_parent: bool,
    /// Whether the session is through its greeting.
    pub connected: bool,
    /// Segments to be received.
    pub inbound: u64,
    /// Segments not acked by the peer.
    pub outbound: u64,
    /// Clock difference of the peer in milliseconds.
    pub skew_ms: i64,
    /// Last error, for people.
    pub error: String,
}

/// A running replica: cheap to clone.
#[derive(Clone)]
pub struct Replica {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: std::sync::mpsc::Sender<Job>,
    events: broadcast::Sender<Event>,
    directives: RwLock<Arc<Directives>>,
    identity: RwLock<Arc<Identity>>,
    folder: PathBuf,
    links: Mutex<BTreeMap<ReplicaId, LinkState>>,
    readers: Readers,
    previews: Previews,
    passwords: Passwords,
    changed: tokio::sync::watch::Sender<u64>,
    watch: crate::health::Watch,
    wake: tokio::sync::Notify,
    closing: tokio::sync::watch::Sender<bool>,
}

impl Replica {
    /// Starts the engine thread.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn start(engine: Engine) -> Result<Self, std::io::Error> {
        let (jobs, receiver) = std::sync::mpsc::channel();
        let (events, _) = broadcast::channel(4096);
        let inner = Arc::new(Inner {
            jobs,
            events,
            directives: RwLock::new(Arc::clone(&engine.directives)),
            identity: RwLock::new(Arc::clone(&engine.identity)),
            folder: engine.store.folder().to_owned(),
            links: Mutex::new(BTreeMap::new()),
            readers: Readers::new(engine.store.folder()),
            previews: Previews::default(),
            passwords: Passwords::default(),
            changed: tokio::sync::watch::Sender::new(0),
            watch: crate::health::Watch::default(),
            wake: tokio::sync::Notify::new(),
            closing: tokio::sync::watch::Sender::new(false),
        });
        let replica = Self { inner };
        let handle = replica.clone();
        std::thread::Builder::new().name("engine".into()).stack_size(8 << 20).spawn(move || {
            let work = std::panic::AssertUnwindSafe(|| worker::run(engine, receiver, &handle));
            if std::panic::catch_unwind(work).is_err() {
                // What was acknowledged is durable; a restart goes on from there.
                tracing::error!("the engine failed; the replica stops");
                handle.close();
            }
        })?;
        Ok(replica)
    }

    /// Keys and chain, of the present term.
    pub fn identity(&self) -> Arc<Identity> {
        match self.inner.identity.read() {
            Ok(guard) => Arc::clone(&guard),
            Err(poisoned) => Arc::clone(&poisoned.into_inner()),
        }
    }

    /// Links use another term's certificate from now on.
    pub(crate) fn set_identity(&self, identity: Identity) {
        if let Ok(mut guard) = self.inner.identity.write() {
            *guard = Arc::new(identity);
        }
    }

    /// Own place.
    pub fn place(&self) -> PlaceId {
        self.identity().checked.name.place()
    }

    /// Read-only snapshots.
    pub fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    /// Previews of policy drafts.
    pub fn previews(&self) -> &Previews {
        &self.inner.previews
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Tree, roster, catalogue and policy as applied now.
    pub fn directives(&self) -> Arc<Directives> {
        match self.inner.directives.read() {
            Ok(guard) => Arc::clone(&guard),
            Err(poisoned) => Arc::clone(&poisoned.into_inner()),
        }
    }

    fn set_directives(&self, directives: &Arc<Directives>) {
        if let Ok(mut guard) = self.inner.directives.write() {
            *guard = Arc::clone(directives);
        }
    }

    /// Runs a job in the engine; the answer comes after its group is durable.
    ///
    /// # Errors
    ///
    /// The job's own refusal, or the store's failure: then nothing was written.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine, UtcMillis) -> Result<T, CommandError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let (job, receiver) = Job::new(job);
        let gone = || CommandError::Store(StoreError::Damaged("the engine has stopped".into()));
        self.inner.jobs.send(job).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Runs a job outside any group; it makes its own transactions.
    ///
    /// # Errors
    ///
    /// The store's failure.
    pub async fn run_alone<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine, UtcMillis) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let (job, receiver) = Job::new(move |engine, now| job(engine, now).map_err(Into::into));
        let gone = || CommandError::Store(StoreError::Damaged("the engine has stopped".into()));
        self.inner.jobs.send(job.alone()).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Writes an audit line, when the engine gets to it.
    pub fn audit(&self, kind: &'static str, text: String) {
        tracing::warn!(kind, text = cut(&text), "audit");
        self.later(move |engine, now| engine.store.audit(kind, &text, now));
    }

    /// The same of a refusal for which nobody needs an account.
    pub fn audit_refusal(&self, kind: &'static str, text: String) {
        tracing::warn!(kind, text = cut(&text), "audit");
        self.later(move |engine, now| engine.store.audit_refusal(kind, &text, now));
    }

    /// Room for those who wait for a password to be checked, and the turn of each.
    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    /// Does something when the engine gets to it; nobody waits for it.
    pub(crate) fn later(
        &self,
        work: impl FnOnce(&mut Engine, UtcMillis) -> Result<(), StoreError> + Send + 'static,
    ) {
        let (job, _) =
            Job::new(move |engine: &mut Engine, now| work(engine, now).map_err(CommandError::from));
        if self.inner.jobs.send(job).is_err() {
            tracing::error!("the engine has stopped");
        }
    }

    /// Listens to what commits mean for sessions.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Counts up whenever records, directives or receipts have come and are projected.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    fn note_change(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// What is kept of how the data of all places stand.
    pub(crate) fn watch(&self) -> &crate::health::Watch {
        &self.inner.watch
    }

    /// Whether a replica of `place` may sync here: a child, or another replica of this place. A former
    /// child too: what both still share is the directives from which it learns of its new parent.
    pub fn is_child_or_twin(&self, place: PlaceId) -> bool {
        let (own, directives) = (self.place(), self.directives());
        let tree = &directives.tree;
        place == own || tree.dial_parent(place) == Some(own) || tree.was_parent(own, place)
    }

    /// Whether a key is revoked, by the directives applied at the time of asking.
    pub fn revocation_check(&self) -> crate::transport::tls::Revoked {
        let replica = self.clone();
        Arc::new(move |key| replica.directives().revoked.contains(key))
    }

    /// The place that this replica dials: by the tree, or by its certificate before it has one.
    pub fn dial_parent(&self) -> Option<PlaceId> {
        let identity = self.identity();
        let path = &identity.checked.name.path;
        let certified = path.len().checked_sub(2).map(|at| path[at]);
        self.directives().tree.dial_parent(self.place()).or(certified)
    }

    /// Updates what is known of a link.
    pub fn set_link(&self, replica: ReplicaId, change: impl FnOnce(&mut LinkState)) {
        if let Ok(mut links) = self.inner.links.lock() {
            change(links.entry(replica).or_default());
        }
    }

    /// Links as known now.
    pub fn links(&self) -> Vec<LinkState> {
        self.inner.links.lock().map(|links| links.values().cloned().collect()).unwrap_or_default()
    }

    /// Makes the dialler try at once: 立即同步.
    pub fn sync_now(&self) {
        self.inner.wake.notify_waiters();
    }

    pub(crate) fn wake(&self) -> &tokio::sync::Notify {
        &self.inner.wake
    }

    /// Stops links and engine after their present work.
    pub fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    /// Completes when the replica is closing.
    pub async fn closed(&self) {
        let mut closing = self.inner.closing.subscribe();
        while !*closing.borrow_and_update() {
            if closing.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_closing(&self) -> bool {
        *self.inner.closing.borrow()
    }
}
