use std::io::{self, BufRead};
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

/// How many lines are read ahead of the writer.
const AHEAD: usize = 64;

/// One line of input.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// What it holds, without its end, or why it cannot be a record.
    pub(crate) content: Result<Bytes, LineError>,
    /// Dropped when the line was dealt with, so that an editor can ask for the next one.
    pub(crate) release: Release,
}

/// Tells an editor that waits that a line was dealt with, by being dropped.
#[derive(Debug, Default)]
pub(crate) struct Release(
    #[expect(dead_code, reason = "only its end is of interest")]
    Option<std::sync::mpsc::SyncSender<()>>,
);

impl Release {
    /// One that tells `waiter`.
    pub(super) const fn of(waiter: std::sync::mpsc::SyncSender<()>) -> Self {
        Self(Some(waiter))
    }
}

/// Why a line cannot be a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    /// It is longer than a record may be. It was skipped to its end without being kept.
    TooLong {
        /// The most bytes that a record may have.
        limit: usize,
    },
    /// The input failed. There are no more lines.
    Input(String),
}

impl core::fmt::Display for LineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong { limit } => write!(
                f,
                "the line is longer than the {limit} bytes that a record may have"
            ),
            Self::Input(error) => write!(f, "cannot read the input: {error}"),
        }
    }
}

/// Reads the standard input's lines on a thread of its own, a few ahead.
///
/// The thread ends with the input, or with the next line after the receiver was dropped.
pub(crate) fn of_stdin(limit: usize) -> mpsc::Receiver<Line> {
    spawn(move || io::stdin().lock(), limit)
}

fn spawn<R: BufRead>(
    open: impl FnOnce() -> R + Send + 'static,
    limit: usize,
) -> mpsc::Receiver<Line> {
    let (sender, lines) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut input = open();
        for number in 1.. {
            let content = match read_line(&mut input, limit) {
                Ok(Some(content)) => content,
                Ok(None) => return,
                Err(error) => Err(LineError::Input(error.to_string())),
            };
            let ended = matches!(content, Err(LineError::Input(_)));
            if sender
                .blocking_send(Line {
                    number,
                    content,
                    release: Release::default(),
                })
                .is_err()
                || ended
            {
                return;
            }
        }
    });
    lines
}

/// Reads up to a line's end, which is `\n` or `\r\n` or the end of the input. At most `limit` bytes
/// and the line's end are kept.
fn read_line(
    input: &mut impl BufRead,
    limit: usize,
) -> io::Result<Option<Result<Bytes, LineError>>> {
    let mut line = Vec::new();
    let mut any = false;
    let mut too_long = false;
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
        // One byte more than the limit, because it may be the `\r` of the line's end.
        if line.len() + part.len() > limit + 1 {
            too_long = true;
            line.clear();
        } else if !too_long {
            line.extend_from_slice(part);
        }
        let consumed = part.len() + usize::from(end.is_some());
        input.consume(consumed);
        if end.is_some() {
            break;
        }
    }
    if !any {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(if too_long || line.len() > limit {
        Err(LineError::TooLong { limit })
    } else {
        Ok(line.into())
    }))
}

/// Lines from memory, for tests.
#[cfg(test)]
pub(crate) fn of_text(text: &str, limit: usize) -> mpsc::Receiver<Line> {
    let bytes = text.as_bytes().to_vec();
    spawn(move || io::Cursor::new(bytes), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Result<Bytes, LineError>> {
        // A buffer of three bytes, so that lines fall apart in every way.
        let mut input = io::BufReader::with_capacity(3, text.as_bytes());
        core::iter::from_fn(|| read_line(&mut input, 8).expect("memory does not fail")).collect()
    }

    fn kept(text: &'static str) -> Result<Bytes, LineError> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_line_is_a_record_without_its_end_also_the_empty_and_the_unfinished_one() {
        assert_eq!(
            lines("one\ntwo\r\n\nlast"),
            [kept("one"), kept("two"), kept(""), kept("last")]
        );
        assert_eq!(lines(""), []);
        assert_eq!(lines("a\rb\n"), [kept("a\rb")]);
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
    fn bytes_that_are_no_text_are_kept() {
        let mut input: &[u8] = b"\xff\x00\n";
        assert_eq!(
            read_line(&mut input, 8).expect("memory does not fail"),
            Some(Ok(Bytes::from_static(b"\xff\x00")))
        );
    }
}
