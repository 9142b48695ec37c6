//! Replays bytes that were recorded between Java's clients and real bookies: everything decodes,
//! and encodes to the same bytes.

mod entries;
mod frames;
mod hostile;
mod lifecycle;
mod metadata;
mod namespace;
mod recorded;
