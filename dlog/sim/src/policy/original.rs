use core::time::Duration;

use distributedlog::Instant;

use super::races::{Bell, Races};
use super::{Answer, Policy, Todo};

/// The algorithm of Apache DistributedLog 0.5.0's `DistributedLogMultiStreamWriter`, with its
/// faults:
///
/// - The speculative timeout is one field that all sets share: it grows with every attempt that is
///   timed and is never set back.
/// - When a set was sent to every stream, the next timer or failure fails it, whatever is still
///   outstanding and however much time is left.
/// - The request timeout is looked at only then.
///
/// Not modelled: a loser that fails after its set was written sends the set once more.
#[derive(Debug)]
pub struct Original {
    races: Races,
    settings: OriginalSettings,
    /// The field.
    next_speculative: Duration,
}

#[derive(Clone, Copy, Debug)]
struct OriginalSettings {
    request_timeout: Duration,
    max: Duration,
    multiplier: f64,
}

impl Original {
    /// One that writes to so many streams with these timeouts.
    #[must_use]
    pub fn new(
        streams: u16,
        request_timeout: Duration,
        first: Duration,
        max: Duration,
        multiplier: f64,
    ) -> Self {
        let settings = OriginalSettings {
            request_timeout,
            max,
            multiplier,
        };
        Self {
            races: Races::new(streams),
            settings,
            next_speculative: first,
        }
    }

    /// `sendNextWrite`: to the next stream, unless the set failed by that; whether it was sent.
    fn send_next(&mut self, now: Instant, set: u64, todo: &mut Todo) -> bool {
        let Some(race) = self.races.get(set) else {
            return false;
        };
        if now.since(race.began) > self.settings.request_timeout || !self.races.send(set, todo) {
            self.races.end(set, false, todo);
            return false;
        }
        true
    }

    /// `issueSpeculativeRequest`: sends and sets the timer for the next time.
    fn speculate(&mut self, now: Instant, set: u64, todo: &mut Todo) {
        if self.send_next(now, set, todo) {
            self.races
                .arm(now + self.next_speculative, set, Bell::Hedge);
            self.next_speculative = self
                .next_speculative
                .mul_f64(self.settings.multiplier)
                .min(self.settings.max);
        }
    }
}

impl Policy for Original {
    fn arrive(&mut self, now: Instant, set: u64, todo: &mut Todo) {
        self.races.begin(now, set);
        self.speculate(now, set, todo);
    }

    fn answered(&mut self, now: Instant, answer: Answer, todo: &mut Todo) {
        if answer.stored {
            self.races.end(answer.set, true, todo);
        } else if self.races.settle(answer.set).is_some() {
            self.send_next(now, answer.set, todo);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.races.next_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, todo: &mut Todo) {
        while let Some((set, bell)) = self.races.ring(now) {
            match bell {
                Bell::Hedge => self.speculate(now, set, todo),
                Bell::Deadline => {}
            }
        }
    }
}
