//! What pages and commands ask.
