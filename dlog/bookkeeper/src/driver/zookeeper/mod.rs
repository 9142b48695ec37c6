//! Sessions with a real ZooKeeper ensemble, over the crate `zookeeper-client`.

mod convert;
mod login;
mod session;

pub use login::Login;
pub use session::{ConnectError, Session, SessionSettings};
