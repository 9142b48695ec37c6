use core::future::Future;
use core::hash::Hasher as _;
use core::pin::Pin;
use std::collections::VecDeque;
use std::hash::DefaultHasher;

use bytes::Bytes;
use distributedlog::Dlsn;
use tokio::sync::mpsc;

use super::super::output::{counted, note};
use super::super::{Fault, Output, Shutdown};
use super::lines::{Line, Release};
use crate::store::StreamName;

/// How many lines may wait for their acknowledgement. The writer bounds its bytes and sets by itself.
const MAX_WAITING: usize = 4_096;

/// A future of the console's, boxed because the writer behind it differs between the product and its tests.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a line went.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The stream that took it.
    pub(crate) stream: StreamName,
    /// Its position there.
    pub(crate) dlsn: Dlsn,
}

/// A digest of a record's bytes, by which what was written is found again in what is read: unlike a position, it is the same on every copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest(u64);

impl Digest {
    /// The digest of these bytes.
    pub(crate) fn of(record: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(record);
        Self(hasher.finish())
    }
}

/// An accepted line's future: where it went, or why it failed and what is known of it.
pub(crate) type Acknowledgement = Boxed<'static, Result<Place, String>>;

/// What a console writes to.
pub(crate) trait LineWriter: Send + Sync {
    /// Waits for room and takes the record; lines are taken in the order of the calls. Or says why it takes none.
    fn submit(&self, record: Bytes) -> Boxed<'_, Result<Acknowledgement, String>>;
}

/// How the lines ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Lines that were acknowledged.
    pub(crate) written: u64,
    /// Lines that failed.
    pub(crate) failed: u64,
}

/// Something that wants to know of each acknowledged line. Gets its release too, and lets the editor go on by dropping it.
pub(crate) type OnWritten<'a> = &'a mut (dyn FnMut(Digest, Release) + Send);

/// Writes each line of `lines` as a record and reports how it went, in the order of the lines: successes when `verbose`, failures always. Ends
/// when every line up to the end of the input was acknowledged or has failed; being asked to end counts as the end of the input.
///
/// # Errors
/// The output cannot be written. Failed lines are no error: they are counted.
pub(crate) async fn run(
    mut lines: mpsc::Receiver<Line>,
    writer: &dyn LineWriter,
    output: &Output,
    verbose: bool,
    shutdown: &Shutdown,
    on_written: OnWritten<'_>,
) -> Result<Tally, Fault> {
    let mut tally = Tally::default();
    let (mut open, mut asked) = (true, false);
    let mut accepting: Option<Accepting<'_>> = None;
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    while open || accepting.is_some() || !waiting.is_empty() {
        let room = accepting.is_none() && waiting.len() < MAX_WAITING;
        tokio::select! {
            // Acknowledgements first: they make room.
            biased;
            result = oldest(&mut waiting), if !waiting.is_empty() => {
                let Waiting { number, digest, release, .. } = waiting.pop_front().expect("it was just waited for");
                match result {
                    Ok(place) => {
                        tally.written += 1;
                        if verbose {
                            output.line(format_args!("line {number}: {} in stream {}", place.dlsn, place.stream))?;
                        }
                        on_written(digest, release);
                    },
                    Err(why) => {
                        tally.failed += 1;
                        output.line(format_args!("line {number} was not acknowledged: {why}"))?;
                    },
                }
            },
            accepted = accept(&mut accepting), if accepting.is_some() => {
                let Accepting { number, digest, release, .. } = accepting.take().expect("it was just waited for");
                let acknowledgement = accepted.unwrap_or_else(failed);
                waiting.push_back(Waiting { number, digest, release, acknowledgement });
            },
            () = shutdown.asked(), if !asked => {
                (asked, open) = (true, false);
                let unfinished = waiting.len() as u64 + u64::from(accepting.is_some());
                if unfinished > 0 {
                    note(format_args!("Waiting for {} to be acknowledged; Ctrl-C again gives them up.", counted(unfinished, "line")));
                }
            },
            line = lines.recv(), if open && room => match line {
                None => open = false,
                Some(Line { number, content: Ok(record), release }) => {
                    let digest = Digest::of(&record);
                    accepting = Some(Accepting { number, digest, release, submitted: writer.submit(record) });
                },
                Some(Line { number, content: Err(error), release }) => {
                    let (digest, acknowledgement) = (Digest::of(&[]), failed(error.to_string()));
                    waiting.push_back(Waiting { number, digest, release, acknowledgement });
                },
            },
        }
    }
    Ok(tally)
}

/// A line that waits for room.
struct Accepting<'a> {
    number: u64,
    digest: Digest,
    release: Release,
    submitted: Boxed<'a, Result<Acknowledgement, String>>,
}

/// A line that was accepted.
struct Waiting {
    number: u64,
    digest: Digest,
    release: Release,
    acknowledgement: Acknowledgement,
}

async fn oldest(waiting: &mut VecDeque<Waiting>) -> Result<Place, String> {
    match waiting.front_mut() {
        Some(first) => first.acknowledgement.as_mut().await,
        None => core::future::pending().await,
    }
}

async fn accept(accepting: &mut Option<Accepting<'_>>) -> Result<Acknowledgement, String> {
    match accepting {
        Some(line) => line.submitted.as_mut().await,
        None => core::future::pending().await,
    }
}

/// A line that failed before it was accepted still waits its turn, so that lines are reported in their order.
fn failed(why: String) -> Acknowledgement {
    Box::pin(core::future::ready(Err(why)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::super::output::Captured;
    use super::super::lines::of_text;
    use super::*;

    /// Takes every record but those that begin with "bad" (never taken) or "late" (taken, then failed).
    #[derive(Default)]
    struct Fake {
        taken: Mutex<Vec<Bytes>>,
    }

    impl LineWriter for Fake {
        fn submit(&self, record: Bytes) -> Boxed<'_, Result<Acknowledgement, String>> {
            Box::pin(async move {
                if record.starts_with(b"bad") {
                    return Err("refused".to_owned());
                }
                let mut taken = self.taken.lock().expect("no test panics while it holds it");
                taken.push(record.clone());
                let slot = taken.len() as i64 - 1;
                let acknowledgement: Acknowledgement = Box::pin(async move {
                    tokio::task::yield_now().await;
                    if record.starts_with(b"late") {
                        return Err("the request timeout passed".to_owned());
                    }
                    Ok(Place { stream: StreamName::new("s").expect("a name"), dlsn: Dlsn::new(1, slot, 0) })
                });
                Ok(acknowledgement)
            })
        }
    }

    async fn ran(text: &str, verbose: bool, shutdown: &Shutdown) -> (Tally, String, usize) {
        let (fake, captured) = (Fake::default(), Captured::default());
        let mut told = 0;
        let mut on_written = |_: Digest, _: Release| told += 1;
        let tally =
            run(of_text(text, 100), &fake, &captured.output(), verbose, shutdown, &mut on_written).await.expect("the buffer takes all");
        (tally, captured.text(), told)
    }

    #[tokio::test]
    async fn lines_that_are_acknowledged_are_passed_over_in_silence() {
        let (tally, text, told) = ran("a\nb\nc", false, &Shutdown::manual()).await;
        assert_eq!((tally, text.as_str(), told), (Tally { written: 3, failed: 0 }, "", 3));
    }

    #[tokio::test]
    async fn asked_for_more_the_console_says_where_each_line_went() {
        let (_, text, _) = ran("a\nb\n", true, &Shutdown::manual()).await;
        assert_eq!(
            text,
            "line 1: DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0} in stream s\n\
             line 2: DLSN{logSegmentSequenceNo=1, entryId=1, slotId=0} in stream s\n"
        );
    }

    #[tokio::test]
    async fn a_line_that_fails_is_reported_with_why_and_the_rest_goes_on() {
        let (tally, text, _) = ran(&format!("a\nbad\nlate\n{}\nb\n", "x".repeat(101)), false, &Shutdown::manual()).await;
        assert_eq!(tally, Tally { written: 2, failed: 3 });
        assert_eq!(text.matches("was not acknowledged").count(), 3, "{text}");
        assert!(text.contains("line 2 was not acknowledged: refused\n"), "{text}");
        assert!(text.contains("line 3 was not acknowledged: the request timeout passed\n"), "{text}");
        assert!(text.contains("line 4 was not acknowledged: the line is longer than the 100 bytes that a record may have\n"), "{text}");
    }

    #[tokio::test]
    async fn far_more_lines_than_may_wait_are_all_written() {
        let (tally, _, told) = ran(&"x\n".repeat(3 * MAX_WAITING), false, &Shutdown::manual()).await;
        assert_eq!((tally.written, told), (3 * MAX_WAITING as u64, 3 * MAX_WAITING));
    }

    #[tokio::test]
    async fn asked_to_end_the_console_takes_no_more_lines() {
        let shutdown = Shutdown::manual();
        shutdown.ask();
        let (tally, ..) = ran("a\n", false, &shutdown).await;
        assert_eq!(tally, Tally::default());
    }
}
