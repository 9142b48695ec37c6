use std::io::{self, BufRead};
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Maximum number of lines that are read ahead of the writer.
const LINES_AHEAD: usize = 64;

/// Source of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// A user, who sees which lines were written. An interrupt is the end of the input.
    Terminal,
    /// A pipe or a file, whose end an interrupt may cut off.
    Pipe,
}

/// One line of input.
#[derive(Debug)]
pub(crate) struct InputLine {
    /// Number of the line, from 1.
    pub(crate) number: u64,
    /// Content without the line end, or the reason why it cannot be a record.
    pub(crate) content: Result<Bytes, LineError>,
    /// Dropped when the outcome of the line is known, so that an editor can prompt for the next
    /// one.
    pub(crate) done: DoneGuard,
}

/// Guard that notifies a waiting editor, when it is dropped, that a line is done.
#[derive(Debug, Default)]
pub(crate) struct DoneGuard(
    #[expect(dead_code, reason = "only its drop has an effect")]
    Option<std::sync::mpsc::SyncSender<()>>,
);

impl DoneGuard {
    /// Creates a guard that drops `on_drop` when it is dropped, which ends the receiver's wait.
    pub(super) const fn new(on_drop: std::sync::mpsc::SyncSender<()>) -> Self {
        Self(Some(on_drop))
    }
}

/// Reason why a line cannot be a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    /// The line is longer than a record may be. It was skipped to its end and not kept.
    TooLong {
        /// Maximum length of a record in bytes.
        limit: usize,
    },
    /// Reading the input failed. There are no more lines.
    Input(String),
}

impl core::fmt::Display for LineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong { limit } => write!(
                f,
                "the line is longer than {limit} bytes, the maximum length of a record"
            ),
            Self::Input(error) => write!(f, "cannot read the input: {error}"),
        }
    }
}

/// Reads the standard input's lines on a new thread, up to [`LINES_AHEAD`] ahead of the writer.
///
/// The thread ends with the input, or with the next line after the receiver was dropped.
pub(crate) fn read_stdin(limit: usize) -> mpsc::Receiver<InputLine> {
    spawn(move || io::stdin().lock(), limit)
}

fn spawn<R: BufRead>(
    open: impl FnOnce() -> R + Send + 'static,
    limit: usize,
) -> mpsc::Receiver<InputLine> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    thread::spawn(move || {
        let mut input = open();
        for number in 1.. {
            let content = match read_line(&mut input, limit) {
                Ok(Some(content)) => content,
                Ok(None) => return,
                Err(error) => Err(LineError::Input(error.to_string())),
            };
            let last = matches!(content, Err(LineError::Input(_)));
            if sender
                .blocking_send(InputLine {
                    number,
                    content,
                    done: DoneGuard::default(),
                })
                .is_err()
                || last
            {
                return;
            }
        }
    });
    lines
}

/// Reads one line, which ends with `\n`, with `\r\n` or with the input: the end is not part of the
/// line, but a `\r` elsewhere is. Returns `None` at the end of the input. Keeps at most `limit`
/// bytes and the line end in memory.
fn read_line(
    input: &mut impl BufRead,
    limit: usize,
) -> io::Result<Option<Result<Bytes, LineError>>> {
    let mut line = Vec::new();
    let mut any = false;
    let mut too_long = false;
    let mut complete = false;
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        // One byte more than the limit, because it may be the `\r` of the line end.
        if line.len() + part.len() > limit + 1 {
            too_long = true;
            line.clear();
        } else if !too_long {
            line.extend_from_slice(part);
        }
        let consumed = part.len() + usize::from(end.is_some());
        input.consume(consumed);
        if end.is_some() {
            complete = true;
            break;
        }
    }
    if !any {
        return Ok(None);
    }
    if complete && line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(if too_long || line.len() > limit {
        Err(LineError::TooLong { limit })
    } else {
        Ok(line.into())
    }))
}

/// Reads lines from memory, for tests.
#[cfg(test)]
pub(crate) fn read_text(text: &str, limit: usize) -> mpsc::Receiver<InputLine> {
    let bytes = text.as_bytes().to_vec();
    spawn(move || io::Cursor::new(bytes), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Result<Bytes, LineError>> {
        // A buffer of three bytes, so that lines are split at every offset.
        let mut input = io::BufReader::with_capacity(3, text.as_bytes());
        core::iter::from_fn(|| read_line(&mut input, 8).expect("memory does not fail")).collect()
    }

    fn kept(text: &'static str) -> Result<Bytes, LineError> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_line_is_a_record_without_its_line_end_also_an_empty_and_an_unfinished_one() {
        assert_eq!(
            lines("one\ntwo\r\n\nlast"),
            [kept("one"), kept("two"), kept(""), kept("last")]
        );
        assert_eq!(lines(""), []);
        assert_eq!(lines("a\rb\n"), [kept("a\rb")]);
        assert_eq!(lines("a\r\r\nb\r"), [kept("a\r"), kept("b\r")]);
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_and_the_next_one_is_read() {
        let too_long = || Err(LineError::TooLong { limit: 8 });
        assert_eq!(
            lines("12345678\n123456789\n12345678\r\n123456789\r\nok\n"),
            [
                kept("12345678"),
                too_long(),
                kept("12345678"),
                too_long(),
                kept("ok")
            ]
        );
        assert_eq!(
            lines(&format!("{}\nok", "x".repeat(1000))),
            [too_long(), kept("ok")]
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_kept() {
        let mut input: &[u8] = b"\xff\x00\n";
        assert_eq!(
            read_line(&mut input, 8).expect("memory does not fail"),
            Some(Ok(Bytes::from_static(b"\xff\x00")))
        );
    }
}
