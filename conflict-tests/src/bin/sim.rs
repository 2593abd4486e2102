//! Plays seeds: `sim --seed N`, `sim --runs N`, `sim --sabotage NAME`.

use std::process::ExitCode;

use clap::Parser;
use conflict_tests::run::play;
use taizhang_core::Sabotage;

/// Simulated hierarchies, judged by oracles.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// A deliberate defect that the oracles must find.
    #[arg(long)]
    sabotage: Option<String>,
}

fn sabotage(name: &str) -> Option<Sabotage> {
    Some(match name {
        "ack-before-commit" => Sabotage::AckBeforeCommit,
        "concurrent-value-overwritten" => Sabotage::ConcurrentValueOverwritten,
        "segment-recut" => Sabotage::SegmentRecut,
        "scope-not-checked" => Sabotage::ScopeNotChecked,
        "void-counted" => Sabotage::VoidCounted,
        _ => return None,
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!("seeds {}..{}", arguments.seed, arguments.seed + arguments.runs);
    let chosen = arguments.sabotage.as_deref().map(|name| {
        sabotage(name).unwrap_or_else(|| {
            eprintln!("no sabotage `{name}`");
            std::process::exit(2)
        })
    });
    let (mut edits, mut failed) = (0, 0);
    for seed in arguments.seed..arguments.seed + arguments.runs {
        let outcome = play(seed, chosen);
        edits += outcome.edits;
        if !outcome.broken.is_empty() {
            failed += 1;
            print!("{outcome}");
        }
    }
    println!(
        "{} seeds, {edits} acknowledged edits judged, {failed} seeds with violations",
        arguments.runs
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
