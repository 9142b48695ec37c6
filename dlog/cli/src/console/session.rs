use core::future::Future;
use core::hash::Hasher as _;
use core::pin::Pin;
use core::time::Duration;
use std::hash::DefaultHasher;

use bytes::Bytes;
use distributedlog::WriteState;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::super::output::{counted, note};
use super::super::{CliError, Output, Shutdown};
use super::lines::{DoneGuard, InputKind, InputLine};
use super::report::{LineFailure, LineOutcome, LineReporter};

/// Maximum number of lines that wait for their acknowledgement. The writer itself bounds its bytes
/// and sets.
const MAX_WAITING: usize = 4_096;

/// Time without the outcome of any waiting line after which the user is told what it waits for.
const STALL_NOTICE_AFTER: Duration = Duration::from_secs(1);

/// Boxed future, because the writer behind it differs between the product and its tests.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Digest of a record's bytes, which matches a written record with the one that is read: unlike a
/// position, it is the same on every duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RecordDigest(u64);

impl RecordDigest {
    /// Computes the digest of a record.
    pub(crate) fn of(record: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(record);
        Self(hasher.finish())
    }
}

/// Future of an accepted line's outcome.
pub(crate) type Acknowledgement = BoxFuture<'static, LineOutcome>;

/// Writer of a console's lines.
pub(crate) trait LineWriter: Send + Sync {
    /// Waits for room and accepts the record; records are accepted in the order of the calls.
    ///
    /// # Errors
    /// The writer refuses the record.
    fn submit(&self, record: Bytes) -> BoxFuture<'_, Result<Acknowledgement, LineFailure>>;

    /// Returns what lines wait for, or `None` if no attempt is outstanding.
    fn waits_for(&self) -> Option<WaitsFor>;
}

/// Obstacle that lines wait for, as a message for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// A problem keeps lines from being acknowledged. Its end is announced.
    Outage(String),
    /// Streams take long to answer.
    Answer(String),
}

/// Numbers of acknowledged and failed lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    /// Lines that were acknowledged.
    pub(crate) written: u64,
    /// Lines that failed.
    pub(crate) failed: u64,
}

/// End of a console's session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionEnd {
    /// Numbers of acknowledged and failed lines.
    pub(crate) counts: LineCounts,
    /// Number of the last line that was read.
    last_line: u64,
    /// Number of failed lines that may have been written.
    unknown: u64,
    /// A shutdown request ended the session before the end of the input.
    interrupted: bool,
}

impl SessionEnd {
    /// Returns the command's result: every line of the input was written, and the results printed.
    ///
    /// # Errors
    /// Lines failed, the input of a pipe was not read to its end, or the output could not be
    /// written. A closed pipe alone is no failure.
    pub(crate) fn verdict(self, input: InputKind, output: &Output) -> Result<(), CliError> {
        let LineCounts { written, failed } = self.counts;
        let (written, failed_lines) = (counted(written, "line"), counted(failed, "line"));
        let is_unknown = self.unknown > 0;
        if self.interrupted && input == InputKind::Pipe {
            let failure = CliError::failure(format!(
                "interrupted before the end of the input: {written} acknowledged, \
                 {failed_lines} failed; nothing after line {} was written",
                self.last_line
            ));
            return Err(failure.with_unknown_outcome(is_unknown));
        }
        let printed = output.check();
        match (failed, printed) {
            (0, printed) => {
                printed.map_err(|error| error.with_detail(&format!("; {written} acknowledged")))
            }
            // Each of them was reported when it failed.
            (1.., Ok(())) => Err(CliError::already_reported().with_unknown_outcome(is_unknown)),
            (1.., Err(error)) => Err(CliError::failure(format!(
                "{failed_lines} failed, {written} acknowledged; not all results were printed: \
                 {}",
                error.reason()
            ))
            .with_unknown_outcome(is_unknown)),
        }
    }
}

/// Callback for each acknowledged line. Dropping the guard lets the editor prompt for the next
/// line.
pub(crate) type OnWritten<'a> = &'a mut (dyn FnMut(RecordDigest, DoneGuard) + Send);

/// Writes each line of `lines` as a record and reports the outcomes in the order of the lines.
///
/// Returns when every line up to the end of the input was acknowledged or has failed; a shutdown
/// request ends it at the last line that was read. While lines wait and none is acknowledged or
/// fails for [`STALL_NOTICE_AFTER`], it tells the user what they wait for, and when an outage is
/// over.
///
/// # Errors
/// The output cannot be written and is not a [best effort](Output::best_effort) one. Failed lines
/// are not an error: they are counted.
pub(crate) async fn run(
    mut lines: mpsc::Receiver<InputLine>,
    writer: &dyn LineWriter,
    output: &Output,
    report: LineReporter,
    shutdown: &Shutdown,
    on_written: OnWritten<'_>,
) -> Result<SessionEnd, CliError> {
    let mut session = Session {
        writer,
        output,
        report,
        shutdown,
        on_written,
        stall: StallNotice::new(),
        end: SessionEnd::default(),
        input_open: true,
        shutdown_seen: false,
        submitting: None,
        accepted: FuturesOrdered::new(),
    };
    while session.input_open || session.waits() {
        session.step(&mut lines).await?;
    }
    Ok(session.end)
}

/// State of [`run`].
struct Session<'a> {
    writer: &'a dyn LineWriter,
    output: &'a Output,
    report: LineReporter,
    shutdown: &'a Shutdown,
    on_written: OnWritten<'a>,
    stall: StallNotice,
    end: SessionEnd,
    /// The input may have more lines, and shutdown was not requested.
    input_open: bool,
    /// Shutdown was requested, and the user was notified of lines that still wait.
    shutdown_seen: bool,
    /// The line that waits for room in the writer.
    submitting: Option<SubmittingLine<'a>>,
    /// Lines that wait for their outcome, the oldest first. All are polled, so that each outcome is
    /// seen when it comes and not when it is its line's turn. Bounded: [`MAX_WAITING`].
    accepted: FuturesOrdered<BoxFuture<'static, FinishedLine>>,
}

impl Session<'_> {
    /// Returns true if a line waits for room or for its outcome.
    fn waits(&self) -> bool {
        self.submitting.is_some() || !self.accepted.is_empty()
    }

    /// Waits for the next event and handles it.
    async fn step(&mut self, lines: &mut mpsc::Receiver<InputLine>) -> Result<(), CliError> {
        let room = self.submitting.is_none() && self.accepted.len() < MAX_WAITING;
        let waits = self.waits();
        tokio::select! {
            // Acknowledgements first: they make room.
            biased;
            Some(oldest) = self.accepted.next(), if !self.accepted.is_empty() => {
                self.finish(oldest)?;
            }
            submitted = submit_result(&mut self.submitting), if self.submitting.is_some() => {
                let line = self.submitting.take().expect("it was just waited for");
                let acknowledgement = submitted.unwrap_or_else(failed);
                self.accept(line.number, line.digest, line.done, acknowledgement);
            }
            () = self.stall.elapsed(), if waits => self.stall.notify(self.writer, self.output),
            () = self.shutdown.requested(), if !self.shutdown_seen => {
                self.end.interrupted = self.input_open;
                (self.shutdown_seen, self.input_open) = (true, false);
                self.note_unfinished();
            }
            line = lines.recv(), if self.input_open && room => match line {
                None => self.input_open = false,
                Some(line) => self.take(line),
            },
        }
        Ok(())
    }

    /// Submits a line of the input, or fails it if it cannot be a record.
    fn take(&mut self, line: InputLine) {
        let InputLine {
            number,
            content,
            done,
        } = line;
        self.end.last_line = number;
        match content {
            Ok(record) => {
                if self.accepted.is_empty() {
                    self.stall.restart();
                }
                self.submitting = Some(SubmittingLine {
                    number,
                    digest: RecordDigest::of(&record),
                    done,
                    submitted: self.writer.submit(record),
                });
            }
            Err(error) => {
                let failure = LineFailure {
                    reason: error.to_string(),
                    state: WriteState::NotWritten,
                };
                self.accept(number, RecordDigest::of(&[]), done, failed(failure));
            }
        }
    }

    /// Queues a line behind the ones that wait for their outcome.
    fn accept(
        &mut self,
        number: u64,
        digest: RecordDigest,
        done: DoneGuard,
        acknowledgement: Acknowledgement,
    ) {
        self.accepted.push_back(Box::pin(async move {
            FinishedLine {
                number,
                digest,
                done,
                outcome: acknowledgement.await,
            }
        }));
    }

    /// Reports and counts the oldest line.
    fn finish(&mut self, line: FinishedLine) -> Result<(), CliError> {
        self.report.line(line.number, &line.outcome, self.output)?;
        self.stall.line_finished(&line.outcome, self.output);
        match &line.outcome.result {
            Ok(_) => {
                self.end.counts.written += 1;
                (self.on_written)(line.digest, line.done);
            }
            Err(failure) => {
                self.end.counts.failed += 1;
                self.end.unknown += u64::from(failure.state == WriteState::Unknown);
            }
        }
        Ok(())
    }

    /// Notifies the user on shutdown that lines still wait.
    fn note_unfinished(&self) {
        let unfinished = self.accepted.len() as u64 + u64::from(self.submitting.is_some());
        if unfinished > 0 {
            note(format_args!(
                "Waiting for {} to be acknowledged; press Ctrl-C again to give up.",
                counted(unfinished, "line")
            ));
        }
    }
}

/// A line that waits for room in the writer.
struct SubmittingLine<'a> {
    number: u64,
    digest: RecordDigest,
    done: DoneGuard,
    submitted: BoxFuture<'a, Result<Acknowledgement, LineFailure>>,
}

/// A line that has its outcome.
struct FinishedLine {
    number: u64,
    digest: RecordDigest,
    done: DoneGuard,
    outcome: LineOutcome,
}

/// Completes when the writer accepts or refuses the line; pending while there is no line.
async fn submit_result(
    submitting: &mut Option<SubmittingLine<'_>>,
) -> Result<Acknowledgement, LineFailure> {
    match submitting {
        Some(line) => line.submitted.as_mut().await,
        None => core::future::pending().await,
    }
}

/// Returns the acknowledgement of a line that failed before it was accepted. Such a line still
/// waits for its turn, so that lines are reported in their order.
fn failed(error: LineFailure) -> Acknowledgement {
    Box::pin(core::future::ready(LineOutcome {
        result: Err(error),
        took: Duration::ZERO,
        attempts: Vec::new(),
    }))
}

/// Timer that notices when lines wait and none of them is acknowledged or fails.
struct StallNotice {
    deadline: Pin<Box<Sleep>>,
    /// Last message to the user since the last outcome of a line. A message is not repeated.
    told: Option<WaitsFor>,
}

impl StallNotice {
    fn new() -> Self {
        Self {
            deadline: Box::pin(tokio::time::sleep(STALL_NOTICE_AFTER)),
            told: None,
        }
    }

    /// Restarts the timer.
    fn restart(&mut self) {
        self.deadline
            .as_mut()
            .reset(Instant::now() + STALL_NOTICE_AFTER);
    }

    /// Completes when the timer elapses.
    async fn elapsed(&mut self) {
        self.deadline.as_mut().await;
    }

    /// Tells the user what lines wait for, if that has changed, and restarts the timer.
    fn notify(&mut self, writer: &dyn LineWriter, output: &Output) {
        self.restart();
        let waits_for = writer.waits_for();
        if waits_for.is_some() && waits_for != self.told {
            if let Some(WaitsFor::Outage(text) | WaitsFor::Answer(text)) = &waits_for {
                output.notice(text);
            }
            self.told = waits_for;
        }
    }

    /// Restarts the timer, and notifies the user if an acknowledgement ends an outage.
    fn line_finished(&mut self, outcome: &LineOutcome, output: &Output) {
        self.restart();
        if outcome.result.is_err() {
            return;
        }
        if let Some(WaitsFor::Outage(_)) = self.told.take() {
            output.notice("Lines are acknowledged again.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use distributedlog::Dlsn;

    use super::super::super::Format;
    use super::super::super::output::CapturedOutput;
    use super::super::lines::read_text;
    use super::super::report::RecordLocation;
    use super::*;
    use distributedlog_store::StreamName;

    /// Writer that refuses records that begin with "bad", fails accepted ones that begin with
    /// "late", and acknowledges the others, "slow" ones after nine seconds and "slower" ones after
    /// eighteen.
    #[derive(Default)]
    struct Fake {
        accepted: Mutex<Vec<Bytes>>,
        waits_for: Option<WaitsFor>,
    }

    impl LineWriter for Fake {
        fn submit(&self, record: Bytes) -> BoxFuture<'_, Result<Acknowledgement, LineFailure>> {
            Box::pin(async move {
                let failed = |reason: &str, state| LineFailure {
                    reason: reason.to_owned(),
                    state,
                };
                if record.starts_with(b"bad") {
                    return Err(failed("refused", WriteState::NotWritten));
                }
                let mut accepted = self
                    .accepted
                    .lock()
                    .expect("no test panics while it holds it");
                accepted.push(record.clone());
                let slot = accepted.len() as i64 - 1;
                let began = Instant::now();
                let acknowledgement: Acknowledgement = Box::pin(async move {
                    tokio::task::yield_now().await;
                    if record.starts_with(b"slower") {
                        tokio::time::sleep(Duration::from_secs(18)).await;
                    } else if record.starts_with(b"slow") {
                        tokio::time::sleep(Duration::from_secs(9)).await;
                    }
                    let place = RecordLocation {
                        stream: StreamName::new("s").expect("a name"),
                        dlsn: Dlsn::new(1, slot, 0),
                        attempts: 1,
                    };
                    let result = if record.starts_with(b"late") {
                        Err(failed("the request timeout passed", WriteState::Unknown))
                    } else {
                        Ok(place)
                    };
                    LineOutcome {
                        result,
                        took: began.elapsed(),
                        attempts: Vec::new(),
                    }
                });
                Ok(acknowledgement)
            })
        }

        fn waits_for(&self) -> Option<WaitsFor> {
            self.waits_for.clone()
        }
    }

    async fn ran(text: &str, verbose: bool, shutdown: &Shutdown) -> (LineCounts, String, usize) {
        let (fake, captured) = (Fake::default(), CapturedOutput::default());
        let mut written = 0;
        let mut on_written = |_: RecordDigest, _: DoneGuard| written += 1;
        let end = run(
            read_text(text, 100),
            &fake,
            &captured.output(),
            LineReporter::new(Format::Text, verbose, false),
            shutdown,
            &mut on_written,
        )
        .await
        .expect("the buffer takes all");
        (end.counts, captured.text(), written)
    }

    #[tokio::test]
    async fn acknowledged_lines_print_nothing() {
        let (counts, text, written) = ran("a\nb\nc", false, &Shutdown::manual()).await;
        assert_eq!(
            (counts, text.as_str(), written),
            (
                LineCounts {
                    written: 3,
                    failed: 0
                },
                "",
                3
            )
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_behind_a_slow_one_took_only_its_own_time() {
        let (_, text, _) = ran("slow\na\n", true, &Shutdown::manual()).await;
        let took = |line: &str| {
            line.split(", ")
                .find(|part| part.ends_with(" ms"))
                .map(str::to_owned)
        };
        let took: Vec<_> = text.lines().filter_map(took).collect();
        assert_eq!(took, ["9000.0 ms", "0.0 ms"], "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn with_v_the_position_of_each_line_is_printed() {
        let (_, text, _) = ran("a\nb\n", true, &Shutdown::manual()).await;
        assert_eq!(
            text,
            "line 1: DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0} in stream s, 0.0 ms, 1 \
             attempt\nline 2: DLSN{logSegmentSequenceNo=1, entryId=1, slotId=0} in stream s, \
             0.0 ms, 1 attempt\n"
        );
    }

    #[tokio::test]
    async fn a_line_that_fails_is_reported_with_the_reason_and_the_next_lines_are_written() {
        let (counts, text, _) = ran(
            &format!("a\nbad\nlate\n{}\nb\n", "x".repeat(101)),
            false,
            &Shutdown::manual(),
        )
        .await;
        assert_eq!(
            counts,
            LineCounts {
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
                "line 4 was not acknowledged: the line is longer than 100 bytes, the maximum \
                 length of a record\n"
            ),
            "{text}"
        );
    }

    #[tokio::test]
    async fn more_lines_than_may_wait_at_once_are_all_written() {
        let (counts, _, written) =
            ran(&"x\n".repeat(3 * MAX_WAITING), false, &Shutdown::manual()).await;
        assert_eq!(
            (counts.written, written),
            (3 * MAX_WAITING as u64, 3 * MAX_WAITING)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_lines_wait_for_is_told_once_and_so_is_the_end_of_an_outage() {
        let quiet = LineReporter::new(Format::Text, false, false);
        let outage = || Some(WaitsFor::Outage("no proxy answers".to_owned()));
        let answer = || Some(WaitsFor::Answer("waiting for s".to_owned()));
        for (waits_for, text, notices) in [
            (
                outage(),
                "slow\nslower\na\n",
                "no proxy answers\nLines are acknowledged again.\nno proxy answers\nLines are \
                 acknowledged again.\n",
            ),
            (answer(), "slow\na\n", "waiting for s\n"),
            (outage(), "a\nb\n", ""),
            (None, "slow\n", ""),
        ] {
            let fake = Fake {
                waits_for,
                ..Fake::default()
            };
            let captured = CapturedOutput::default();
            let shutdown = Shutdown::manual();
            run(
                read_text(text, 100),
                &fake,
                &captured.output(),
                quiet,
                &shutdown,
                &mut |_, _| {},
            )
            .await
            .expect("the buffer takes all");
            assert_eq!(captured.text(), notices, "{text}");
        }
    }

    /// Runs three lines with an output that fails with this kind of error.
    async fn ran_with_output(
        kind: std::io::ErrorKind,
        text: &str,
        shutdown: &Shutdown,
    ) -> (SessionEnd, Output) {
        struct Failing(std::io::ErrorKind);
        impl std::io::Write for Failing {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let output = Output::to(Failing(kind)).best_effort();
        let end = run(
            read_text(text, 100),
            &Fake::default(),
            &output,
            LineReporter::new(Format::Json, false, false),
            shutdown,
            &mut |_, _| {},
        )
        .await
        .expect("a best effort output does not fail");
        (end, output)
    }

    #[tokio::test]
    async fn lines_are_written_also_when_their_results_cannot_be_printed() {
        use std::io::ErrorKind::{BrokenPipe, StorageFull};
        let never = Shutdown::manual();
        let (end, output) = ran_with_output(BrokenPipe, "a\nb\nc\n", &never).await;
        assert_eq!(end.counts.written, 3);
        let closed = end.verdict(InputKind::Pipe, &output).expect_err("closed");
        assert_eq!((closed.exit_status(), closed.report(false)), (0, None));

        let (end, output) = ran_with_output(StorageFull, "a\nb\n", &never).await;
        let full = end.verdict(InputKind::Pipe, &output).expect_err("full");
        assert_eq!(full.exit_status(), 1);
        let report = full.report(false).expect("a message");
        assert!(report.ends_with("; 2 lines acknowledged\n"), "{report}");

        let (end, output) = ran_with_output(BrokenPipe, "a\nbad\n", &never).await;
        let failed = end
            .verdict(InputKind::Pipe, &output)
            .expect_err("one failed");
        assert_eq!(failed.exit_status(), 1);
        let report = failed.report(false).expect("a message");
        assert!(
            report.contains("1 line failed, 1 line acknowledged"),
            "{report}"
        );
    }

    #[tokio::test]
    async fn after_a_shutdown_request_the_console_accepts_no_more_lines() {
        let shutdown = Shutdown::manual();
        shutdown.request();
        let (counts, ..) = ran("a\n", false, &shutdown).await;
        assert_eq!(counts, LineCounts::default());
    }

    #[tokio::test]
    async fn a_pipe_that_was_not_read_to_its_end_is_a_failure_and_a_users_interrupt_is_none() {
        let shutdown = Shutdown::manual();
        shutdown.request();
        let (end, output) = ran_with_output(std::io::ErrorKind::BrokenPipe, "a\n", &shutdown).await;
        let error = end
            .verdict(InputKind::Pipe, &output)
            .expect_err("a was not written");
        assert_eq!(error.exit_status(), 1);
        assert!(
            error
                .to_string()
                .contains("nothing after line 0 was written"),
            "{error}"
        );
        assert!(end.verdict(InputKind::Terminal, &output).is_ok());
    }

    #[test]
    fn a_line_that_may_have_been_written_decides_the_exit_status() {
        let output = Output::to(Vec::new());
        let status = |failed, unknown, interrupted| {
            let end = SessionEnd {
                counts: LineCounts { written: 1, failed },
                unknown,
                last_line: 2,
                interrupted,
            };
            let verdict = end.verdict(InputKind::Pipe, &output);
            verdict.map_or_else(|error| error.exit_status(), |()| crate::EXIT_OK)
        };
        assert_eq!(status(0, 0, false), crate::EXIT_OK);
        assert_eq!(status(2, 0, false), crate::EXIT_FAILURE);
        assert_eq!(status(2, 1, false), 3);
        assert_eq!(status(0, 0, true), crate::EXIT_FAILURE);
        assert_eq!(status(1, 1, true), 3);
    }
}
