//! The driver on tokio: what connects the state machines to real servers.

mod available;
mod bookies;
mod call;
mod client;
mod clock;
mod connection;
mod dial;
mod environment;
mod error;
mod latest;
mod nodes;
mod pool;
mod reader;
mod recovery;
mod seam;
mod sessions;
mod settings;
mod shared;
mod writer;
pub mod zookeeper;

pub use bookies::{BookieSet, follow_bookies};
pub use call::{CallError, Outcome};
pub use client::{Client, LedgerAccess, LedgerOptions};
pub use dial::{Authentication, AuthenticationSteps, Connect, ConnectFuture, Stream};
pub use environment::Environment;
pub use error::LedgerError;
pub use latest::Latest;
pub use reader::{Entries, LedgerReader, Polled, Refreshed};
pub use sessions::{BeginFuture, Sessions};
pub use settings::Settings;
pub use writer::{Appended, LedgerEnd, LedgerWriter};
