//! What a writer had before it is in the past of what it wrote: asked of the changes themselves, read by
//! the CRDT library.

use std::collections::{BTreeMap, BTreeSet};

use automerge::{Change, ChangeHash};
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{RecordId, SliceId};

use crate::player::Player;
use crate::world::{Node, World};

/// An acknowledged write and the tips that its writer held.
pub struct Written {
    tips: Vec<ChangeHash>,
    change: ChangeHash,
}

/// The tips of a record that a replica holds.
pub fn tips(world: &mut World, node: Node, record: RecordId, place: u8) -> Vec<ChangeHash> {
    let slice = SliceId::ledger(taizhang_core::id::PlaceId([place; 8]));
    let engine = world.engine(node);
    let Some(found) = engine.store.record(slice, record).expect("a record") else {
        return Vec::new();
    };
    let hash = |at: &usize| ChangeHash(found.log.changes[*at].hash.0);
    found.log.heads().iter().map(hash).collect()
}

impl Written {
    /// One write, from the tips before and after it; none if its change cannot be told apart.
    pub fn new(before: Vec<ChangeHash>, after: &[ChangeHash]) -> Option<Self> {
        let mut new = after.iter().filter(|tip| !before.contains(tip));
        let change = new.next().copied()?;
        new.next().is_none().then_some(Self { tips: before, change })
    }
}

pub(super) fn judge(player: &Player, broken: &mut Vec<String>) {
    let Some(db) = super::open(&player.world.replicas[0].folder, "ledger.db") else { return };
    let mut query = db.prepare("SELECT plain FROM segment").expect("own SQL");
    let plain = query.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("own SQL");
    let mut deps: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
    for segment in plain.flatten().filter_map(|plain| Segment::from_plain(&plain).ok()) {
        for change in segment.entries.iter().flat_map(|entry| &entry.changes) {
            if let Ok(change) = Change::try_from(&change.bytes[..]) {
                deps.insert(change.hash(), change.deps().to_vec());
            }
        }
    }
    for written in &player.written {
        let (mut past, mut next) = (BTreeSet::new(), vec![written.change]);
        while let Some(at) = next.pop() {
            if past.insert(at) {
                next.extend(deps.get(&at).into_iter().flatten());
            }
        }
        // One that was written again under a new epoch is another change.
        let arrived = deps.contains_key(&written.change);
        if arrived && !written.tips.iter().all(|tip| past.contains(tip)) {
            broken.push(format!("the change {} leaves out what its writer had", written.change));
        }
    }
}
