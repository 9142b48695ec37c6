use core::num::NonZeroUsize;
use std::collections::VecDeque;

use distributedlog::Dlsn;

use crate::entries::{Frame, FrameBuffer, FrameError, FramePosition};
use crate::event::ReadEvent;
use crate::expand;
use crate::position::{Mark, Place};
use crate::run::RecordRun;
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
    /// What was taken of the buffer, and could not be delivered as a run.
    held: Option<Result<Option<Frame>, FrameError>>,
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
            held: None,
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
        let held = match &self.held {
            Some(Ok(Some(Frame::Stored(stored)))) => stored.payload.len(),
            _ => 0,
        };
        self.buffer.len() + held + ready.sum::<usize>()
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
                return Ok(Some(Taken::Event(event, self.after(last))));
            }
            let next = self.held.take().unwrap_or_else(|| self.buffer.pop());
            return Ok(Some(match next? {
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

    /// Takes the next records, if they can be delivered as one run of at most `most`. Otherwise
    /// [`pop`](Self::pop) has what comes next.
    pub(super) fn pop_run(&mut self, most: NonZeroUsize) -> Option<(RecordRun, Mark)> {
        if !self.ready.is_empty() || self.held.is_some() {
            return None;
        }
        let next = self.buffer.pop();
        if let Ok(Some(Frame::Stored(stored))) = &next
            && stored.dlsn >= self.start
            && stored.slots as usize <= most.get()
            && let Ok(run) = expand::run(stored)
        {
            let after = self.after(run.last());
            return Some((run, after));
        }
        // Looked at again when there are more bytes.
        if !matches!(next, Ok(None)) {
            self.held = Some(next);
        }
        None
    }

    const fn after(&self, last: Dlsn) -> Mark {
        Mark::After(Place::At(StreamPosition::new(last, self.created_unix_ms)))
    }
}

const fn from(next: FramePosition) -> Mark {
    Mark::From(Place::At(StreamPosition::new(
        next.dlsn,
        Some(next.created_unix_ms),
    )))
}
