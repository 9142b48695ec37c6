//! Streams over the HTTP port of write proxies.

mod describe;
mod exchange;
mod fetch;
mod frames;
mod lines;
mod problem;
mod settings;

pub(crate) use describe::describe;
pub(crate) use fetch::HttpFetcher;
pub use settings::HttpSource;
pub(crate) use settings::Servers;

use core::error::Error;

/// Returns an error's message with those of its causes, which libraries leave out of it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
