//! The engine: one replica without a network, a thread or a clock of its own.
//!
//! It owns the store and does all writing: local saves ([`save`], [`command`]), segments from peers
//! ([`ingest`]), the projector ([`project`], [`derive`]), receipts ([`receipts`]). The driver runs it on one
//! thread; the simulator calls it directly, with time and chance as arguments.
//!
//! # Invariants
//!
//! - A group of jobs is one transaction: nothing is acknowledged before [`Engine::commit`].
//! - The tail is cut before a directive changes what the next entries see, and a cut segment is
//!   never cut again.
//! - Ingest never projects: an ack waits for the ledger, never for rows.

pub mod act;
pub mod admit;
pub(crate) mod around;
pub mod attach;
pub mod command;
mod dependents;
pub mod derive;
pub mod draft;
pub mod figures;
pub mod heal;
pub mod held_back;
pub mod ingest;
pub mod moves;
pub mod places;
pub mod policy;
pub mod project;
pub mod receipts;
pub mod rights;
pub mod save;
pub mod seal;
mod spend;
pub mod titles;
pub mod twins;
mod unconfirmed;
pub mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use taizhang_core::directives::{Directives, RowOrigin};
use taizhang_core::feed::frontier::{Frontiers, Head};
use taizhang_core::feed::receipt::SealedReceipt;
use taizhang_core::id::{AuthorId, Epoch, FeedId, Level, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::place::is_shared;
use taizhang_core::record::attachment::BlobRef;
use taizhang_core::revocation::Revocations;
use taizhang_core::rules::Evaluator;
use taizhang_core::sync::blobs::MissingBlob;
use taizhang_core::sync::session::SessionConfig;
use taizhang_core::time::UtcMillis;

use crate::identity::keys::Identity;
use crate::store::{Durability, Store, StoreError};
use derive::Working;
use ingest::HealReason;

/// Fills a buffer with random bytes.
pub type Chance = Box<dyn FnMut(&mut [u8]) + Send>;

/// What sessions and pages must learn after a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Feeds advanced in the ledger.
    Advanced(Vec<(FeedId, Head)>),
    /// A blob that a record of the slice names is here now.
    BlobHeld(SliceId, BlobRef),
    /// Records name blobs that are not here.
    BlobsMissing(Vec<MissingBlob>),
    /// Tree, roster or catalogue changed: scopes must be derived again.
    DirectivesChanged,
    /// A feed of a slice forked: links start over, so that both branches travel.
    Forked(SliceId),
    /// New receipts, own or foreign.
    Receipts(Vec<SealedReceipt>),
    /// The own epoch changed: links start over.
    Restart,
}

/// What the engine gets from outside.
pub struct Surroundings {
    /// How durable commits are.
    pub durability: Durability,
    /// Id of the machine and folder, kept outside the folder: a copy elsewhere has another one.
    pub machine: [u8; 32],
    /// Randomness.
    pub chance: Chance,
}

/// One replica.
pub struct Engine {
    /// Both databases.
    pub store: Store,
    /// Keys and chain.
    pub identity: Arc<Identity>,
    /// Own author in this epoch.
    pub author: AuthorId,
    /// What the directive slices say.
    pub directives: Arc<Directives>,
    /// Set when state could not be read back after a failure: nothing may be written.
    pub frozen: Option<String>,
    pub(crate) held: Frontiers,
    pub(crate) keys: Arc<BTreeSet<SealKey>>,
    pub(crate) evaluator: Evaluator,
    pub(crate) chance: Chance,
    pub(crate) events: Vec<Event>,
    pub(crate) advanced: Vec<(FeedId, Head)>,
    pub(crate) working: BTreeMap<(SliceId, RecordId), Working>,
    pub(crate) receipts_due: BTreeSet<SliceId>,
    pub(crate) catalogue_dirty: bool,
    /// Tree, catalogue or policy changed: rules and figures of all rows are to be evaluated again. Who may
    /// write does not matter to them.
    pub(crate) rules_due: bool,
    /// Own directives were sealed that do not show yet.
    pub(crate) directives_due: bool,
    /// Places have moved since roll-ups were added up.
    pub(crate) recount_due: bool,
    /// While the ledger is projected at start: what is unsealed was not judged yet, so it must not be
    /// cut with what is seen so far.
    pub(crate) catching_up: bool,
    /// Why own entries must be written again, if they must.
    pub(crate) heal_due: Option<HealReason>,
    /// Another branch of a feed counts than was projected.
    pub(crate) line_changed: bool,
    /// Segments of a branch came: own entries may stand there.
    pub(crate) branch_due: bool,
    /// An own entry waits for a record to be written again by another key: any arrival may bring it.
    pub(crate) again_waits: bool,
    /// What the ledger says is due of these three, if known.
    pub(crate) noted_due: Option<&'static str>,
    /// A parked directive was applied: everything parked may move.
    pub(crate) unparked_directives: bool,
    /// State to which a refused job returns.
    before: (usize, Arc<Directives>),
    pub(crate) durability: Durability,
}

impl Engine {
    /// Opens the data folder and brings `derived.db` up to the ledger.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(
        folder: &Path,
        identity: Identity,
        outside: Surroundings,
        now: UtcMillis,
    ) -> Result<Self, StoreError> {
        let Surroundings { durability, machine, mut chance } = outside;
        let store = Store::open(folder, durability)?;
        let epoch = match store.meta("epoch")?.and_then(|bytes| Epoch::from_slice(&bytes)) {
            Some(epoch) => epoch,
            None => {
                let mut epoch = Epoch::default();
                chance(&mut epoch.0);
                store.set_meta("epoch", &epoch.0)?;
                epoch
            }
        };
        let mut engine = Self::assemble(store, identity, epoch, chance, durability)?;
        engine.load_directives()?;
        engine.recall_due()?;
        engine.catch_up(now)?;
        engine.bind(&machine, now)?;
        engine.branch_due |=
            !engine.store.again()?.is_empty() || !engine.store.branch_segments(None)?.is_empty();
        if engine.needs_healing() {
            engine.heal(now)?;
        }
        engine.recall_receipts()?;
        Ok(engine)
    }

    /// Opens a copy of some segments to read what they make: it writes no entry of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn open_copy(
        store: Store,
        identity: Identity,
        now: UtcMillis,
    ) -> Result<Self, StoreError> {
        let silent: Chance = Box::new(|_| ());
        let durability = Durability::Simulated;
        let mut engine = Self::assemble(store, identity, Epoch::default(), silent, durability)?;
        engine.load_directives()?;
        engine.catch_up(now)?;
        if engine.line_changed || !engine.store.forked_feeds()?.is_empty() {
            engine.rebuild(now)?;
        }
        Ok(engine)
    }

    fn assemble(
        store: Store,
        identity: Identity,
        epoch: Epoch,
        chance: Chance,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        let author = AuthorId { key: identity.seal_key(), epoch };
        store.put_chain(author.key, &identity.chain)?;
        let reader = Arc::new(identity.root.clone());
        let directives = Arc::new(Directives::new(reader));
        Ok(Self {
            held: store.frontiers()?,
            keys: Arc::new(store.chain_keys()?),
            store,
            identity: Arc::new(identity),
            author,
            before: (0, Arc::clone(&directives)),
            directives,
            frozen: None,
            evaluator: Evaluator::default(),
            chance,
            events: Vec::new(),
            advanced: Vec::new(),
            working: BTreeMap::new(),
            receipts_due: BTreeSet::new(),
            catalogue_dirty: false,
            rules_due: false,
            directives_due: false,
            recount_due: false,
            catching_up: false,
            heal_due: None,
            line_changed: false,
            branch_due: false,
            noted_due: None,
            again_waits: false,
            unparked_directives: false,
            durability,
        })
    }

    /// Own place.
    pub fn place(&self) -> PlaceId {
        self.identity.checked.name.place()
    }

    /// Reads the applied directives back from `derived.db`.
    fn load_directives(&mut self) -> Result<(), StoreError> {
        let reader = Arc::clone(self.directives.reader());
        let mut directives = Directives::new(reader);
        for (slice, record, row, position) in self.store.directive_rows()? {
            directives.apply_row(&row, RowOrigin { slice, record, position });
        }
        for (slice, frontier) in &self.held.slices {
            for (lane, author) in frontier.heads.keys() {
                let feed = FeedId { slice: *slice, lane: *lane, author: *author };
                if *lane == taizhang_core::id::Lane::Directive {
                    let (projected, _) = self.store.feed_state(self.store.feed(&feed)?.id)?;
                    let count = self.applied_of_feed(&feed, projected)?;
                    directives.set_applied(*slice, *author, count);
                }
            }
        }
        directives.refresh_catalogue();
        self.directives = Arc::new(directives);
        Ok(())
    }

    /// Projects everything that the ledger holds, the tail included.
    fn catch_up(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        self.catching_up = true;
        let projected = self.catch_up_ledger(now);
        self.catching_up = false;
        projected
    }

    fn catch_up_ledger(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        loop {
            self.begin()?;
            let more = self.project(now, usize::MAX)?;
            self.commit()?;
            if !more {
                break;
            }
        }
        self.begin()?;
        self.project_tail(now)?;
        self.commit()?;
        self.events.retain(|event| matches!(event, Event::Restart | Event::Forked(_)));
        Ok(())
    }

    /// Deletes `derived.db` and makes it anew from the ledger.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn rebuild(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        let mut presumed = self.directives.revoked.clone();
        // Levels are decided from the root down, so this ends after as many rounds as there are.
        for _ in 0..=Level::ALL.len() {
            self.settle_forks(&presumed)?;
            self.store.clear_derived(self.durability)?;
            self.working.clear();
            self.held = self.store.frontiers()?;
            self.load_directives()?;
            Arc::make_mut(&mut self.directives).presumed = Some(presumed.clone());
            crate::fail_point!(RebuiltHalf);
            self.catch_up(now)?;
            if self.directives.revoked == presumed {
                break;
            }
            presumed = self.directives.revoked.clone();
        }
        Arc::make_mut(&mut self.directives).presumed = None;
        self.line_changed = false;
        self.events.push(Event::DirectivesChanged);
        Ok(())
    }

    /// Files forked feeds by what is known of revoked keys.
    fn settle_forks(&mut self, revoked: &Revocations) -> Result<(), StoreError> {
        self.store.begin()?;
        let settled = self.store.forked_feeds().and_then(|feeds| {
            for feed in feeds {
                if self.store.settle_line(&feed, revoked.pin(&feed))?.filed_anew {
                    self.events.push(Event::Forked(feed.slice));
                }
            }
            self.store.commit()
        });
        settled.inspect_err(|_| self.store.rollback())
    }

    /// Starts a group of jobs.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn begin(&mut self) -> Result<(), StoreError> {
        self.store.begin().inspect_err(|_| self.store.rollback())
    }

    /// Makes the group durable, and gives what it means for sessions through [`Self::take_events`].
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing of the group stands.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let result =
            self.settle().and_then(|()| self.note_due()).and_then(|()| self.store.commit());
        if let Err(error) = result {
            self.abort();
            return Err(error);
        }
        if !self.advanced.is_empty() {
            let advanced = std::mem::take(&mut self.advanced);
            for (feed, head) in &advanced {
                self.held.set(*feed, *head);
            }
            self.events.push(Event::Advanced(advanced));
        }
        Ok(())
    }

    /// One transaction for one piece of work: durable if it succeeds, undone if it fails.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then nothing of it stands, and the next transaction can begin.
    pub fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.begin()?;
        match work(self) {
            Ok(done) => self.commit().map(|()| done),
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    /// Starts a job within the group: what came before is settled, so that it can be undone alone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn save_point(&mut self) -> Result<(), StoreError> {
        self.settle()?;
        self.before = (self.advanced.len(), Arc::clone(&self.directives));
        self.store.save_point()
    }

    /// Ends a job within the group; undoes it unless it was good.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn end_save_point(&mut self, good: bool) -> Result<(), StoreError> {
        let settled = if good { self.settle() } else { Ok(()) };
        if good && settled.is_ok() {
            return self.store.release();
        }
        self.working.clear();
        self.advanced.truncate(self.before.0);
        self.directives = Arc::clone(&self.before.1);
        self.store.undo()?;
        settled
    }

    /// Drops the group and everything that memory made of it.
    pub fn abort(&mut self) {
        self.store.rollback();
        self.noted_due = None;
        self.working.clear();
        self.advanced.clear();
        self.events.retain(|event| matches!(event, Event::Advanced(_)));
        let reloaded = self.store.chain_keys().and_then(|keys| {
            self.keys = Arc::new(keys);
            self.held = self.store.frontiers()?;
            self.receipts_due.extend(self.held.slices.keys().copied());
            self.load_directives()
        });
        if let Err(error) = reloaded {
            tracing::error!(%error, "state could not be reloaded after an aborted group");
            self.frozen = Some(error.to_string());
        }
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What a session with `peer` starts from.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn session_config(&self, peer: PlaceId) -> Result<SessionConfig, StoreError> {
        Ok(SessionConfig {
            place: self.place(),
            replica: self.identity.checked.name.replica,
            author: self.author,
            peer,
            tree: Arc::new(self.directives.tree.clone()),
            keys: Arc::clone(&self.keys),
            catalogue: self.directives.catalogue.digest(),
            receipts: self.receipt_digests(peer)?,
            known_receipts: self.known_receipts(peer)?,
            held: self.shared_frontiers(peer),
            bases: self.store.bases()?,
        })
    }

    /// Frontiers of the slices shared with `peer`.
    pub fn shared_frontiers(&self, peer: PlaceId) -> Frontiers {
        let tree = &self.directives.tree;
        let shared = self
            .held
            .slices
            .iter()
            .filter(|(slice, _)| is_shared(self.place(), peer, **slice, tree))
            .map(|(slice, frontier)| (*slice, frontier.clone()));
        Frontiers { slices: shared.collect() }
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.chance)(&mut bytes);
        bytes
    }

    /// Slices that this replica holds anything of.
    pub fn slices(&self) -> Vec<SliceId> {
        self.held.slices.keys().copied().collect()
    }
}
