use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::time::{Instant, Sleep, sleep};

use super::{NameEvent, ResolvedProxy};

pub(crate) type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
pub(crate) type LookupFn = Arc<dyn Fn(String, u16) -> Lookup + Send + Sync>;

/// Time after which a round in which a host had no address, or whose addresses all failed, is
/// repeated.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Maximum number of addresses of one host, above the size of any ring; further ones are left out.
const MAX_ADDRESSES_PER_HOST: usize = 64;

/// Turns host names into addresses, again and again.
///
/// A host that had addresses keeps them while its name server fails.
pub(crate) struct Resolver {
    hosts: Vec<Host>,
    /// [`None`]: every host is looked up until it has an address, and then never again.
    every: Option<Duration>,
    lookup: LookupFn,
    next_round: Pin<Box<Sleep>>,
    /// End of the last round.
    last_round: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    LookingUp,
    Waiting,
    Done,
}

struct Host {
    name: String,
    port: u16,
    lookup: Option<Lookup>,
    addresses: Vec<SocketAddr>,
    error: Option<io::Error>,
}

impl Resolver {
    /// Looks these hosts up, by the operating system's resolver, and again after each `every`.
    pub(crate) fn new(
        hosts: impl IntoIterator<Item = (String, u16)>,
        every: Option<Duration>,
    ) -> Self {
        Self::with_lookup(
            hosts,
            every,
            Arc::new(|host, port| Box::pin(system_lookup(host, port))),
        )
    }

    fn with_lookup(
        hosts: impl IntoIterator<Item = (String, u16)>,
        every: Option<Duration>,
        lookup: LookupFn,
    ) -> Self {
        let hosts = hosts.into_iter().map(|(name, port)| Host {
            lookup: Some(lookup(name.clone(), port)),
            name,
            port,
            addresses: Vec::new(),
            error: None,
        });
        Self {
            hosts: hosts.collect(),
            every,
            next_round: Box::pin(sleep(Duration::ZERO)),
            last_round: Instant::now(),
            state: State::LookingUp,
            lookup,
        }
    }

    /// Returns the result of the next round of look-ups, changed or not. Pending for ever once
    /// there is nothing left to look up.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<NameEvent> {
        if self.state == State::Waiting && self.next_round.as_mut().poll(cx).is_ready() {
            for host in &mut self.hosts {
                if self.every.is_some() || host.addresses.is_empty() {
                    host.lookup = Some((self.lookup)(host.name.clone(), host.port));
                }
            }
            self.state = State::LookingUp;
        }
        if self.state != State::LookingUp || !self.poll_lookups(cx) {
            return Poll::Pending;
        }
        self.schedule(cx);
        Poll::Ready(self.event())
    }

    /// Advances the next round to [`RETRY_AFTER_FAILURE`] after the last one, which bounds the
    /// rate. Has no effect on names that are looked up only once.
    pub(crate) fn look_up_soon(&mut self) {
        let soon = self.last_round + RETRY_AFTER_FAILURE;
        if self.state == State::Waiting && self.every.is_some() && soon < self.next_round.deadline()
        {
            self.next_round.as_mut().reset(soon);
        }
    }

    /// Polls the look-ups of this round. Returns `true` once all have ended.
    fn poll_lookups(&mut self, cx: &mut Context<'_>) -> bool {
        let mut all_done = true;
        for host in &mut self.hosts {
            let Some(lookup) = &mut host.lookup else {
                continue;
            };
            let Poll::Ready(found) = lookup.as_mut().poll(cx) else {
                all_done = false;
                continue;
            };
            host.lookup = None;
            host.error = None;
            match found {
                Ok(addresses) if addresses.is_empty() => {
                    host.error = Some(io::Error::other("the name has no address"))
                }
                Ok(addresses) => host.addresses = addresses,
                Err(error) => host.error = Some(error),
            }
            if let Some(error) = &host.error {
                tracing::warn!(host = host.name, %error, "cannot look a proxy's host name up");
            }
        }
        all_done
    }

    fn schedule(&mut self, cx: &mut Context<'_>) {
        let failed = self.hosts.iter().any(|host| host.error.is_some());
        let wait = match self.every {
            Some(every) if failed => every.min(RETRY_AFTER_FAILURE),
            Some(every) => every,
            None if failed => RETRY_AFTER_FAILURE,
            None => {
                self.state = State::Done;
                return;
            }
        };
        self.state = State::Waiting;
        self.last_round = Instant::now();
        self.next_round.as_mut().reset(self.last_round + wait);
        // Registers the waker; a zero interval is woken for at once.
        if self.next_round.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn event(&mut self) -> NameEvent {
        let mut event = NameEvent {
            found: Vec::new(),
            failures: Vec::new(),
        };
        for host in &mut self.hosts {
            for &address in host.addresses.iter().take(MAX_ADDRESSES_PER_HOST) {
                if event.found.iter().all(|known| known.address != address) {
                    event
                        .found
                        .push(ResolvedProxy::without_shard(address, &host.name));
                }
            }
            if let (true, Some(error)) = (host.addresses.is_empty(), host.error.take()) {
                event.failures.push((host.name.clone(), error));
            }
        }
        event
    }
}

pub(crate) async fn system_lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    tokio::net::lookup_host((host.as_str(), port))
        .await
        .map(Iterator::collect)
}

#[cfg(test)]
mod tests {
    use core::future::{poll_fn, ready};
    use std::sync::Mutex;

    use super::*;

    type Answers = Arc<Mutex<Vec<io::Result<Vec<SocketAddr>>>>>;

    /// A name server that gives these results, last first, and fails when it has none left.
    fn scripted(answers: Vec<io::Result<Vec<SocketAddr>>>) -> (Answers, LookupFn) {
        let answers = Arc::new(Mutex::new(answers));
        let script = Arc::clone(&answers);
        let lookup = move |_: String, _: u16| -> Lookup {
            let answer = script
                .lock()
                .unwrap()
                .pop()
                .unwrap_or_else(|| Err(io::Error::other("no more answers")));
            Box::pin(ready(answer))
        };
        (answers, Arc::new(lookup))
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 8000))
    }

    fn one_host() -> [(String, u16); 1] {
        [("proxy.example".to_owned(), 8000)]
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_again_and_keep_their_addresses_while_the_name_server_fails() {
        let (_, lookup) = scripted(vec![
            Ok(vec![address(2)]),
            Err(io::Error::other("down")),
            Ok(vec![address(1)]),
        ]);
        let mut resolver = Resolver::with_lookup(one_host(), Some(Duration::from_secs(5)), lookup);
        for expected in [1, 1, 2] {
            let event = poll_fn(|cx| resolver.poll(cx)).await;
            assert_eq!(
                event.found,
                [ResolvedProxy::without_shard(
                    address(expected),
                    "proxy.example"
                )]
            );
            assert!(event.failures.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_name_is_looked_up_until_it_has_an_address_and_never_again() {
        let (left, lookup) = scripted(vec![Ok(vec![address(9)]), Ok(vec![address(1)]), Ok(vec![])]);
        let mut resolver = Resolver::with_lookup(one_host(), None, lookup);
        let event = poll_fn(|cx| resolver.poll(cx)).await;
        assert_eq!(event.failures[0].0, "proxy.example");
        let event = poll_fn(|cx| resolver.poll(cx)).await;
        assert_eq!(
            event.found,
            [ResolvedProxy::without_shard(address(1), "proxy.example")]
        );
        let hour = Duration::from_secs(3_600);
        assert!(
            tokio::time::timeout(hour, poll_fn(|cx| resolver.poll(cx)))
                .await
                .is_err()
        );
        assert_eq!(left.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_whose_addresses_all_fail_is_looked_up_again_at_most_once_a_second() {
        let (_, lookup) = scripted(vec![
            Ok(vec![address(3)]),
            Ok(vec![address(2)]),
            Ok(vec![address(1)]),
        ]);
        let mut resolver = Resolver::with_lookup(one_host(), Some(Duration::from_secs(10)), lookup);
        let start = Instant::now();
        for (last, seconds) in [(1, 0), (2, 1), (3, 2)] {
            let event = poll_fn(|cx| resolver.poll(cx)).await;
            assert_eq!(event.found[0].address, address(last));
            assert_eq!(start.elapsed().as_secs(), seconds);
            // As often as the addresses fail.
            for _ in 0..100 {
                resolver.look_up_soon();
            }
        }
    }

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        let mut resolver = Resolver::new(
            [("127.0.0.1".to_owned(), 7), ("127.0.0.1".to_owned(), 7)],
            None,
        );
        let event = poll_fn(|cx| resolver.poll(cx)).await;
        assert_eq!(
            event.found,
            [ResolvedProxy::without_shard(
                SocketAddr::from(([127, 0, 0, 1], 7)),
                ""
            )]
        );
    }
}
