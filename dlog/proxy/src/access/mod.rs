//! Who may do what: the client of a connection or a request, the rules of the authorisation file,
//! limits of each client, and the audit log. docs/security.md is the contract.
//!
//! A request passes if neither the rules, `--admin-from`, `--read-only` nor a token refuse it. What
//! is here reads no clock and no socket: times and certificates are arguments.

mod audit;
mod caller;
mod limits;
mod operation;
mod pattern;
mod principal;
mod rules;
mod stats;
mod tokens;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use distributedlog::Instant;

pub(crate) use audit::AuditEvent;
pub use audit::AuditLog;
pub(crate) use caller::{Caller, Requested, over_limit};
use limits::Buckets;
pub(crate) use operation::{Operation, Operations, Scope};
pub(crate) use principal::{Authentication, Principal};
pub use rules::AuthorizationError;
use rules::{Grants, Rules};
pub(crate) use stats::AccessStats;
pub use tokens::{HttpTokens, HttpTokensError};

/// Maximum number of clients whose rules and limits are kept. Those without a connection are
/// dropped for others, which gives them the requests of a second anew.
const MAX_CLIENTS: usize = 4096;

/// The rules of an authorisation file. Clones share them, also when they are
/// [replaced](Self::reload_file).
#[derive(Clone)]
pub struct Authorization(Arc<Shared>);

struct Shared {
    rules: RwLock<Arc<Rules>>,
    /// Number of times that the rules were replaced.
    generation: AtomicU64,
}

impl Authorization {
    /// Reads an authorisation file: TOML, with `[[rule]]` and `[[limit]]`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is wrong at a line that the error names.
    pub fn from_file(path: &Path) -> Result<Self, AuthorizationError> {
        Ok(Self::of(Rules::from_file(path)?))
    }

    fn of(rules: Rules) -> Self {
        Self(Arc::new(Shared {
            rules: RwLock::new(Arc::new(rules)),
            generation: AtomicU64::new(0),
        }))
    }

    /// Takes the text of a file.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Self {
        Self::of(Rules::parse(text).expect("valid rules"))
    }

    /// Reads other rules from a file. Requests that come from now on are held against those, also
    /// at a running proxy that has a clone of this value.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file). Nothing has changed then.
    pub fn reload_file(&self, path: &Path) -> Result<(), AuthorizationError> {
        let rules = Arc::new(Rules::from_file(path)?);
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        // After the rules: who sees the new number sees them too.
        self.0.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization")
    }
}

/// Reason why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No rule allows it.
    NoRule(Cow<'static, str>),
    /// The client has used up its limit; it may try again after this time.
    OverLimit(Duration),
}

/// What the rules say of one client, and what it has used of its limits.
#[derive(Debug)]
pub(crate) struct ClientState {
    generation: u64,
    grants: Grants,
    buckets: Option<Mutex<Buckets>>,
}

/// The rules, as the requests of a proxy are held against them.
#[derive(Debug)]
pub(crate) struct Access {
    authorization: Option<Authorization>,
    pub(crate) tokens: Option<HttpTokens>,
    pub(crate) audit: Option<AuditLog>,
    /// Bounded: [`MAX_CLIENTS`].
    clients: Mutex<HashMap<Principal, Arc<ClientState>>>,
}

impl Access {
    pub(crate) fn new(
        authorization: Option<Authorization>,
        tokens: Option<HttpTokens>,
        audit: Option<AuditLog>,
    ) -> Self {
        Self {
            authorization,
            tokens,
            audit,
            clients: Mutex::default(),
        }
    }

    /// Returns true without an authorisation file: every request is allowed.
    pub(crate) const fn is_open(&self) -> bool {
        self.authorization.is_none()
    }

    /// Returns the state of a client, or `None` without an authorisation file.
    fn client(&self, principal: &Principal) -> Option<Arc<ClientState>> {
        let authorization = self.authorization.as_ref()?;
        let generation = authorization.generation();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = clients.get(principal)
            && state.generation == generation
        {
            return Some(Arc::clone(state));
        }
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(principal) {
            clients.retain(|_, state| Arc::strong_count(state) > 1);
        }
        let rules = &authorization.0.rules;
        let rules = Arc::clone(&rules.read().unwrap_or_else(PoisonError::into_inner));
        let state = Arc::new(ClientState {
            generation,
            grants: rules.grants(principal),
            buckets: rules
                .rates(principal)
                .map(|rates| Mutex::new(Buckets::new(rates))),
        });
        // A client beyond the bound keeps its state for as long as its connection lasts.
        if clients.len() < MAX_CLIENTS || clients.contains_key(principal) {
            clients.insert(principal.clone(), Arc::clone(&state));
        }
        Some(state)
    }

    /// Returns true if the state is that of the current rules.
    fn is_current(&self, state: Option<&Arc<ClientState>>) -> bool {
        match (&self.authorization, state) {
            (Some(authorization), Some(state)) => state.generation == authorization.generation(),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl ClientState {
    fn admit(&self, now: Instant, bytes: u64) -> Result<(), Denied> {
        let Some(buckets) = &self.buckets else {
            return Ok(());
        };
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.admit(now, bytes).map_err(Denied::OverLimit)
    }

    fn charge(&self, now: Instant, bytes: u64) {
        if let Some(buckets) = &self.buckets {
            let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
            buckets.charge(now, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    #[test]
    fn the_table_of_clients_is_bounded_and_keeps_those_with_connections() {
        let rules = "[[limit]]\nprincipals = [\"*\"]\nrequests_per_second = 1\n";
        let access = Access::new(Some(Authorization::parse(rules)), None, None);
        let named = |number: usize| Principal::of_token(format!("client-{number}").into());
        let connected = access.client(&named(0)).expect("there are rules");
        connected.admit(Instant::ZERO, 0).expect("the first");
        for number in 0..3 * MAX_CLIENTS {
            access.client(&named(number)).expect("there are rules");
        }
        assert!(access.clients.lock().expect("no panic").len() <= MAX_CLIENTS);
        let again = access.client(&named(0)).expect("there are rules");
        assert!(again.admit(Instant::ZERO, 0).is_err(), "it is the same one");
        let unknown = Principal::of_address(IpAddr::from([10, 0, 0, 5]));
        let open = Access::new(None, None, None);
        assert!(open.client(&unknown).is_none());
    }
}
