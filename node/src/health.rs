//! Sync health: how fresh every place's data are, of whom nothing is heard, and what each office is known
//! to hold. Figures take their coverage from here.
//!
//! What is not known stays so: an office further down is heard of only through what it writes and signs.
//! A [`View`] is read at most once a second, and again only if something changed or a minute has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;
use taizhang_core::directives::Directives;
use taizhang_core::id::{AuthorId, Level, PlaceId, SealKey, SliceId};
use taizhang_core::place::{Place, Tree};
use taizhang_core::policy::PolicyVersion;
use taizhang_core::time::UtcMillis;

use crate::driver::{Replica, clock};
use crate::ops::OpsError;
use crate::ops::answer::place_of;
use crate::store::StoreError;
use crate::store::health::Newest;
use crate::store::read::Reader;

/// A view is used that long whatever happens.
const FRESH: Duration = Duration::from_secs(1);
/// It is read again after that long also if nothing happened: days pass, links call.
const OLD: Duration = Duration::from_secs(60);
/// Places that are missing by name, at most.
const NAMED_MAX: usize = 10;
/// The parameter with the days of silence before an alarm.
pub(crate) const SILENCE: &str = "sync_silence_days";
pub(crate) const DAY_MS: i64 = 86_400_000;
/// Steps from a village to the office that looks, places merged into others included.
const DEPTH_MAX: usize = 12;
/// Audit lines that are about security, not about somebody's work.
const SECURITY: [&str; 11] = [
    "enrolment refused",
    "entry not written again",
    "fork",
    "invite",
    "new epoch",
    "peer refused",
    "refused by peer",
    "revoked",
    "right written off",
    "segment refused",
    "sign-in refused",
];

/// What is known of a place's data here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Known {
    /// When its newest data came; 0 if none ever did.
    pub newest: UtcMillis,
    /// Last sign of life: data, a receipt, or contact on a direct link; 0 if none.
    pub heard: UtcMillis,
    /// When both ends of a direct link last held the same; 0 if not known.
    pub synced: UtcMillis,
    /// Entries parked.
    pub parked: u64,
    /// Entries masked.
    pub void: u64,
}

/// A village that figures lack.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Since when nothing was heard of it; 0 if nothing ever was.
    pub heard: UtcMillis,
}

/// How complete the figures of a place are.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Cover {
    /// Villages below.
    pub places: u64,
    /// Of these, those that reported and are not silent.
    pub reported: u64,
    /// Oldest of the newest data of those that reported; 0 if none.
    pub oldest: UtcMillis,
    /// The others by name, the first of them by code.
    pub missing: Vec<Missing>,
    /// Entries parked below.
    pub parked: u64,
    /// Whether any data ever came from here down: without, a figure is no zero.
    pub has_data: bool,
}

/// How the data of all places stand.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// When it was read, by the own clock.
    pub at: UtcMillis,
    /// Days after which silence is an alarm; none if the parameter is not set.
    pub silence_days: Option<i64>,
    /// By place; nothing is known of others.
    pub known: BTreeMap<PlaceId, Known>,
    /// Villages of the tree, by code.
    pub villages: Vec<PlaceId>,
    covers: BTreeMap<PlaceId, Cover>,
}

impl View {
    /// What is known of a place.
    pub fn of(&self, place: PlaceId) -> Known {
        self.known.get(&place).copied().unwrap_or_default()
    }

    /// The coverage of figures of a place.
    pub fn cover(&self, place: PlaceId) -> Cover {
        self.covers.get(&place).cloned().unwrap_or_default()
    }

    /// Whether any data ever came from a place or from below it.
    pub fn has_data(&self, place: PlaceId) -> bool {
        self.covers.get(&place).is_some_and(|cover| cover.has_data)
    }

    /// Whether something was heard of a place, but not for longer than is allowed.
    pub fn is_silent(&self, place: PlaceId) -> bool {
        let heard = self.of(place).heard;
        heard.0 > 0 && self.silence_days.is_some_and(|days| self.at.since(heard) > days * DAY_MS)
    }
}

/// From a place up to `top`, both included; none if it does not stand below it.
fn upward(tree: &Tree, place: PlaceId, top: PlaceId) -> Option<Vec<PlaceId>> {
    let mut chain = vec![place];
    let mut at = place;
    while at != top {
        if chain.len() > DEPTH_MAX {
            return None;
        }
        at = tree.parent(at)?;
        chain.push(at);
    }
    Some(chain)
}

/// Villages by code.
fn villages(tree: &Tree) -> Vec<PlaceId> {
    let mut all: Vec<&Place> = tree.iter().filter(|one| one.level == Level::Village).collect();
    all.sort_by_key(|place| place.code());
    all.into_iter().map(|place| place.id).collect()
}

/// Coverage of every place from `own` down.
fn covers(tree: &Tree, own: PlaceId, view: &View) -> BTreeMap<PlaceId, Cover> {
    let mut found: BTreeMap<PlaceId, Cover> = BTreeMap::new();
    for village in view.villages.iter().filter_map(|id| tree.place(*id)) {
        let Some(chain) = upward(tree, village.id, own) else { continue };
        let known = view.of(village.id);
        let here = village.id == own;
        let lacks = !here && (known.heard.0 == 0 || view.is_silent(village.id));
        for place in chain {
            let cover = found.entry(place).or_default();
            cover.places += 1;
            cover.has_data |= here;
            if !lacks {
                cover.reported += 1;
                let older = cover.oldest.0 == 0 || known.newest < cover.oldest;
                if known.newest.0 > 0 && older {
                    cover.oldest = known.newest;
                }
            } else if cover.missing.len() < NAMED_MAX {
                let name = village.name().to_owned();
                cover.missing.push(Missing { name, heard: known.heard });
            }
        }
    }
    for (place, known) in &view.known {
        for above in upward(tree, *place, own).into_iter().flatten() {
            let cover = found.entry(above).or_default();
            cover.parked += known.parked;
            cover.has_data |= known.newest.0 > 0;
        }
    }
    found
}

/// What was read last, and how to go on from there.
#[derive(Debug, Default)]
struct Kept {
    view: Option<(Instant, u64, Arc<View>)>,
    arrival: i64,
    newest: BTreeMap<SealKey, UtcMillis>,
    receipts: BTreeMap<SealKey, UtcMillis>,
    receipts_read: Option<Instant>,
}

impl Kept {
    /// The view, if it still holds after so many changes.
    fn current(&self, changes: u64) -> Option<Arc<View>> {
        let (read, seen, view) = self.view.as_ref()?;
        let age = read.elapsed();
        (age < FRESH || (age < OLD && *seen == changes)).then(|| Arc::clone(view))
    }

    fn take(&mut self, newest: Newest) {
        self.arrival = newest.arrival;
        for (author, time) in newest.authors {
            let known = self.newest.entry(author).or_default();
            *known = (*known).max(time);
        }
    }
}

/// Keeps the view of a replica.
#[derive(Debug, Default)]
pub struct Watch {
    kept: Mutex<Kept>,
}

/// Of a place with its replicas, which are in the roster.
fn keys_of(directives: &Directives, place: PlaceId) -> Vec<SealKey> {
    let of_place = directives.roster.iter().filter(|(_, one)| one.certified.place == place);
    of_place.map(|(key, _)| *key).collect()
}

/// What an office's own receipts say.
///
/// # Errors
///
/// [`StoreError`].
pub(crate) fn stated_by(
    reader: &Reader<'_>,
    directives: &Directives,
    place: PlaceId,
) -> Result<Stated, StoreError> {
    let path: BTreeSet<PlaceId> = directives.tree.path(place).into_iter().collect();
    let feeds: Vec<(PlaceId, AuthorId, u64)> = directives
        .applied
        .iter()
        .filter(|((slice, _), _)| path.contains(&slice.place))
        .map(|((slice, author), count)| (slice.place, *author, *count))
        .collect();
    let mut versions: Vec<&PolicyVersion> =
        path.iter().filter_map(|id| directives.policies.get(id)).flatten().collect();
    versions.sort_by_key(|version| std::cmp::Reverse((version.published, version.record)));
    let mut stated = Stated::default();
    let mut applied: BTreeMap<(PlaceId, AuthorId), u64> = BTreeMap::new();
    for key in keys_of(directives, place) {
        if let Some(receipt) = reader.receipt_of(key, SliceId::ledger(place))? {
            let missing = reader.not_here(&receipt)?;
            stated.not_here = Some(stated.not_here.unwrap_or(0).max(missing));
            stated.format = stated.format.max(Some(receipt.reads_format));
        }
        for (at, author, _) in &feeds {
            if let Some(count) = reader.applied_count(key, *at, *author)? {
                let known = applied.entry((*at, *author)).or_default();
                *known = (*known).max(count);
            }
        }
    }
    let done = |at: PlaceId, author: AuthorId| applied.get(&(at, author)).copied();
    if !applied.is_empty() {
        let there =
            feeds.iter().map(|(at, author, here)| done(*at, *author).unwrap_or(0).min(*here));
        let here = feeds.iter().map(|(_, _, count)| count);
        stated.directives = Some((there.sum(), here.sum()));
    }
    stated.policy = versions.iter().enumerate().find_map(|(at, version)| {
        let (author, number) = version.position;
        done(version.place, author)
            .filter(|count| *count > number)
            .map(|_| (version.doc_no.clone(), at == 0))
    });
    Ok(stated)
}

impl Replica {
    /// How the data of all places stand, at most a second old.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn view(&self) -> Result<Arc<View>, OpsError> {
        let changes = *self.changes().borrow();
        let mut kept = match self.watch().kept.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(view) = kept.current(changes) {
            return Ok(view);
        }
        let arrival = kept.arrival;
        let receipts_due = kept.receipts_read.is_none_or(|read| read.elapsed() >= OLD);
        let (newest, receipts, contacts, masked) = self.readers().with(|reader| {
            let receipts = if receipts_due { Some(reader.receipts_came()?) } else { None };
            let newest = reader.newest_after(arrival)?;
            Ok((newest, receipts, reader.contacts()?, reader.masked_by_place()?))
        })?;
        kept.take(newest);
        if let Some(receipts) = receipts {
            kept.receipts = receipts.into_iter().collect();
            kept.receipts_read = Some(Instant::now());
        }
        let directives = self.directives();
        let (at, own) = (clock::now(), self.place());
        let silence = directives.param(SILENCE, own, at.date()).value;
        let mut view = View {
            at,
            silence_days: silence.and_then(|value| value.as_int()),
            villages: villages(&directives.tree),
            ..View::default()
        };
        for (key, time) in &kept.newest {
            let Some(place) = place_of(&directives, *key) else { continue };
            let known = view.known.entry(place).or_default();
            known.newest = known.newest.max(*time);
            known.heard = known.heard.max(*time);
        }
        for (key, time) in &kept.receipts {
            let Some(place) = place_of(&directives, *key) else { continue };
            let known = view.known.entry(place).or_default();
            known.heard = known.heard.max(*time);
        }
        for (place, contact) in contacts {
            let known = view.known.entry(place).or_default();
            known.heard = known.heard.max(contact.last);
            known.synced = contact.synced;
        }
        for (place, (parked, void)) in masked {
            let known = view.known.entry(place).or_default();
            (known.parked, known.void) = (parked, void);
        }
        view.covers = covers(&directives.tree, own, &view);
        let view = Arc::new(view);
        kept.view = Some((Instant::now(), changes, Arc::clone(&view)));
        Ok(view)
    }
}

/// How an office is reached, the worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OfficeState {
    /// Heard of, but not for longer than is allowed.
    Silent,
    /// Enrolled, and nothing was ever heard of it.
    Never,
    /// Heard of within the days allowed, or the days are not set.
    Heard,
    /// On a direct link right now.
    Connected,
    /// No replica of the place is enrolled.
    NotEnrolled,
}

/// Conflicts by age: at most a day, a week, thirty days, older.
pub type Ages = [u64; 4];

/// One office below.
#[derive(Clone, Debug, Serialize)]
pub struct Office {
    /// Place.
    pub place: PlaceId,
    /// Name with those above it.
    pub name: String,
    /// Level.
    pub level: Level,
    /// How it is reached.
    pub state: OfficeState,
    /// What is known of its data.
    pub known: Known,
    /// Segments announced on a direct link and not here; none without one.
    pub inbound: Option<u64>,
    /// Records in conflict in its slice.
    pub conflicts: Ages,
}

/// What an office's own receipts say, as far as they came.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stated {
    /// Segments of its ledger slice that it holds and this replica does not.
    pub not_here: Option<u64>,
    /// The newest segment format that its program reads.
    pub format: Option<u8>,
    /// Segments of directives applied there, and those applied here, on its path.
    pub directives: Option<(u64, u64)>,
    /// The newest policy version that it has applied, and whether there is none newer.
    pub policy: Option<(String, bool)>,
}

/// In which of [`Ages`] a conflict of that age counts.
pub(crate) fn age_class(age_ms: i64) -> usize {
    match age_ms / DAY_MS {
        0 => 0,
        1..=6 => 1,
        7..=29 => 2,
        _ => 3,
    }
}

impl Replica {
    /// Every office below a place, the place itself left out: silent ones first, the longest silent at the
    /// head.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn offices(&self, under: PlaceId) -> Result<Vec<Office>, OpsError> {
        let (view, directives) = (self.view()?, self.directives());
        let enrolled: BTreeSet<PlaceId> =
            directives.roster.values().map(|one| one.certified.place).collect();
        let mut ages: BTreeMap<PlaceId, Ages> = BTreeMap::new();
        for (place, since) in self.readers().with(|reader| reader.conflicts_since())? {
            ages.entry(place).or_default()[age_class(view.at.since(since))] += 1;
        }
        let links = self.links();
        let mut offices: Vec<Office> = Vec::new();
        for id in directives.tree.subtree(under).into_iter().filter(|id| *id != under) {
            let Some(place) = directives.tree.place(id) else { continue };
            let known = view.of(id);
            let link = links.iter().find(|link| link.place == id && link.connected);
            let state = match (link.is_some(), enrolled.contains(&id)) {
                (true, _) => OfficeState::Connected,
                (false, false) => OfficeState::NotEnrolled,
                (false, true) if known.heard.0 == 0 => OfficeState::Never,
                (false, true) if view.is_silent(id) => OfficeState::Silent,
                (false, true) => OfficeState::Heard,
            };
            offices.push(Office {
                place: id,
                name: directives.tree.full_name(id),
                level: place.level,
                state,
                known,
                inbound: link.map(|link| link.inbound),
                conflicts: ages.get(&id).copied().unwrap_or_default(),
            });
        }
        offices.sort_by_key(|one| (one.state, one.known.heard));
        Ok(offices)
    }

    /// What an office's own receipts say.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn stated(&self, place: PlaceId) -> Result<Stated, OpsError> {
        let directives = self.directives();
        Ok(self.readers().with(|reader| stated_by(reader, &directives, place))?)
    }

    /// The newest security events of this replica: time, kind, text.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn security_events(
        &self,
        limit: usize,
    ) -> Result<Vec<(UtcMillis, String, String)>, OpsError> {
        Ok(self.readers().with(|reader| reader.audit_of(&SECURITY, limit))?)
    }
}

#[cfg(test)]
mod tests {
    use taizhang_core::place::Dated;

    use super::*;

    fn id(byte: u8) -> PlaceId {
        PlaceId([byte; 8])
    }

    /// A city, a county, a township and three villages.
    fn tree() -> Tree {
        let place = |byte: u8, level: Level| {
            let dated = |value: String| vec![Dated { from: "2018-01-01".into(), value }];
            let (names, codes) = (dated(format!("地{byte}")), dated(format!("{byte:012}")));
            Place { id: id(byte), level, names, codes }
        };
        let mut tree = Tree::default();
        tree.set_root(place(1, Level::City));
        tree.add(id(1), place(2, Level::County));
        tree.add(id(2), place(3, Level::Township));
        for village in [4, 5, 6] {
            tree.add(id(3), place(village, Level::Village));
        }
        tree
    }

    fn view(at_day: i64, heard: &[(u8, i64)]) -> View {
        let known = heard.iter().map(|(byte, day)| {
            let time = UtcMillis(day * DAY_MS);
            (id(*byte), Known { newest: time, heard: time, ..Known::default() })
        });
        View {
            at: UtcMillis(at_day * DAY_MS),
            silence_days: Some(3),
            known: known.collect(),
            villages: villages(&tree()),
            ..View::default()
        }
    }

    #[test]
    fn silent_and_unheard_villages_are_missing_by_name() {
        let mut seen = view(100, &[(4, 99), (5, 90)]);
        seen.known.entry(id(3)).or_default().parked = 2;
        let found = covers(&tree(), id(1), &seen);
        let city = &found[&id(1)];
        assert_eq!((city.places, city.reported, city.parked), (3, 1, 2));
        assert_eq!(city.oldest, UtcMillis(99 * DAY_MS));
        let missing: Vec<_> =
            city.missing.iter().map(|one| (one.name.as_str(), one.heard.0 / DAY_MS)).collect();
        assert_eq!(missing, [("地5", 90), ("地6", 0)]);
        assert!(found[&id(4)].missing.is_empty());
        assert!(city.has_data && found[&id(5)].has_data && !found[&id(6)].has_data);
    }

    #[test]
    fn without_the_parameter_nobody_is_silent() {
        let mut seen = view(100, &[(4, 99), (5, 1)]);
        seen.silence_days = None;
        assert_eq!(covers(&tree(), id(2), &seen)[&id(2)].reported, 2);
        assert!(!seen.is_silent(id(5)));
    }

    #[test]
    fn what_stands_elsewhere_does_not_count_and_the_own_village_always_does() {
        let seen = view(100, &[]);
        let found = covers(&tree(), id(4), &seen);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [id(4)]);
        assert_eq!((found[&id(4)].places, found[&id(4)].reported), (1, 1));
    }

    #[test]
    fn conflicts_fall_into_classes_by_whole_days() {
        let classes = [0, DAY_MS - 1, DAY_MS, 7 * DAY_MS, 30 * DAY_MS].map(age_class);
        assert_eq!(classes, [0, 0, 1, 2, 3]);
    }
}
