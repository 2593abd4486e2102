//! The hub program with a clock that tests can set, and a moment at which it ends: shipped programs have
//! no such switches.

#![allow(clippy::unwrap_used, reason = "a wrong switch ends the test")]

use std::process::ExitCode;

use taizhang_node::fail_point::{self, FailPoint};

fn main() -> ExitCode {
    let offset = std::env::var("TEST_CLOCK_OFFSET_MS").ok().and_then(|text| text.parse().ok());
    taizhang_node::driver::clock::set_offset(offset.unwrap_or(0));
    if let Some(point) = std::env::var("FAIL_POINT").ok().filter(|text| !text.is_empty()) {
        let (name, nth) = point.split_once(':').unwrap_or((&point, "1"));
        let found = FailPoint::ALL.iter().find(|one| one.name() == name);
        fail_point::arm(*found.unwrap(), nth.parse().unwrap());
    }
    taizhang_hub::cli::main()
}
