//! Sessions with a real ZooKeeper ensemble, over the crate `zookeeper-client`.

mod convert;
mod liveness;
mod login;
mod requests;
mod session;

pub use login::Login;
pub use session::{ConnectError, Session, SessionSettings};
