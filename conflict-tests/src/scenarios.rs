//! The scenarios of DOMAIN.md §6 as scripts. What they assert is what `docs/CONFLICTS.md` says; that page
//! is generated from them.

mod hubs;
mod identity;
mod money;
mod network;
mod steps;

use crate::scenario::Scenario;

/// All scenarios, by number.
pub fn all() -> Vec<Scenario> {
    let mut list: Vec<Scenario> =
        [hubs::LIST, identity::LIST, money::LIST, network::LIST, steps::LIST].concat();
    list.sort_by_key(|one| one.number);
    list
}
