//! The badge, coverage and reach: what pages and commands say of the network.

use std::collections::BTreeMap;

use serde::Serialize;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::limits;
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;

use crate::driver::{Replica, clock};
use crate::ops::OpsError;
use crate::ops::answer::place_of;
use crate::store::read::{Freshness, Pending};

/// The five honest states.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BadgeState {
    /// A conflict to resolve, parked or refused data, a wrong clock.
    Attention,
    /// No link, nothing pending.
    Offline,
    /// Saved here, not acked by the parent.
    Pending,
    /// Digests equal with the parent, nothing pending.
    Synced,
    /// Moving now.
    Syncing,
}

/// What the badge says.
#[derive(Clone, Debug, Serialize)]
pub struct Badge {
    /// State.
    pub state: BadgeState,
    /// Own entries that the parent has not acknowledged.
    pub pending: Pending,
    /// Last successful contact with the parent; 0 if never.
    pub last_contact: UtcMillis,
    /// Last time both ends held the same; 0 if never.
    pub last_synced: UtcMillis,
    /// Segments still to move.
    pub remaining: u64,
    /// Records in conflict.
    pub conflicts: u64,
    /// Entries parked.
    pub parked: u64,
    /// Clock difference to the parent, in milliseconds.
    pub skew_ms: i64,
    /// Whether the office has a parent.
    pub has_parent: bool,
    /// Last error of the link.
    pub error: String,
}

/// How complete and fresh a figure is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Coverage {
    /// Places below that keep ledgers.
    pub places: u64,
    /// Of these, those from which anything came.
    pub reported: u64,
    /// Oldest of the newest data of those that reported; 0 if none.
    pub oldest: UtcMillis,
    /// Names of places from which nothing came, at most ten.
    pub missing: Vec<String>,
    /// Entries parked below.
    pub parked: u64,
}

/// Whom a policy version has reached.
#[derive(Clone, Debug, Serialize)]
pub struct Reach {
    /// Its record.
    pub record: taizhang_core::id::RecordId,
    /// 文号
    pub doc_no: String,
    /// Title.
    pub title: String,
    /// Publishing place.
    pub publisher: String,
    /// First day.
    pub effective_from: String,
    /// Values.
    pub values: BTreeMap<String, Value>,
    /// Places that should have it: those with a replica below the publisher.
    pub places: Vec<ReachedPlace>,
}

/// One place's state of a policy version.
#[derive(Clone, Debug, Serialize)]
pub struct ReachedPlace {
    /// Place.
    pub id: PlaceId,
    /// Name.
    pub name: String,
    /// Level.
    pub level: Level,
    /// Since when it holds the version, by its receipts; 0 if not known to.
    pub held: UtcMillis,
    /// Since when it has applied it, by its own clock; 0 if not known to.
    pub applied: UtcMillis,
}

impl Replica {
    /// What the badge says now.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn badge(&self) -> Result<Badge, OpsError> {
        let directives = self.directives();
        let own = self.identity().seal_key();
        let parent = self.dial_parent();
        let has_parent = self.identity().checked.name.path.len() > 1;
        let (contact, synced, pending, conflicts, parked) = self.readers().with(|reader| {
            let (contact, synced) = reader.parent_contact()?;
            let mut acked: BTreeMap<taizhang_core::id::FeedId, u64> = BTreeMap::new();
            for slice in reader.slices()? {
                for receipt in reader.receipts(slice)? {
                    if parent.is_none() || place_of(&directives, receipt.issuer.key) != parent {
                        continue;
                    }
                    for ((lane, author), head) in &receipt.held.heads {
                        let feed =
                            taizhang_core::id::FeedId { slice, lane: *lane, author: *author };
                        let known = acked.entry(feed).or_default();
                        *known = (*known).max(head.count);
                    }
                }
            }
            let covered = |feed: &taizhang_core::id::FeedId| match parent {
                Some(_) => acked.get(feed).copied().unwrap_or(0),
                None => u64::MAX,
            };
            let pending =
                if has_parent { reader.pending(own, covered)? } else { Pending::default() };
            let (parked, _) = reader.masked_counts()?;
            Ok((contact, synced, pending, reader.conflicts()?.len() as u64, parked))
        })?;
        let link = self.links().into_iter().find(|link| link.is_parent);
        let connected = link.as_ref().is_some_and(|link| link.connected);
        let remaining = link.as_ref().map_or(0, |link| link.inbound + link.outbound);
        let skew_ms = link.as_ref().map_or(0, |link| link.skew_ms);
        let attention = conflicts > 0 || parked > 0 || skew_ms.abs() > limits::CLOCK_SKEW_MS;
        let state = if attention {
            BadgeState::Attention
        } else if connected && remaining > 0 {
            BadgeState::Syncing
        } else if pending.entries > 0 {
            BadgeState::Pending
        } else if connected || !has_parent {
            BadgeState::Synced
        } else {
            BadgeState::Offline
        };
        Ok(Badge {
            state,
            pending,
            last_contact: contact,
            last_synced: synced,
            remaining,
            conflicts,
            parked,
            skew_ms,
            has_parent,
            error: link.map(|link| link.error).unwrap_or_default(),
        })
    }

    /// How the data of every known place stand here.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn freshness(&self) -> Result<BTreeMap<PlaceId, Freshness>, OpsError> {
        let directives = self.directives();
        Ok(self.readers().with(|reader| reader.freshness(|key| place_of(&directives, key)))?)
    }

    /// The coverage of figures of a place.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn coverage(&self, place: PlaceId) -> Result<Coverage, OpsError> {
        let fresh = self.freshness()?;
        Ok(self.coverage_of(place, &fresh))
    }

    /// The coverage of figures of a place, from freshness read before.
    pub fn coverage_of(&self, place: PlaceId, fresh: &BTreeMap<PlaceId, Freshness>) -> Coverage {
        let directives = self.directives();
        let mut coverage = Coverage::default();
        for id in directives.tree.subtree(place) {
            let known = fresh.get(&id);
            coverage.parked += known.map_or(0, |one| one.parked);
            let Some(one) = directives.tree.place(id).filter(|one| one.level == Level::Village)
            else {
                continue;
            };
            coverage.places += 1;
            match known.filter(|known| known.newest.0 > 0) {
                Some(known) => {
                    coverage.reported += 1;
                    if coverage.oldest.0 == 0 || known.newest < coverage.oldest {
                        coverage.oldest = known.newest;
                    }
                }
                None if coverage.missing.len() < 10 => coverage.missing.push(one.name().to_owned()),
                None => {}
            }
        }
        coverage
    }

    /// The reach of every policy version that this replica knows.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn reach(&self) -> Result<Vec<Reach>, OpsError> {
        let directives = self.directives();
        let mut replicas: BTreeMap<PlaceId, Vec<taizhang_core::id::SealKey>> = BTreeMap::new();
        for (key, known) in &directives.roster {
            replicas.entry(known.certified.place).or_default().push(*key);
        }
        let mut found = Vec::new();
        let mut versions: Vec<_> = directives.policies.values().flatten().collect();
        versions.sort_by_key(|version| std::cmp::Reverse((version.published, version.record)));
        let mut offices: Vec<_> =
            replicas.keys().filter_map(|id| directives.tree.place(*id)).collect();
        offices.sort_by_key(|place| (std::cmp::Reverse(place.level), place.code().to_owned()));
        for version in versions {
            let slice = taizhang_core::id::SliceId::directive(version.place);
            let (author, number) = version.position;
            let marks = self.readers().with(|reader| reader.reach(slice, author, number))?;
            let since = |place: PlaceId, applied: bool| {
                let keys = replicas.get(&place);
                let of_place = marks.iter().filter(|(issuer, is_applied, _)| {
                    *is_applied == applied && keys.is_some_and(|keys| keys.contains(issuer))
                });
                of_place.map(|(_, _, time)| *time).min().unwrap_or_default()
            };
            let places = offices
                .iter()
                .filter(|place| directives.tree.is_above_or_same(version.place, place.id))
                .map(|place| ReachedPlace {
                    id: place.id,
                    name: directives.tree.full_name(place.id),
                    level: place.level,
                    held: since(place.id, false),
                    applied: since(place.id, true),
                })
                .collect();
            found.push(Reach {
                record: version.record,
                doc_no: version.doc_no.clone(),
                title: version.title.clone(),
                publisher: directives.tree.full_name(version.place),
                effective_from: version.effective_from.clone(),
                values: version.values.clone(),
                places,
            });
        }
        Ok(found)
    }

    /// A time for people; empty if never.
    pub fn when(time: UtcMillis) -> String {
        if time.0 == 0 { String::new() } else { time.local_text() }
    }

    /// How long ago, in the two languages; empty if never.
    pub fn ago(time: UtcMillis, english: bool) -> String {
        if time.0 == 0 {
            return String::new();
        }
        let minutes = clock::now().since(time) / 60_000;
        match (minutes, english) {
            (0, false) => "刚刚".into(),
            (0, true) => "just now".into(),
            (1..=59, false) => format!("{minutes}分钟前"),
            (1..=59, true) => format!("{minutes} min ago"),
            (60..=1439, false) => format!("{}小时前", minutes / 60),
            (60..=1439, true) => format!("{} h ago", minutes / 60),
            (_, false) => format!("{}天前", minutes / 1440),
            (_, true) => format!("{} days ago", minutes / 1440),
        }
    }
}
