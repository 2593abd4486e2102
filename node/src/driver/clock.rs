//! The one place that reads the clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use taizhang_core::time::UtcMillis;

static OFFSET_MS: AtomicI64 = AtomicI64::new(0);

/// Now, by this machine's clock.
pub fn now() -> UtcMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since.as_millis()).unwrap_or(0);
    UtcMillis(millis + OFFSET_MS.load(Ordering::Relaxed))
}

/// Moves the clock. For test programs, which play weeks in minutes; no shipped program calls it.
pub fn set_offset(millis: i64) {
    OFFSET_MS.store(millis, Ordering::Relaxed);
}
