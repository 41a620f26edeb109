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
    /// A line of the run list replaces a newer one.
    IndexBackwards,
}
