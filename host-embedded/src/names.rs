//! Names of proxies.

use core::convert::Infallible;
use core::fmt;
use core::future::{pending, poll_fn};
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;

use distributedlog::client::routing::{HostAddress, Link};
use distributedlog::{Clock, report};
use embassy_futures::select::{Either, select};
use embedded_nal_async::{AddrType, Dns};

use crate::{Endpoint, ProxyClient};

impl<C: Clock, const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    ProxyClient<'_, C, HOSTS, STREAMS, REQUESTS>
{
    /// Resolves the proxies' names at the start, and again while one of them has no address or
    /// cannot be reached at it.
    pub(crate) async fn keep_resolved<D: Dns>(&self, dns: &D) -> Infallible {
        // Last known address of each proxy: a failed lookup does not take it away.
        let mut addresses = [None; HOSTS];
        let mut backoff = self.config.resolve_backoff;
        loop {
            let complete = self.resolve_all(dns, &mut addresses).await;
            let is_name = |proxy: &Endpoint<'_>| matches!(proxy, Endpoint::Name(..));
            if !self.config.proxies.iter().any(is_name) {
                return pending().await;
            }
            if complete && !self.is_some_host_down() {
                backoff = self.config.resolve_backoff;
                poll_fn(|_| match self.is_some_host_down() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
            } else {
                self.clock.sleep_until(self.clock.now() + backoff).await;
                backoff = (backoff * 2).min(self.config.resolve_backoff_max);
            }
        }
    }

    /// Looks all proxies up and reports their addresses. Returns `false` if a lookup failed.
    async fn resolve_all<D: Dns>(
        &self,
        dns: &D,
        addresses: &mut [Option<SocketAddr>; HOSTS],
    ) -> bool {
        let mut complete = true;
        for (proxy, address) in self.config.proxies.iter().zip(addresses.iter_mut()) {
            let found = match *proxy {
                Endpoint::Address(address) => Some(address),
                Endpoint::Name(name, port) => {
                    let found = self.look_up(dns, name).await;
                    found.map(|ip| SocketAddr::new(ip, port))
                }
            };
            complete &= found.is_some();
            *address = found.or(*address);
        }
        let mut hosts = heapless::Vec::<HostAddress<'_>, HOSTS>::new();
        for (proxy, address) in self.config.proxies.iter().zip(addresses) {
            let name = match proxy {
                Endpoint::Name(name, _) => name,
                Endpoint::Address(_) => "",
            };
            if let Some(address) = *address {
                let shard = -1;
                hosts
                    .push(HostAddress {
                        name,
                        address,
                        shard,
                    })
                    .expect("there are no more proxies than hosts");
            }
        }
        self.with(|state, now| state.routing.handle_resolved(now, &hosts));
        complete
    }

    /// Looks a name up. Returns `None` if that fails, or takes too long.
    pub(crate) async fn look_up<D: Dns>(&self, dns: &D, name: &str) -> Option<IpAddr> {
        let limit = self.clock.now() + self.config.resolve_timeout;
        let found = select(
            dns.get_host_by_name(name, AddrType::Either),
            self.clock.sleep_until(limit),
        );
        let address = match found.await {
            Either::First(found) => found.ok(),
            Either::Second(()) => None,
        };
        if address.is_none() {
            report!(warn, "no address for {}", name);
        }
        address
    }

    /// Returns `true` if the last connection to one of the resolved hosts failed.
    fn is_some_host_down(&self) -> bool {
        let state = self.state.borrow();
        let mut hosts = state.routing.hosts();
        hosts.any(|host| host.in_ring && matches!(host.link, Link::Down { .. }))
    }
}

/// Resolver of a stack without DNS, for clients whose proxies are all [`Endpoint::Address`].
/// Redirects to names cannot be followed with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDns;

/// Error of [`NoDns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDnsError;

impl fmt::Display for NoDnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no resolver")
    }
}

impl core::error::Error for NoDnsError {}

impl Dns for NoDns {
    type Error = NoDnsError;

    async fn get_host_by_name(&self, _: &str, _: AddrType) -> Result<IpAddr, NoDnsError> {
        Err(NoDnsError)
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, NoDnsError> {
        Err(NoDnsError)
    }
}
