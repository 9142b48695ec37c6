//! A transport over a serial line. The device sends `write ATTEMPT STREAM HEX` and `cancel
//! ATTEMPT`; the gateway answers `stored ATTEMPT DLSN` or `failed ATTEMPT`. A lost line does no
//! harm: the writer continues with the next stream after a timeout.

use core::fmt::Write as _;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use distributedlog::{
    Attempt, AttemptId, Cause, Failure, Instant, Outcome, StartRefused, Transport,
};
use embassy_time::{Duration, Timer};

use crate::console::Console;

/// Interval at which the port is polled. A driver with an interrupt would keep the waker instead.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The transport; see the module.
pub struct LineTransport<const STREAMS: usize> {
    streams: [&'static str; STREAMS],
    line: heapless::String<64>,
    timer: Timer,
}

impl<const STREAMS: usize> LineTransport<STREAMS> {
    pub fn new(streams: [&'static str; STREAMS]) -> Self {
        Console::start();
        Self {
            streams,
            line: heapless::String::new(),
            timer: Timer::after(POLL_INTERVAL),
        }
    }

    /// Returns the next answer. Other lines are ignored.
    fn next_answer(&mut self) -> Option<(AttemptId, Outcome)> {
        while let Some(byte) = Console::try_read() {
            if byte != b'\n' {
                // A line that is too long is not an answer: it loses its end and is not parsed.
                let _ = self.line.push(char::from(byte));
                continue;
            }
            let answer = parse(&self.line);
            self.line.clear();
            if answer.is_some() {
                return answer;
            }
        }
        None
    }
}

fn parse(line: &str) -> Option<(AttemptId, Outcome)> {
    let mut words = line.split(' ');
    let (verb, attempt) = (words.next()?, AttemptId(words.next()?.parse().ok()?));
    match verb {
        "stored" => Some((attempt, Ok(words.next()?.parse().ok()?))),
        // The gateway does not say if the proxy received it.
        "failed" => Some((attempt, Err(Failure::unanswered(Cause::ConnectionLost)))),
        _ => None,
    }
}

impl<const STREAMS: usize> Transport for LineTransport<STREAMS> {
    fn start(&mut self, _: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let mut port = Console;
        let mut say = || {
            write!(
                port,
                "write {} {} ",
                attempt.id.0,
                self.streams[usize::from(attempt.stream.0)]
            )?;
            attempt
                .record_set
                .iter()
                .try_for_each(|byte| write!(port, "{byte:02x}"))?;
            writeln!(port)
        };
        say().map_err(|_| StartRefused)
    }

    fn cancel(&mut self, _: Instant, attempt: AttemptId) {
        let _ = writeln!(Console, "cancel {}", attempt.0);
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        loop {
            if let Some(answer) = self.next_answer() {
                return Poll::Ready(answer);
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = Timer::after(POLL_INTERVAL);
        }
    }
}
