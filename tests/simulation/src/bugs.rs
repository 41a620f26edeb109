//! Rules that are broken on purpose, each in the simulation's own edge of the product, to see how soon that is noticed.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A broken rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];
        }
    };
}

bugs! {
    /// A commit whose race was lost is taken for one that was won.
    LostCommitTaken,
    /// A commit whose answer was lost is made once more, after itself.
    CommittedTwice,
    /// A commit is answered and not kept.
    CommitDropped,
    /// Whoever lost a race does not read what the others committed.
    TailUnread,
    /// Whoever finds a claim of another goes on all the same.
    ClaimIgnored,
    /// The claim is that of the node and not of the attempt: another try finds the first one's.
    ClaimOfNode,
    /// Not the first verdict counts for whoever writes one, but its own.
    VerdictReplaced,
    /// A pod that is gone is a success.
    AbsenceSucceeds,
    /// What infrastructure took counts as the person's failure.
    LossBlamed,
    /// A pod that was never made is said to wait.
    PodInvented,
    /// The marker of a live run goes whatever came meanwhile.
    UnmarkedBlindly,
    /// A run is born without its marker.
    BornUnmarked,
    /// The inbox is never listed.
    InboxUnlisted,
    /// A command is removed before its record is committed.
    CommandRemovedFirst,
    /// The sweep rings nobody.
    SweepMute,
    /// A lock's document is written whatever it has become.
    LockSwappedBlindly,
    /// A lock's document is answered and, one time in four, not kept.
    LockWriteDropped,
    /// A lock that is given back is answered and not kept.
    LockReleaseLost,
    /// A line of the run list replaces a newer one.
    IndexBackwards,
    /// A pod is made before the record of its start is committed.
    EffectFirst,
    /// The marker of a run goes with the record of its end, whatever is still in its outbox.
    UnmarkedAtEnd,
    /// A command to a finished run does not mark it live.
    CommandUnmarked,
    /// A command that is said twice is two commands.
    CommandUnnamed,
    /// Nobody keeps claims.
    ClaimUnkept,
    /// A claim whose answer was lost is made again with another nonce.
    ClaimedWithAnotherNonce,
    /// An attempt is given up without its claim.
    Unfenced,
    /// An attempt is given up while its pod runs, and the next one does not wait for its end.
    GivenUpRunning,
    /// What another attempt of the node came to counts for the one that runs.
    OldVerdictTaken,
    /// An attempt that is stopped has its verdict before its pod is told to end.
    StoppedFirst,
    /// A pod that is gone after its claim is taken for one that never was.
    LossUnseen,
    /// A run that is still live is deleted.
    LiveBuried,
    /// The first record after a snapshot is not read.
    TailCutOff,
    /// A function writes what a newer version wrote, as if it had read it.
    NewerFormatTaken,
    /// A trigger does not know which object versions it has seen.
    SeenForgotten,
    /// The document of a trigger or schedule is written whatever it has become.
    StarterSwappedBlindly,
    /// A trigger or schedule with something left to do is not marked.
    StarterUnmarked,
    /// A run's uid is drawn when it is created, and not before.
    UidDrawnAnew,
    /// The end of a run is not told to the trigger or schedule that made it.
    EndUntold,
    /// The message of an upload is deleted before it is handled.
    UploadDeletedFirst,
    /// The message of an upload is deleted although it could not be handled.
    FailureSwallowed,
    /// The facts of an upload are those of the key's newest version.
    NewestHead,
    /// All markers are the same: one that was written anew is not told from the one before.
    MarkerUnchanging,
    /// What stands in the place of a deleted run goes.
    TombstoneForgotten,
    /// A commit's nonce is one that was used before: another's commit of the same records is taken for one's own.
    NonceRepeated,
    /// A write that S3 answers with 409 is taken for one that was made.
    ConflictTaken,
    /// Nobody performs again what another function has committed and not performed.
    OutboxForgotten,
    /// Who creates a run and finds it there does not ring.
    FoundUnrung,
    /// The sweep leaves locks to runs that are over.
    HoldersUnswept,
    /// A lock does not know of which generation of its run a holder is.
    GenerationForgotten,
    /// A lost race fails the messages that led to it.
    LostRaceFails,
    /// Now and then, who reads what others committed does not see that a node has finished.
    FinishForgotten,
    /// Now and then, a commit is dated before the last one.
    DatedBefore,
}

impl Bug {
    /// Whether it shows only where the store is asked request by request.
    pub fn is_of_requests(self) -> bool {
        matches!(
            self,
            Bug::MarkerUnchanging | Bug::TombstoneForgotten | Bug::NonceRepeated | Bug::ConflictTaken
        )
    }

    /// Whether it shows only where two do something in the same moment.
    pub fn is_of_haste(self) -> bool {
        matches!(
            self,
            Bug::UnmarkedBlindly | Bug::LockSwappedBlindly | Bug::TombstoneForgotten | Bug::HoldersUnswept
        )
    }
}
