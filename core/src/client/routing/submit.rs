use super::requests::{Request, Stage};
use super::{Client, Counters, StreamKey, Submission, SubmitError, Target};
use crate::client::RequestId;
use crate::tables::Memory;
use crate::wire::service::WriteContext;
use crate::{Instant, WriteState};

/// Commands.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Inserts the streams into the table of owners before their first request, so that their
    /// distances on the ring are computed together: each host costs [`REPLICAS`](super::REPLICAS)
    /// hashes for any number of streams, instead of that many for each stream. Optional; streams
    /// beyond `STREAMS` are left out.
    pub fn prepare(&mut self, streams: &[StreamKey]) {
        for stream in streams {
            self.streams.prepare(*stream);
        }
    }

    /// Takes a request. Its bytes stay with the caller, who encodes them on
    /// [`Action::Send`](super::Action::Send).
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; nothing was kept.
    pub fn submit(
        &mut self,
        now: Instant,
        submission: Submission,
    ) -> Result<RequestId, SubmitError> {
        self.advance_clock(now);
        if self.closing.is_some() {
            return Err(SubmitError::Closed);
        }
        if let Target::Host(host) = submission.target
            && self.hosts.find(host).is_none()
        {
            return Err(SubmitError::UnknownHost);
        }
        let index = self.requests.take().ok_or(SubmitError::Full)?;
        let timeout = self
            .settings
            .request_timeout
            .map_or(Instant::MAX, |timeout| self.now + timeout);
        let request = &mut self.requests[index];
        request.operation = submission.operation;
        request.target = submission.target;
        request.retry_policy = submission.retry_policy;
        request.resend = submission.resend.unwrap_or(self.settings.resend);
        request.checksum = submission.checksum.filter(|_| self.settings.checksum);
        request.deadline = submission.deadline.unwrap_or(Instant::MAX).min(timeout);
        let Request { deadline, .. } = *request;
        self.counters.submitted += 1;
        if deadline <= self.now {
            self.expire(index);
        } else {
            self.route(index);
        }
        Ok(self.requests.id(index))
    }

    /// Takes a request back: no `Complete` follows, but perhaps a `Discard`. What is known of it;
    /// [`None`] when it has ended, and its `Complete` follows or was there already.
    pub fn cancel(&mut self, now: Instant, request: RequestId) -> Option<WriteState> {
        self.advance_clock(now);
        let index = self.requests.find(request)?;
        let Request {
            stage,
            maybe_written,
            ..
        } = self.requests[index];
        if stage == Stage::Ended {
            return None;
        }
        self.counters.cancelled += 1;
        self.end(index, None);
        Some(if stage == Stage::InFlight || maybe_written {
            WriteState::Unknown
        } else {
            WriteState::NotWritten
        })
    }

    /// Requests a handshake with every connected host now, ownerships included, instead of after
    /// the interval.
    pub fn handshake(&mut self, now: Instant) {
        self.advance_clock(now);
        for host in 0..self.hosts.len() {
            self.request_handshake(host, true);
        }
    }

    /// Takes no more requests. Those in flight continue until `deadline`, when the rest fails with
    /// [`Cause::Closed`](crate::Cause::Closed). Connections are closed when the last request has
    /// ended. A second call changes the deadline.
    pub fn close(&mut self, now: Instant, deadline: Instant) {
        self.advance_clock(now);
        self.closing = Some(deadline);
    }
}

/// Getters that concern requests.
impl<const HOSTS: usize, const STREAMS: usize, const REQUESTS: usize, M: Memory>
    Client<HOSTS, STREAMS, REQUESTS, M>
{
    /// Returns the `WriteContext` to send with the request now: the hosts that it was sent to,
    /// including the current one; its checksum; and the record set flag. `texts` is a buffer for
    /// the hosts. Returns `None` if the request has ended.
    pub fn write_context<'c>(
        &'c self,
        request: RequestId,
        texts: &'c mut [&'c str; HOSTS],
    ) -> Option<WriteContext<'c>> {
        let request = &self.requests[self.requests.find(request)?];
        let mut count = 0;
        for (text, host) in texts.iter_mut().zip(request.sent_to.iter()) {
            *text = self.hosts[host].text();
            count += 1;
        }
        Some(WriteContext {
            tried_hosts: Some((&texts[..count]).into()),
            crc32: request.checksum.map(i64::from),
            is_record_set: request.operation.is_record_set().then_some(true),
            ..WriteContext::default()
        })
    }

    /// Returns the number of requests in flight, including those that ended and whose `Complete`
    /// was not polled yet.
    #[must_use]
    pub const fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Returns the counters.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }
}
