//! Run state, definitions and artifacts as objects: memory, directory.
