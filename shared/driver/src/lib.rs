//! Load, decide, commit, perform; owns the traits of the outside world.
