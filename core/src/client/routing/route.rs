use super::hosts::Hosts;
use super::requests::{Request, Stage};
use super::rules::may_resend;
use super::sets::HostSet;
use super::{Client, Link, RetryPolicy, Settings, StreamKey, Success, Target};
use crate::tables::{Memory, Queue};
use crate::{Cause, Failure, Instant, StatusCode, WriteState};

/// Routing of requests. Every method here leaves its request in exactly one state: in a queue,
/// waiting for its timer, or ended.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Chooses a host for a request that is in no queue.
    pub(super) fn route(&mut self, index: usize) {
        let Request { target, tried, .. } = self.requests[index];
        let stream = match target {
            Target::Stream(stream) => stream,
            Target::Host(host) => {
                return match self.hosts.find(host) {
                    Some(host) if self.hosts[host].is_open() => self.dispatch(index, host),
                    Some(_) | None => self.fail(index, Failure::not_sent(Cause::Unreachable)),
                };
            }
        };
        if let Some(owner) = self.streams.look_up_owner(stream)
            && !tried.contains(owner)
            && self.hosts[owner].is_open()
        {
            self.counters.owner_hits += 1;
            return self.route_to(index, owner);
        }
        self.counters.owner_misses += 1;
        match self.pick(stream, tried) {
            Some(host) => self.route_to(index, host),
            None => self.end_round(index),
        }
    }

    /// The first host clockwise from the stream that is open and not among `tried`. Hosts that take
    /// no new streams come after all others, and at the very last a host that only other
    /// proxies named, if it is connected: better than none.
    pub(super) fn pick(&mut self, stream: StreamKey, tried: HostSet) -> Option<usize> {
        let is_candidate = |index: usize, takes_streams: bool, hosts: &Hosts<HOSTS, M>| {
            let host = &hosts[index];
            host.in_ring
                && host.is_open()
                && host.takes_streams() == takes_streams
                && !tried.contains(index)
        };
        for takes_streams in [true, false] {
            let mut candidates = (0..self.hosts.len())
                .filter(|index| is_candidate(*index, takes_streams, &self.hosts));
            let Some(first) = candidates.next() else {
                continue;
            };
            if candidates.next().is_none() {
                // No need to measure how near the only one is.
                return Some(first);
            }
            let mut nearest = (u64::MAX, first);
            for index in first..self.hosts.len() {
                if is_candidate(index, takes_streams, &self.hosts) {
                    let distance = self
                        .streams
                        .distance(stream, index, self.hosts[index].places());
                    nearest = nearest.min((distance, index));
                }
            }
            return Some(nearest.1);
        }
        (0..self.hosts.len()).find(|index| {
            let host = &self.hosts[*index];
            host.is_open()
                && host.link == Link::Connected
                && host.takes_streams()
                && !tried.contains(*index)
        })
    }

    /// Sends the request to the host, after a wait if it was there before.
    pub(super) fn route_to(&mut self, index: usize, host: usize) {
        let Request {
            sent_to,
            tries,
            deadline,
            ..
        } = self.requests[index];
        if self.is_out_of_attempts(index) {
            return self.fail(index, Failure::not_sent(Cause::TooManyRedirects));
        }
        if !sent_to.contains(host) {
            return self.dispatch(index, host);
        }
        let wait = self
            .settings
            .redirect_backoff_start
            .saturating_mul(tries.into())
            .min(self.settings.redirect_backoff_max);
        self.requests[index].stage = Stage::Backoff(Some(self.hosts.id(host)));
        self.requests
            .set_timer(index, (self.now + wait).min(deadline));
    }

    /// Returns `true` if the request was sent the maximum number of times.
    pub(super) fn is_out_of_attempts(&self, index: usize) -> bool {
        let Request {
            tries, deadline, ..
        } = self.requests[index];
        let endless = (deadline == Instant::MAX).then_some(Settings::MAX_ENDLESS_REDIRECTS);
        self.settings
            .max_redirects
            .or(endless)
            .is_some_and(|most| tries >= most)
    }

    /// Assigns the request to the host: it is sent at once, or waits for the connection or for a
    /// free slot on it.
    pub(super) fn dispatch(&mut self, index: usize, host: usize) {
        let (id, attempt_deadline) = (self.hosts.id(host), self.attempt_deadline(index));
        let slot = &mut self.hosts[host];
        slot.last_used = self.now;
        let sends = slot.has_room() && slot.waiting.is_empty();
        let request = &mut self.requests[index];
        request.host = Some(id);
        if sends {
            self.reserve_slot(index, host);
        } else {
            request.stage = Stage::Waiting;
            self.requests.push_back(&mut slot.waiting, index);
            if slot.link == Link::Idle {
                self.connect(host);
            }
        }
        self.requests.set_timer(index, attempt_deadline);
    }

    /// Returns the time until which a host may answer a request that it gets now.
    fn attempt_deadline(&self, index: usize) -> Instant {
        let Request {
            retry_policy,
            deadline,
            ..
        } = self.requests[index];
        if retry_policy == RetryPolicy::OneRoundUntilDeadline && deadline != Instant::MAX {
            return deadline;
        }
        (self.now + self.settings.attempt_timeout).min(deadline)
    }

    /// There is no host that was not tried.
    fn end_round(&mut self, index: usize) {
        let Request {
            retry_policy,
            deadline,
            last_failure,
            ..
        } = self.requests[index];
        if !self.resolved {
            // No host is known yet at all: wait for the names, as long as one would wait for a
            // host.
            return self.park(index, self.attempt_deadline(index));
        }
        if retry_policy != RetryPolicy::UntilDeadline || deadline == Instant::MAX {
            return self.fail(
                index,
                last_failure.unwrap_or_else(|| self.no_host_failure()),
            );
        }
        let request = &mut self.requests[index];
        request.tried = HostSet::NONE;
        request.rounds = request.rounds.saturating_add(1);
        if !(0..self.hosts.len()).any(|host| self.hosts[host].is_open()) {
            // The first host that returns wakes it.
            return self.park(index, deadline);
        }
        let rounds = u32::from(request.rounds);
        let wait = self
            .settings
            .redirect_backoff_start
            .saturating_mul(rounds)
            .min(self.settings.redirect_backoff_max);
        request.stage = Stage::Backoff(None);
        let wait = self.jittered(wait);
        self.requests
            .set_timer(index, (self.now + wait).min(deadline));
    }

    fn park(&mut self, index: usize, until: Instant) {
        self.requests[index].stage = Stage::Parked;
        self.requests.push_back(&mut self.parked, index);
        self.requests.set_timer(index, until);
    }

    /// Routes all requests that wait for a host: one can be tried again.
    pub(super) fn unpark(&mut self) {
        let parked = core::mem::replace(&mut self.parked, Queue::EMPTY);
        self.route_all(parked, |_| {});
    }

    /// Routes a request that failed at the host, and is in no queue, elsewhere if that is safe.
    /// `answered` is `true` if the host replied, `false` if its connection was lost.
    pub(super) fn reroute(&mut self, index: usize, host: usize, failure: Failure, answered: bool) {
        let request = &mut self.requests[index];
        request.note_failure(failure);
        let resends = may_resend(request.operation, request.resend, failure.known, answered);
        if !resends || matches!(request.target, Target::Host(_)) {
            return self.fail(index, failure);
        }
        request.maybe_written |= failure.known == WriteState::Unknown;
        request.tried.insert(host);
        self.counters.reroutes += 1;
        self.route(index);
    }

    /// The request's time is over, or its host's.
    pub(super) fn expire(&mut self, index: usize) {
        let Request {
            stage,
            last_failure,
            ..
        } = self.requests[index];
        let timed_out = Failure::not_sent(Cause::TimedOut);
        let failure = match stage {
            Stage::InFlight => Failure::unanswered(Cause::TimedOut),
            Stage::Parked => last_failure.unwrap_or_else(|| self.no_host_failure()),
            // A proxy's answer says more than that the time was over before the next attempt.
            Stage::Free
            | Stage::Between
            | Stage::Sending
            | Stage::Waiting
            | Stage::Backoff(_)
            | Stage::Ended => last_failure
                .filter(|failure| failure.cause.is_answer())
                .unwrap_or(timed_out),
        };
        self.counters.timeouts += u64::from(stage != Stage::Parked);
        self.fail(index, failure);
    }

    /// Returns the failure of a request for which there is no host, and that was sent to none: the
    /// answer of a proxy that serves nothing at present, or that none could be reached.
    fn no_host_failure(&self) -> Failure {
        let answered = (0..self.hosts.len())
            .map(|host| &self.hosts[host])
            .any(|host| host.used && host.in_ring && host.unavailable_until.is_some());
        Failure::not_sent(if answered {
            Cause::Status(StatusCode::ServiceUnavailable)
        } else {
            Cause::Unreachable
        })
    }

    pub(super) fn fail(&mut self, index: usize, failure: Failure) {
        let maybe_written = self.requests[index].maybe_written;
        let failure = match failure.known {
            WriteState::Unknown => failure,
            WriteState::NotWritten | WriteState::Rejected if !maybe_written => failure,
            // This attempt did not write, but an earlier one may have.
            WriteState::NotWritten | WriteState::Rejected => Failure {
                known: WriteState::Unknown,
                ..failure
            },
        };
        self.counters.failed += 1;
        self.end(index, Some(Err(failure)));
    }

    pub(super) fn succeed(&mut self, index: usize, answer: Success) {
        self.counters.succeeded += 1;
        self.end(index, Some(Ok(answer)));
    }

    /// Takes the request out of its queue and ends it; `result` is [`None`] when its caller took it
    /// back.
    pub(super) fn end(&mut self, index: usize, result: Option<Result<Success, Failure>>) {
        let stage = self.requests[index].stage;
        debug_assert!(
            !matches!(stage, Stage::Free | Stage::Ended),
            "a request ends once"
        );
        self.detach(index);
        self.requests.clear_timer(index);
        let request = &mut self.requests[index];
        // The host that still has to reply gets a discard.
        request.discard = stage == Stage::InFlight;
        request.stage = Stage::Ended;
        request.result = result;
        let host = request.host;
        self.requests.push_back(&mut self.ready, index);
        if let Some(host) = host
            .filter(|_| stage == Stage::InFlight)
            .and_then(|host| self.hosts.find(host))
        {
            // It may be what a host that takes nothing new was still kept for.
            self.close_if_done(host);
        }
    }

    /// Takes the request out of its queue.
    pub(super) fn detach(&mut self, index: usize) {
        let Request { stage, host, .. } = self.requests[index];
        let kept = host
            .filter(|_| stage == Stage::Sending)
            .and_then(|host| self.hosts.find(host));
        let host = host.map_or(0, |host| host.index());
        let queue = match stage {
            Stage::Sending => Some(&mut self.ready),
            // A host is not forgotten while it has requests in its queues.
            Stage::Waiting => Some(&mut self.hosts[host].waiting),
            Stage::InFlight => Some(&mut self.hosts[host].awaited),
            Stage::Parked => Some(&mut self.parked),
            Stage::Free | Stage::Between | Stage::Backoff(_) => None,
            Stage::Ended => {
                unreachable!("a request that ended stays in the ready list until it is completed")
            }
        };
        if let Some(queue) = queue {
            self.requests.remove(queue, index);
        }
        self.requests[index].stage = Stage::Between;
        if let Some(host) =
            kept.filter(|host| self.hosts[*host].epoch == self.requests[index].epoch)
        {
            // The slot that was reserved for it on the connection is free.
            self.release(host);
        }
    }

    /// Prepares the request, which is in no queue, for sending to the host, and reserves a slot on
    /// the connection for it.
    pub(super) fn reserve_slot(&mut self, index: usize, host: usize) {
        let slot = &mut self.hosts[host];
        slot.in_flight += 1;
        let request = &mut self.requests[index];
        (request.stage, request.epoch) = (Stage::Sending, slot.epoch);
        self.requests.push_back(&mut self.ready, index);
    }

    /// Routes anew all of a queue, whose owner has given it up.
    pub(super) fn route_all(&mut self, mut queue: Queue, mut change: impl FnMut(&mut Request)) {
        while let Some(index) = self.requests.pop_front(&mut queue) {
            let request = &mut self.requests[index];
            request.stage = Stage::Between;
            change(request);
            self.route(index);
        }
    }

    /// Between half of it and all of it.
    pub(super) fn jittered(&mut self, length: core::time::Duration) -> core::time::Duration {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        core::time::Duration::from_micros(micros - self.random.up_to(micros / 2))
    }
}
