//! Place events: what happens to the tree after its first lists. Each is one entry, by the city, in
//! the directive slice of the lowest common ancestor of the places it names (DESIGN §2).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Dated, Place, Tree};
use crate::feed::line::{Line, LineItem};
use crate::id::{Actor, AuthorId, FeedId, PlaceId, RecordId, SliceId};
use crate::verdict::SeesMap;

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PlaceEvent {
    /// A new place: the other half of a split.
    Add {
        /// Its parent.
        parent: PlaceId,
        /// The place.
        place: Place,
    },
    /// A place goes to another parent of the same level.
    HandOver {
        /// Which.
        place: PlaceId,
        /// The new parent.
        to: PlaceId,
        /// How far the old ancestors' feeds in the slices concerned count.
        line: Vec<LineItem>,
        /// The paths to the place, itself included, and to its new parent: the offices of either know the
        /// other from no list of their own.
        #[serde(default)]
        lists: Vec<Listed>,
    },
    /// A place is merged into another of its level, which holds its whole slice from then on. The old
    /// replicas stay writers until they are retired.
    Merge {
        /// Which.
        place: PlaceId,
        /// The successor.
        into: PlaceId,
    },
    /// 改码
    Recode {
        /// Which.
        place: PlaceId,
        /// The new 12-digit code.
        code: String,
    },
    /// 更名
    Rename {
        /// Which.
        place: PlaceId,
        /// The new name.
        name: String,
    },
}

/// A place as a list names it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Its parent.
    pub parent: PlaceId,
    /// The place.
    pub place: Place,
}

impl PlaceEvent {
    /// The place that it is about.
    pub fn place(&self) -> PlaceId {
        match self {
            Self::Add { place, .. } => place.id,
            Self::HandOver { place, .. }
            | Self::Merge { place, .. }
            | Self::Recode { place, .. }
            | Self::Rename { place, .. } => *place,
        }
    }
}

/// An event with its place in the city's feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DatedEvent {
    /// First day on which it holds.
    pub from: String,
    /// What happened.
    pub event: PlaceEvent,
    /// Where its entry stands: it holds for entries that have seen it.
    pub position: (SliceId, AuthorId, u64),
}

/// A former parent, and the event that ended it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Era {
    parent: PlaceId,
    until: (SliceId, AuthorId, u64),
}

/// The events applied to a tree, in one order everywhere, and what they ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    events: BTreeMap<(u64, Actor, RecordId), DatedEvent>,
    eras: BTreeMap<PlaceId, Vec<Era>>,
}

impl History {
    /// The Lamport counter of the last event; the next one stands above it, in whatever slice.
    pub fn last_lamport(&self) -> u64 {
        self.events.last_key_value().map_or(0, |((lamport, _, _), _)| *lamport)
    }

    /// Events in order.
    pub fn events(&self) -> impl Iterator<Item = &DatedEvent> {
        self.events.values()
    }
}

impl Tree {
    /// Takes in an event; gives whether it is new. The order is that of (Lamport, actor).
    pub fn apply_event(
        &mut self,
        order: (u64, Actor, RecordId),
        event: DatedEvent,
        first: &Self,
    ) -> bool {
        if self.history.events.contains_key(&order) {
            return false;
        }
        self.history.events.insert(order, event);
        self.replay(first);
        true
    }

    /// Applies the events again, to first lists that have grown: a list may arrive after an event
    /// that names one of its places.
    pub fn replay(&mut self, first: &Self) {
        let events = std::mem::take(&mut self.history.events);
        let mut tree = first.clone();
        for event in events.values() {
            tree.step(event);
        }
        tree.history.events = events;
        *self = tree;
    }

    fn step(&mut self, dated: &DatedEvent) {
        let value = |value: &String| Dated { from: dated.from.clone(), value: value.clone() };
        match &dated.event {
            PlaceEvent::Add { parent, place } => self.add(*parent, place.clone()),
            PlaceEvent::Rename { place, name } => {
                if let Some(place) = self.places.get_mut(place) {
                    place.names.push(value(name));
                }
            }
            PlaceEvent::Recode { place, code } => {
                if let Some(place) = self.places.get_mut(place) {
                    place.codes.push(value(code));
                }
            }
            PlaceEvent::HandOver { place, to, lists, .. } => {
                for one in lists {
                    if !self.places.contains_key(&one.place.id) {
                        self.add(one.parent, one.place.clone());
                    }
                }
                self.re_parent(*place, *to, dated.position);
            }
            PlaceEvent::Merge { place, into } => self.re_parent(*place, *into, dated.position),
        }
    }

    fn re_parent(&mut self, place: PlaceId, to: PlaceId, until: (SliceId, AuthorId, u64)) {
        let Some(old) = self.parents.get(&place).copied().filter(|old| *old != to) else { return };
        if self.is_above_or_same(place, to) {
            return;
        }
        if let Some(list) = self.children.get_mut(&old) {
            list.retain(|id| *id != place);
        }
        self.parents.insert(place, to);
        let list = self.children.entry(to).or_default();
        if let Err(at) = list.binary_search(&place) {
            list.insert(at, place);
        }
        self.history.eras.entry(place).or_default().push(Era { parent: old, until });
    }

    fn former_parents(&self, place: PlaceId) -> impl Iterator<Item = PlaceId> {
        self.history.eras.get(&place).into_iter().flatten().map(|era| era.parent)
    }

    /// Whether a place had that parent before a hand-over or a merge.
    pub fn was_parent(&self, parent: PlaceId, place: PlaceId) -> bool {
        self.former_parents(place).any(|one| one == parent)
    }

    /// Every place that was ever above `place`, and itself.
    pub fn ever_above(&self, place: PlaceId) -> BTreeSet<PlaceId> {
        let mut found = BTreeSet::new();
        let mut open = vec![place];
        while let Some(at) = open.pop() {
            if found.insert(at) {
                open.extend(self.parent(at));
                open.extend(self.former_parents(at));
            }
        }
        found
    }

    /// Places that a merge ended, and their successors.
    pub fn merged(&self) -> BTreeMap<PlaceId, PlaceId> {
        let merges = self.history.events().filter_map(|event| match event.event {
            PlaceEvent::Merge { place, into } => Some((place, into)),
            _ => None,
        });
        merges.collect()
    }

    /// Places with another parent than at first.
    pub fn moved_places(&self) -> impl Iterator<Item = PlaceId> {
        self.history.eras.keys().copied()
    }

    /// Whether `upper` was `lower` or an ancestor of it by the tree that an entry had seen. An event
    /// in `own` (slice and author of the entry itself) counts as seen from its own segment on, which
    /// the caller knows: there the present tree holds.
    pub fn was_above(&self, upper: PlaceId, lower: PlaceId, sees: &SeesMap) -> bool {
        if self.history.eras.is_empty() {
            return self.is_above_or_same(upper, lower);
        }
        let mut at = Some(lower);
        for _ in 0..super::DEPTH_MAX {
            let Some(id) = at else { return false };
            if id == upper {
                return true;
            }
            let eras = self.history.eras.get(&id).map_or(&[][..], Vec::as_slice);
            let unseen = eras.iter().find(|era| {
                let (slice, author, number) = era.until;
                sees.get(&(slice, author)).is_none_or(|count| *count <= number)
            });
            at = unseen.map(|era| era.parent).or_else(|| self.parent(id));
        }
        false
    }

    /// How many segments of a feed count although its author's place lost the slice's place by a
    /// hand-over; `None` if it did not.
    pub fn handed_line(&self, feed: &FeedId, author_place: PlaceId) -> Option<u64> {
        if self.is_above_or_same(author_place, feed.slice.place) {
            return None;
        }
        let mut line = None;
        for dated in self.history.events.values() {
            let PlaceEvent::HandOver { place, line: items, .. } = &dated.event else { continue };
            if self.ever_above(feed.slice.place).contains(place)
                && self.ever_above(*place).contains(&author_place)
            {
                line = line.max(Some(Line::of(items).of_feed(feed)));
            }
        }
        line
    }

    /// The place whose replicas those of `place` dial: the nearest ancestor of a higher level. After
    /// a merge that is the successor's parent.
    pub fn dial_parent(&self, place: PlaceId) -> Option<PlaceId> {
        let level = self.place(place)?.level;
        let mut at = self.parent(place);
        for _ in 0..super::DEPTH_MAX {
            let id = at?;
            if self.place(id).is_some_and(|one| one.level > level) {
                return Some(id);
            }
            at = self.parent(id);
        }
        None
    }

    /// The lowest place above or equal to all of `places`.
    pub fn common_ancestor(&self, places: &[PlaceId]) -> Option<PlaceId> {
        let first = places.first()?;
        let mut path = self.path(*first);
        path.reverse();
        path.into_iter().find(|upper| places.iter().all(|one| self.is_above_or_same(*upper, *one)))
    }
}
