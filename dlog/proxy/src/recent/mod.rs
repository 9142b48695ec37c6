//! The last minutes of this proxy, for the console: latencies and rates of writes, and errors. The
//! metrics count since the start; their rates and percentiles need a system that collects them.

mod errors;
mod writes;

pub(crate) use errors::{RecentError, RecentErrors};
pub(crate) use writes::{AttemptSummary, HistoryPoint, RecentWrites, WriteSample, WritesSummary};
