//! The HTTP port of a write proxy, as commands use it: requests on connections that are kept, and a
//! [`LogStore`](distributedlog_store::LogStore) whose streams are behind it.

mod client;
mod lines;
mod read;
mod received;
mod store;

pub(crate) use client::{AskError, HttpAnswer, HttpClient, escape};
pub(crate) use store::HttpStore;
