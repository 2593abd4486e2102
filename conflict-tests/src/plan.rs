//! What a seed draws: topology, workload, faults.

use crate::chance::Dice;
use crate::world::Weather;

/// Kinds of faults and attacks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// A bundle is written, or taken in late, twice, out of order or damaged.
    Bundle,
    /// The data folder is copied to a second PC, and both go on.
    Clone,
    /// A clock is wrong by years.
    Clock,
    /// A process dies between two commits, or after sealing and before sending.
    Crash,
    /// A link is cut and restored.
    Cut,
    /// A certified key writes what it may not, impersonates, sends garbage.
    Hostile,
    /// An older disk image is put back.
    Image,
    /// A link holds everything for a while, or is slow.
    Lag,
    /// A link works in one direction only.
    OneWay,
    /// Places are renamed and merged.
    Place,
    /// A well sealed entry holds garbage.
    Poison,
    /// A PC is lost with all that the parent had of it, and another is enrolled in its place.
    Reinstall,
    /// A key is revoked while its replica goes on.
    Revoke,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Bundle,
        Self::Clone,
        Self::Clock,
        Self::Crash,
        Self::Cut,
        Self::Hostile,
        Self::Image,
        Self::Lag,
        Self::OneWay,
        Self::Place,
        Self::Poison,
        Self::Reinstall,
        Self::Revoke,
    ];

    /// The word in summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Clone => "clone",
            Self::Clock => "clock",
            Self::Crash => "crash",
            Self::Cut => "cut",
            Self::Hostile => "hostile",
            Self::Image => "image",
            Self::Lag => "lag",
            Self::OneWay => "one-way",
            Self::Place => "place",
            Self::Poison => "poison",
            Self::Reinstall => "reinstall",
            Self::Revoke => "revoke",
        }
    }
}

/// Which part of the space a run plays in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Profile {
    /// No faults: only concurrency.
    Calm,
    /// Everything, each fault in about half of the runs.
    #[default]
    Default,
    /// Links that are mostly down.
    Mountain,
    /// Every fault in every run.
    Storm,
}

/// What a seed drew.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Offices, 2 to 7.
    pub offices: usize,
    /// Actions of workload and faults.
    pub actions: u64,
    /// How links behave.
    pub weather: Weather,
    /// Percent of foreign commits at which the process dies.
    pub crash_percent: u64,
    /// Faults that may happen.
    pub faults: Vec<Fault>,
    /// Percent of actions that are faults.
    pub fault_percent: u64,
}

/// Draws the plan of a seed.
pub fn plan(seed: u64, profile: Profile) -> Plan {
    let mut dice = Dice::new(seed, "plan");
    let offices = if dice.percent(12) { 2 + dice.index(2) } else { 4 + dice.index(4) };
    let actions = 20 + dice.below(45);
    let weather = Weather { reorder: dice.below(25), duplicate: dice.below(25) };
    let crash_percent = if dice.percent(50) { dice.below(20) } else { 0 };
    let fault_percent = 15 + dice.below(35);
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|_| dice.percent(45)).collect();
    let drawn = Plan { offices, actions, weather, crash_percent, faults, fault_percent };
    match profile {
        Profile::Default => drawn,
        Profile::Calm => {
            Plan { weather: Weather::default(), crash_percent: 0, faults: Vec::new(), ..drawn }
        }
        Profile::Mountain => Plan {
            faults: vec![
                Fault::Bundle,
                Fault::Cut,
                Fault::Lag,
                Fault::OneWay,
                Fault::Crash,
                Fault::Clock,
            ],
            fault_percent: 60,
            ..drawn
        },
        Profile::Storm => Plan { faults: Fault::ALL.to_vec(), fault_percent: 50, ..drawn },
    }
}
