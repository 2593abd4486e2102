//! Moments at which a test ends the process as SIGKILL does: between two steps that must survive it.
//!
//! Compiled only with the feature `sabotage`, which no shipped program has: there [`fail_point!`] is
//! nothing.
//!
//! [`fail_point!`]: crate::fail_point

#[cfg(feature = "sabotage")]
use std::sync::OnceLock;
#[cfg(feature = "sabotage")]
use std::sync::atomic::{AtomicU64, Ordering};

/// A moment that a test can choose.
#[macro_export]
macro_rules! fail_point {
    ($name:ident) => {
        #[cfg(feature = "sabotage")]
        $crate::fail_point::reached($crate::fail_point::FailPoint::$name);
    };
}

#[cfg(feature = "sabotage")]
macro_rules! points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A moment.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum FailPoint {
            $($(#[$doc])* $variant,)*
        }

        impl FailPoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the environment.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

#[cfg(feature = "sabotage")]
points! {
    /// A new epoch is durable, and nothing was written again under it.
    EpochOpened = "epoch-opened",
    /// A file that is written whole or not at all is complete beside its name.
    FileWritten = "file-written",
    /// A frame was handed to the link.
    FrameSent = "frame-sent",
    /// A group of jobs has a transaction and did nothing yet.
    GroupBegun = "group-begun",
    /// A group is durable and no asker knows.
    GroupDurable = "group-durable",
    /// A group did its work and is not durable.
    GroupWorked = "group-worked",
    /// A receipt is durable and was not sent.
    ReceiptDurable = "receipt-durable",
    /// A receipt is signed and not durable.
    ReceiptSigned = "receipt-signed",
    /// `derived.db` is half made anew.
    RebuiltHalf = "rebuilt-half",
    /// Segments of a peer are applied and that is not durable.
    SegmentsApplied = "segments-applied",
    /// Segments of a peer are written and not durable.
    SegmentsWritten = "segments-written",
    /// A tail is sealed and that is not durable.
    TailSealed = "tail-sealed",
    /// A sealed segment is durable and no link knows.
    TailDurable = "tail-durable",
    /// Entries are written again and that is not durable.
    WrittenAgain = "written-again",
}

#[cfg(feature = "sabotage")]
static ARMED: OnceLock<FailPoint> = OnceLock::new();
#[cfg(feature = "sabotage")]
static LEFT: AtomicU64 = AtomicU64::new(0);

/// The process ends at the `nth` time that it comes by a point, from 1. Once for a process.
#[cfg(feature = "sabotage")]
pub fn arm(point: FailPoint, nth: u64) {
    LEFT.store(nth, Ordering::SeqCst);
    ARMED.get_or_init(|| point);
}

/// Comes by a point.
#[cfg(feature = "sabotage")]
pub fn reached(point: FailPoint) {
    if ARMED.get() != Some(&point) || LEFT.fetch_sub(1, Ordering::SeqCst) != 1 {
        return;
    }
    let id = std::process::id().to_string();
    // No destructor, no flush, no handler: the same as a lost process.
    drop(std::process::Command::new("kill").args(["-9", &id]).status());
    loop {
        std::thread::park();
    }
}
