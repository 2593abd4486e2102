//! Fuzzes every decoder: `fuzz --executions N [--seed S] [--target NAME]`. What it finds is written to
//! `target/fuzz`; a fixed one moves to `conflict-tests/fixtures/fuzz` and stays there.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use conflict_tests::fuzz::{Target, targets};

#[derive(Parser)]
struct Arguments {
    /// Executions over all decoders.
    #[arg(long, default_value_t = 1_000_000)]
    executions: u64,
    /// Where the random numbers start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only one decoder.
    #[arg(long)]
    target: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let (mut executions, mut findings) = (0, 0);
    let results: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let asked = &arguments;
        let threads: Vec<_> =
            (0..2).map(|half| scope.spawn(move || half_of(asked, half))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or((0, 1))).collect()
    });
    for (played, found) in results {
        executions += played;
        findings += found;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{executions} executions in {seconds:.0} s ({:.0} a second), {findings} findings",
        executions as f64 / seconds
    );
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn half_of(arguments: &Arguments, half: u64) -> (u64, u64) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let (mut played, mut found) = (0, 0);
    let all = targets(scratch.path());
    let chosen =
        |target: &&Target| arguments.target.as_deref().is_none_or(|name| name == target.name);
    let weights: u64 = all.iter().filter(chosen).map(|target| target.weight).sum();
    for target in all.iter().filter(chosen) {
        let share = arguments.executions * target.weight / weights.max(1) / 2 + 1;
        let started = Instant::now();
        let findings = target.play(arguments.seed * 2 + half, share);
        let seconds = started.elapsed().as_secs_f64();
        println!("{:<12}{share:>9} executions, {seconds:.1} s", target.name);
        for finding in &findings {
            let folder = Path::new("target/fuzz");
            let name = blake3::hash(&finding.bytes).to_hex();
            let path = folder.join(format!("{}-{}.bin", finding.target, &name[..12]));
            println!("FOUND {}: {}", path.display(), finding.what);
            if std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, &finding.bytes))
                .is_err()
            {
                println!("it could not be written");
            }
        }
        played += share;
        found += findings.len() as u64;
    }
    (played, found)
}
