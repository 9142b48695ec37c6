//! The reader for applications, over both of its sources: a store in memory, and real proxies over
//! it.

mod batches;
mod both;
mod bounds;
mod hostile;
mod http;
mod kit;
mod positions;
mod runs;
