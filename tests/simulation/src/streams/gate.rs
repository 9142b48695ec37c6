//! The network of one process: it can be cut, for a while or until the end of the run.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog_bookkeeper::driver::{Connect, ConnectFuture, Stream};
use distributedlog_bookkeeper::metadata::BookieId;
use distributedlog_testkit::bookies::ModelBookies;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What passes between a process and everything else. While it is shut, nothing does, in neither
/// direction, and nothing is lost.
pub(super) struct Gate(Mutex<State>);

struct State {
    is_open: bool,
    /// Those that wait, in their order: a run must not depend on the order in which they wake.
    wakers: Vec<Waker>,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            is_open: true,
            wakers: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_open(&self, is_open: bool) {
        let wakers = {
            let mut state = self.lock();
            state.is_open = is_open;
            core::mem::take(&mut state.wakers)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_open {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|it| it.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) async fn opened(&self) {
        poll_fn(|cx| self.poll_open(cx)).await;
    }
}

/// Connections of one process to the bookies.
pub(super) struct Network {
    pub(super) gate: Arc<Gate>,
    pub(super) links: Links,
    pub(super) bookies: ModelBookies,
}

/// What passes between a process and each bookie.
#[derive(Clone, Default)]
pub(super) struct Links(Arc<Mutex<BTreeMap<BookieId, Arc<Gate>>>>);

impl Links {
    /// Returns the gate between the process and a bookie.
    pub(super) fn of(&self, bookie: &BookieId) -> Arc<Gate> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.entry(bookie.clone()).or_insert_with(Gate::new);
        Arc::clone(link)
    }
}

impl Connect for Network {
    fn connect<'a>(&'a self, bookie: &'a BookieId) -> ConnectFuture<'a> {
        Box::pin(async move {
            let link = self.links.of(bookie);
            self.gate.opened().await;
            link.opened().await;
            let stream: Box<dyn Stream> = Box::new(GatedStream {
                stream: self.bookies.connect(bookie).await?,
                gates: [Arc::clone(&self.gate), link],
            });
            Ok(stream)
        })
    }
}

struct GatedStream {
    stream: Box<dyn Stream>,
    gates: [Arc<Gate>; 2],
}

impl GatedStream {
    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        let is_shut = self.gates.iter().any(|it| it.poll_open(cx).is_pending());
        if is_shut {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_open(cx).is_pending() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.poll_open(cx).is_pending() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
