//! Metrics of the client.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::state::ConnectionState;
use crate::metrics::Registry;

/// State of the connection, and the number of times that it was made again.
#[derive(Debug, Default)]
pub(super) struct ClientMetrics {
    connected: Gauge,
    reconnects: Counter,
}

impl ClientMetrics {
    /// Returns the metrics of a client that has just connected.
    pub(super) fn connected() -> Self {
        let metrics = Self::default();
        metrics.connected.set(1);
        metrics
    }

    /// Takes a change of the connection's state into account.
    pub(super) fn note(&self, connection: &ConnectionState) {
        match connection {
            ConnectionState::Up(_) => {
                self.connected.set(1);
                self.reconnects.inc();
            }
            ConnectionState::Down(_) => _ = self.connected.set(0),
        }
    }

    /// Registers the metrics under `dlog_store_client`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("dlog_store_client");
        registry.register(
            "connected",
            "1 while there is a connection to the store",
            self.connected.clone(),
        );
        registry.register(
            "reconnects",
            "Connections to the store after the first one",
            self.reconnects.clone(),
        );
    }
}
