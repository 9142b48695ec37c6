use std::sync::Arc;

use distributedlog::StatusCode;

use super::machine::InjectedFault;
use super::service::Service;

/// Stalls and fails single streams on purpose, for tests and demonstrations.
#[derive(Clone, Debug)]
pub struct FaultInjector {
    service: Arc<Service>,
}

impl FaultInjector {
    pub(super) const fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    /// Lets requests to `stream` wait until [`clear`](Self::clear) is called. Nothing of them is
    /// written meanwhile.
    pub fn stall(&self, stream: &str) {
        tracing::warn!(stream, "injecting a fault: requests wait");
        self.service.set_fault(stream, Some(InjectedFault::Stalled));
    }

    /// Refuses new requests to `stream` with `code`. Nothing of them is written.
    pub fn fail(&self, stream: &str, code: StatusCode) {
        tracing::warn!(stream, %code, "injecting a fault: requests are refused");
        self.service
            .set_fault(stream, Some(InjectedFault::Failing(code)));
    }

    /// Ends the fault that [`stall`](Self::stall) or [`fail`](Self::fail) injected. Requests that
    /// waited are carried out.
    pub fn clear(&self, stream: &str) {
        tracing::warn!(stream, "ending an injected fault");
        self.service.set_fault(stream, None);
    }

    /// Returns the streams with an injected fault, each with its fault.
    pub(super) fn list(&self) -> Vec<(String, InjectedFault)> {
        self.service.faults()
    }
}
