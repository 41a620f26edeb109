//! Doorbells: the message envelope and the in-process queue.
