use super::requests::Requests;
use super::{Contexts, Frame, INIT_CHECK, InitHeaders, Message, Status, Tag};
use crate::wire::DecodeError;

/// The server's side of a mux session, without I/O: the requests in flight by their tags, the
/// drain, and the answers to all frames that carry no request. `T` is what its user keeps of a
/// request.
///
/// Pass each whole frame to [`handle_frame`](Self::handle_frame), and do what its [`ServerEvent`]
/// says. Keep a request that is carried out with [`start`](Self::start);
/// [`finish`](Self::finish) returns it for its reply. A request that is refused at once is not
/// kept.
///
/// The invariant: a tag is in use from its `start` until its `finish`, and no longer.
///
/// Bounded: its user decides how many requests are in flight.
#[derive(Debug)]
pub struct Server<T> {
    requests: Requests<(RequestKind, T)>,
    /// True once the client was sent `Tdrain`. It may have sent requests before it reads that.
    asked: bool,
    /// True once the client agreed, or its time for that is over: no requests follow.
    agreed: bool,
    /// True if requests that arrive now are not started.
    refuses: bool,
    /// Text for those.
    refusal: &'static str,
}

/// The two kinds of requests that mux has, each with its own kind of reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A request of mux's first clients.
    Treq,
    /// A request.
    Tdispatch,
}

/// A request in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedRequest<'a> {
    /// Tag of its reply, which is not in use.
    pub tag: Tag,
    /// Kind of its reply.
    pub kind: RequestKind,
    /// Metadata of the request. A [`Treq`](RequestKind::Treq) has none.
    pub contexts: Contexts<'a>,
    /// The request.
    pub payload: &'a [u8],
}

/// What a server must do about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent<'a> {
    /// Carry out this request.
    Request(ReceivedRequest<'a>),
    /// The client does not need the reply of the request with this tag any more. It is sent one all
    /// the same, if it is in flight.
    Discarded(Tag),
    /// The client begins the session: send it `Rinit`.
    Init {
        /// The tag of `Rinit`.
        tag: Tag,
        /// The highest version of mux that the client speaks.
        version: u16,
        /// Options that the client offers.
        headers: InitHeaders<'a>,
    },
    /// Send this frame.
    Send(Frame<'a>),
    /// Nothing.
    Nothing,
    /// This frame has no meaning for a server: it replies to something that no server sends, or
    /// reports an error.
    Unexpected(Frame<'a>),
}

/// Error of a frame that a server cannot handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerError {
    /// The frame cannot be decoded. If it has a tag, a reply of [`Message::Rerr`] is possible.
    Malformed(Option<Tag>, DecodeError),
    /// A request has the tag of an earlier one that is still in flight, so that the client could
    /// not tell their replies apart. The session cannot go on.
    TagInUse(Tag),
}

impl<T> Server<T> {
    /// Returns the state of a new session. Requests that come too late in a drain are refused with
    /// this text.
    #[must_use]
    pub const fn new(refusal: &'static str) -> Self {
        Self {
            requests: Requests::new(),
            asked: false,
            agreed: false,
            refuses: false,
            refusal,
        }
    }

    /// Returns what must be done about a whole frame, its length field included.
    ///
    /// # Errors
    ///
    /// The frame cannot be handled.
    pub fn handle_frame<'a>(&mut self, bytes: &'a [u8]) -> Result<ServerEvent<'a>, ServerError> {
        let frame = Frame::decode(bytes)
            .map_err(|error| ServerError::Malformed(Frame::peek_tag(bytes), error))?;
        let tag = frame.tag;
        let answer = |message| ServerEvent::Send(Frame::new(tag, message));
        Ok(match frame.message {
            Message::Tdispatch {
                contexts, payload, ..
            } => self.admit(ReceivedRequest {
                tag,
                kind: RequestKind::Tdispatch,
                contexts,
                payload,
            })?,
            Message::Treq { payload, .. } => self.admit(ReceivedRequest {
                tag,
                kind: RequestKind::Treq,
                contexts: Contexts::default(),
                payload,
            })?,
            Message::Tdiscarded { discarded, .. } | Message::BadTdiscarded { discarded, .. } => {
                ServerEvent::Discarded(discarded)
            }
            Message::Tinit { version, headers } => ServerEvent::Init {
                tag,
                version,
                headers,
            },
            Message::Tping => answer(Message::Rping),
            Message::Tdrain => answer(Message::Rdrain),
            Message::BadRerr { error } if error == INIT_CHECK => answer(frame.message),
            Message::Rdrain => {
                if self.asked {
                    self.agree();
                }
                ServerEvent::Nothing
            }
            // A lease is the server's to give; a client's means nothing.
            Message::Rping | Message::Tlease { .. } => ServerEvent::Nothing,
            Message::Rreq { .. }
            | Message::Rdispatch { .. }
            | Message::Rdiscarded
            | Message::Rinit { .. }
            | Message::Rerr { .. }
            | Message::BadRerr { .. } => ServerEvent::Unexpected(frame),
        })
    }

    fn admit<'a>(&self, request: ReceivedRequest<'a>) -> Result<ServerEvent<'a>, ServerError> {
        let tag = request.tag;
        if self.requests.get(tag).is_some() {
            return Err(ServerError::TagInUse(tag));
        }
        let refused = if tag == Tag::ZERO {
            let error = "tag 0 is for messages without a reply, and a request has one";
            Message::Rerr { error }
        } else if self.refuses {
            request.kind.reply(Status::Nack, self.refusal.as_bytes())
        } else {
            return Ok(ServerEvent::Request(request));
        };
        Ok(ServerEvent::Send(Frame::new(tag, refused)))
    }

    /// Keeps a request that is carried out.
    ///
    /// # Panics
    ///
    /// If its tag is in use: [`handle_frame`](Self::handle_frame) did not return this request, or
    /// it was kept before.
    pub fn start(&mut self, tag: Tag, kind: RequestKind, request: T) {
        let earlier = self.requests.insert(tag, (kind, request));
        assert!(earlier.is_none(), "tag {tag} is in use");
    }

    /// Removes a request, because its reply is sent now. Returns `None` if the tag is not in use.
    pub fn finish(&mut self, tag: Tag) -> Option<(RequestKind, T)> {
        self.requests.remove(tag)
    }

    /// Returns the request with this tag, or `None` if the tag is not in use.
    #[must_use]
    pub fn request(&self, tag: Tag) -> Option<&T> {
        self.requests.get(tag).map(|(_, request)| request)
    }

    /// Returns all requests in flight, in the order of their tags.
    pub fn requests(&self) -> impl Iterator<Item = (Tag, &T)> {
        let kept = self.requests.iter();
        kept.map(|(tag, (_, request))| (tag, request))
    }

    /// Begins to drain. Returns the frame that asks the client to send no more requests, or `None`
    /// if it was asked before. Requests that it sent before it reads that are started.
    pub fn drain(&mut self) -> Option<Frame<'static>> {
        let asked = core::mem::replace(&mut self.asked, true);
        (!asked).then_some(Frame::new(Tag::ONE, Message::Tdrain))
    }

    /// Starts no further requests.
    pub const fn refuse(&mut self) {
        self.refuses = true;
    }

    /// Takes the drain for agreed to, because the client had its time: starts no further requests.
    pub const fn agree(&mut self) {
        self.agreed = true;
        self.refuses = true;
    }

    /// Returns true if the client agreed to a drain, or had its time for that.
    #[must_use]
    pub const fn is_agreed(&self) -> bool {
        self.agreed
    }

    /// Returns true if no request is in flight and none will be.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.agreed && self.requests.is_empty()
    }
}

impl RequestKind {
    /// Returns the reply to a request of this kind, without contexts.
    #[must_use]
    pub fn reply(self, status: Status, payload: &[u8]) -> Message<'_> {
        match self {
            Self::Treq => Message::Rreq { status, payload },
            Self::Tdispatch => Message::Rdispatch {
                status,
                contexts: Contexts::default(),
                payload,
            },
        }
    }
}
