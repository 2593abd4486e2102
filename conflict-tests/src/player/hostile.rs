//! Peers that do not keep to the rules: certified ones that write what they may not, and garbage.

use taizhang_core::feed::entry::{Action, Entry, RecordChange};
use taizhang_core::feed::frontier::Head;
use taizhang_core::feed::receipt::SealedReceipt;
use taizhang_core::feed::segment::{Sealed, Segment};
use taizhang_core::id::{AuthorId, Epoch, FeedId, Hash, Lane, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::record::change::scan;
use taizhang_core::record::edit::{KeyWrite, compose, creation};
use taizhang_core::record::log::RecordLog;
use taizhang_core::sync::message::Message;

use super::Player;
use crate::world::{Node, clerk};

impl Player {
    pub(super) fn hostile(&mut self) -> bool {
        match self.world.dice.below(5) {
            0 => self.forge(false),
            1 => self.forge(true),
            2 => self.impersonate(),
            3 => self.trespass(),
            _ => self.babble(),
        }
    }

    /// A running village with a link that is up.
    fn attacker(&mut self) -> Option<(Node, usize)> {
        let found: Vec<(Node, usize)> = (0..self.world.links.len())
            .filter(|index| self.world.is_connected(*index))
            .map(|index| (self.world.links[index].child, index))
            .filter(|(node, _)| *node >= 3 && self.runs(*node) && *node < 6)
            .collect();
        (!found.is_empty()).then(|| found[self.world.dice.index(found.len())])
    }

    /// A segment of one entry, in an epoch of its own, sealed by the office's own key.
    fn segment(
        &mut self,
        node: Node,
        author: AuthorId,
        record: RecordId,
        bytes: Vec<u8>,
    ) -> Segment {
        let (now, slice) = (self.world.now_at(node), self.ledger_slice(node));
        let engine = self.world.engine(node);
        let sees = engine.directives.applied.iter();
        Segment {
            feed: FeedId { slice, lane: Lane::Ordinary, author },
            number: 0,
            first_entry: 0,
            previous: Hash::default(),
            sees: sees.map(|((slice, author), count)| (*slice, *author, *count)).collect(),
            entries: vec![Entry {
                time: now,
                person: clerk(),
                action: Action::Create,
                lamport: 1,
                policy_seen: 0,
                import: None,
                changes: vec![RecordChange { record, bytes }],
            }],
        }
    }

    fn random(&mut self) -> ([u8; 16], [u8; 16]) {
        let (mut one, mut two) = ([0; 16], [0; 16]);
        self.world.dice.fill(&mut one);
        self.world.dice.fill(&mut two);
        (one, two)
    }

    /// A village key signs what only the county or the township may write: a new record, or a change
    /// of one that honest people go on editing.
    fn forge(&mut self, existing: bool) -> bool {
        let Some((node, index)) = self.attacker() else { return false };
        let (epoch, random) = self.random();
        let author = AuthorId { key: self.world.engine(node).author.key, epoch: Epoch(epoch) };
        let place = self.world.replicas[node].place.0[0];
        let now = self.world.now_at(node);
        let target = self
            .records
            .iter()
            .find(|one| existing && one.place == place && one.ledger == "poor_household")
            .map(|one| one.id);
        let forged = Some("FORGED".into());
        let (record, log, keys): (_, _, Vec<KeyWrite>) = match target {
            Some(id) => {
                let slice = self.ledger_slice(node);
                let stored = self.world.engine(node).store.record(slice, id).unwrap();
                let Some(stored) = stored else { return false };
                (id, stored.log, vec![("national_hh_no".into(), forged)])
            }
            None => (
                RecordId(random),
                RecordLog::default(),
                vec![
                    creation("income_measure"),
                    ("detail".into(), forged.clone()),
                    ("verify_note".into(), forged),
                ],
            ),
        };
        let Ok(bytes) = compose(&log, author.actor(), now, &keys) else { return false };
        let hash = scan(&bytes).unwrap().hash;
        let segment = self.segment(node, author, record, bytes.clone());
        let sealed = segment.seal(&self.world.engine(node).identity.seal);
        self.world.inject(index, false, Message::Segment(sealed));
        self.forged = true;
        self.evidence.push((hash, bytes, place));
        true
    }

    /// A segment in the township's name with a made-up seal.
    fn impersonate(&mut self) -> bool {
        let Some((node, index)) = self.attacker() else { return false };
        let (epoch, random) = self.random();
        let victim = self.world.replicas[2].identity.seal_key();
        let author = AuthorId { key: victim, epoch: Epoch(epoch) };
        let now = self.world.now_at(node);
        let keys = [creation("poor_household"), ("head_name".into(), Some("FORGED".into()))];
        let Ok(bytes) = compose(&RecordLog::default(), author.actor(), now, &keys) else {
            return false;
        };
        let segment = self.segment(node, author, RecordId(random), bytes);
        let sealed = Sealed { plain: segment.to_plain(), seal: [7; 64] };
        self.world.inject(index, false, Message::Segment(sealed));
        self.forged = true;
        true
    }

    /// A well sealed entry whose change is garbage.
    pub(super) fn poison(&mut self) -> bool {
        let Some((node, index)) = self.attacker() else { return false };
        let (epoch, random) = self.random();
        let author = AuthorId { key: self.world.engine(node).author.key, epoch: Epoch(epoch) };
        let bytes = random.repeat(1 + self.world.dice.index(20));
        let segment = self.segment(node, author, RecordId(random), bytes);
        let sealed = segment.seal(&self.world.engine(node).identity.seal);
        self.world.inject(index, false, Message::Segment(sealed));
        true
    }

    /// A parent sends a village what belongs to another village.
    fn trespass(&mut self) -> bool {
        if self.world.replicas.len() < 5 || !self.runs(2) {
            return false;
        }
        let (from, to) = if self.world.dice.percent(50) { (3, 4) } else { (4, 3) };
        let place = self.world.replicas[from].place;
        let mut found: Option<(Sealed, Vec<Vec<u8>>)> = None;
        let engine = self.world.engine(2);
        for stored in engine.store.segments_after(0, 10_000).unwrap_or_default() {
            if let Ok(header) = Segment::header(&stored.sealed.plain)
                && header.feed.slice == SliceId::ledger(place)
                && header.number == 0
            {
                let chain = engine.store.chain(header.feed.author.key).ok().flatten();
                found = Some((stored.sealed, chain.unwrap_or_default()));
                break;
            }
        }
        let index = self.world.links.iter().position(|link| link.child == to);
        if let (Some((sealed, chain)), Some(index)) = (found, index)
            && self.world.is_connected(index)
        {
            self.world.inject(index, true, Message::Chain(chain));
            self.world.inject(index, true, Message::Segment(sealed));
            return true;
        }
        false
    }

    /// Messages that mean nothing, and floods of them.
    fn babble(&mut self) -> bool {
        let index = self.some_index();
        if !self.world.is_connected(index) {
            return false;
        }
        for _ in 0..1 + self.world.dice.below(40) {
            let (one, two) = self.random();
            let mut key = SealKey::default();
            key.0[..16].copy_from_slice(&one);
            let author = AuthorId { key, epoch: Epoch(two) };
            let slice = SliceId::ledger(PlaceId([one[0] % 8; 8]));
            let feed = FeedId { slice, lane: Lane::Ordinary, author };
            let head = Head { count: u64::from(two[0]), hash: Hash([two[1]; 32]) };
            let message = match one[1] % 6 {
                0 => Message::Want(feed, head),
                1 => Message::NotYet(feed),
                2 => Message::Ack(vec![(feed, head)]),
                3 => Message::Segment(Sealed { plain: one.repeat(9), seal: [two[2]; 64] }),
                4 => Message::Receipts(vec![SealedReceipt { plain: two.to_vec(), seal: [0; 64] }]),
                _ => Message::Chain(vec![one.to_vec()]),
            };
            let from_parent = self.world.dice.percent(50);
            self.world.inject(index, from_parent, message);
        }
        true
    }

    fn some_index(&mut self) -> usize {
        let count = self.world.links.len();
        self.world.dice.index(count)
    }
}
