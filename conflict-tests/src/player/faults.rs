//! What befalls machines, links and places.

use taizhang_core::id::Level;
use taizhang_core::place::event::PlaceEvent;
use taizhang_core::revocation::Reason;

use super::Player;
use crate::oracle::own_segments;
use crate::world::{Node, clerk};

const YEAR_MS: i64 = 365 * 86_400_000;

impl Player {
    fn some_link(&mut self) -> usize {
        let count = self.world.links.len();
        self.world.dice.index(count)
    }

    pub(super) fn cut(&mut self) -> bool {
        let index = self.some_link();
        let up = !self.world.links[index].up;
        self.world.set_link(index, up);
        true
    }

    pub(super) fn lag(&mut self) -> bool {
        let index = self.some_link();
        let (rounds, slow) = (self.world.dice.below(60), 1 + self.world.dice.below(6));
        let link = &mut self.world.links[index];
        (link.held_rounds, link.rounds_per_message) = (rounds, slow);
        true
    }

    pub(super) fn one_way(&mut self) -> bool {
        let index = self.some_link();
        let deaf = (self.world.dice.percent(50), self.world.dice.percent(50));
        self.world.links[index].deaf = deaf;
        true
    }

    pub(super) fn crash(&mut self) -> bool {
        let count = self.world.replicas.len();
        let node = self.world.dice.index(count);
        if !self.runs(node) {
            self.world.restart(node);
            return false;
        }
        if self.world.dice.percent(50) {
            // Between seal and send: what is sealed is durable, nobody has heard of it.
            let now = self.world.now_at(node);
            let engine = self.world.engine(node);
            engine.begin().unwrap();
            engine.flush(now).unwrap();
            engine.commit().unwrap();
        }
        self.world.crash(node);
        true
    }

    pub(super) fn wrong_clock(&mut self) -> bool {
        let count = self.world.replicas.len();
        let node = self.world.dice.index(count);
        let years = i64::try_from(self.world.dice.below(20)).unwrap() - 8;
        self.world.replicas[node].skew_ms = years * YEAR_MS;
        true
    }

    /// Whether the parent holds everything that an office has written: then its disk may be lost
    /// without an acknowledged edit being lost with it.
    fn is_safe(&self, node: Node, at: Node) -> bool {
        let replica = &self.world.replicas[node];
        let key = replica.identity.seal_key();
        let (own, tail) = own_segments(&replica.folder, key);
        let (known, _) = own_segments(&self.world.replicas[at].folder, key);
        tail == 0 && own.is_subset(&known)
    }

    pub(super) fn old_image(&mut self) -> bool {
        let count = self.world.replicas.len();
        let node = self.world.dice.index(count);
        let Some(parent) = self.world.replicas[node].parent else { return false };
        if !self.runs(node)
            || !self.runs(parent)
            || self.world.replicas[node].level > Level::Township
        {
            return false;
        }
        let image = self.world.image(node);
        for _ in 0..4 {
            self.work_at(node);
            self.world.step();
        }
        for _ in 0..200 {
            self.world.step();
        }
        if self.world.replicas.get(node).is_none_or(|one| one.engine.is_none())
            || !self.is_safe(node, parent)
        {
            return false;
        }
        self.world.restore(node, &image);
        for _ in 0..self.world.dice.below(4) {
            self.work_at(node);
        }
        true
    }

    /// Another PC in the place of one that was lost. What only the lost one had would be lost with it.
    pub(super) fn reinstall(&mut self) -> bool {
        let count = self.world.replicas.len();
        let node = self.world.dice.index(count);
        let Some(parent) = self.world.replicas[node].parent else { return false };
        let fit = self.world.replicas[node].level == Level::Village && !self.cloned;
        if !fit || !self.runs(node) || !self.runs(parent) || !self.is_safe(node, parent) {
            return false;
        }
        self.world.reinstall(node);
        for _ in 0..self.world.dice.below(3) {
            self.work_at(node);
        }
        true
    }

    fn work_at(&mut self, node: Node) {
        if !self.runs(node) {
            return;
        }
        match self.world.dice.below(4) {
            0 => self.create(node),
            1 => self.line(node),
            _ => self.edit(node),
        }
    }

    pub(super) fn clone_folder(&mut self) -> bool {
        let villages: Vec<Node> = (0..self.world.replicas.len())
            .filter(|node| self.world.replicas[*node].level == Level::Village && self.runs(*node))
            .collect();
        if self.cloned || villages.is_empty() {
            return false;
        }
        self.cloned = true;
        let node = villages[self.world.dice.index(villages.len())];
        let found = self.world.dice.percent(50);
        let clone = self.world.clone_replica(node, found);
        for _ in 0..self.world.dice.below(4) {
            self.work_at(node);
            self.work_at(clone);
            self.world.step();
        }
        true
    }

    /// The county revokes the second village while it cannot reach the township; the village goes on
    /// writing through the township, and what it writes must not show.
    pub(super) fn revoke(&mut self) -> bool {
        let village = 4;
        if self.revoked.is_some() || self.cloned || self.world.replicas.len() <= village {
            return false;
        }
        if ![1, 2, village].iter().all(|node| self.runs(*node)) || !self.is_safe(village, 1) {
            return false;
        }
        let link = |player: &Self, child: Node| player.world.link_of(child);
        let (upper, lower) = (link(self, 2), link(self, village));
        self.world.set_link(upper, false);
        self.world.set_link(lower, true);
        let key = self.world.replicas[village].identity.seal_key();
        let revoked =
            self.world.job(1, |engine, now| engine.revoke(key, Reason::Compromised, &clerk(), now));
        if revoked.is_err() {
            return false;
        }
        for _ in 0..3 {
            self.world.household(village, "REVOKED");
            for _ in 0..15 {
                self.world.step();
            }
            if self.world.replicas[village].engine.is_none() {
                break;
            }
        }
        self.revoked = Some(village);
        self.world.revoked = Some(village);
        true
    }

    pub(super) fn place_event(&mut self) -> bool {
        if !self.runs(0) || self.world.replicas.len() < 5 {
            return false;
        }
        let place = |byte: u8| taizhang_core::id::PlaceId([byte; 8]);
        let merge = self.world.merged.is_empty() && self.world.dice.percent(40);
        let event = if merge {
            PlaceEvent::Merge { place: place(6), into: place(5) }
        } else {
            let name = format!("镇{}", self.token());
            PlaceEvent::Rename { place: place(4), name }
        };
        self.world
            .job(0, |engine, now| engine.place_event(event, "2018-06-10", &clerk(), now))
            .unwrap();
        if merge {
            self.world.merged.push((5, 6));
        }
        true
    }
}
