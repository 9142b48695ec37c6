use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};

use distributedlog::client::routing::{Operation, RetryPolicy, StreamKey, Submission};
use distributedlog::wire::crc;
use distributedlog::{Attempt, AttemptId, Instant, Outcome, StartRefused, Transport};

use super::{Pending, Proxy};

/// Carries the record sets of a writer to the proxy.
pub struct Carrier(pub &'static Proxy);

impl Transport for Carrier {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let data = heapless::Vec::from_slice(attempt.record_set).map_err(|_| StartRefused)?;
        self.0.with(|state| {
            let outstanding = state.requests.iter().flatten().count();
            // Every outstanding attempt must have room in the queue when it finishes.
            if outstanding + state.finished.len() >= state.finished.capacity() {
                return Err(StartRefused);
            }
            let stream = state.streams[usize::from(attempt.stream.0)];
            let submission =
                Submission::to_stream(Operation::WriteRecordSet, StreamKey::of(stream))
                    .with_checksum(crc::write(stream, attempt.record_set))
                    .with_deadline(attempt.deadline)
                    // Another stream may be faster than a retry here.
                    .with_retry_policy(RetryPolicy::OneRound);
            let request = state
                .client
                .submit(now, submission)
                .map_err(|_| StartRefused)?;
            state.requests[request.index()] = Some(Pending {
                request,
                attempt: attempt.id,
                stream: attempt.stream,
                data,
            });
            Ok(())
        })
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        self.0.with(|state| {
            let outstanding = state.requests.iter_mut().find(|slot| {
                slot.as_ref()
                    .is_some_and(|pending| pending.attempt == attempt)
            });
            if let Some(pending) = outstanding.and_then(Option::take) {
                state.client.cancel(now, pending.request);
            }
        });
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        loop {
            if let Some(finished) = self.0.state.borrow_mut().finished.pop_front() {
                return Poll::Ready(finished);
            }
            // The signal may be that of an attempt that was taken already.
            if pin!(self.0.finished.wait()).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
