//! Failure domains of streams, between the task of a client and the writers that share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::FailureDomain;
use distributedlog::client::routing::StreamKey;

/// Maximum number of streams whose domains are kept; beyond it all are forgotten, and known again
/// from each stream's next attempt on.
const MAX_STREAMS: usize = 4096;

/// Failure domain of each stream, as of the last attempt that was started there.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedDomains(Arc<Mutex<HashMap<StreamKey, FailureDomain>>>);

impl SharedDomains {
    pub(crate) fn get(&self, stream: StreamKey) -> Option<FailureDomain> {
        self.lock().get(&stream).copied()
    }

    pub(super) fn set(&self, stream: StreamKey, domain: Option<FailureDomain>) {
        let mut domains = self.lock();
        let Some(domain) = domain else {
            domains.remove(&stream);
            return;
        };
        if domains.len() >= MAX_STREAMS && !domains.contains_key(&stream) {
            domains.clear();
        }
        domains.insert(stream, domain);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, FailureDomain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
