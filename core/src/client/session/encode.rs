use super::{Envelope, SessionFeatures};
use crate::wire::mux::{self, Context, Contexts, Deadline, Tag, TraceId};
use crate::wire::service::{Request, SequenceId};
use crate::wire::{BufferTooSmall, framed};

/// Encoding of requests once the session is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Mux dispatches.
    Mux,
    /// Framed thrift behind request headers.
    UpgradedThrift,
    /// Framed thrift.
    PlainThrift,
}

/// Client id, trace and deadline of one request, encoded.
pub(super) struct RequestContext<'a> {
    client_id: &'a str,
    trace: TraceId,
    trace_bytes: [u8; TraceId::BYTES],
    deadline_bytes: Option<[u8; Deadline::BYTES]>,
}

impl<'a> RequestContext<'a> {
    pub(super) fn new(client_id: &'a str, trace: TraceId, envelope: &Envelope) -> Self {
        Self {
            client_id,
            trace,
            trace_bytes: trace.to_bytes(),
            deadline_bytes: envelope.deadline.map(Deadline::to_bytes),
        }
    }

    /// Writes the request's whole frame.
    pub(super) fn write<S: SessionFeatures>(
        &self,
        framing: Framing,
        tag: Tag,
        message: &Request<'_>,
        out: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        match if S::FRAMED { framing } else { Framing::Mux } {
            Framing::Mux => {
                self.with_mux(|contexts| mux::encode_request(tag, &contexts, message, out))
            }
            Framing::UpgradedThrift => self.with_header(|header| {
                framed::encode_request(Some(header), SequenceId(0), message, out)
            }),
            Framing::PlainThrift => framed::encode_request(None, SequenceId(0), message, out),
        }
    }

    /// Bytes that [`write`](Self::write) writes.
    pub(super) fn measure<S: SessionFeatures>(
        &self,
        framing: Framing,
        message: &Request<'_>,
    ) -> usize {
        match if S::FRAMED { framing } else { Framing::Mux } {
            Framing::Mux => self.with_mux(|contexts| mux::encoded_request_len(&contexts, message)),
            Framing::UpgradedThrift => {
                self.with_header(|header| framed::encoded_request_len(Some(header), message))
            }
            Framing::PlainThrift => framed::encoded_request_len(None, message),
        }
    }

    /// A dispatch's contexts, in the original's order: client id, trace, deadline.
    fn with_mux<R>(&self, then: impl FnOnce(Contexts<'_>) -> R) -> R {
        let trace = Context::trace(&self.trace_bytes);
        let all = [
            Context::client_id(self.client_id),
            trace,
            self.deadline_bytes
                .as_ref()
                .map_or(trace, Context::deadline),
        ];
        let (first, last) = (
            usize::from(self.client_id.is_empty()),
            if self.deadline_bytes.is_some() { 3 } else { 2 },
        );
        then(Contexts::new(&all[first..last]))
    }

    /// A request header, its contexts in the original's order: trace, deadline, client id.
    fn with_header<R>(&self, then: impl FnOnce(&framed::RequestHeader<'_>) -> R) -> R {
        let mut contexts = heapless::Vec::<_, 3>::new();
        let deadline = self.deadline_bytes.as_ref().map(Context::deadline);
        let client_id = (!self.client_id.is_empty()).then(|| Context::client_id(self.client_id));
        contexts.extend(
            [Some(Context::trace(&self.trace_bytes)), deadline, client_id]
                .into_iter()
                .flatten()
                .map(framed::HeaderContext),
        );
        let is_root = self.trace.parent_id == self.trace.span_id;
        then(&framed::RequestHeader {
            trace_id: self.trace.trace_id.cast_signed(),
            span_id: self.trace.span_id.cast_signed(),
            parent_span_id: (!is_root).then_some(self.trace.parent_id.cast_signed()),
            sampled: None,
            client_id: (!self.client_id.is_empty()).then_some(self.client_id),
            flags: Some(self.trace.flags.cast_signed()),
            contexts: Some(framed::Contexts::new(&contexts)),
        })
    }
}
