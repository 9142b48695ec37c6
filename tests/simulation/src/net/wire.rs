//! One connection: two pipes, each of which delivers in order, later.

use core::net::SocketAddr;
use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::io;

use super::HostId;

/// What travels.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// The sender has nothing more to say.
    End,
    /// The connection is broken.
    Reset,
}

/// What the receiver finds behind the bytes that have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tail {
    #[default]
    Open,
    Ended,
    Reset,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// On its way, in order, with the time of its arrival.
    pub(super) flying: VecDeque<(u64, Piece)>,
    pub(super) arrived: VecDeque<u8>,
    pub(super) tail: Tail,
    /// The sender said that it has nothing more to say.
    pub(super) ended: bool,
    last_due: u64,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// The state of a process's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// The process closed it; its system answers what still comes with a reset.
    Closed,
    /// The machine lost its power: nobody remembers the connection.
    Vanished,
}

/// How far a connection's making is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The request arrives then.
    Asked { due: u64, at: SocketAddr },
    /// The answer arrives then.
    Accepted { due: u64 },
    /// The refusal arrives then.
    Refused { due: u64 },
    /// It is made.
    Done,
    /// It was refused.
    Failed,
}

/// A connection. End 0 made it, end 1 accepted it; pipe 0 leads from end 0 to end 1.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) hosts: [HostId; 2],
    pub(super) ends: [End; 2],
    pub(super) pipes: [Pipe; 2],
    pub(super) opening: Opening,
    /// How often it was asked for in vain.
    pub(super) asked: u32,
    pub(super) dialler: Option<Waker>,
    /// How many bytes may be under way or unread in each direction.
    pub(super) window: usize,
}

impl Pipe {
    pub(super) fn send(&mut self, due: u64, piece: Piece) {
        self.last_due = self.last_due.max(due);
        self.flying.push_back((self.last_due, piece));
    }

    /// How many bytes are under way or unread.
    pub(super) fn held(&self) -> usize {
        let flying = self.flying.iter().map(|(_, piece)| {
            if let Piece::Bytes(bytes) = piece {
                bytes.len()
            } else {
                0
            }
        });
        self.arrived.len() + flying.sum::<usize>()
    }

    /// Loses what is under way behind its first `keep` bytes.
    pub(super) fn cut(&mut self, keep: usize) {
        let mut left = keep;
        self.flying.retain_mut(|(_, piece)| match piece {
            Piece::Bytes(bytes) => {
                bytes.truncate(left);
                left -= bytes.len();
                !bytes.is_empty()
            }
            Piece::End | Piece::Reset => false,
        });
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

impl Connection {
    pub(super) fn new(hosts: [HostId; 2], due: u64, at: SocketAddr, window: usize) -> Self {
        let pipes = [Pipe::default(), Pipe::default()];
        Self {
            hosts,
            ends: [End::Open; 2],
            pipes,
            opening: Opening::Asked { due, at },
            asked: 0,
            dialler: None,
            window,
        }
    }

    /// Takes what came for an end. `Ok(None)`: nothing has come yet.
    pub(super) fn read(
        &mut self,
        end: usize,
        most: usize,
        context: Option<&Context<'_>>,
    ) -> io::Result<Option<Vec<u8>>> {
        let pipe = &mut self.pipes[1 - end];
        if self.ends[end] != End::Open {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if !pipe.arrived.is_empty() {
            let count = most.min(pipe.arrived.len());
            let bytes = pipe.arrived.drain(..count).collect();
            if let Some(writer) = pipe.writer.take() {
                writer.wake();
            }
            return Ok(Some(bytes));
        }
        match pipe.tail {
            Tail::Ended => Ok(Some(Vec::new())),
            Tail::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Tail::Open => {
                pipe.reader = context.map(|context| context.waker().clone());
                Ok(None)
            }
        }
    }

    /// How many bytes an end may send now. `Ok(0)`: its peer must read first.
    pub(super) fn room(&mut self, end: usize, context: Option<&Context<'_>>) -> io::Result<usize> {
        if self.ends[end] != End::Open || self.pipes[1 - end].tail == Tail::Reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let window = self.window;
        let pipe = &mut self.pipes[end];
        if pipe.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = window.saturating_sub(pipe.held());
        if room == 0 {
            pipe.writer = context.map(|context| context.waker().clone());
        }
        Ok(room)
    }

    /// Something arrives at an end that is open.
    pub(super) fn arrive(&mut self, from: usize, piece: Piece) {
        let pipe = &mut self.pipes[from];
        match piece {
            Piece::Bytes(bytes) => pipe.arrived.extend(bytes),
            Piece::End if pipe.tail == Tail::Open => pipe.tail = Tail::Ended,
            Piece::End => {}
            Piece::Reset => pipe.tail = Tail::Reset,
        }
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        if self.pipes[from].tail == Tail::Reset {
            // Who waits for room hears of it too.
            self.pipes[1 - from].wake();
        }
    }

    /// Whether nobody has anything to do with it any more.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| *end != End::Open)
            && self.pipes.iter().all(|pipe| pipe.flying.is_empty())
    }
}
