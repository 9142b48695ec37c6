//! Clients and servers over real sockets, in one process.

mod bounds;
mod foreign_peers;
mod identity;
mod kit;
mod log_lines;
mod lost;
mod odd_servers;
mod operations;
mod ownership;
mod security;
