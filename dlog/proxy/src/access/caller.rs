use core::time::Duration;
use std::sync::Arc;

use distributedlog::Instant;

use super::{Access, ClientState, Denied, Operation, Operations, Principal, Scope};

/// The client of a connection or of a request, with what the rules say of it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    state: Option<Arc<ClientState>>,
}

/// A request, as the rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requested<'a> {
    pub(crate) operation: Operation,
    pub(crate) scope: Scope<'a>,
    /// Payload bytes that it would write, as far as they are known.
    pub(crate) bytes: u64,
}

impl Caller {
    pub(crate) fn new(access: &Access, principal: Principal) -> Self {
        let state = access.client(&principal);
        Self { principal, state }
    }

    /// Takes over rules that were reloaded since.
    fn refresh(&mut self, access: &Access) {
        if !access.is_current(self.state.as_ref()) {
            self.state = access.client(&self.principal);
        }
    }

    /// Checks a request against the rules, and then against the client's limits.
    ///
    /// # Errors
    ///
    /// No rule allows it, or a limit is used up.
    pub(crate) fn check(
        &mut self,
        access: &Access,
        now: Instant,
        requested: &Requested<'_>,
    ) -> Result<(), Denied> {
        self.refresh(access);
        let Some(state) = &self.state else {
            return Ok(());
        };
        let Requested {
            operation,
            scope,
            bytes,
        } = *requested;
        if !state.grants.allow(operation, scope) {
            let (who, what) = (&self.principal, operation.verb());
            let why = format!("{who} may not {what} {scope}: no rule of this proxy allows it");
            return Err(Denied::NoRule(why.into()));
        }
        state.admit(now, bytes)
    }

    /// Returns true if the client may do this. Takes nothing of its limits.
    pub(crate) fn may(&self, operation: Operation, scope: Scope<'_>) -> bool {
        let state = self.state.as_ref();
        state.is_none_or(|state| state.grants.allow(operation, scope))
    }

    /// Takes bytes of the client's limit that were not known when their request was admitted.
    pub(crate) fn charge(&self, now: Instant, bytes: u64) {
        if let Some(state) = &self.state {
            state.charge(now, bytes);
        }
    }

    /// Returns what the client may do with some stream, and each pattern with what it may do there.
    pub(crate) fn grants(&self) -> (Operations, Vec<(String, Operations)>) {
        match &self.state {
            None => (Operations::ALL, vec![("*".to_owned(), Operations::ALL)]),
            Some(state) => {
                let each = state.grants.each();
                let each = each
                    .map(|(pattern, may)| (pattern.to_owned(), may))
                    .collect();
                (state.grants.anywhere(), each)
            }
        }
    }
}

/// Returns the text of a refusal because of a limit.
pub(crate) fn over_limit(principal: &Principal, wait: Duration) -> String {
    let ms = wait.as_millis().max(1);
    format!("{principal} has used up its limit at this proxy: try again in {ms} ms")
}
