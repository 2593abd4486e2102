//! `taizhang-node`: a village replica.

use std::process::ExitCode;

use clap::Parser;
use taizhang_node::cli::{NodeCommand, Options, execute};

/// Taizhang (台账): a replica of the ledgers of a village.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: NodeCommand,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    execute(&cli.command, &cli.options)
}
