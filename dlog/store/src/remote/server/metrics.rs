//! Metrics of the server.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::metrics::{Registry, RequestMetrics, StoreOperation};
use crate::remote::protocol::Operation;

/// Metrics of a server: connections, and requests of its clients.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerMetrics {
    pub(super) connections: Gauge,
    pub(super) connections_accepted: Counter,
    pub(super) connections_refused: Counter,
    pub(super) requests: RequestMetrics,
}

impl ServerMetrics {
    /// Registers the metrics under `dlog_store_server`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("dlog_store_server");
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "connections_accepted",
            "Connections accepted",
            self.connections_accepted.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections refused because there were too many",
            self.connections_refused.clone(),
        );
        self.requests.register(registry);
    }
}

/// Returns the operation as which a request is counted.
pub(super) const fn operation_of(operation: &Operation) -> StoreOperation {
    match operation {
        Operation::Create(_) => StoreOperation::Create,
        Operation::Delete(_) => StoreOperation::Delete,
        Operation::List { .. } => StoreOperation::List,
        Operation::Describe(_) => StoreOperation::Describe,
        Operation::Acquire { .. } => StoreOperation::Acquire,
        Operation::Release(_) => StoreOperation::Release,
        Operation::Truncate { .. } => StoreOperation::Truncate,
        Operation::EndSession => StoreOperation::EndSession,
        Operation::SetRetention { .. } | Operation::Retention(_) => StoreOperation::Retention,
        Operation::CheckHealth => StoreOperation::CheckHealth,
    }
}

/// Raises the number of open connections while it lasts.
pub(super) struct OpenConnection(Gauge);

impl OpenConnection {
    pub(super) fn new(metrics: &ServerMetrics) -> Self {
        metrics.connections_accepted.inc();
        metrics.connections.inc();
        Self(metrics.connections.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
