use std::sync::Arc;

use distributedlog::StatusCode;

use super::machine::Fault;
use super::service::Service;

/// Makes single streams misbehave, for tests and demonstrations.
#[derive(Clone, Debug)]
pub struct FaultSwitch {
    service: Arc<Service>,
}

impl FaultSwitch {
    pub(super) const fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    /// Lets requests to `stream` wait until [`clear`](Self::clear) is called. Nothing of them is
    /// written meanwhile.
    pub fn stall(&self, stream: &str) {
        tracing::warn!(stream, "stalled on purpose");
        self.service.set_fault(stream, Some(Fault::Stalled));
    }

    /// Answers new requests to `stream` with `code`, without writing anything.
    pub fn fail(&self, stream: &str, code: StatusCode) {
        tracing::warn!(stream, %code, "fails on purpose");
        self.service.set_fault(stream, Some(Fault::Failing(code)));
    }

    /// Ends what [`stall`](Self::stall) and [`fail`](Self::fail) did. Requests that waited are
    /// carried out.
    pub fn clear(&self, stream: &str) {
        tracing::warn!(stream, "no longer misbehaves on purpose");
        self.service.set_fault(stream, None);
    }

    /// Which streams misbehave, and how.
    pub(super) fn list(&self) -> Vec<(String, Fault)> {
        self.service.faults()
    }
}
