//! Holds only tests: see `tests/arrows.rs`.
