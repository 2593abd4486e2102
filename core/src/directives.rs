//! What the directive slices say: tree, roster, catalogue and policy, as far as they are applied.
//!
//! Everything here is a fold over counted rows of the program's own ledgers. The state only grows:
//! nothing a later directive says changes what an earlier position meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use crate::catalogue::parse::{CatalogueError, Part, parse};
use crate::catalogue::{Catalogue, Ledger, Localise};
use crate::feed::line::Pin;
use crate::id::{
    AuthorId, FeedId, Hash, Level, PlaceId, RecordId, ReplicaId, SealKey, SliceId, unhex,
};
use crate::place::event::DatedEvent;
use crate::place::{Place, Tree};
use crate::policy::{InForce, PolicyVersion, Signed, in_force};
use crate::record::fold::Row;
use crate::record::value::Value;
use crate::revocation::Revocations;
use crate::time::Date;

/// The program's own ledgers.
pub const SYSTEM_CATALOGUE: &str = include_str!("../catalogue/system.toml");
/// Child lists.
pub const TREE: &str = "sys_tree";
/// Certified keys.
pub const ROSTER: &str = "sys_roster";
/// Catalogue parts.
pub const CATALOGUE: &str = "sys_catalogue";
/// Policy versions.
pub const POLICY: &str = "sys_policy";
/// Policy versions before they are published.
pub const POLICY_DRAFT: &str = "sys_policy_draft";
/// Place events.
pub const PLACE_EVENT: &str = "sys_place_event";
/// Revoked keys.
pub const REVOCATION: &str = "sys_revocation";
/// Closed epochs.
pub const EPOCH: &str = "sys_epoch";

/// What a certificate chain that leads to the root says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certified {
    /// The seal key.
    pub key: SealKey,
    /// The place.
    pub place: PlaceId,
    /// The replica.
    pub replica: ReplicaId,
    /// Level of the place, by the depth of the name.
    pub level: Level,
}

/// Reads certificate chains: X.509 stays outside this crate.
pub trait ChainReader: Send + Sync {
    /// What the chain certifies, if it leads to the root and obeys the rules of names.
    ///
    /// # Errors
    ///
    /// Which rule it breaks.
    fn read(&self, chain: &[Vec<u8>]) -> Result<Certified, String>;
}

/// A roster entry that counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rostered {
    /// What the chain says.
    pub certified: Certified,
    /// The chain, leaf first, root not included.
    pub chain: Vec<Vec<u8>>,
    /// Lamport counter of its first entry: who of a place came first.
    pub lamport: u64,
    /// Where its entries stand: it counts for entries that have seen one of them.
    pub positions: BTreeSet<(SliceId, AuthorId, u64)>,
}

/// Where a row of a directive slice came from.
#[derive(Clone, Copy, Debug)]
pub struct RowOrigin {
    /// The slice.
    pub slice: SliceId,
    /// The record.
    pub record: RecordId,
    /// Author and number of the segment that created it.
    pub position: (AuthorId, u64),
}

/// The state of the directive slices that this replica has applied.
#[derive(Clone)]
pub struct Directives {
    /// The hierarchy.
    pub tree: Tree,
    /// The hierarchy before any event.
    first_tree: Tree,
    /// Keys whose later entries do not count.
    pub revoked: Revocations,
    /// What is known to be revoked before everything is read again: a revocation that was itself made
    /// with a revoked key does not count, so lines are found by repetition, from the root down.
    pub presumed: Option<Revocations>,
    /// Keys that may author, by key.
    pub roster: BTreeMap<SealKey, Rostered>,
    /// Parts by name: version, source.
    parts: BTreeMap<String, (i64, String)>,
    /// What the parts in force declare.
    pub catalogue: Arc<Catalogue>,
    /// Defects of the newest parts; the catalogue before them stays in force.
    pub catalogue_errors: Vec<CatalogueError>,
    /// Policy versions by publishing place.
    pub policies: BTreeMap<PlaceId, Vec<PolicyVersion>>,
    /// Epochs that their author has closed: their receipts are withdrawn.
    pub closed: BTreeSet<AuthorId>,
    /// Segments applied of each directive feed.
    pub applied: BTreeMap<(SliceId, AuthorId), u64>,
    reader: Arc<dyn ChainReader>,
}

impl fmt::Debug for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directives")
            .field("places", &self.tree.len())
            .field("roster", &self.roster.len())
            .field("parts", &self.parts.keys())
            .finish_non_exhaustive()
    }
}

/// What parsing gave.
type Parsed = Result<Arc<Catalogue>, Vec<CatalogueError>>;

/// Catalogues kept; one is a few megabytes.
const SOUND_KEPT: usize = 32;
/// Refusals kept: parts arrive one after another, and most refer to others that are still to come.
const REFUSED_KEPT: usize = 1024;

/// Parsed catalogues by the hash of their parts: parsing and compiling costs milliseconds, and many
/// replicas of one process (the simulator) share them. Memoisation of a pure function.
pub fn parsed(parts: &[Part]) -> Parsed {
    type Cache = Mutex<[BTreeMap<Hash, Parsed>; 2]>;
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.name.as_bytes());
        hasher.update(&(part.source.len() as u64).to_le_bytes());
        hasher.update(part.source.as_bytes());
    }
    let key = Hash(*hasher.finalize().as_bytes());
    let cache = CACHE.get_or_init(Cache::default);
    if let Ok(cache) = cache.lock()
        && let Some(found) = cache.iter().find_map(|kept| kept.get(&key))
    {
        return found.clone();
    }
    let found = parse(parts).map(Arc::new);
    if let Ok(mut cache) = cache.lock() {
        let (at, most) = if found.is_ok() { (0, SOUND_KEPT) } else { (1, REFUSED_KEPT) };
        if cache[at].len() >= most {
            cache[at].clear();
        }
        cache[at].insert(key, found.clone());
    }
    found
}

impl Directives {
    /// The catalogue's parts in force, but for those of some names.
    pub fn parts_without(&self, names: &[String]) -> Vec<Part> {
        let kept = self.parts.iter().filter(|(name, _)| !names.contains(name));
        kept.map(|(name, (version, source))| Part {
            name: format!("{name} v{version}"),
            source: source.clone(),
        })
        .collect()
    }

    /// Nothing applied: only the program's own ledgers are known.
    ///
    /// # Panics
    ///
    /// Never: a test parses the program's own catalogue.
    pub fn new(reader: Arc<dyn ChainReader>) -> Self {
        let system = Part { name: "system".into(), source: SYSTEM_CATALOGUE.into() };
        let catalogue = parsed(&[system]).expect("the program's own catalogue is sound");
        Self {
            tree: Tree::default(),
            first_tree: Tree::default(),
            revoked: Revocations::default(),
            presumed: None,
            roster: BTreeMap::new(),
            parts: BTreeMap::new(),
            catalogue,
            catalogue_errors: Vec::new(),
            policies: BTreeMap::new(),
            closed: BTreeSet::new(),
            applied: BTreeMap::new(),
            reader,
        }
    }

    /// The reader of certificate chains.
    pub fn reader(&self) -> &Arc<dyn ChainReader> {
        &self.reader
    }

    /// Segments applied of a directive feed.
    pub fn applied(&self, slice: SliceId, author: AuthorId) -> u64 {
        self.applied.get(&(slice, author)).copied().unwrap_or(0)
    }

    /// Notes that a directive feed is applied up to `count` segments.
    pub fn set_applied(&mut self, slice: SliceId, author: AuthorId, count: u64) {
        self.applied.insert((slice, author), count);
    }

    /// Takes in a counted row of one of the program's ledgers; other ledgers are ignored. Gives
    /// whether anything changed that verdicts or rules depend on.
    pub fn apply_row(&mut self, row: &Row, origin: RowOrigin) -> bool {
        match row.ledger.as_str() {
            TREE => self.apply_tree(row, origin.slice.place),
            ROSTER => self.apply_roster(row, origin),
            CATALOGUE => self.apply_part(row),
            POLICY => self.apply_policy(row, origin),
            PLACE_EVENT => self.apply_event(row, origin),
            REVOCATION => self.apply_revocation(row),
            EPOCH => {
                let key = row.created.author.key;
                let closed = row.text("closed").parse().map(|epoch| AuthorId { key, epoch });
                closed.is_ok_and(|author| self.closed.insert(author))
            }
            _ => false,
        }
    }

    fn apply_tree(&mut self, row: &Row, parent: PlaceId) -> bool {
        let mut changed = false;
        let has_events = self.tree.history().events().next().is_some();
        if let Ok(place) = serde_json::from_str::<Place>(&row.text("own"))
            && place.id == parent
            && place.level == Level::City
            && self.tree.root().is_none_or(|root| root == parent)
        {
            self.first_tree.set_root(place.clone());
            self.tree.set_root(place);
            changed = true;
        }
        for line in row.logs.get("child").into_iter().flatten() {
            let text = line.columns.get("place").and_then(Value::as_text).unwrap_or_default();
            if let Ok(place) = serde_json::from_str::<Place>(text) {
                if !has_events {
                    self.tree.add(parent, place.clone());
                }
                self.first_tree.add(parent, place);
                changed = true;
            }
        }
        if changed && has_events {
            self.tree.replay(&self.first_tree);
        }
        changed
    }

    fn apply_event(&mut self, row: &Row, origin: RowOrigin) -> bool {
        let Ok(event) = serde_json::from_str(&row.text("content")) else { return false };
        let (author, number) = origin.position;
        let dated =
            DatedEvent { from: row.text("from"), event, position: (origin.slice, author, number) };
        let order = (row.created.lamport, author.actor(), origin.record);
        self.tree.apply_event(order, dated, &self.first_tree)
    }

    fn apply_revocation(&mut self, row: &Row) -> bool {
        let (Ok(key), Ok(items)) =
            (row.text("key").parse(), serde_json::from_str::<Vec<_>>(&row.text("line")))
        else {
            return false;
        };
        self.revoked.add(key, row.created.level, &items)
    }

    /// How many segments of a feed count; `None` if its key is not revoked.
    pub fn line(&self, feed: &FeedId) -> Option<u64> {
        self.presumed.as_ref().unwrap_or(&self.revoked).line(feed)
    }

    /// The last segment of a feed that counts, if its key is revoked.
    pub fn pin(&self, feed: &FeedId) -> Option<Pin> {
        self.presumed.as_ref().unwrap_or(&self.revoked).pin(feed)
    }

    fn apply_roster(&mut self, row: &Row, origin: RowOrigin) -> bool {
        let Some(chain) = chain_from_text(&row.text("chain")) else { return false };
        let Ok(certified) = self.reader.read(&chain) else { return false };
        if certified.place != origin.slice.place {
            return false;
        }
        let (author, number) = origin.position;
        let known = self.roster.entry(certified.key).or_insert_with(|| Rostered {
            certified,
            chain,
            lamport: row.created.lamport,
            positions: BTreeSet::new(),
        });
        known.lamport = known.lamport.min(row.created.lamport);
        known.positions.insert((origin.slice, author, number))
    }

    fn apply_part(&mut self, row: &Row) -> bool {
        let name = row.text("name");
        let version = row.fields.get("version").and_then(Value::as_int).unwrap_or(0);
        let source = row.text("source");
        let newer = self
            .parts
            .get(&name)
            .is_none_or(|(known, known_source)| (version, &source) > (*known, known_source));
        if name == "system" || !newer {
            return false;
        }
        self.parts.insert(name, (version, source));
        true
    }

    /// Puts the newest parts in force. Called once after a batch of rows, because parts refer to
    /// each other.
    pub fn refresh_catalogue(&mut self) {
        let mut parts = vec![Part { name: "system".into(), source: SYSTEM_CATALOGUE.into() }];
        parts.extend(self.parts.iter().map(|(name, (version, source))| Part {
            name: format!("directive {name} v{version}"),
            source: source.clone(),
        }));
        match parsed(&parts) {
            Ok(catalogue) => {
                self.catalogue = catalogue;
                self.catalogue_errors.clear();
            }
            Err(errors) => self.catalogue_errors = errors,
        }
    }

    fn apply_policy(&mut self, row: &Row, origin: RowOrigin) -> bool {
        let Ok(values) = serde_json::from_str(&row.text("content")) else { return false };
        let version = PolicyVersion {
            record: origin.record,
            place: origin.slice.place,
            level: row.created.level,
            doc_no: row.text("doc_no"),
            title: row.text("title"),
            effective_from: row.text("effective_from"),
            values,
            published: row.created.time,
            person: row.created.person.name.clone(),
            lamport: row.created.lamport,
            actor: row.created.author.actor(),
            position: origin.position,
            signed: Signed {
                draft: row.text("draft"),
                drafter: row.text("drafter"),
                approver: row.text("approver"),
            },
        };
        let versions = self.policies.entry(origin.slice.place).or_default();
        if versions.iter().any(|known| known.record == version.record) {
            return false;
        }
        versions.push(version);
        versions.sort_by_key(|version| (version.lamport, version.actor));
        true
    }

    /// The parameter's value in force at `place` on `day`.
    pub fn param(&self, id: &str, place: PlaceId, day: Date) -> InForce {
        let Some(param) = self.catalogue.params.get(id) else { return InForce::default() };
        let path = self.tree.path(place);
        let of_level = |level: Level| -> &[PolicyVersion] {
            path.iter()
                .find(|id| self.tree.place(**id).is_some_and(|place| place.level == level))
                .and_then(|id| self.policies.get(id))
                .map_or(&[], Vec::as_slice)
        };
        let local: &[PolicyVersion] =
            if param.localise == Localise::None { &[] } else { of_level(Level::County) };
        in_force(param, of_level(param.owner), local, day)
    }

    /// How many policy versions are applied on the path of `place`: what an entry notes as seen.
    pub fn policy_seen(&self, place: PlaceId) -> u64 {
        let path = self.tree.path(place);
        path.iter().filter_map(|id| self.policies.get(id)).map(|list| list.len() as u64).sum()
    }

    /// Which of `ledgers` a record of `slice` may belong to.
    pub fn ledgers_of(&self, slice: SliceId) -> impl Iterator<Item = &Arc<Ledger>> {
        let level = self.tree.place(slice.place).map(|place| place.level);
        self.catalogue.ledgers_for_people().filter(move |ledger| {
            ledger.slice == slice.kind && level.is_some_and(|level| ledger.scope.contains(&level))
        })
    }
}

/// The text under which a chain stands in a roster record: hexadecimal DER, comma-separated.
pub fn chain_to_text(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|der| crate::id::hex(der)).collect::<Vec<_>>().join(",")
}

/// Reads what [`chain_to_text`] wrote.
pub fn chain_from_text(text: &str) -> Option<Vec<Vec<u8>>> {
    if text.is_empty() {
        return None;
    }
    text.split(',').map(unhex).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogues_of_the_program_are_sound() {
        let part = |name: &str, source: &str| Part { name: name.into(), source: source.into() };
        let mut parts = vec![part("system.toml", SYSTEM_CATALOGUE)];
        parts.extend(crate::base_catalogue());
        if let Err(errors) = parse(&parts) {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            panic!("{}", lines.join("\n"));
        }
    }

    #[test]
    fn a_chain_is_read_back_from_its_text() {
        let chain = vec![vec![1, 2, 255], vec![0]];
        assert_eq!(chain_from_text(&chain_to_text(&chain)), Some(chain));
        assert_eq!(chain_from_text("zz"), None);
        assert_eq!(chain_from_text(""), None);
    }
}
