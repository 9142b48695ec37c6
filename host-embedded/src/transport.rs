use core::task::{Context, Poll};

use distributedlog::client::routing::{Operation, RetryPolicy, StreamKey, Submission};
use distributedlog::wire::crc;
use distributedlog::{
    Advice, Attempt, AttemptId, Cause, Clock, Failure, Instant, Outcome, StartRefused, Transport,
    WriteState, report,
};

use crate::ProxyClient;
use crate::state::{ClientState, Pending};

/// Carries the record sets of a writer to proxies. Made by
/// [`ProxyClient::transport`](crate::ProxyClient::transport).
#[derive(Debug)]
pub struct ProxyTransport<
    'c,
    'a,
    C: Clock,
    const HOSTS: usize,
    const STREAMS: usize,
    const REQUESTS: usize,
>(pub(crate) &'c ProxyClient<'a, C, HOSTS, STREAMS, REQUESTS>);

impl<C: Clock, const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize> Transport
    for ProxyTransport<'_, '_, C, HOSTS, STREAMS, REQUESTS>
{
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        self.0.with(|state, _| state.start(now, attempt))
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        self.0.with(|state, _| {
            let outstanding = state
                .requests
                .iter_mut()
                .find_map(|slot| slot.take_if(|pending| pending.attempt == attempt));
            if let Some(pending) = outstanding {
                state.routing.cancel(now, pending.request);
            }
        });
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        let mut state = self.0.state.borrow_mut();
        match state.finished.pop_front() {
            Some(finished) => Poll::Ready(finished),
            None => {
                state.wakers.transport = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize>
    ClientState<'_, HOSTS, STREAMS, REQUESTS>
{
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let outstanding = self.requests.iter().flatten().count();
        // Every outstanding attempt must have room in the queue when it finishes.
        if outstanding + self.finished.len() >= REQUESTS {
            return Err(StartRefused);
        }
        let stream = *self
            .streams
            .get(usize::from(attempt.stream.0))
            .ok_or(StartRefused)?;
        if attempt.record_set.len() > self.set_bytes {
            // No attempt can succeed: the buffer is smaller than the writer's sets.
            let failure = Failure::new(
                Cause::TransportFull,
                WriteState::NotWritten,
                Advice::FailRecords,
            );
            let has_room = self.finished.push_back((attempt.id, Err(failure)));
            return has_room.map_err(|_| StartRefused);
        }
        if attempt.earlier_attempts > 0 {
            report!(debug, "a set goes to stream {} too", attempt.stream.0);
        }
        let submission = Submission::to_stream(Operation::WriteRecordSet, StreamKey::of(stream))
            .with_checksum(crc::write(stream, attempt.record_set))
            .with_deadline(attempt.deadline)
            // Another stream may be faster than a retry here.
            .with_retry_policy(RetryPolicy::OneRound);
        let request = self
            .routing
            .submit(now, submission)
            .map_err(|_| StartRefused)?;
        let begin = request.index() * self.set_bytes;
        let len = attempt.record_set.len();
        self.sets[begin..begin + len].copy_from_slice(attempt.record_set);
        self.requests[request.index()] = Some(Pending {
            request,
            attempt: attempt.id,
            stream: attempt.stream,
            len,
        });
        Ok(())
    }
}
