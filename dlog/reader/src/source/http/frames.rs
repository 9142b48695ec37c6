use std::collections::VecDeque;

use distributedlog::Dlsn;

use crate::entries::{Frame, FrameBuffer, FrameError, FramePosition};
use crate::event::ReadEvent;
use crate::expand;
use crate::position::{Mark, Place};
use crate::stream_position::StreamPosition;

/// A response that has records and sets as they are stored.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: FrameBuffer,
    /// Position before which nothing is delivered: a set may contain records before it.
    start: Dlsn,
    /// Time of creation of the stream, in milliseconds since 1970. `None` before the first frame.
    created_unix_ms: Option<u64>,
    /// Records of the last set that were not taken.
    ready: VecDeque<ReadEvent>,
}

/// What was taken of a response.
#[derive(Debug)]
pub(super) enum Taken {
    Event(ReadEvent, Mark),
    Reached {
        next: Mark,
        at_end: bool,
    },
    End {
        next: Mark,
        reason: String,
        detail: String,
    },
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            buffer: FrameBuffer::default(),
            start: Dlsn::INITIAL,
            created_unix_ms: None,
            ready: VecDeque::new(),
        }
    }
}

impl Frames {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.push(piece);
    }

    pub(super) fn len(&self) -> usize {
        let ready = self.ready.iter().map(|event| match event {
            ReadEvent::Record(record) => record.payload.len(),
            ReadEvent::Malformed(_) => 0,
        });
        self.buffer.len() + ready.sum::<usize>()
    }

    /// Number of bytes that no frame was taken of.
    pub(super) fn received(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the next record, or what else a frame says. `None` if no frame is whole.
    pub(super) fn pop(&mut self) -> Result<Option<Taken>, FrameError> {
        // Bounded: each round takes a record or a frame out of the buffer.
        loop {
            if let Some(event) = self.ready.pop_front() {
                let last = match &event {
                    ReadEvent::Record(record) => record.dlsn,
                    ReadEvent::Malformed(set) => set.dlsn.slot(set.slots.saturating_sub(1)),
                };
                let after = StreamPosition::new(last, self.created_unix_ms);
                return Ok(Some(Taken::Event(event, Mark::After(Place::At(after)))));
            }
            return Ok(Some(match self.buffer.pop()? {
                None => return Ok(None),
                Some(Frame::Stored(stored)) => {
                    expand::record(&stored, self.start, &mut self.ready);
                    continue;
                }
                Some(Frame::Start(next)) => {
                    self.start = next.dlsn;
                    self.created_unix_ms = Some(next.created_unix_ms);
                    Taken::Reached {
                        next: from(next),
                        at_end: false,
                    }
                }
                Some(Frame::Heartbeat(next)) => Taken::Reached {
                    next: from(next),
                    at_end: true,
                },
                Some(Frame::End {
                    next,
                    reason,
                    detail,
                }) => Taken::End {
                    next: from(next),
                    reason,
                    detail,
                },
            }));
        }
    }
}

const fn from(next: FramePosition) -> Mark {
    Mark::From(Place::At(StreamPosition::new(
        next.dlsn,
        Some(next.created_unix_ms),
    )))
}
