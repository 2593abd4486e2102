//! Deliberate defects that the simulator's constructor may choose, to show that its oracles see them.
//!
//! Compiled only with the feature `sabotage`, which no shipped program has: there [`sabotaged!`] is the
//! constant `false`. One world lives in one thread, so the choice is the thread's.
//!
//! [`sabotaged!`]: crate::sabotaged

#[cfg(feature = "sabotage")]
use std::cell::Cell;

/// Whether a defect was chosen for this thread's world.
#[macro_export]
macro_rules! sabotaged {
    ($name:ident) => {{
        #[cfg(feature = "sabotage")]
        let chosen = $crate::sabotage::is($crate::sabotage::Sabotage::$name);
        #[cfg(not(feature = "sabotage"))]
        let chosen = false;
        chosen
    }};
}

#[cfg(feature = "sabotage")]
macro_rules! defects {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A defect.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Sabotage {
            $($(#[$doc])* $variant,)*
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

#[cfg(feature = "sabotage")]
defects! {
    /// An ack leaves before the commit.
    AckBeforeCommit = "ack-before-commit",
    /// A finality anchor is superseded like any step.
    AnchorSuperseded = "anchor-superseded",
    /// A concurrent value is not kept beside the shown one.
    ConcurrentValueOverwritten = "concurrent-value-overwritten",
    /// A change names only one of the tips that it follows.
    DependencyDropped = "dependency-dropped",
    /// Epochs are counted up instead of drawn.
    EpochCounted = "epoch-counted",
    /// An older copy goes on in its old epoch.
    EpochReused = "epoch-reused",
    /// Of concurrent amounts the last one by the clock wins.
    LastWriterWinsMoney = "last-writer-wins-money",
    /// What is older by the clock is dropped, whatever caused what.
    OrderByWallClock = "order-by-wall-clock",
    /// One poison entry stops its slice.
    PoisonStopsQueue = "poison-stops-queue",
    /// The projector leaves out an entry.
    ProjectorSkipsEntry = "projector-skips-entry",
    /// A receipt states what is not committed.
    ReceiptBeforeCommit = "receipt-before-commit",
    /// A revocation is judged by times instead of positions.
    RevocationByTime = "revocation-by-time",
    /// A transfer and its repetition count as two.
    RightCountedTwice = "right-counted-twice",
    /// A right is spent without being held.
    RightSpentTwice = "right-spent-twice",
    /// What arrives is not checked against the scope.
    ScopeNotChecked = "scope-not-checked",
    /// The seal of a segment is not verified.
    SealNotChecked = "seal-not-checked",
    /// A segment is cut again after a crash, although it may have been sent.
    SegmentRecut = "segment-recut",
    /// A tree event is applied by the hubs only.
    TreeEventHalf = "tree-event-half",
    /// Entries without authority count.
    VoidCounted = "void-counted",
    /// A void entry is removed instead of masked.
    VoidRemoved = "void-removed",
    /// An ordinary write closes a conflict.
    WriteClosesConflict = "write-closes-conflict",
    /// An entry written again keeps naming a branch that does not count.
    WrongBranchReference = "wrong-branch-reference",
}

#[cfg(feature = "sabotage")]
thread_local! {
    static CHOSEN: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// Chooses the defect of this thread's world.
#[cfg(feature = "sabotage")]
pub fn choose(what: Option<Sabotage>) {
    CHOSEN.set(what);
}

/// Whether that defect was chosen.
#[cfg(feature = "sabotage")]
pub fn is(what: Sabotage) -> bool {
    CHOSEN.get() == Some(what)
}
