//! Two offices that work on one record while they are apart, and one of them again afterwards: rare when
//! actors are drawn one by one, and where merging is hardest.

use taizhang_core::id::Level;

use super::{Known, Player};
use crate::world::{Node, clerk};

/// Rounds in which one message passes each link of a kind network.
const PASSES: u32 = 200;

impl Player {
    /// A running village and the township above it.
    fn village(&mut self) -> Option<Node> {
        let villages: Vec<Node> = (0..self.world.replicas.len())
            .filter(|node| self.world.replicas[*node].level == Level::Village && self.runs(*node))
            .collect();
        let ready = !villages.is_empty() && self.runs(1) && self.runs(2);
        ready.then(|| villages[self.world.dice.index(villages.len())])
    }

    fn set_links(&mut self, child: Node, up: bool) {
        for index in 0..self.world.links.len() {
            if self.world.links[index].child == child {
                self.world.set_link(index, up);
            }
        }
    }

    fn pass(&mut self) {
        for _ in 0..PASSES {
            self.world.step();
        }
    }

    /// A village and its township write one field apart, and each again when they have met.
    pub(super) fn write_apart(&mut self) {
        let Some(village) = self.village() else { return };
        let Some(known) = self.pick(village, &["poor_household"]) else { return };
        self.set_links(village, false);
        self.write(village, known);
        self.write(2, known);
        self.set_links(village, true);
        self.pass();
        for node in [village, 2] {
            if self.world.dice.percent(70) && self.runs(node) {
                self.write(node, known);
            }
        }
    }

    /// A village withdraws what the county pays meanwhile.
    pub(super) fn pay_apart(&mut self) {
        let Some(village) = self.village() else { return };
        let Some(household) = self.pick(village, &["poor_household"]) else { return };
        let grant = self.grant(village, household.id);
        let act = |player: &mut Self, node: Node, to: &str| {
            player.runs(node)
                && player
                    .world
                    .job(node, |engine, now| engine.act(grant.id, to, "按规定", &clerk(), now))
                    .is_ok()
        };
        if !act(self, village, "submitted") {
            return;
        }
        self.pass();
        if self.runs(2) {
            self.check_account(2, grant);
        }
        if !act(self, 2, "reviewed") {
            return;
        }
        self.pass();
        self.set_links(village, false);
        act(self, village, "withdrawn");
        if self.runs(1) {
            self.approve(1, grant);
            act(self, 1, "approved");
            if act(self, 1, "paid") {
                self.paid.push((grant.id, grant.place));
            }
        }
        self.set_links(village, true);
    }

    /// The township compares the account with the passbook.
    pub(super) fn check_account(&mut self, node: Node, grant: Known) {
        self.world.set(node, grant.id, "account_checked_tail", "0123");
    }

    /// The county lists the household, and fills in what an approval and a payment need.
    pub(super) fn approve(&mut self, node: Node, grant: Known) {
        let slip = [
            ("approved_amount", "1"),
            ("pay_channel", "card"),
            ("paid_date", "2018-06-20"),
            ("voucher_no", "凭-1"),
        ];
        for (field, value) in slip {
            self.world.set(node, grant.id, field, value);
        }
        // Whatever is refused is refused: it may be listed already.
        drop(self.world.job(node, |engine, now| {
            let household = engine.find(grant.id)?.row.text("household");
            match household.parse() {
                Ok(household) => engine.act(household, "listed", "按规定", &clerk(), now),
                Err(_) => Ok(()),
            }
        }));
    }
}
