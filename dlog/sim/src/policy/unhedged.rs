use core::time::Duration;

use distributedlog::Instant;

use super::races::{Bell, Races};
use super::{Answer, Policy, Todo};

/// No hedging: a set waits for its stream. If that answers that it has no room, the next one is
/// tried, each once.
#[derive(Debug)]
pub struct Unhedged {
    races: Races,
    request_timeout: Duration,
}

impl Unhedged {
    /// One that writes to so many streams and gives a set up after `request_timeout`.
    #[must_use]
    pub fn new(streams: u16, request_timeout: Duration) -> Self {
        Self {
            races: Races::new(streams),
            request_timeout,
        }
    }
}

impl Policy for Unhedged {
    fn arrive(&mut self, now: Instant, set: u64, todo: &mut Todo) {
        self.races.begin(now, set);
        self.races.send(set, todo);
        self.races
            .arm(now + self.request_timeout, set, Bell::Deadline);
    }

    fn answered(&mut self, _now: Instant, answer: Answer, todo: &mut Todo) {
        if answer.stored {
            self.races.end(answer.set, true, todo);
        } else if self.races.settle(answer.set).is_some() && !self.races.send(answer.set, todo) {
            self.races.end(answer.set, false, todo);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.races.next_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, todo: &mut Todo) {
        while let Some((set, bell)) = self.races.ring(now) {
            match bell {
                Bell::Deadline => self.races.end(set, false, todo),
                Bell::Hedge => {}
            }
        }
    }
}
