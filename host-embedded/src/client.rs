use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use distributedlog::client::routing::{Client, Counters, Link as HostLink};
use distributedlog::{Cause, Clock, Instant};
use embassy_futures::join::{join_array, join3};
use embassy_futures::select::{Either, select};
use embedded_nal_async::{Dns, TcpConnect};

use crate::link::Link;
use crate::state::{ClientState, Wakers};
use crate::{Buffers, BuildError, Config, ProxyTransport};

/// Client of write proxies: the transport of one writer.
///
/// The application's executor polls two futures: [`run`](Self::run), and the
/// [`Runner`](distributedlog::async_writer::Runner) of the writer over
/// [`transport`](Self::transport). Both borrow the client, which is not `Sync`: they belong to one
/// thread, or to one executor of an interrupt priority.
///
/// `HOSTS` is the maximum number of connections, `STREAMS` that of streams whose owners are known,
/// `REQUESTS` that of outstanding attempts. With `HOSTS` = 1, a proxy that redirects a stream to
/// another owner makes that stream's attempts fail; the writer goes on with its other streams.
///
/// A second host takes the memory of a session, of a frame in each direction and of the stack's
/// socket.
#[derive(Debug)]
pub struct ProxyClient<
    'a,
    C: Clock,
    const HOSTS: usize,
    const STREAMS: usize,
    const REQUESTS: usize,
> {
    pub(crate) state: RefCell<ClientState<'a, HOSTS, STREAMS, REQUESTS>>,
    pub(crate) clock: C,
    pub(crate) config: Config<'a>,
    /// Received bytes, and bytes to send: borrowed by `run`.
    io: RefCell<(&'a mut [u8], &'a mut [u8])>,
}

impl<'a, C: Clock, const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    ProxyClient<'a, C, HOSTS, STREAMS, REQUESTS>
{
    /// Creates a client. It connects when [`run`](Self::run) is polled.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the configuration does not fit `HOSTS`, a setting is outside its range, or
    /// a buffer is too small.
    pub fn new(config: Config<'a>, clock: C, buffers: Buffers<'a>) -> Result<Self, BuildError> {
        config.check::<HOSTS, REQUESTS>(&buffers)?;
        let session_settings = config.session_settings(buffers.incoming.len() / HOSTS)?;
        let routing = config.routing.clone().build()?;
        let state = ClientState {
            routing: Client::new(routing, config.seed),
            streams: config.streams,
            session_settings,
            links: [const { Link::IDLE }; HOSTS],
            set_bytes: buffers.sets.len() / REQUESTS,
            sets: buffers.sets,
            requests: [const { None }; REQUESTS],
            calls: [None; REQUESTS],
            finished: heapless::Deque::new(),
            next_seed: config.seed.wrapping_add(1),
            wakers: Wakers::default(),
        };
        Ok(Self {
            state: RefCell::new(state),
            clock,
            config,
            io: RefCell::new((buffers.incoming, buffers.outgoing)),
        })
    }

    /// Returns the transport for the writer. One writer uses it: two would take each other's
    /// outcomes.
    pub const fn transport(&self) -> ProxyTransport<'_, 'a, C, HOSTS, STREAMS, REQUESTS> {
        ProxyTransport(self)
    }

    /// Returns the counters of the client's work so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.borrow().routing.counters()
    }

    /// Returns `true` if some proxy is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let state = self.state.borrow();
        let mut hosts = state.routing.hosts();
        hosts.any(|host| host.link == HostLink::Connected)
    }

    /// Resolves names, connects, and moves bytes. It never ends.
    ///
    /// Connections are made at once, and again after each loss: with delays that grow from
    /// [`blackout_start`](distributedlog::client::routing::SettingsBuilder::blackout_start) to
    /// `blackout_max`. A peer that is silent while requests are outstanding is sent a ping, and
    /// given up when it does not answer ([`Config::session`]); so is one that takes no bytes.
    ///
    /// `tcp` allows `HOSTS` connections at a time. Their `read` must be side-effect-free on cancel,
    /// as the documentation of [`embedded_io_async::Read`] recommends: it is dropped when there is
    /// something to send. A `write` is dropped only when its connection is given up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the connections. Requests in flight fail with what is known of
    /// them: the writer sends their sets again when it may. Calling it again connects again.
    ///
    /// # Panics
    ///
    /// If the client runs already.
    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "it keeps a second `run` from using the same buffers"
    )]
    pub async fn run<T: TcpConnect, D: Dns>(&self, tcp: &T, dns: &D) -> Infallible {
        let mut io = self
            .io
            .try_borrow_mut()
            .expect("a client runs once at a time");
        let (incoming, outgoing) = &mut *io;
        let _ends_connections = Running(self);
        let mut incoming = incoming.chunks_exact_mut(incoming.len() / HOSTS);
        let mut outgoing = outgoing.chunks_exact_mut(outgoing.len() / HOSTS);
        let links = core::array::from_fn::<_, HOSTS, _>(|index| {
            let room = "each host has a part of the buffers";
            let (incoming, outgoing) = (incoming.next().expect(room), outgoing.next().expect(room));
            self.keep_connected(index, tcp, dns, incoming, outgoing)
        });
        let mut work = pin!(join3(
            join_array(links),
            self.keep_resolved(dns),
            self.keep_time()
        ));
        poll_fn(|cx| {
            self.state.borrow_mut().wakers.driver = Some(cx.waker().clone());
            work.as_mut().poll(cx).map(|(_, never, _)| never)
        })
        .await
    }

    /// Handles the timeouts of the machines.
    async fn keep_time(&self) -> Infallible {
        let next = || self.state.borrow().poll_timeout();
        loop {
            let at = next();
            // The driver is polled after each change of the state.
            let changed = poll_fn(|_| {
                if next() == at {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            });
            let Some(at) = at else {
                changed.await;
                continue;
            };
            if let Either::First(()) = select(self.clock.sleep_until(at), changed).await {
                self.with(ClientState::handle_timeout);
            }
        }
    }

    /// Runs `work` on the state, performs the actions that the routing machine wants then, and
    /// wakes the tasks.
    pub(crate) fn with<R>(
        &self,
        work: impl FnOnce(&mut ClientState<'a, HOSTS, STREAMS, REQUESTS>, Instant) -> R,
    ) -> R {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let result = work(&mut state, now);
        state.carry_out(now);
        let driver = state.wakers.driver.take();
        let transport = if state.finished.is_empty() {
            None
        } else {
            state.wakers.transport.take()
        };
        drop(state);
        // The state is not borrowed any more: a waker may run anything.
        for waker in driver.into_iter().chain(transport) {
            waker.wake();
        }
        result
    }
}

/// A running client. Its end is the end of the connections.
struct Running<'c, 'a, C: Clock, const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>(
    &'c ProxyClient<'a, C, HOSTS, STREAMS, REQUESTS>,
);

impl<C: Clock, const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize> Drop
    for Running<'_, '_, C, HOSTS, STREAMS, REQUESTS>
{
    fn drop(&mut self) {
        self.0.with(|state, now| {
            for index in 0..HOSTS {
                if let Some(id) = state.links[index].taken() {
                    state.lost(now, id, Cause::ConnectionLost);
                }
            }
        });
    }
}
