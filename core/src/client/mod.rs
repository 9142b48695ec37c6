//! The write proxy client without I/O: one connection to a proxy ([`session`]), and the choice of the proxy ([`routing`]).
//!
//! A client of the write proxies is one [`Client`](routing::Client) and, for each proxy it talks to, one
//! [`Session`](session::Session). Neither opens a socket, reads a clock or allocates: an adapter moves bytes and time.
//!
//! ```text
//!   caller ── submit, cancel ──▶ ┌──────────────────┐ ◀── handle_resolved ── names
//!          ◀── Complete ──────── │ routing::Client  │
//!                                └──────────────────┘
//!              Connect, Send, Discard │      ▲ handle_connected, handle_reply, handle_failed …
//!                                     ▼      │
//!                                ┌──────────────────┐
//!                    one a host: │ session::Session │
//!                                └──────────────────┘
//!      encode_request, poll_transmit  │      ▲ handle_received
//!                                     ▼      │
//!                                 the adapter's socket
//! ```
//!
//! What the two say to each other is in plain values, so that either can be used alone: a device that knows its only proxy needs a
//! `Session` and no routing; a page that reaches its proxies through `fetch` needs routing and no `Session`.

pub mod routing;
pub mod session;

mod ids;
mod random;

pub use ids::{HostId, RequestId};
