use core::fmt::Debug;

use super::calls::{Call, Calls, FinishedCall};
use super::{Frame, INIT_CHECK, InitHeaders, Message, Status, Tag, VERSION};
use crate::tables::Memory;

/// Reason in the `Tdiscarded` that the server receives for a discarded call.
const DISCARD_REASON: &str = "nobody waits for it";

/// The client's side of a mux session, without I/O: its start, the calls in flight by their tags,
/// and what each frame of the server means. `T` is what its user keeps of a call, `CALLS` the
/// maximum number of calls in flight, `M` the memory of their table.
///
/// Send a request under the tag that [`next_tag`](Self::next_tag) returns, and
/// [`start`](Self::start) its call. Pass each frame to [`handle_frame`](Self::handle_frame), and do
/// what its [`ClientEvent`] says.
///
/// The invariant: a tag is in use from the call's `start` until the server has replied, also if the
/// call is discarded meanwhile. So no reply is taken for that of a later call.
#[derive(Debug)]
pub struct Client<T: Debug, const CALLS: usize, M: Memory> {
    start: Start,
    draining: bool,
    calls: Calls<T, CALLS, M>,
}

/// Start of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// The test for `Tinit` was sent.
    Checking,
    /// `Tinit` was sent.
    Initialising,
    /// Over.
    Over,
}

/// What a client must do about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent<'a, T> {
    /// This call is over, and its tag is free.
    Finished(FinishedCall<T>, CallResult<'a>),
    /// The server knows `Tinit`: send it.
    CheckPassed,
    /// The session's start is over. The server accepts these options: none if it does not know
    /// `Tinit`, or refuses it.
    Begun(InitHeaders<'a>),
    /// The server speaks this version of mux, which this client does not. The session cannot go on.
    OtherVersion(u16),
    /// Reply with `Rping` under the frame's tag.
    Ping,
    /// Reply with `Rdrain` under the frame's tag, and send no more requests.
    Drain {
        /// True if the server has not asked before.
        first: bool,
    },
    /// The server expects to serve for this time.
    Lease {
        /// Unit of the amount: 0 for milliseconds.
        unit: u8,
        /// Amount; 0 asks the client to use another server now.
        amount: u64,
    },
    /// Nothing.
    Nothing,
    /// The frame is not valid in this state of the session, or for a client at all. The session
    /// cannot go on.
    Unexpected,
}

/// Result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult<'a> {
    /// The server replied, with this payload.
    Replied(Status, &'a [u8]),
    /// The server gave the call up.
    GivenUp,
    /// The server could not handle the call's frame, and says why.
    NotHandled(&'a str),
}

impl<T: Debug, const CALLS: usize, M: Memory> Client<T, CALLS, M> {
    /// Returns the state of a session whose first frame is the test for `Tinit`:
    /// [`BadRerr`](Message::BadRerr) with tag 1 and the text [`INIT_CHECK`].
    #[must_use]
    pub const fn checking() -> Self {
        Self::new(Start::Checking)
    }

    /// Returns the state of a session whose first frame is `Tinit`.
    #[must_use]
    pub const fn initialising() -> Self {
        Self::new(Start::Initialising)
    }

    const fn new(start: Start) -> Self {
        Self {
            start,
            draining: false,
            calls: Calls::new(),
        }
    }

    /// Starts the session again: another `Tinit` is sent.
    pub const fn initialise(&mut self) {
        self.start = Start::Initialising;
    }

    /// Returns true if the server drains the session.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Returns the number of calls in flight, discarded ones included.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Returns the tag of the next call, or `None` if there are as many as there may be.
    #[must_use]
    pub fn next_tag(&self) -> Option<Tag> {
        self.calls.next()
    }

    /// Begins a call, whose request has the tag that [`next_tag`](Self::next_tag) returned.
    pub fn start(&mut self, value: T) -> Call {
        self.calls.start(value)
    }

    /// Discards a call: its reply is not needed. Lets `change` what is kept of it. Returns `false`
    /// if it is not in flight or was discarded before.
    pub fn discard(&mut self, call: Call, change: impl FnOnce(&mut T)) -> bool {
        self.calls.discard(call, change)
    }

    /// Returns the `Tdiscarded` of the next discarded call that the server was not notified of.
    #[must_use]
    pub fn next_discard(&self) -> Option<Frame<'static>> {
        let discarded = self.calls.next_discard()?;
        let message = Message::Tdiscarded {
            discarded,
            reason: DISCARD_REASON,
        };
        Some(Frame::new(Tag::ZERO, message))
    }

    /// Notes that the frame that [`next_discard`](Self::next_discard) returns is sent.
    pub fn discard_sent(&mut self) {
        self.calls.discard_sent();
    }

    /// Returns what must be done about a frame.
    #[inline]
    pub fn handle_frame<'a>(&mut self, frame: &Frame<'a>) -> ClientEvent<'a, T> {
        let tag = frame.tag;
        let result = match frame.message {
            Message::Rdispatch {
                status, payload, ..
            } => CallResult::Replied(status, payload),
            Message::Rdiscarded => CallResult::GivenUp,
            Message::Rerr { error } | Message::BadRerr { error } if tag == Tag::ONE => {
                return self.handle_error(error);
            }
            Message::Rerr { error } | Message::BadRerr { error } => CallResult::NotHandled(error),
            Message::Rinit { version, headers }
                if self.start == Start::Initialising && tag == Tag::ONE =>
            {
                if version != VERSION {
                    return ClientEvent::OtherVersion(version);
                }
                self.start = Start::Over;
                return ClientEvent::Begun(headers);
            }
            Message::Rping if tag == Tag::ONE => return ClientEvent::Nothing,
            Message::Tping => return ClientEvent::Ping,
            Message::Tdrain => {
                let first = !core::mem::replace(&mut self.draining, true);
                return ClientEvent::Drain { first };
            }
            Message::Tlease { unit, amount } => return ClientEvent::Lease { unit, amount },
            Message::Rinit { .. }
            | Message::Rping
            | Message::Treq { .. }
            | Message::Rreq { .. }
            | Message::Tdispatch { .. }
            | Message::Rdrain
            | Message::Tdiscarded { .. }
            | Message::Tinit { .. }
            | Message::BadTdiscarded { .. } => return ClientEvent::Unexpected,
        };
        match self.calls.finish(tag) {
            Some(finished) => ClientEvent::Finished(finished, result),
            None => ClientEvent::Unexpected,
        }
    }

    /// The server could not handle a frame with tag 1: the test for `Tinit`, `Tinit`, or a ping.
    #[inline]
    fn handle_error<'a>(&mut self, error: &'a str) -> ClientEvent<'a, T> {
        match self.start {
            Start::Checking if error == INIT_CHECK => {
                self.start = Start::Initialising;
                ClientEvent::CheckPassed
            }
            // A server that does not know Tinit, or refuses the options in it, speaks mux without
            // them.
            Start::Checking | Start::Initialising => {
                self.start = Start::Over;
                ClientEvent::Begun(InitHeaders::default())
            }
            // An error instead of a pong is a sign of life too.
            Start::Over => ClientEvent::Nothing,
        }
    }

    /// Ends the next call that was in flight when the connection ended, without discarded ones, at
    /// or after slot `cursor`, which moves on. Begin with 0.
    pub fn next_lost(&mut self, cursor: &mut u32) -> Option<T> {
        self.calls.next_lost(cursor)
    }

    /// Ends the call of a protocol without tags, which has one at a time.
    pub(crate) fn finish_only(&mut self) -> Option<FinishedCall<T>> {
        self.calls.finish(Calls::<T, CALLS, M>::tag(0))
    }

    /// Returns what is kept of the call of a protocol without tags, if it is discarded.
    pub(crate) fn only_discarded(&self) -> Option<&T> {
        self.calls.discarded(Calls::<T, CALLS, M>::tag(0))
    }
}
