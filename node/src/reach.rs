//! Where a policy version has arrived: which places hold it, which have applied it, and who is silent.
//!
//! A place shows as applied only by what a replica of its own has signed: its receipt says up to which
//! directive it has applied, and since when by its own clock.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::policy::PolicyVersion;
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;

use crate::driver::Replica;
use crate::ops::OpsError;
use crate::store::reach::Mark;

/// Whom a policy version has reached.
#[derive(Clone, Debug, Serialize)]
pub struct Reach {
    /// Its record.
    pub record: RecordId,
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

/// How many offices a version has reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// Places, with or without a replica.
    pub places: usize,
    /// Those with a replica: they should have it.
    pub offices: usize,
    /// Of these, those that have applied it.
    pub applied: usize,
    /// Those that hold it and have not applied it.
    pub held: usize,
}

impl Count {
    /// Offices that have said nothing of it.
    pub fn silent(self) -> usize {
        self.offices - self.applied - self.held
    }

    /// Takes in a place: none if it has no replica.
    pub fn add(&mut self, mark: Option<&Mark>) {
        self.places += 1;
        let Some(mark) = mark else { return };
        self.offices += 1;
        if mark.applied.0 > 0 {
            self.applied += 1;
        } else if mark.held.0 > 0 {
            self.held += 1;
        }
    }
}

/// The earlier of two times, of which 0 is none.
fn earlier(one: UtcMillis, other: UtcMillis) -> UtcMillis {
    if one.0 == 0 || (other.0 > 0 && other < one) { other } else { one }
}

/// A version by its record.
pub fn version(directives: &Directives, record: RecordId) -> Option<&PolicyVersion> {
    directives.policies.values().flatten().find(|version| version.record == record)
}

impl Replica {
    /// What the places with a replica at or below `under` have said of a version: one mark a place. A key that
    /// was revoked speaks for its place no more.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn marks(
        &self,
        directives: &Directives,
        version: &PolicyVersion,
        under: PlaceId,
    ) -> Result<BTreeMap<PlaceId, Mark>, OpsError> {
        let tree = &directives.tree;
        let places: BTreeSet<PlaceId> = tree.subtree(under).into_iter().collect();
        let mut keys: BTreeMap<SealKey, PlaceId> = BTreeMap::new();
        for (key, known) in &directives.roster {
            let place = known.certified.place;
            let asked = places.contains(&place) && tree.is_above_or_same(version.place, place);
            if asked && !directives.revoked.contains(*key) {
                keys.insert(*key, place);
            }
        }
        let (author, number) = version.position;
        let slice = SliceId::directive(version.place);
        let said = self
            .readers()
            .with(|reader| reader.reach_of(slice, author, number, keys.keys().copied()))?;
        let mut found: BTreeMap<PlaceId, Mark> = BTreeMap::new();
        for (key, mark) in said {
            let Some(place) = keys.get(&key) else { continue };
            let one = found.entry(*place).or_default();
            one.held = earlier(one.held, mark.held);
            one.applied = earlier(one.applied, mark.applied);
        }
        Ok(found)
    }

    /// The reach of one version: every place with a replica at or below its publisher.
    ///
    /// # Errors
    ///
    /// [`OpsError`].
    pub fn reach_of(
        &self,
        directives: &Directives,
        version: &PolicyVersion,
    ) -> Result<Reach, OpsError> {
        let tree = &directives.tree;
        let marks = self.marks(directives, version, version.place)?;
        let mut offices: Vec<_> =
            marks.iter().filter_map(|(id, mark)| Some((tree.place(*id)?, mark))).collect();
        offices.sort_by_key(|(place, _)| (std::cmp::Reverse(place.level), place.code().to_owned()));
        let places = offices.into_iter().map(|(place, mark)| ReachedPlace {
            id: place.id,
            name: tree.full_name(place.id),
            level: place.level,
            held: mark.held,
            applied: mark.applied,
        });
        Ok(Reach {
            record: version.record,
            doc_no: version.doc_no.clone(),
            title: version.title.clone(),
            publisher: tree.full_name(version.place),
            effective_from: version.effective_from.clone(),
            values: version.values.clone(),
            places: places.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_once_and_by_what_it_said() {
        let mut count = Count::default();
        let mark = |held, applied| Mark { held: UtcMillis(held), applied: UtcMillis(applied) };
        count.add(None);
        for one in [mark(0, 0), mark(5, 0), mark(5, 7), mark(0, 7)] {
            count.add(Some(&one));
        }
        assert_eq!(count, Count { places: 5, offices: 4, applied: 2, held: 1 });
        assert_eq!(count.silent(), 1);
        assert_eq!(earlier(UtcMillis(0), UtcMillis(3)), UtcMillis(3));
        assert_eq!(earlier(UtcMillis(3), UtcMillis(0)), UtcMillis(3));
        assert_eq!(earlier(UtcMillis(3), UtcMillis(2)), UtcMillis(2));
    }
}
