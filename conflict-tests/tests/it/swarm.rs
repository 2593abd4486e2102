//! Seeds of the simulator, and proof that its oracles see defects.

use std::sync::atomic::{AtomicU64, Ordering};

use conflict_tests::run::play;
use taizhang_core::Sabotage;

/// How many seeds run: 1,000 under CI, fewer on a desk.
fn runs() -> u64 {
    std::env::var("SWARM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// Goal: every promise of a session holds on links that reorder, duplicate and break, with crashes
/// and hostile peers.
/// Method: seeds on two threads; the oracles judge each world at rest.
#[test]
fn no_seed_breaks_a_promise() {
    let (next, edits) = (AtomicU64::new(0), AtomicU64::new(0));
    let runs = runs();
    let broken = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    let outcome = play(seed, None);
                    edits.fetch_add(outcome.edits as u64, Ordering::Relaxed);
                    if !outcome.broken.is_empty() {
                        broken.lock().unwrap().push(outcome.to_string());
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    println!("{runs} seeds, {} acknowledged edits judged", edits.load(Ordering::Relaxed));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Seeds that once broke a promise, and what it was.
const REGRESSIONS: [(u64, &str); 1] =
    [(97, "a parked roster entry passed as seen, so honest entries of its key became void")];

#[test]
fn seeds_that_once_failed_hold() {
    for (seed, what) in REGRESSIONS {
        let outcome = play(seed, None);
        assert!(outcome.broken.is_empty(), "{what}: {outcome}");
    }
}

/// Every deliberate defect is found within this many seeds; else its oracle is no check.
const FOUND_WITHIN: u64 = 80;

fn found(sabotage: Sabotage, word: &str) {
    for seed in 0..FOUND_WITHIN {
        let outcome = play(seed, Some(sabotage));
        if outcome.broken.iter().any(|line| line.contains(word)) {
            println!("{sabotage:?} found by seed {seed}: {}", outcome.broken[0]);
            return;
        }
    }
    panic!("{sabotage:?} was not found within {FOUND_WITHIN} seeds");
}

#[test]
fn an_ack_before_the_commit_is_found() {
    found(Sabotage::AckBeforeCommit, "acked");
}

#[test]
fn a_segment_cut_again_after_a_crash_is_found() {
    found(Sabotage::SegmentRecut, "different segments under one number");
}

#[test]
fn a_dropped_scope_check_is_found() {
    found(Sabotage::ScopeNotChecked, "holds the ledger slice");
}

#[test]
fn a_counted_void_entry_is_found() {
    found(Sabotage::VoidCounted, "no authority");
}

#[test]
fn an_overwritten_concurrent_value_is_found() {
    found(Sabotage::ConcurrentValueOverwritten, "the register says");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 17] {
        let (one, two) = (play(seed, None), play(seed, None));
        assert_eq!(one.to_string(), two.to_string());
    }
}
