//! Health of a store: asked again and again, so that a probe meets what a write would.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::LogStore;

/// Interval at which the store is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time in which it must answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of answers of the same kind in a row before the state changes: one slow answer does not
/// take the proxy out of its load balancer, and one good one does not bring it back.
const SAME_IN_A_ROW: u32 = 3;

/// The health of a store, which probes ask for.
#[derive(Debug)]
pub struct StoreHealth(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    /// `None` until the first answer.
    is_healthy: Option<bool>,
    /// Answers in a row that differ from the state.
    differing: u32,
    last_success: Option<Instant>,
    /// The last error, and the time of the first one since the last success.
    failure: Option<(String, Instant)>,
}

/// Answer to a probe. Its text goes on from "store: ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Writes are taken; the time since the store last answered so.
    Healthy(Duration),
    /// The store has not answered yet.
    Unknown,
    /// Writes would fail, with this error and for this long; the time since the last success.
    Unhealthy(String, Duration, Option<Duration>),
}

impl StoreHealth {
    /// Creates the health of a store that has not been asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Asks the store once a second, for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops asking.
    pub async fn watch(self: Arc<Self>, store: Arc<dyn LogStore>) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let result = match timeout(ANSWER_TIMEOUT, store.check_health()).await {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(_) => {
                    let seconds = ANSWER_TIMEOUT.as_secs();
                    Err(format!("the store does not answer within {seconds} s"))
                }
            };
            self.note(result, Instant::now());
        }
    }

    /// Takes an answer into account.
    fn note(&self, result: Result<(), String>, now: Instant) {
        self.0.send_modify(|state| state.note(result, now));
    }

    /// Returns the answer to a probe. Before the store was asked for the first time it waits for
    /// that, but not longer than the store may take.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn verdict(&self) -> Verdict {
        let mut states = self.0.subscribe();
        let asked = states.wait_for(|state| state.is_healthy.is_some());
        match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(state)) => state.verdict(Instant::now()),
            Ok(Err(_)) | Err(_) => Verdict::Unknown,
        }
    }
}

impl Default for StoreHealth {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn note(&mut self, result: Result<(), String>, now: Instant) {
        let is_healthy = result.is_ok();
        match result {
            Ok(()) => {
                self.last_success = Some(now);
                self.failure = None;
            }
            Err(error) => {
                let since = self.failure.take().map_or(now, |(_, since)| since);
                self.failure = Some((error, since));
            }
        }
        self.differing = match self.is_healthy {
            Some(before) if before == is_healthy => 0,
            Some(_) => self.differing + 1,
            // The first answer counts at once.
            None => SAME_IN_A_ROW,
        };
        if self.differing >= SAME_IN_A_ROW {
            (self.is_healthy, self.differing) = (Some(is_healthy), 0);
            match &self.failure {
                Some((error, _)) => tracing::warn!("the store takes no writes: {error}"),
                None => tracing::info!("the store takes writes"),
            }
        }
    }

    fn verdict(&self, now: Instant) -> Verdict {
        let since = |then: Instant| now.saturating_duration_since(then);
        let last_success = self.last_success.map(since);
        match (self.is_healthy, &self.failure) {
            (None, _) => Verdict::Unknown,
            (Some(false), Some((error, began))) => {
                Verdict::Unhealthy(error.clone(), since(*began), last_success)
            }
            // The last answers were good, but too few to trust them.
            (Some(false), None) => {
                let error = "the store has just begun to take writes again".to_owned();
                Verdict::Unhealthy(error, Duration::ZERO, last_success)
            }
            (Some(true), _) => Verdict::Healthy(last_success.unwrap_or_default()),
        }
    }
}

impl Verdict {
    /// Returns true if writes are taken.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy(ago) => write!(f, "it took writes {:.1} s ago", ago.as_secs_f64()),
            Self::Unknown => f.write_str("it has not answered yet"),
            Self::Unhealthy(error, since, last_success) => {
                write!(f, "{error} (for {} s, ", since.as_secs())?;
                match last_success {
                    Some(ago) => write!(f, "last success {} s ago)", ago.as_secs()),
                    None => f.write_str("no success so far)"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_changes_after_three_answers_of_the_other_kind() {
        let mut health = State::default();
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let is_healthy =
            |health: &State, second| matches!(health.verdict(at(second)), Verdict::Healthy(_));
        assert_eq!(health.verdict(start), Verdict::Unknown);
        health.note(Ok(()), at(0));
        assert!(is_healthy(&health, 0), "the first answer counts at once");
        let full = || Err("the disk is full".to_owned());
        for second in 1..=2 {
            health.note(full(), at(second));
            assert!(is_healthy(&health, second));
        }
        health.note(full(), at(3));
        let verdict = health.verdict(at(5));
        assert_eq!(
            verdict.to_string(),
            "the disk is full (for 4 s, last success 5 s ago)"
        );
        // Flapping: two good answers, then a bad one.
        for result in [Ok(()), Ok(()), full()] {
            health.note(result, at(6));
            assert!(!is_healthy(&health, 6));
        }
        for second in 7..=9 {
            assert!(!is_healthy(&health, second));
            health.note(Ok(()), at(second));
        }
        assert!(is_healthy(&health, 9));
    }

    #[test]
    fn a_store_that_never_answered_well_is_told_so() {
        let mut health = State::default();
        let start = Instant::now();
        health.note(Err("nobody listens there".to_owned()), start);
        assert_eq!(
            health.verdict(start).to_string(),
            "nobody listens there (for 0 s, no success so far)"
        );
    }
}
