//! The demo: a real hierarchy of processes on loopback, an outage, and what arrived where and when.

mod console;
pub mod data;
mod hubs;
pub mod process;
pub mod sample;
pub mod story;

use std::process::ExitCode;

use clap::Args;

/// How large the demo is.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Verify everything printed and exit: 0, or 1 with what failed
    #[arg(long)]
    pub exit: bool,
    /// Seed of generated households
    #[arg(long, default_value_t = 21)]
    pub seed: u64,
    /// Villages, 3 or more
    #[arg(long, default_value_t = 3)]
    pub villages: usize,
    /// Households a village
    #[arg(long, default_value_t = 200)]
    pub households: usize,
}

/// Runs the demo.
pub fn run(args: &DemoArgs) -> ExitCode {
    match story::tell(args) {
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{} check(s) failed:", failed.len());
            for one in failed {
                eprintln!("  {one}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the demo could not go on: {error}");
            ExitCode::FAILURE
        }
    }
}
