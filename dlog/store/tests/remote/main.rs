//! Clients and servers over real sockets, in one process.

mod foreign_peers;
mod kit;
mod lost;
mod operations;
mod ownership;
