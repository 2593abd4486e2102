//! Sticks: bundles that are written, kept, and taken in late, twice, out of order or damaged.

use taizhang_node::file::bundle;

use super::Player;
use crate::world::Node;

/// Sticks that lie about at most.
const STICKS_MAX: usize = 12;

impl Player {
    pub(super) fn bundle(&mut self) -> bool {
        if self.sticks.is_empty() || self.world.dice.percent(40) {
            self.write_bundle()
        } else {
            self.take_bundle()
        }
    }

    /// An office writes a bundle for its parent, or for a child.
    fn write_bundle(&mut self) -> bool {
        let count = self.world.replicas.len();
        let child = self.world.dice.index(count);
        let Some(parent) = self.world.replicas[child].parent else { return false };
        let upwards = self.world.dice.percent(50);
        let (from, to) = if upwards { (child, parent) } else { (parent, child) };
        if !self.runs(from) || self.revoked.is_some() {
            return false;
        }
        let (place, all) = (self.world.replicas[to].place, self.world.dice.percent(30));
        let now = self.world.now_at(from);
        let written = bundle::export(self.world.engine(from), place, all, now);
        self.world.carried(from);
        // The writer may not have heard of the receiver's new key.
        let Ok(files) = written else { return false };
        self.deed(from, format!("writes a bundle for {}", self.world.replicas[to].name));
        self.sticks.extend(files.into_iter().map(|file| (to, file)));
        while self.sticks.len() > STICKS_MAX {
            self.sticks.remove(0);
        }
        true
    }

    /// Some bundle is taken in, by whom it is for or by another, whole or damaged.
    fn take_bundle(&mut self) -> bool {
        let (to, mut file) = {
            let at = self.world.dice.index(self.sticks.len());
            self.sticks[at].clone()
        };
        let count = self.world.replicas.len();
        let wrong = self.world.dice.percent(10);
        let at: Node = if wrong { self.world.dice.index(count) } else { to };
        if !self.runs(at) {
            return false;
        }
        let damaged = self.world.dice.percent(20);
        if damaged {
            let at = self.world.dice.index(file.len());
            if self.world.dice.percent(50) {
                file.truncate(at);
            } else {
                file[at] ^= 1 << self.world.dice.below(8);
            }
        }
        for _ in 0..=self.world.dice.below(2) {
            let now = self.world.now_at(at);
            let taken = bundle::import(self.world.engine(at), &file, now);
            let foreign = self.world.replicas[at].place != self.world.replicas[to].place;
            if (damaged || foreign) && taken.is_ok() {
                let name = self.world.replicas[at].name;
                self.world.broken.push(format!("{name} took a damaged or foreign bundle"));
            }
            self.world.carried(at);
        }
        let how = if damaged { "damaged " } else { "" };
        self.deed(at, format!("takes a {how}bundle"));
        true
    }
}
