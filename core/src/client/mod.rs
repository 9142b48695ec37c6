//! The write proxy client without I/O: one connection to a proxy ([`session`]), and the choice of
//! the proxy ([`routing`]).
//!
//! A client of the write proxies is one [`Client`](routing::Client) and, for each proxy it talks
//! to, one [`Session`](session::Session). Neither opens a socket, reads a clock or allocates: an
//! adapter moves bytes and time.
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
//! The two exchange plain values, so that either can be used alone: a device that has one known
//! proxy needs a `Session` and no routing; a page that reaches its proxies through `fetch` needs
//! routing and no `Session`.
//!
//! ```
//! use distributedlog::Instant;
//! use distributedlog::client::routing::{
//!     Action, Client, HostAddress, Operation, Settings, StreamKey, Submission,
//! };
//! use distributedlog::client::session::{self, Envelope, Protocol, Session};
//! use distributedlog::wire::{crc, service::Request};
//!
//! let now = Instant::ZERO;
//! let mut client = Client::<4, 8, 16>::new(Settings::default(), 1);
//! let proxy = HostAddress { name: "", address: "127.0.0.1:8000".parse()?, shard: -1 };
//! client.handle_resolved(now, &[proxy]);
//! let Some(Action::Connect { host }) = client.poll_action() else { panic!("a new host") };
//!
//! // The adapter opens a socket. PlainThrift begins without a handshake; the others are ready at
//! // `Event::Ready`.
//! let settings = session::Settings::builder().protocol(Protocol::PlainThrift).build()?;
//! let mut session = Session::<16>::new(now, settings, 2);
//! client.handle_connected(now, host, session.capacity() as u32);
//! # let Some(Action::Handshake { request, .. }) = client.poll_action() else { panic!() };
//! # use distributedlog::wire::service::Reply;
//! # client.handle_reply(now, host, request, &Reply::ServerInfo(Default::default()));
//!
//! let (stream, data) = ("basic-stream-3", b"message-1");
//! let write = Submission::to_stream(Operation::Write, StreamKey::of(stream))
//!     .with_checksum(crc::write(stream, data));
//! let submitted = client.submit(now, write)?;
//! let Some(Action::Send { request, host }) = client.poll_action() else { panic!("a slot") };
//! assert_eq!(request, submitted);
//!
//! let mut texts = [""; 4];
//! let context = client.write_context(request, &mut texts).expect("it is in flight");
//! let message = Request::WriteWithContext { stream, data, context };
//! let mut frame = [0; 256];
//! let (length, _call) =
//!     session.encode_request(now, request, &message, &Envelope::default(), &mut frame)?;
//! // The adapter sends `frame[..length]` to the host's socket, and passes the bytes that come back
//! // to `session.handle_received`.
//! # assert!(length > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod routing;
pub mod session;

mod ids;

pub use ids::{HostId, RequestId};

#[cfg(feature = "std")]
pub use crate::tables::Heap;
pub use crate::tables::{Inline, Memory};
