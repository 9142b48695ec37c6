use core::future::Future;
use core::hash::Hasher as _;
use core::pin::Pin;
use core::time::Duration;
use std::collections::VecDeque;
use std::hash::DefaultHasher;

use bytes::Bytes;
use distributedlog::WriteState;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::super::output::{counted, note};
use super::super::{Fault, Output, Shutdown};
use super::lines::{Line, Release};
use super::report::{Ended, Report, Unacknowledged};

/// How many lines may wait for their acknowledgement. The writer bounds its bytes and sets by
/// itself.
const MAX_WAITING: usize = 4_096;

/// How long lines may wait without any of them ending before it is looked at why.
const SILENCE: Duration = Duration::from_secs(2);

/// A future of the console's, boxed because the writer behind it differs between the product and
/// its tests.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A digest of a record's bytes, by which what was written is found again in what is read: unlike a
/// position, it is the same on every copy.
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
pub(crate) type Acknowledgement = Boxed<'static, Ended>;

/// What a console writes to.
pub(crate) trait LineWriter: Send + Sync {
    /// Waits for room and takes the record; lines are taken in the order of the calls. Or says why
    /// it takes none.
    fn submit(&self, record: Bytes) -> Boxed<'_, Result<Acknowledgement, Unacknowledged>>;

    /// Why nothing is acknowledged, when something is known to be wrong just now: for somebody who
    /// waits.
    fn trouble(&self) -> Option<String>;
}

/// How the lines ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Lines that were acknowledged.
    pub(crate) written: u64,
    /// Lines that failed.
    pub(crate) failed: u64,
}

/// Something that wants to know of each acknowledged line. Gets its release too, and lets the
/// editor go on by dropping it.
pub(crate) type OnWritten<'a> = &'a mut (dyn FnMut(Digest, Release) + Send);

/// Writes each line of `lines` as a record and reports how it went, in the order of the lines. Ends
/// when every line up to the end of the input was acknowledged or has failed; being asked to end
/// counts as the end of the input. While lines wait and none ends for [`SILENCE`], it says what is
/// wrong if that is known, and when it is over.
///
/// # Errors
/// The output cannot be written. Failed lines are no error: they are counted.
pub(crate) async fn run(
    mut lines: mpsc::Receiver<Line>,
    writer: &dyn LineWriter,
    output: &Output,
    report: Report,
    shutdown: &Shutdown,
    on_written: OnWritten<'_>,
) -> Result<Tally, Fault> {
    let mut silence = Silence::new();
    let mut tally = Tally::default();
    let (mut open, mut asked) = (true, false);
    let mut accepting: Option<Accepting<'_>> = None;
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    while open || accepting.is_some() || !waiting.is_empty() {
        let room = accepting.is_none() && waiting.len() < MAX_WAITING;
        tokio::select! {
            // Acknowledgements first: they make room.
            biased;
            ended = oldest(&mut waiting), if !waiting.is_empty() => {
                let Waiting { number, digest, release, .. } = waiting.pop_front().expect("it was just waited for");
                report.line(number, &ended, output)?;
                silence.ended(&ended, output);
                if ended.result.is_ok() {
                    tally.written += 1;
                    on_written(digest, release);
                } else {
                    tally.failed += 1;
                }
            },
            accepted = accept(&mut accepting), if accepting.is_some() => {
                let Accepting { number, digest, release, .. } = accepting.take().expect("it was just waited for");
                let acknowledgement = accepted.unwrap_or_else(failed);
                waiting.push_back(Waiting { number, digest, release, acknowledgement });
            },
            () = silence.passed(), if accepting.is_some() || !waiting.is_empty() => silence.tell(writer, output),
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
                    if waiting.is_empty() {
                        silence.begins();
                    }
                    let digest = Digest::of(&record);
                    accepting = Some(Accepting { number, digest, release, submitted: writer.submit(record) });
                },
                Some(Line { number, content: Err(error), release }) => {
                    let (digest, acknowledgement) = (Digest::of(&[]), failed(Unacknowledged { why: error.to_string(), known: WriteState::NotWritten }));
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
    submitted: Boxed<'a, Result<Acknowledgement, Unacknowledged>>,
}

/// A line that was accepted.
struct Waiting {
    number: u64,
    digest: Digest,
    release: Release,
    acknowledgement: Acknowledgement,
}

async fn oldest(waiting: &mut VecDeque<Waiting>) -> Ended {
    match waiting.front_mut() {
        Some(first) => first.acknowledgement.as_mut().await,
        None => core::future::pending().await,
    }
}

async fn accept(accepting: &mut Option<Accepting<'_>>) -> Result<Acknowledgement, Unacknowledged> {
    match accepting {
        Some(line) => line.submitted.as_mut().await,
        None => core::future::pending().await,
    }
}

/// A line that failed before it was accepted still waits its turn, so that lines are reported in
/// their order.
fn failed(error: Unacknowledged) -> Acknowledgement {
    Box::pin(core::future::ready(Ended {
        result: Err(error),
        attempts: Vec::new(),
    }))
}

/// Notices when lines wait and none of them ends.
struct Silence {
    over: Pin<Box<Sleep>>,
    /// Whether the user was told that something is wrong.
    told: bool,
}

impl Silence {
    fn new() -> Self {
        Self {
            over: Box::pin(tokio::time::sleep(SILENCE)),
            told: false,
        }
    }

    /// A line begins to wait, behind no other.
    fn begins(&mut self) {
        self.over.as_mut().reset(Instant::now() + SILENCE);
    }

    /// Completes when nothing has ended for long enough.
    async fn passed(&mut self) {
        self.over.as_mut().await;
    }

    /// Tells the user what is wrong, once, if something is known to be; looks again later.
    fn tell(&mut self, writer: &dyn LineWriter, output: &Output) {
        self.begins();
        if !self.told
            && let Some(trouble) = writer.trouble()
        {
            self.told = true;
            output.notice(trouble);
        }
    }

    /// A line ended.
    fn ended(&mut self, ended: &Ended, output: &Output) {
        self.begins();
        if ended.result.is_ok() && core::mem::take(&mut self.told) {
            output.notice("Lines are acknowledged again.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use distributedlog::Dlsn;

    use super::super::super::Format;
    use super::super::super::output::Captured;
    use super::super::lines::of_text;
    use super::super::report::Place;
    use super::*;
    use distributedlog_store::StreamName;

    /// Takes every record but those that begin with "bad" (never taken) or "late" (taken, then
    /// failed); "slow" ones take nine seconds.
    #[derive(Default)]
    struct Fake {
        taken: Mutex<Vec<Bytes>>,
        trouble: Option<String>,
    }

    impl LineWriter for Fake {
        fn submit(&self, record: Bytes) -> Boxed<'_, Result<Acknowledgement, Unacknowledged>> {
            Box::pin(async move {
                let failed = |why: &str, known| Unacknowledged {
                    why: why.to_owned(),
                    known,
                };
                if record.starts_with(b"bad") {
                    return Err(failed("refused", WriteState::NotWritten));
                }
                let mut taken = self.taken.lock().expect("no test panics while it holds it");
                taken.push(record.clone());
                let slot = taken.len() as i64 - 1;
                let acknowledgement: Acknowledgement = Box::pin(async move {
                    tokio::task::yield_now().await;
                    if record.starts_with(b"slow") {
                        tokio::time::sleep(Duration::from_secs(9)).await;
                    }
                    let place = Place {
                        stream: StreamName::new("s").expect("a name"),
                        dlsn: Dlsn::new(1, slot, 0),
                    };
                    let result = if record.starts_with(b"late") {
                        Err(failed("the request timeout passed", WriteState::Unknown))
                    } else {
                        Ok(place)
                    };
                    Ended {
                        result,
                        attempts: Vec::new(),
                    }
                });
                Ok(acknowledgement)
            })
        }

        fn trouble(&self) -> Option<String> {
            self.trouble.clone()
        }
    }

    async fn ran(text: &str, verbose: bool, shutdown: &Shutdown) -> (Tally, String, usize) {
        let (fake, captured) = (Fake::default(), Captured::default());
        let mut told = 0;
        let mut on_written = |_: Digest, _: Release| told += 1;
        let tally = run(
            of_text(text, 100),
            &fake,
            &captured.output(),
            Report::new(Format::Text, verbose, false),
            shutdown,
            &mut on_written,
        )
        .await
        .expect("the buffer takes all");
        (tally, captured.text(), told)
    }

    #[tokio::test]
    async fn lines_that_are_acknowledged_are_passed_over_in_silence() {
        let (tally, text, told) = ran("a\nb\nc", false, &Shutdown::manual()).await;
        assert_eq!(
            (tally, text.as_str(), told),
            (
                Tally {
                    written: 3,
                    failed: 0
                },
                "",
                3
            )
        );
    }

    #[tokio::test]
    async fn asked_for_more_the_console_says_where_each_line_went() {
        let (_, text, _) = ran("a\nb\n", true, &Shutdown::manual()).await;
        assert_eq!(
            text,
            "line 1: DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0} in stream s\nline 2: \
             DLSN{logSegmentSequenceNo=1, entryId=1, slotId=0} in stream s\n"
        );
    }

    #[tokio::test]
    async fn a_line_that_fails_is_reported_with_why_and_the_rest_goes_on() {
        let (tally, text, _) = ran(
            &format!("a\nbad\nlate\n{}\nb\n", "x".repeat(101)),
            false,
            &Shutdown::manual(),
        )
        .await;
        assert_eq!(
            tally,
            Tally {
                written: 2,
                failed: 3
            }
        );
        assert_eq!(text.matches("was not acknowledged").count(), 3, "{text}");
        assert!(
            text.contains("line 2 was not acknowledged: refused\n"),
            "{text}"
        );
        assert!(
            text.contains("line 3 was not acknowledged: the request timeout passed\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "line 4 was not acknowledged: the line is longer than the 100 bytes that a record \
                 may have\n"
            ),
            "{text}"
        );
    }

    #[tokio::test]
    async fn far_more_lines_than_may_wait_are_all_written() {
        let (tally, _, told) =
            ran(&"x\n".repeat(3 * MAX_WAITING), false, &Shutdown::manual()).await;
        assert_eq!(
            (tally.written, told),
            (3 * MAX_WAITING as u64, 3 * MAX_WAITING)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_told_once_what_is_wrong_and_when_it_is_over() {
        let quiet = Report::new(Format::Text, false, false);
        for (trouble, text, told) in [
            (
                Some("nobody answers"),
                "slow\nslow\na\n",
                "nobody answers\nLines are acknowledged again.\nnobody answers\nLines are \
                 acknowledged again.\n",
            ),
            (Some("nobody answers"), "a\nb\n", ""),
            (None, "slow\n", ""),
        ] {
            let fake = Fake {
                trouble: trouble.map(str::to_owned),
                ..Fake::default()
            };
            let captured = Captured::default();
            let shutdown = Shutdown::manual();
            run(
                of_text(text, 100),
                &fake,
                &captured.output(),
                quiet,
                &shutdown,
                &mut |_, _| {},
            )
            .await
            .expect("the buffer takes all");
            assert_eq!(captured.text(), told, "{text}");
        }
    }

    #[tokio::test]
    async fn asked_to_end_the_console_takes_no_more_lines() {
        let shutdown = Shutdown::manual();
        shutdown.ask();
        let (tally, ..) = ran("a\n", false, &shutdown).await;
        assert_eq!(tally, Tally::default());
    }
}
