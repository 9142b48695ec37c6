use super::frame::write_frame;
use super::{Contexts, FrameType, Status, Tag};
use crate::wire::BufferTooSmall;
use crate::wire::service::{Reply, Request, SequenceId};
use crate::wire::sink::Sink;

/// Writes a `Tdispatch` frame with `request` inside, its length field included, in one pass; the
/// number of bytes written. Destination and delegations are empty, and the sequence id is 0, as
/// DistributedLog's clients have them.
///
/// # Errors
///
/// [`BufferTooSmall`] gives the number of bytes that the frame needs.
pub fn encode_request(
    tag: Tag,
    contexts: &Contexts<'_>,
    request: &Request<'_>,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    Sink::fill(out, |sink| write_request(tag, contexts, request, sink))
}

/// Bytes that [`encode_request`] writes.
#[must_use]
pub fn encoded_request_len(contexts: &Contexts<'_>, request: &Request<'_>) -> usize {
    Sink::count(|sink| write_request(Tag::ONE, contexts, request, sink))
}

/// Writes an `Rdispatch` frame with `reply` inside, its length field included, in one pass; the
/// number of bytes written. The reply is that of the method with this name to the call with this
/// sequence id; status ok and no contexts, as DistributedLog's proxy has them.
///
/// # Errors
///
/// [`BufferTooSmall`] gives the number of bytes that the frame needs.
pub fn encode_reply(
    tag: Tag,
    method: &str,
    sequence_id: SequenceId,
    reply: &Reply<'_>,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    Sink::fill(out, |sink| {
        write_reply(tag, method, sequence_id, reply, sink)
    })
}

/// Bytes that [`encode_reply`] writes.
#[must_use]
pub fn encoded_reply_len(method: &str, reply: &Reply<'_>) -> usize {
    Sink::count(|sink| write_reply(Tag::ONE, method, SequenceId(0), reply, sink))
}

fn write_request(tag: Tag, contexts: &Contexts<'_>, request: &Request<'_>, sink: &mut Sink<'_>) {
    write_frame(FrameType::Tdispatch, tag, sink, |sink| {
        contexts.write_counted(sink);
        sink.u16(0);
        sink.u16(0);
        request.write(SequenceId(0), sink);
    });
}

fn write_reply(
    tag: Tag,
    method: &str,
    sequence_id: SequenceId,
    reply: &Reply<'_>,
    sink: &mut Sink<'_>,
) {
    write_frame(FrameType::Rdispatch, tag, sink, |sink| {
        sink.u8(Status::Ok.number());
        sink.u16(0);
        reply.write(method, sequence_id, sink);
    });
}
