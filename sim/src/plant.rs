//! Bugs that can be planted in the model's driver, shell, workers and client, to see that the
//! checks find them. The two crates under test stay as they are.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    /// Whatever a late attempt commits becomes what readers are told to read.
    LateCommitReplacesWinner,
    /// The driver takes any commit for the winner, even if the scheduler refuses it.
    CondemnedIsAccepted,
    /// The condemned attempts of a call are not told to the attempts.
    CondemnedIsForgotten,
    /// An attempt that ended without an answer is taken for lost at once.
    SpoolIsNotAsked,
    /// A place is not given back when its attempt fails.
    PlaceIsKept,
    /// A place is given back twice.
    PlaceIsReturnedTwice,
    /// Each call of a task counts its attempts from zero.
    NumbersAreReused,
    /// The end of an older call is taken for the end of the one that runs.
    StaleEndIsAccepted,
    /// A task's readers are called before they can see its winner.
    ReadersBeforeWinner,
    /// The driver is not told that a node is lost.
    LossIsNotReported,
    /// A cancelled call goes on.
    CancelIsIgnored,
    /// A worker commits though nobody has asked for the attempt for longer than the lease.
    CommitWithoutLease,
    /// What a query has left in the spool is not deleted at its end.
    NothingIsDeleted,
    /// It is deleted at the end, but not looked for once more.
    DeletedOnlyOnce,
    /// A lost input counts as a failure of the task that reads it.
    LostInputCounts,
    /// The driver is not told which inputs are lost.
    LostInputIsNotNamed,
    /// A wish for a place is not withdrawn, and a place that comes too late is kept.
    WishIsNotWithdrawn,
    /// Attempts stay on a node that is to be emptied.
    DrainIsIgnored,
    /// Workers do not look at checksums.
    ChecksumIsSkipped,
    /// The scheduler is not told that rows were given to the client.
    RowsGivenIsNotTold,
    /// A worker takes requests that were for the process before it.
    IncarnationIsIgnored,
    /// A node that was lost and answers again is not told of.
    ReturnIsNotTold,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::LateCommitReplacesWinner,
        Self::CondemnedIsAccepted,
        Self::CondemnedIsForgotten,
        Self::SpoolIsNotAsked,
        Self::PlaceIsKept,
        Self::PlaceIsReturnedTwice,
        Self::NumbersAreReused,
        Self::StaleEndIsAccepted,
        Self::ReadersBeforeWinner,
        Self::LossIsNotReported,
        Self::CancelIsIgnored,
        Self::CommitWithoutLease,
        Self::NothingIsDeleted,
        Self::DeletedOnlyOnce,
        Self::LostInputCounts,
        Self::LostInputIsNotNamed,
        Self::WishIsNotWithdrawn,
        Self::DrainIsIgnored,
        Self::ChecksumIsSkipped,
        Self::RowsGivenIsNotTold,
        Self::IncarnationIsIgnored,
        Self::ReturnIsNotTold,
    ];
}
