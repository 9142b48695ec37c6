//! Clients and servers over real sockets, in one process.

mod kit;
mod lost;
mod operations;
mod ownership;
mod strangers;
