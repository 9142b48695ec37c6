use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Network;
use super::wire::Segment;

/// End of a connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct SimStream {
    pub(super) network: Network,
    pub(super) id: u64,
    pub(super) end: usize,
}

impl SimStream {
    /// Returns up to `most` received bytes. `Ok(None)`: nothing has arrived yet. An empty vector:
    /// the peer has closed its direction.
    pub(crate) fn try_read(&self, most: usize) -> io::Result<Option<Vec<u8>>> {
        self.read(most, None)
    }

    /// Sends some of the bytes and returns their number. `Ok(0)`: the window is full until the peer
    /// reads.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes, None)
    }

    fn read(&self, most: usize, context: Option<&Context<'_>>) -> io::Result<Option<Vec<u8>>> {
        let mut inner = self.network.inner();
        let most = if inner.random.chance(0.05) {
            1 + inner.random.below(most as u64) as usize
        } else {
            most
        };
        let connection = inner
            .connections
            .get_mut(&self.id)
            .ok_or(io::ErrorKind::NotConnected)?;
        connection.read(self.end, most.max(1), context)
    }

    fn write(&self, bytes: &[u8], context: Option<&Context<'_>>) -> io::Result<usize> {
        let inner = &mut *self.network.inner();
        let connection = inner
            .connections
            .get_mut(&self.id)
            .ok_or(io::ErrorKind::NotConnected)?;
        let room = connection.room(self.end, context)?.min(bytes.len());
        let [from, to] = [connection.hosts[self.end], connection.hosts[1 - self.end]];
        if room == 0 {
            return Ok(0);
        }
        // An operating system may take fewer bytes than it has room for.
        let count = if inner.random.chance(0.05) {
            1 + inner.random.below(room as u64) as usize
        } else {
            room
        };
        let due = inner.due(from, to);
        let connection = inner
            .connections
            .get_mut(&self.id)
            .expect("it was just seen");
        connection.pipes[self.end].send(due, Segment::Bytes(bytes[..count].to_vec()));
        Ok(count)
    }

    fn shut_down(&self) -> io::Result<()> {
        let inner = &mut *self.network.inner();
        let connection = inner
            .connections
            .get_mut(&self.id)
            .ok_or(io::ErrorKind::NotConnected)?;
        if !connection.pipes[self.end].ended {
            let [from, to] = [connection.hosts[self.end], connection.hosts[1 - self.end]];
            let due = inner.due(from, to);
            let pipe = &mut inner
                .connections
                .get_mut(&self.id)
                .expect("it was just seen")
                .pipes[self.end];
            pipe.ended = true;
            pipe.send(due, Segment::End);
        }
        Ok(())
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.read(into.remaining(), Some(context)) {
            Ok(Some(bytes)) => {
                into.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.write(bytes, Some(context)) {
            Ok(0) if !bytes.is_empty() => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shut_down())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.network.inner().close(self.id, self.end);
    }
}
