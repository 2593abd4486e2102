//! Plays seeds: `sim --runs N`, `sim --seed S`, `sim --seed A..B`, `sim --sabotage NAME|all`.
//!
//! The first line says what is played, the last one what came of it. On a violation: the seed, the shrunk
//! scenario and the end of its trace. `--seed S` replays a seed exactly and prints its trace hash.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use conflict_tests::plan::{Profile, plan};
use conflict_tests::run::{Outcome, play_plan, shrink};
use conflict_tests::table;
use taizhang_core::sabotage::Sabotage;

/// Simulated hierarchies, judged by oracles.
#[derive(Parser)]
struct Arguments {
    /// One seed, or a range A..B.
    #[arg(long)]
    seed: Option<String>,
    /// How many seeds, from the first one on.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Which part of the space.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// A deliberate defect that the oracles must find, or `all` for the table.
    #[arg(long)]
    sabotage: Option<String>,
    /// Only print each seed's trace hash.
    #[arg(long)]
    hashes: bool,
    /// Violations that are shrunk and shown with their trace.
    #[arg(long, default_value_t = 3)]
    shrink: usize,
    /// Threads; each plays whole worlds.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn range(arguments: &Arguments) -> Result<(u64, u64), String> {
    let number = |text: &str| {
        let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        hex.unwrap_or_else(|| text.parse()).map_err(|error| format!("seed `{text}`: {error}"))
    };
    match arguments.seed.as_deref().map(|text| text.split_once("..").ok_or(text)) {
        None => Ok((0, arguments.runs)),
        Some(Ok((from, to))) => Ok((number(from)?, number(to)?)),
        Some(Err(one)) => number(one).map(|first| (first, first + arguments.runs)),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (first, end) = match range(&arguments) {
        Ok(range) => range,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let chosen = match arguments.sabotage.as_deref() {
        Some("all") => return all(),
        Some(name) => match Sabotage::ALL.iter().find(|one| one.name() == name) {
            Some(found) => Some(*found),
            None => {
                let names: Vec<&str> = Sabotage::ALL.iter().map(|one| one.name()).collect();
                eprintln!("no sabotage `{name}`; there are: {}", names.join(", "));
                return ExitCode::from(2);
            }
        },
        None => None,
    };
    println!("seeds {first}..{end}, profile {:?}, sabotage {chosen:?}", arguments.profile);
    simulate(&arguments, (first, end), chosen)
}

#[derive(Default)]
struct Sum {
    edits: u64,
    messages: u64,
    simulated_ms: i64,
    faults: BTreeMap<&'static str, u64>,
    broken: Vec<Outcome>,
}

fn simulate(arguments: &Arguments, (first, end): (u64, u64), chosen: Option<Sabotage>) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = play_plan(seed, plan(seed, arguments.profile), chosen);
                    if arguments.hashes {
                        println!("{seed} {}", outcome.trace);
                    }
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.edits += outcome.edits as u64;
                    sum.messages += outcome.messages;
                    sum.simulated_ms += outcome.simulated_ms;
                    for (kind, count) in &outcome.faults {
                        *sum.faults.entry(kind).or_default() += count;
                    }
                    if !outcome.broken.is_empty() {
                        sum.broken.push(outcome);
                    }
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.broken.sort_by_key(|outcome| outcome.seed);
    for outcome in sum.broken.iter().take(arguments.shrink) {
        print!("{outcome}");
        let small = shrink(outcome.seed, &outcome.plan, chosen);
        print!("shrunk: {small}");
        for line in &small.tail {
            println!("    {line}");
        }
    }
    for outcome in sum.broken.iter().skip(arguments.shrink) {
        print!("{outcome}");
        for line in outcome.tail.iter().filter(|_| arguments.shrink == 0) {
            println!("    {line}");
        }
    }
    let (runs, seconds) = (end - first, started.elapsed().as_secs_f64());
    println!(
        "{runs} runs in {seconds:.0} s ({:.1} a second), {} edits judged, {} messages, {:.1} simulated \
         hours, faults {:?}, {} violations",
        runs as f64 / seconds,
        sum.edits,
        sum.messages,
        sum.simulated_ms as f64 / 3_600_000.0,
        sum.faults,
        sum.broken.len()
    );
    if sum.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all() -> ExitCode {
    let rows = table::find_all(table::FOUND_WITHIN);
    print!("{}", table::markdown(&rows));
    let missed = rows.iter().filter(|row| row.found.is_none()).count();
    println!("{} sabotages, {missed} not found", rows.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
