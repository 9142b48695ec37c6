use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::Settings;
use distributedlog_store::frames::WriteRate;

/// The timeouts of a connection.
///
/// There is one sleep for all of them. It is moved only when it would come too late, so a busy
/// connection hardly ever touches it; if it comes too early, nothing has expired.
#[derive(Debug)]
pub(super) struct ConnectionTimers {
    handshake: Duration,
    frame: Duration,
    write: Duration,
    idle: Option<Duration>,
    frame_since: Option<Instant>,
    /// Number of the frame that `frame_since` belongs to.
    frame_number: u64,
    write_since: Option<Instant>,
    /// Bytes that the client took since `write_since`.
    taken: usize,
    /// Bytes that it must take in each write timeout.
    min_taken: usize,
    idle_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Events that a connection waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AwaitedEvents {
    /// The rest of the frame with this number.
    pub(super) frame: Option<u64>,
    /// True if that is the client's first frame.
    pub(super) first: bool,
    /// The peer reads.
    pub(super) write: bool,
    /// Any event, with nothing in flight.
    pub(super) idle: bool,
}

/// A timeout that expired, with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpiredTimeout {
    /// A client's first frame was not complete in time.
    Handshake(Duration),
    /// A later frame was not complete in time.
    Frame(Duration),
    /// A client took less of its replies than the minimum rate.
    Write(Duration),
    /// The connection was idle for too long.
    Idle(Duration),
}

impl ConnectionTimers {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            taken: 0,
            min_taken: min_taken(settings),
            handshake: settings.handshake_timeout,
            frame: settings.frame_timeout,
            write: settings.write_timeout,
            idle: settings.idle_timeout,
            frame_since: None,
            frame_number: 0,
            write_since: None,
            idle_since: None,
            sleep: None,
        }
    }

    /// Notes that some bytes came from the client: the silence begins anew.
    pub(super) const fn received(&mut self) {
        self.idle_since = None;
    }

    /// Notes that the client took `count` bytes, and whether these were all.
    pub(super) const fn wrote(&mut self, count: usize, all: bool) {
        self.taken = self.taken.saturating_add(count);
        if all || self.taken >= self.min_taken {
            self.write_since = None;
            self.taken = 0;
        }
    }

    /// Returns the timeout that has expired for a connection that waits for `waits`. Otherwise
    /// registers the task for the next one.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        waits: &AwaitedEvents,
    ) -> Poll<ExpiredTimeout> {
        let mut now = None;
        let mut now = || *now.get_or_insert_with(Instant::now);
        let &AwaitedEvents {
            frame,
            first,
            write,
            idle,
        } = waits;
        if frame.is_some_and(|number| number != self.frame_number) {
            self.frame_number = frame.unwrap_or(0);
            self.frame_since = None;
        }
        let frame = frame.is_some();
        let idle = idle && !frame && self.idle.is_some();
        for (since, is) in [
            (&mut self.frame_since, frame),
            (&mut self.write_since, write),
            (&mut self.idle_since, idle),
        ] {
            match (is, &since) {
                (true, None) => *since = Some(now()),
                (false, Some(_)) => *since = None,
                (true, Some(_)) | (false, None) => {}
            }
        }
        let frame_limit = if first {
            ExpiredTimeout::Handshake(self.handshake)
        } else {
            ExpiredTimeout::Frame(self.frame)
        };
        let limits = [
            (self.frame_since, frame_limit),
            (self.write_since, ExpiredTimeout::Write(self.write)),
            (
                self.idle_since,
                ExpiredTimeout::Idle(self.idle.unwrap_or(Duration::MAX)),
            ),
        ];
        let ends = limits
            .into_iter()
            .filter_map(|(since, limit)| Some((since?.checked_add(limit.length())?, limit)));
        let next = ends.min_by_key(|(at, _)| *at);
        let Some((at, limit)) = next else {
            return Poll::Pending;
        };
        loop {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if sleep.deadline() > at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= at {
                return Poll::Ready(limit);
            }
            // The sleep belonged to an earlier timeout that did not expire.
            sleep.as_mut().reset(at);
        }
    }
}

/// Returns the bytes that a client must take in each write timeout, if as many wait for it: one at
/// least.
pub(crate) fn min_taken(settings: &Settings) -> usize {
    let rate = WriteRate {
        window: settings.write_timeout,
        min: settings.min_write_rate,
    };
    rate.required(usize::MAX)
}

impl ExpiredTimeout {
    const fn length(self) -> Duration {
        match self {
            Self::Handshake(length)
            | Self::Frame(length)
            | Self::Write(length)
            | Self::Idle(length) => length,
        }
    }
}

impl fmt::Display for ExpiredTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(limit) => {
                write!(f, "its first frame was not complete within {limit:?}")
            }
            Self::Frame(limit) => write!(f, "a frame was not complete within {limit:?}"),
            Self::Write(limit) => write!(f, "it took too little of its answers in {limit:?}"),
            Self::Idle(limit) => write!(f, "it was idle for {limit:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_pings_is_not_idle() {
        let limit = Duration::from_secs(10);
        let settings = Settings::builder().idle_timeout(Some(limit));
        let settings = settings.build().expect("valid settings");
        let mut timers = ConnectionTimers::new(&settings);
        let waits = AwaitedEvents {
            frame: None,
            first: false,
            write: false,
            idle: true,
        };
        let is_pending = |timers: &mut ConnectionTimers| {
            let mut cx = Context::from_waker(core::task::Waker::noop());
            timers.poll(&mut cx, &waits).is_pending()
        };
        for _ in 0..3 {
            assert!(is_pending(&mut timers));
            tokio::time::advance(Duration::from_secs(6)).await;
            assert!(is_pending(&mut timers));
            timers.received();
        }
        let expired = poll_fn(|cx| timers.poll(cx, &waits)).await;
        assert_eq!(expired, ExpiredTimeout::Idle(limit));
    }
}
