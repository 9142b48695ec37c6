//! Harness shared by the tests that cross crates: the built `dlog` as child processes, and a client
//! that loads a proxy.

pub mod bench_folder;
pub mod binary;
pub mod java;
pub mod limits;
pub mod load;
pub mod memory;
pub mod path_writer;
pub mod process;
pub mod processor;
pub mod records;
pub mod stack;
pub mod stats;

pub use distributedlog_testkit::ports;

/// The README's example is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
