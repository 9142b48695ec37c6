//! Connection: two pipes, each of which delivers in order, with a delay.

use core::net::SocketAddr;
use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::io;

use super::HostId;

/// Unit that travels on a pipe.
#[derive(Debug)]
pub(super) enum Segment {
    Bytes(Vec<u8>),
    /// End of stream: the sender closed its direction.
    End,
    /// Reset: the connection is broken.
    Reset,
}

/// State that the receiver sees behind the bytes that have arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReceiveState {
    #[default]
    Open,
    Ended,
    Reset,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// Segments in flight, in order, with their arrival times in milliseconds.
    pub(super) in_flight: VecDeque<(u64, Segment)>,
    pub(super) arrived: VecDeque<u8>,
    pub(super) receive_state: ReceiveState,
    /// The sender has sent its end of stream.
    pub(super) ended: bool,
    last_due: u64,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// The state of a process's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    Open,
    /// The process closed it; its operating system answers later bytes with a reset.
    Closed,
    /// The machine lost its power: after a restart it has no memory of the connection.
    Vanished,
}

/// Progress of establishing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectState {
    /// The request arrives at `due`, at the address `at`.
    Requested { due: u64, at: SocketAddr },
    /// The acceptance arrives at `due`.
    Accepted { due: u64 },
    /// The refusal arrives at `due`.
    Refused { due: u64 },
    /// The connection is established.
    Done,
    /// The request was refused.
    Failed,
}

/// Connection. End 0 dialed, end 1 accepted; pipe 0 leads from end 0 to end 1.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) hosts: [HostId; 2],
    pub(super) ends: [EndState; 2],
    pub(super) pipes: [Pipe; 2],
    pub(super) connect_state: ConnectState,
    /// Number of connection requests that a host which was down did not answer.
    pub(super) failed_requests: u32,
    pub(super) connect_waker: Option<Waker>,
    /// Largest number of bytes in flight or unread in each direction.
    pub(super) window: usize,
}

impl Pipe {
    pub(super) fn send(&mut self, due: u64, segment: Segment) {
        self.last_due = self.last_due.max(due);
        self.in_flight.push_back((self.last_due, segment));
    }

    /// Returns the number of bytes in flight or unread.
    pub(super) fn held(&self) -> usize {
        let in_flight = self.in_flight.iter().map(|(_, segment)| {
            if let Segment::Bytes(bytes) = segment {
                bytes.len()
            } else {
                0
            }
        });
        self.arrived.len() + in_flight.sum::<usize>()
    }

    /// Drops everything in flight behind its first `keep` bytes.
    pub(super) fn cut(&mut self, keep: usize) {
        let mut left = keep;
        self.in_flight.retain_mut(|(_, segment)| match segment {
            Segment::Bytes(bytes) => {
                bytes.truncate(left);
                left -= bytes.len();
                !bytes.is_empty()
            }
            Segment::End | Segment::Reset => false,
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
            ends: [EndState::Open; 2],
            pipes,
            connect_state: ConnectState::Requested { due, at },
            failed_requests: 0,
            connect_waker: None,
            window,
        }
    }

    /// Takes up to `most` bytes that arrived at an end. `Ok(None)`: nothing has arrived yet.
    pub(super) fn read(
        &mut self,
        end: usize,
        most: usize,
        context: Option<&Context<'_>>,
    ) -> io::Result<Option<Vec<u8>>> {
        let pipe = &mut self.pipes[1 - end];
        if self.ends[end] != EndState::Open {
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
        match pipe.receive_state {
            ReceiveState::Ended => Ok(Some(Vec::new())),
            ReceiveState::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            ReceiveState::Open => {
                pipe.reader = context.map(|context| context.waker().clone());
                Ok(None)
            }
        }
    }

    /// Returns the number of bytes that an end may send now. `Ok(0)`: the window is full until its
    /// peer reads.
    pub(super) fn room(&mut self, end: usize, context: Option<&Context<'_>>) -> io::Result<usize> {
        if self.ends[end] != EndState::Open
            || self.pipes[1 - end].receive_state == ReceiveState::Reset
        {
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

    /// Accepts a segment at an end that is open.
    pub(super) fn arrive(&mut self, from: usize, segment: Segment) {
        let pipe = &mut self.pipes[from];
        match segment {
            Segment::Bytes(bytes) if pipe.receive_state == ReceiveState::Open => {
                pipe.arrived.extend(bytes);
            }
            // What was sent behind a break, of which the sender has not heard yet: bytes before it
            // are lost, and the stream must not go on behind the gap.
            Segment::Bytes(_) => {}
            Segment::End if pipe.receive_state == ReceiveState::Open => {
                pipe.receive_state = ReceiveState::Ended
            }
            Segment::End => {}
            Segment::Reset => pipe.receive_state = ReceiveState::Reset,
        }
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        if self.pipes[from].receive_state == ReceiveState::Reset {
            // A writer that waits for room must see the reset too.
            self.pipes[1 - from].wake();
        }
    }

    /// Returns true if both ends are closed and nothing is in flight.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| *end != EndState::Open)
            && self.pipes.iter().all(|pipe| pipe.in_flight.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_were_sent_behind_a_break_do_not_arrive() {
        let at = HostId(1).address(7000);
        let mut connection = Connection::new([HostId(0), HostId(1)], 1, at, 1 << 10);
        connection.pipes[0].send(1, Segment::Bytes(vec![1; 10]));
        connection.pipes[0].cut(4);
        connection.pipes[0].send(2, Segment::Reset);
        connection.pipes[0].send(2, Segment::Bytes(vec![2; 10]));
        while let Some((_, segment)) = connection.pipes[0].in_flight.pop_front() {
            connection.arrive(0, segment);
        }
        let arrived = connection.read(1, 100, None).expect("four bytes arrived");
        assert_eq!(arrived, Some(vec![1; 4]));
        let error = connection.read(1, 100, None).expect_err("it is broken");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
