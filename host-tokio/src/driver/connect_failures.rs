use distributedlog::client::HostId;

use super::Driver;
use crate::error::{HostFailure, HostFailureReason};
use crate::net::ConnectError;

/// Last failure of each host, for the error that no host could be used.
#[derive(Default)]
pub(super) struct ConnectFailures {
    hosts: Vec<(HostId, HostFailureReason)>,
    names: Vec<(String, std::io::Error)>,
}

impl ConnectFailures {
    pub(super) fn note(&mut self, host: HostId, reason: HostFailureReason) {
        self.forget(host);
        self.hosts.push((host, reason));
    }

    /// Forgets the host's failure: it works, or its slot is another host's. There is at most one
    /// failure for each slot.
    pub(super) fn forget(&mut self, host: HostId) {
        self.hosts
            .retain(|(known, _)| known.index() != host.index());
    }

    pub(super) fn has(&self, host: HostId) -> bool {
        self.hosts.iter().any(|(known, _)| *known == host)
    }

    pub(super) fn set_names(&mut self, names: Vec<(String, std::io::Error)>) {
        self.names = names;
    }
}

/// Maximum number of hosts that the message of a request's error names.
const MAX_NAMED: usize = 3;

impl Driver {
    /// Returns the reasons why hosts cannot be reached, for the error of a request.
    pub(super) fn unreachable_reason(&self) -> Box<str> {
        let ConnectFailures { hosts, names } = &self.connect_failures;
        let names = names
            .iter()
            .map(|(name, error)| format!("{name}: the host's name leads to no address: {error}"));
        let hosts = hosts.iter().filter_map(|(host, reason)| {
            let view = self.client.host(*host)?;
            let address = view
                .address
                .map_or_else(|| view.text.to_owned(), |at| at.to_string());
            Some(format!("{address}: {reason}"))
        });
        let named: Vec<String> = names.chain(hosts).take(MAX_NAMED).collect();
        named.join("; ").into()
    }

    /// Returns every host that was tried and the reason of its failure, including names that lead
    /// to no address.
    pub(crate) fn host_failures(&mut self) -> Vec<HostFailure> {
        let mut reasons = core::mem::take(&mut self.connect_failures.hosts);
        let mut failures: Vec<HostFailure> = Vec::new();
        for (host, error) in core::mem::take(&mut self.connect_failures.names) {
            failures.push(HostFailure {
                host,
                address: None,
                reason: HostFailureReason::Connect(ConnectError::NoAddress(error)),
            });
        }
        for view in self.client.hosts() {
            let reason = reasons
                .iter()
                .position(|(host, _)| *host == view.id)
                .map(|at| reasons.swap_remove(at).1);
            let host = if view.name.is_empty() {
                view.address
                    .map_or_else(|| view.text.to_owned(), |at| at.to_string())
            } else {
                format!("{}:{}", view.name, view.port)
            };
            failures.push(HostFailure {
                host,
                address: view.address,
                reason: reason.unwrap_or(HostFailureReason::NoAnswer),
            });
        }
        failures
    }
}
