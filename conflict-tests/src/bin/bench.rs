//! Measures one hub under the load of everything below it: `bench city`, `bench county`.
//!
//! The hub is a real process in a folder for temporary files; what is below it is played over real
//! links from segments that were sealed beforehand. Figures go to standard output, progress and errors
//! to the other one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use conflict_tests::bench::Plan;
use conflict_tests::bench::run::run;
use serde_json::Value;
use taizhang_core::id::Level;
use taizhang_hub::demo::process::use_program;

/// Load on one hub.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The city, with up to 11 counties played.
    City {
        /// Villages of all counties together.
        #[arg(long, default_value_t = 4834)]
        villages: usize,
        /// Records of all villages together.
        #[arg(long, default_value_t = 1_000_000)]
        records: usize,
        #[command(flatten)]
        common: Common,
    },
    /// A county, with its townships played.
    County {
        /// Villages of all townships together.
        #[arg(long, default_value_t = 743)]
        villages: usize,
        /// Records of all villages together.
        #[arg(long, default_value_t = 150_000)]
        records: usize,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
struct Common {
    /// Print JSON only.
    #[arg(long)]
    json: bool,
    /// Seed of records and seal keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The hub program; beside this one if absent.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Edits of each village in the reconnect storm.
    #[arg(long, default_value_t = 20)]
    edits: usize,
    /// Single edits that are timed up to the hub's figure.
    #[arg(long, default_value_t = 10)]
    probes: usize,
    /// Requests of each page.
    #[arg(long, default_value_t = 200)]
    pages: usize,
    /// Seconds that the load, or the storm, may take.
    #[arg(long, default_value_t = 7200)]
    limit: u64,
}

/// One figure a line, by the path to it.
fn show(path: &str, value: &Value) {
    match value {
        Value::Object(all) => {
            for (name, one) in all {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                show(&path, one);
            }
        }
        other => println!("{path}: {other}"),
    }
}

fn main() -> ExitCode {
    let (level, villages, records, common) = match Arguments::parse().what {
        What::City { villages, records, common } => (Level::City, villages, records, common),
        What::County { villages, records, common } => (Level::County, villages, records, common),
    };
    if let Some(program) = common.program {
        use_program(program);
    } else if let Ok(own) = std::env::current_exe() {
        use_program(own.with_file_name("taizhang-hub"));
    }
    let plan = Plan {
        level,
        records,
        villages,
        edits: common.edits,
        probes: common.probes,
        pages: common.pages,
        seed: common.seed,
        limit: Duration::from_secs(common.limit),
    };
    let folder = tempfile::tempdir().map_err(|error| error.to_string());
    match folder.and_then(|folder| run(&plan, folder.path())) {
        Ok(report) if common.json => println!("{report:#}"),
        Ok(report) => show("", &report),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
