use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use tokio::sync::mpsc;

/// Number of bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// Number of batches of records that are read ahead of the writer; each is of one chunk.
const AHEAD: usize = 4;

/// Where records come from.
#[derive(Debug)]
pub(super) enum Records {
    /// Texts of the command line.
    Messages(VecDeque<Vec<u8>>),
    /// Files, each of which is a record.
    Files(VecDeque<PathBuf>),
    /// The standard input.
    Stdin(Framing),
}

/// Where a record of the standard input ends.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    /// At each line end: `\n` or `\r\n`.
    Lines,
    /// At each of these delimiters, and at the end.
    Delimited(Vec<u8>),
    /// Behind as many bytes as the four bytes before it say, in big-endian order.
    LengthPrefixed,
}

/// A record, or the reason why there is none.
pub(super) type Item = Result<Bytes, String>;

/// Reads the records in a thread, up to [`AHEAD`] batches ahead. The thread ends with the input, or
/// with the next batch after the receiver was dropped.
pub(super) fn read(records: Records, max_record_bytes: usize) -> mpsc::Receiver<Vec<Item>> {
    let (sender, batches) = mpsc::channel(AHEAD);
    thread::spawn(move || match records {
        Records::Messages(messages) => {
            let items = messages.into_iter().map(|text| Ok(text.into())).collect();
            let _ = sender.blocking_send(items);
        }
        Records::Files(files) => {
            for file in files {
                let item = whole(&file, max_record_bytes);
                if sender.blocking_send(vec![item]).is_err() {
                    return;
                }
            }
        }
        Records::Stdin(framing) => {
            let mut splitter = Splitter::new(framing, max_record_bytes);
            split(io::stdin().lock(), &mut splitter, &sender);
        }
    });
    batches
}

/// Reads a file of at most `max` bytes.
fn whole(file: &PathBuf, max: usize) -> Item {
    let failed = |error: io::Error| format!("cannot read {}: {error}", file.display());
    let opened = File::open(file).map_err(failed)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > max {
        return Err(format!("{} is {}", file.display(), too_long(max)));
    }
    Ok(bytes.into())
}

fn too_long(max: usize) -> String {
    format!("longer than {max} bytes, the maximum length of a record")
}

fn split(mut input: impl Read, splitter: &mut Splitter, sender: &mpsc::Sender<Vec<Item>>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut items = Vec::new();
        let read = match input.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                items.push(Err(format!("cannot read the input: {error}")));
                let _ = sender.blocking_send(items);
                return;
            }
        };
        if read == 0 {
            splitter.end(&mut items);
        } else {
            splitter.add(&chunk[..read], &mut items);
        }
        if (!items.is_empty() && sender.blocking_send(items).is_err()) || read == 0 {
            return;
        }
    }
}

/// Splits bytes into records. Keeps at most one record and a delimiter.
struct Splitter {
    framing: Framing,
    finder: Finder<'static>,
    max: usize,
    /// Start of a record whose end has not come. Bounded: `max` and a delimiter.
    partial: BytesMut,
    /// The record is longer than `max`: its bytes are dropped up to its end.
    too_long: bool,
    /// Bytes of a record with a length that are to be dropped.
    skip: u64,
}

impl Splitter {
    fn new(framing: Framing, max: usize) -> Self {
        let finder = match &framing {
            Framing::Lines | Framing::LengthPrefixed => Finder::new(b"\n").into_owned(),
            Framing::Delimited(delimiter) => Finder::new(delimiter).into_owned(),
        };
        Self {
            framing,
            finder,
            max,
            partial: BytesMut::new(),
            too_long: false,
            skip: 0,
        }
    }

    /// Adds bytes, and appends the records that are complete.
    fn add(&mut self, bytes: &[u8], items: &mut Vec<Item>) {
        match self.framing {
            Framing::Lines | Framing::Delimited(_) => self.add_delimited(bytes, items),
            Framing::LengthPrefixed => self.add_prefixed(bytes, items),
        }
    }

    fn add_delimited(&mut self, bytes: &[u8], items: &mut Vec<Item>) {
        let delimiter = self.finder.needle().len();
        // A delimiter may begin in what came before: the search begins that much earlier.
        let mut from = self.partial.len().saturating_sub(delimiter - 1);
        self.partial.extend_from_slice(bytes);
        let all = self.partial.split().freeze();
        let mut start = 0;
        while let Some(found) = self.finder.find(&all[from..]) {
            let end = from + found;
            items.push(self.record(all.slice(start..end)));
            (start, from) = (end + delimiter, end + delimiter);
        }
        let rest = &all[start..];
        // One more byte, because it may be the `\r` of the line end.
        if rest.len() > self.max + delimiter {
            self.too_long = true;
        }
        let kept = if self.too_long {
            // As much as may be the start of the delimiter.
            &rest[rest.len().saturating_sub(delimiter - 1)..]
        } else {
            rest
        };
        self.partial.extend_from_slice(kept);
    }

    fn record(&mut self, record: Bytes) -> Item {
        let is_line = matches!(self.framing, Framing::Lines);
        let record = match record.strip_suffix(b"\r") {
            Some(line) if is_line => record.slice_ref(line),
            Some(_) | None => record,
        };
        if core::mem::take(&mut self.too_long) || record.len() > self.max {
            return Err(format!("it is {}", too_long(self.max)));
        }
        Ok(record)
    }

    fn add_prefixed(&mut self, mut bytes: &[u8], items: &mut Vec<Item>) {
        loop {
            if self.skip > 0 {
                let dropped = bytes
                    .len()
                    .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                bytes = &bytes[dropped..];
                self.skip -= dropped as u64;
                if self.skip > 0 {
                    return;
                }
                items.push(Err(format!("it is {}", too_long(self.max))));
            }
            let wanted = match self.partial.first_chunk::<4>() {
                None => 4,
                Some(prefix) => {
                    let length = u32::from_be_bytes(*prefix);
                    if usize::try_from(length).is_ok_and(|length| length <= self.max) {
                        4 + length as usize
                    } else {
                        self.partial.clear();
                        self.skip = length.into();
                        continue;
                    }
                }
            };
            let missing = wanted - self.partial.len();
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(taken);
            bytes = rest;
            if self.partial.len() < wanted {
                return;
            }
            // A prefix alone may be that of an empty record: the loop looks at its length.
            let length = self
                .partial
                .first_chunk::<4>()
                .map(|it| u32::from_be_bytes(*it));
            if wanted == 4 && length != Some(0) {
                continue;
            }
            let record = self.partial.split().freeze();
            items.push(Ok(record.slice(4..)));
        }
    }

    /// Appends what is left at the end of the input.
    fn end(&mut self, items: &mut Vec<Item>) {
        let rest = self.partial.split().freeze();
        match self.framing {
            Framing::Lines | Framing::Delimited(_) => {
                if !rest.is_empty() || self.too_long {
                    // The input has no further line end, so a `\r` is a byte of the record.
                    let framing = core::mem::replace(&mut self.framing, Framing::Delimited(vec![]));
                    items.push(self.record(rest));
                    self.framing = framing;
                }
            }
            Framing::LengthPrefixed => {
                if !rest.is_empty() || self.skip > 0 {
                    items.push(Err("the input ends inside of it".to_owned()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `input` in pieces of each size.
    fn records(framing: &Framing, input: &[u8], max: usize) -> Vec<Result<Vec<u8>, String>> {
        let of_size = |size: usize| {
            let mut splitter = Splitter::new(framing.clone(), max);
            let mut items = Vec::new();
            for piece in input.chunks(size) {
                splitter.add(piece, &mut items);
            }
            splitter.end(&mut items);
            let items = items
                .into_iter()
                .map(|item| item.map(|bytes| bytes.to_vec()));
            items.collect::<Vec<_>>()
        };
        let whole = of_size(input.len().max(1));
        for size in 1..input.len() {
            assert_eq!(of_size(size), whole, "in pieces of {size}");
        }
        whole
    }

    fn kept(record: &str) -> Result<Vec<u8>, String> {
        Ok(record.as_bytes().to_vec())
    }

    fn too_long() -> Result<Vec<u8>, String> {
        Err(format!("it is {}", super::too_long(8)))
    }

    #[test]
    fn each_line_is_a_record_without_its_end() {
        assert_eq!(
            records(&Framing::Lines, b"one\ntwo\r\n\na\rb\nlast\r", 8),
            [
                kept("one"),
                kept("two"),
                kept(""),
                kept("a\rb"),
                kept("last\r")
            ]
        );
        assert_eq!(records(&Framing::Lines, b"", 8), []);
        assert_eq!(
            records(
                &Framing::Lines,
                b"12345678\r\n123456789\nok\n1234567890123",
                8
            ),
            [kept("12345678"), too_long(), kept("ok"), too_long()]
        );
    }

    #[test]
    fn records_end_at_delimiters_of_any_bytes() {
        let delimited = |delimiter: &[u8]| Framing::Delimited(delimiter.to_vec());
        assert_eq!(
            records(&delimited(b"\0"), b"a\nb\0\0c\r", 8),
            [kept("a\nb"), kept(""), kept("c\r")]
        );
        assert_eq!(
            records(&delimited(b"\n\n"), b"a\nb\n\n123456789012\n\n\nc\n\n", 8),
            [kept("a\nb"), too_long(), kept("\nc")]
        );
    }

    #[test]
    fn records_with_their_lengths_are_read_and_long_ones_skipped() {
        let framed = |records: &[&[u8]]| -> Vec<u8> {
            let framed = records.iter().map(|record| {
                let length = u32::try_from(record.len()).expect("small");
                [&length.to_be_bytes()[..], record].concat()
            });
            framed.collect::<Vec<_>>().concat()
        };
        let input = framed(&[b"a\nb", b"", b"123456789", b"12345678"]);
        assert_eq!(
            records(&Framing::LengthPrefixed, &input, 8),
            [kept("a\nb"), kept(""), too_long(), kept("12345678")]
        );
        let cut = &input[..input.len() - 1];
        assert!(
            records(&Framing::LengthPrefixed, cut, 8)
                .last()
                .expect("it is there")
                .is_err()
        );
    }

    #[test]
    fn a_file_is_a_record_if_it_is_not_too_long() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("record");
        std::fs::write(&file, b"a\nb\n").expect("a file");
        assert_eq!(whole(&file, 4).as_deref(), Ok(&b"a\nb\n"[..]));
        assert!(
            whole(&file, 3)
                .expect_err("too long")
                .contains("longer than 3 bytes")
        );
        let missing = whole(&folder.path().join("none"), 3).expect_err("it is missing");
        assert!(missing.contains("cannot read"), "{missing}");
    }
}
