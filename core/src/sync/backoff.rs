//! When to try a lost link again: exponential, with full jitter, so that 743 villages whose county
//! came back do not all dial in one second.

use crate::limits;

/// The pause before retry number `failures` (from 1), in milliseconds. `chance` is uniform random.
pub fn pause_ms(failures: u32, chance: u64) -> i64 {
    let exponent = failures.saturating_sub(1).min(16);
    let ceiling = (limits::BACKOFF_FIRST_MS << exponent).min(limits::BACKOFF_MAX_MS);
    let half = ceiling / 2;
    half + i64::try_from(chance % half.unsigned_abs().max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_stay_bounded_and_differ() {
        assert!(pause_ms(1, 0) >= limits::BACKOFF_FIRST_MS / 2);
        for failures in 1..100 {
            for chance in [0, 17, u64::MAX] {
                assert!(pause_ms(failures, chance) <= limits::BACKOFF_MAX_MS);
            }
        }
        assert_ne!(pause_ms(9, 1), pause_ms(9, 9_000));
    }
}
