//! Places: the nodes of the hierarchy, and who holds which slice.
//!
//! The tree is a fold over directive entries: every place's directive slice lists its children.
//! Codes and names are dated attributes; digits seed the tree at import and print on forms, they
//! never decide scope (DESIGN §2).

pub mod event;
pub mod import;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Level, PlaceId, SliceId, SliceKind};
use crate::time::Date;

/// A value that holds from a date on.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Dated {
    /// First day on which it holds, `YYYY-MM-DD`.
    pub from: String,
    /// The name or code.
    pub value: String,
}

/// One node of the tree, as its parent's child list states it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Stable and opaque.
    pub id: PlaceId,
    /// Fixed for the life of the place.
    pub level: Level,
    /// Names, oldest first; the last one that holds on a day is the name on that day.
    pub names: Vec<Dated>,
    /// 12-digit statistical codes, oldest first.
    pub codes: Vec<Dated>,
}

fn on(values: &[Dated], day: Date) -> &str {
    let day = day.to_string();
    values
        .iter()
        .rev()
        .find(|dated| dated.from <= day)
        .or_else(|| values.first())
        .map_or("", |dated| dated.value.as_str())
}

impl Place {
    /// The name on `day`; before the first one, the first.
    pub fn name_on(&self, day: Date) -> &str {
        on(&self.names, day)
    }

    /// The 12-digit code on `day`; before the first one, the first.
    pub fn code_on(&self, day: Date) -> &str {
        on(&self.codes, day)
    }

    /// The newest name.
    pub fn name(&self) -> &str {
        self.names.last().map_or("", |dated| dated.value.as_str())
    }

    /// The newest code.
    pub fn code(&self) -> &str {
        self.codes.last().map_or("", |dated| dated.value.as_str())
    }
}

/// The hierarchy as far as this replica knows it: its path, the children of each place on it, and
/// everything below itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tree {
    places: BTreeMap<PlaceId, Place>,
    parents: BTreeMap<PlaceId, PlaceId>,
    children: BTreeMap<PlaceId, Vec<PlaceId>>,
    root: Option<PlaceId>,
    history: event::History,
}

/// Steps from a place to the city at most: the levels, and places merged into each other.
const DEPTH_MAX: usize = 12;

impl Tree {
    /// Events applied since the first lists.
    pub fn history(&self) -> &event::History {
        &self.history
    }

    /// Sets the city.
    pub fn set_root(&mut self, place: Place) {
        self.root = Some(place.id);
        self.places.insert(place.id, place);
    }

    /// Adds a child that `parent`'s directive slice lists. A place listed by two parents keeps the
    /// parent with the smaller id, so that the order of arrival does not matter.
    pub fn add(&mut self, parent: PlaceId, place: Place) {
        if let Some(known) = self.parents.get(&place.id)
            && *known <= parent
        {
            if *known == parent {
                self.places.insert(place.id, place);
            }
            return;
        }
        if let Some(old) = self.parents.insert(place.id, parent)
            && let Some(list) = self.children.get_mut(&old)
        {
            list.retain(|id| *id != place.id);
            if list.is_empty() {
                self.children.remove(&old);
            }
        }
        let list = self.children.entry(parent).or_default();
        if let Err(at) = list.binary_search(&place.id) {
            list.insert(at, place.id);
        }
        self.places.insert(place.id, place);
    }

    /// The city, once known.
    pub fn root(&self) -> Option<PlaceId> {
        self.root
    }

    /// A place by id.
    pub fn place(&self, id: PlaceId) -> Option<&Place> {
        self.places.get(&id)
    }

    /// How many places are known.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All known places in id order.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }

    /// The parent, unless `id` is the city or unknown.
    pub fn parent(&self, id: PlaceId) -> Option<PlaceId> {
        self.parents.get(&id).copied()
    }

    /// The listed children, ordered by their newest code.
    pub fn children(&self, id: PlaceId) -> Vec<PlaceId> {
        let mut list = self.children.get(&id).cloned().unwrap_or_default();
        list.sort_by_key(|child| self.place(*child).map(|place| place.code().to_owned()));
        list
    }

    /// From the city down to `id`, both included; empty if `id` does not hang below the city.
    pub fn path(&self, id: PlaceId) -> Vec<PlaceId> {
        let mut path = vec![id];
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            if path.len() > DEPTH_MAX {
                return Vec::new();
            }
            path.push(parent);
            at = parent;
        }
        if Some(at) != self.root {
            return Vec::new();
        }
        path.reverse();
        path
    }

    /// `id` and everything below it, parents before children.
    pub fn subtree(&self, id: PlaceId) -> Vec<PlaceId> {
        let mut all = vec![id];
        let mut at = 0;
        while at < all.len() {
            all.extend(self.children(all[at]));
            at += 1;
        }
        all
    }

    /// Whether `upper` is `lower` or an ancestor of it.
    pub fn is_above_or_same(&self, upper: PlaceId, lower: PlaceId) -> bool {
        let mut at = Some(lower);
        for _ in 0..DEPTH_MAX {
            match at {
                Some(id) if id == upper => return true,
                Some(id) => at = self.parent(id),
                None => return false,
            }
        }
        false
    }

    /// Places that no merge has ended.
    pub fn standing(&self) -> impl Iterator<Item = &Place> {
        let merged = self.merged();
        self.places.values().filter(move |place| !merged.contains_key(&place.id))
    }

    /// The known place with that newest code: one that stands before one that ended.
    pub fn by_code(&self, code: &str) -> Option<&Place> {
        let has = |place: &&Place| place.code() == code;
        self.standing().find(has).or_else(|| self.places.values().find(has))
    }

    /// The names from the city down to `id`, joined, for people.
    pub fn full_name(&self, id: PlaceId) -> String {
        self.path(id).iter().filter_map(|id| self.place(*id)).map(Place::name).collect()
    }
}

/// Whether replicas of `place` hold `slice`: the one rule of scope (DESIGN §2).
///
/// Ledger slices are held by their place and its ancestors; directive slices also by descendants.
/// Whoever holds a slice also holds the directive slices of every path that it ever had, so that old
/// entries can be judged.
pub fn holds(place: PlaceId, slice: SliceId, tree: &Tree) -> bool {
    if tree.is_above_or_same(place, slice.place) {
        return true;
    }
    slice.kind == SliceKind::Directive
        && (tree.is_above_or_same(slice.place, place)
            || tree.ever_above(place).contains(&slice.place)
            || tree.moved_places().any(|moved| {
                tree.is_above_or_same(place, moved) && tree.ever_above(moved).contains(&slice.place)
            }))
}

/// The directive slices of every path that `slice`'s place ever had: what its entries are judged by,
/// and what `sees` names.
pub fn judging_slices(slice: SliceId, tree: &Tree) -> Vec<SliceId> {
    let path = tree.path(slice.place);
    if path.is_empty() || tree.moved_places().next().is_none() {
        return path.into_iter().map(SliceId::directive).collect();
    }
    tree.ever_above(slice.place).into_iter().map(SliceId::directive).collect()
}

/// What a parent and a child share: ledger and directive slices of the child's subtree and the
/// directive slices of the child's ancestors.
pub fn is_shared(one: PlaceId, other: PlaceId, slice: SliceId, tree: &Tree) -> bool {
    holds(one, slice, tree) && holds(other, slice, tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u8, level: Level) -> Place {
        let dated = |value: &str| vec![Dated { from: "2018-01-01".into(), value: value.into() }];
        Place {
            id: PlaceId([id; 8]),
            level,
            names: dated(&format!("n{id}")),
            codes: dated(&format!("{id:012}")),
        }
    }

    fn id(byte: u8) -> PlaceId {
        PlaceId([byte; 8])
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.set_root(place(1, Level::City));
        tree.add(id(1), place(2, Level::County));
        tree.add(id(1), place(3, Level::County));
        tree.add(id(2), place(4, Level::Township));
        tree.add(id(4), place(5, Level::Village));
        tree.add(id(4), place(6, Level::Village));
        tree
    }

    #[test]
    fn ledger_slices_flow_up_and_directive_slices_both_ways() {
        let tree = tree();
        for holder in [1, 2, 4, 5] {
            assert!(holds(id(holder), SliceId::ledger(id(5)), &tree), "{holder}");
        }
        for stranger in [3, 6] {
            assert!(!holds(id(stranger), SliceId::ledger(id(5)), &tree), "{stranger}");
            assert!(!holds(id(stranger), SliceId::directive(id(5)), &tree), "{stranger}");
        }
        assert!(holds(id(6), SliceId::directive(id(2)), &tree));
        assert!(!holds(id(5), SliceId::ledger(id(4)), &tree));
        assert!(!holds(id(3), SliceId::directive(id(2)), &tree));
        assert!(!holds(id(9), SliceId::directive(id(1)), &tree), "unknown places hold nothing");
    }

    #[test]
    fn a_place_listed_by_two_parents_has_one_whatever_the_order() {
        let mut first = tree();
        first.add(id(2), place(7, Level::Township));
        first.add(id(3), place(7, Level::Township));
        let mut second = tree();
        second.add(id(3), place(7, Level::Township));
        second.add(id(2), place(7, Level::Township));
        assert_eq!(first, second);
        assert_eq!(first.parent(id(7)), Some(id(2)));
    }

    #[test]
    fn names_are_dated() {
        let mut village = place(5, Level::Village);
        village.names.push(Dated { from: "2019-01-01".into(), value: "new".into() });
        assert_eq!(village.name_on(Date::parse("2018-06-01").unwrap()), "n5");
        assert_eq!(village.name_on(Date::parse("2019-01-01").unwrap()), "new");
        assert_eq!(village.name_on(Date::parse("2001-01-01").unwrap()), "n5");
    }
}
