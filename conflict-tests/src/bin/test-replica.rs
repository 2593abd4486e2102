//! The hub program with a clock that tests can set: shipped programs have no such switch.

use std::process::ExitCode;

fn main() -> ExitCode {
    let offset = std::env::var("TEST_CLOCK_OFFSET_MS").ok().and_then(|text| text.parse().ok());
    taizhang_node::driver::clock::set_offset(offset.unwrap_or(0));
    taizhang_hub::cli::main()
}
