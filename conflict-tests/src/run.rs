//! Plays one seed: faults and work first, then everything heals and the oracles judge.

use std::collections::BTreeMap;
use std::fmt;

use taizhang_core::id::Hash;
use taizhang_core::sabotage::Sabotage;

use crate::oracle::judge;
use crate::plan::{Plan, Profile, plan};
use crate::player::Player;
use crate::world::Weather;

/// The result of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was drawn.
    pub plan: Plan,
    /// Acknowledged edits that were judged.
    pub edits: usize,
    /// Promises broken.
    pub broken: Vec<String>,
    /// Hash over everything that happened.
    pub trace: Hash,
    /// Messages delivered.
    pub messages: u64,
    /// Simulated milliseconds.
    pub simulated_ms: i64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The last events, for people; empty if nothing broke.
    pub tail: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {:?}, {} edits", self.seed, self.plan, self.edits)?;
        for line in &self.broken {
            writeln!(f, "  broken: {line}")?;
        }
        Ok(())
    }
}

/// Plays a seed, with a defect if one is chosen.
pub fn play(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    play_plan(seed, plan(seed, Profile::Default), sabotage)
}

/// Rounds within which everything must have arrived once the faults stop (30 simulated minutes).
const LIVENESS_ROUNDS: u32 = 180_000;

/// Plays a plan.
pub fn play_plan(seed: u64, plan: Plan, sabotage: Option<Sabotage>) -> Outcome {
    let mut player = Player::new(seed, &plan, sabotage);
    for _ in 0..plan.actions {
        if player.world.dice.percent(plan.fault_percent) {
            player.fault(&plan.faults);
        } else {
            player.work();
        }
        for _ in 0..player.world.dice.below(12) {
            player.world.step();
        }
    }
    finish(seed, plan, player)
}

fn finish(seed: u64, plan: Plan, mut player: Player) -> Outcome {
    let world = &mut player.world;
    world.crash_percent = 0;
    world.weather = Weather::default();
    for node in 0..world.replicas.len() {
        world.restart(node);
    }
    for index in 0..world.links.len() {
        let link = &mut world.links[index];
        (link.deaf, link.held_rounds, link.rounds_per_message) = ((false, false), 0, 1);
        world.set_link(index, false);
        world.set_link(index, true);
    }
    let quiet = world.settle(LIVENESS_ROUNDS);
    let mut broken = judge(&mut player);
    if !quiet {
        broken.push("the network did not come to rest within 30 minutes".into());
    }
    let world = &player.world;
    let tail = if broken.is_empty() { Vec::new() } else { world.trace.story(60) };
    Outcome {
        seed,
        plan,
        edits: player.edits(),
        broken,
        trace: world.trace.hash(),
        messages: world.trace.count,
        simulated_ms: world.now.0 - crate::world::START.0,
        faults: world.faults.clone(),
        tail,
    }
}

/// A smaller plan that still breaks a promise: fewer actions, fewer kinds of faults, kinder links.
pub fn shrink(seed: u64, plan: &Plan, sabotage: Option<Sabotage>) -> Outcome {
    let mut best = play_plan(seed, plan.clone(), sabotage);
    let mut candidates: Vec<Plan> = Vec::new();
    loop {
        candidates.clear();
        let now = &best.plan;
        for actions in [now.actions / 2, now.actions * 3 / 4, now.actions.saturating_sub(1)] {
            if actions < now.actions {
                candidates.push(Plan { actions, ..now.clone() });
            }
        }
        for fault in &now.faults {
            let faults = now.faults.iter().copied().filter(|one| one != fault).collect();
            candidates.push(Plan { faults, ..now.clone() });
        }
        if now.weather.reorder + now.weather.duplicate > 0 {
            candidates.push(Plan { weather: Weather::default(), ..now.clone() });
        }
        if now.crash_percent > 0 {
            candidates.push(Plan { crash_percent: 0, ..now.clone() });
        }
        let smaller = candidates
            .drain(..)
            .map(|plan| play_plan(seed, plan, sabotage))
            .find(|outcome| !outcome.broken.is_empty());
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}
