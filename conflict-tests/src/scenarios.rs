//! The scenarios of DOMAIN.md §6 as scripts. What they assert is what `docs/CONFLICTS.md` says; that page
//! is generated from them.
//!
//! 12 and 30, and the report halves of 4 and 8, come with reports.

mod identity;
mod money;
mod network;
mod steps;

use crate::scenario::Scenario;

/// All scenarios, by number.
pub fn all() -> Vec<Scenario> {
    let mut list: Vec<Scenario> =
        [identity::LIST, money::LIST, network::LIST, steps::LIST].concat();
    list.sort_by_key(|one| one.number);
    list
}
