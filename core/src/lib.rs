//! DistributedLog's wire formats, multi stream writer and write proxy client, for every kind of
//! machine: `no_std`, without an allocator, I/O, a clock or randomness of its own.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]

pub mod async_writer;
mod attempt;
pub mod client;
mod clock;
mod debug_text;
mod dlsn;
mod escape;
mod expect;
mod failure_domain;
pub mod keys;
pub mod merge;
mod named_counters;
pub mod names;
mod random;
mod report;
#[cfg(seeded_bugs)]
pub mod seeded_bugs;
pub mod settings;
mod shared;
mod status;
pub mod stream_name;
mod tables;
mod time;
pub mod wire;
pub mod writer;

pub use attempt::{
    Advice, Attempt, AttemptId, Cause, Failure, Outcome, StartRefused, StreamIndex, Transport,
    WriteState,
};
pub use clock::Clock;
#[cfg(feature = "embassy-time")]
pub use clock::EmbassyClock;
pub use dlsn::{Dlsn, DlsnError, DlsnText};
pub use escape::Escaped;
pub use failure_domain::FailureDomain;
pub use shared::Shared;
pub use status::StatusCode;
pub use time::Instant;

/// The README's example is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
