//! The badge and coverage: what pages and commands say of the network.

use std::collections::BTreeMap;

use serde::Serialize;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::limits;
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
        let issuers: Vec<taizhang_core::id::SealKey> = directives
            .roster
            .iter()
            .filter(|(_, known)| Some(known.certified.place) == parent)
            .map(|(key, _)| *key)
            .collect();
        let (contact, synced, pending, conflicts, parked) = self.readers().with(|reader| {
            let (contact, synced) = reader.parent_contact()?;
            let pending = if has_parent {
                let acked = reader.acknowledged(own, &issuers)?;
                let covered = |feed: &taizhang_core::id::FeedId| match parent {
                    Some(_) => acked.get(feed).copied().unwrap_or(0),
                    None => u64::MAX,
                };
                reader.pending(own, covered)?
            } else {
                Pending::default()
            };
            let (parked, _) = reader.masked_counts()?;
            Ok((contact, synced, pending, reader.conflict_count()?, parked))
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
