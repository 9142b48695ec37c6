use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use std::borrow::Cow;

use bytes::Bytes;
use distributedlog::wire::crc;
use distributedlog::wire::mux;
use distributedlog::wire::record_set::{Header, RecordSet, RecordSetError, SetIdentity};
use distributedlog::wire::service::{Binaries, ClientInfo, ExceptionKind, Request, WriteContext};
use distributedlog::{Dlsn, Instant, StatusCode, stream_name};
use regex::{Regex, RegexBuilder};

use super::append::too_large;
use super::{Action, Bulk, Fingerprint, Reply, StreamReply, Work};
use crate::MAX_RECORD_BYTES;
use distributedlog_store::EntryRecord;

/// Longest filter of stream names, in bytes.
const MAX_FILTER_LENGTH: usize = 4096;

/// Memory limit of a compiled filter of stream names. Larger ones are refused.
const MAX_FILTER_BYTES: usize = 1 << 20;

/// Longest name of a stream, in bytes. The original has no limit of its own, and ZooKeeper's is far
/// above the names that are used.
const MAX_STREAM_NAME_BYTES: usize = 1024;

/// Number of characters of a client's text that are quoted back to it.
pub(crate) const MAX_QUOTE_CHARS: usize = 80;

/// Payload that the original writes into the control record of a heartbeat which readers are to
/// notice.
const HEARTBEAT: &[u8] = b"heartbeat";

thread_local! {
    /// Buffer for decompressing record sets, to check that they are whole. Grows to the largest
    /// that came, 1 MiB at most.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Checks what needs no state, in this order: the stream's name (602), the checksum (523), the size
/// (413), the record set (500). Payloads are not copied: `frame` is the buffer from which `request`
/// was decoded.
///
/// # Errors
///
/// The reply for the client.
pub(crate) fn check<'a>(request: &Request<'a>, frame: &Bytes) -> Result<Action<'a>, Reply> {
    match *request {
        Request::Handshake => Ok(Action::Handshake {
            ownerships: true,
            filter: None,
        }),
        Request::HandshakeWithClientInfo { info } => handshake(&info),
        Request::SetAcceptNewStream { enabled } => Ok(Action::SetAcceptNewStream(enabled)),
        Request::Write { stream, data } => {
            let name = valid_name(stream)?;
            small_enough(data)?;
            Ok(Action::Stream {
                stream: name,
                work: Work::Write(record(frame, data)),
            })
        }
        Request::WriteWithContext {
            stream,
            data,
            context,
        } => write_with_context(stream, data, &context, frame),
        Request::WriteBulkWithContext { stream, data, .. } => Ok(Action::Stream {
            stream: valid_name(stream)?,
            work: Work::Bulk(bulk(frame, data)),
        }),
        Request::Heartbeat { stream, context } => on_stream(stream, &context, Work::Touch),
        Request::HeartbeatWithOptions {
            stream,
            context,
            options,
        } => {
            let work = if options.send_to_reader.unwrap_or(false) {
                Work::Write(EntryRecord {
                    payload: Bytes::from_static(HEARTBEAT),
                    slots: 0,
                    is_record_set: false,
                })
            } else {
                Work::Touch
            };
            on_stream(stream, &context, work)
        }
        Request::Truncate {
            stream,
            dlsn,
            context,
        } => truncate(stream, dlsn, &context),
        Request::Release { stream, context } => on_stream(stream, &context, Work::Release),
        Request::Delete { stream, context } => on_stream(stream, &context, Work::Delete),
        Request::Create { stream, context } => {
            let name = valid_name(stream)?;
            checksum(&context, || crc::stream(stream))?;
            Ok(Action::Create { stream: name })
        }
        Request::GetOwner { stream, context } => {
            let name = valid_name(stream)?;
            checksum(&context, || crc::stream(stream))?;
            Ok(Action::Owner { stream: name })
        }
    }
}

fn write_with_context<'a>(
    stream: &'a str,
    data: &[u8],
    context: &WriteContext<'_>,
    frame: &Bytes,
) -> Result<Action<'a>, Reply> {
    let name = valid_name(stream)?;
    checksum(context, || crc::write(stream, data))?;
    small_enough(data)?;
    if !context.is_record_set.unwrap_or(false) {
        return Ok(Action::Stream {
            stream: name,
            work: Work::Write(record(frame, data)),
        });
    }
    let (slots, identity) = inspect_set(data).map_err(Reply::Stream)?;
    let record = EntryRecord {
        slots,
        is_record_set: true,
        ..record(frame, data)
    };
    let work = match identity {
        None => Work::Write(record),
        Some(identity) => Work::WriteOnce(
            record,
            fingerprint(identity, data, || crc::write(stream, data), context),
        ),
    };
    Ok(Action::Stream { stream: name, work })
}

fn truncate<'a>(
    stream: &'a str,
    dlsn: &str,
    context: &WriteContext<'_>,
) -> Result<Action<'a>, Reply> {
    let name = valid_name(stream)?;
    let before: Dlsn = dlsn.parse().map_err(|error| {
        Reply::Stream(StreamReply::refused(
            StatusCode::RequestDenied,
            format!(
                "cannot truncate before {:?}: {error}",
                shorten(dlsn, MAX_QUOTE_CHARS)
            ),
        ))
    })?;
    checksum(context, || crc::truncate(stream, &before))?;
    Ok(Action::Stream {
        stream: name,
        work: Work::Truncate(before),
    })
}

fn on_stream<'a>(
    stream: &'a str,
    context: &WriteContext<'_>,
    work: Work,
) -> Result<Action<'a>, Reply> {
    let name = valid_name(stream)?;
    checksum(context, || crc::stream(stream))?;
    Ok(Action::Stream { stream: name, work })
}

fn valid_name(stream: &str) -> Result<&str, Reply> {
    let invalid = |why: &dyn fmt::Display| {
        let quote = shorten(stream, MAX_QUOTE_CHARS);
        Reply::Stream(StreamReply::refused(
            StatusCode::InvalidStreamName,
            format!("invalid stream name {quote:?}: {why}"),
        ))
    };
    if stream.len() > MAX_STREAM_NAME_BYTES {
        return Err(invalid(&format_args!(
            "it has {} bytes, and {MAX_STREAM_NAME_BYTES} are the most",
            stream.len()
        )));
    }
    stream_name::validate(stream).map_err(|error| invalid(&error))
}

/// Returns the text, cut after `max_chars` characters.
pub(crate) fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Compares the client's checksum, if it sent one, with that of the received data. It covers the
/// stream's name as it was sent.
fn checksum(context: &WriteContext<'_>, actual: impl FnOnce() -> u32) -> Result<(), Reply> {
    let Some(claimed) = context.crc32 else {
        return Ok(());
    };
    let actual = actual();
    if claimed == i64::from(actual) {
        return Ok(());
    }
    let message = format!(
        "checksum failed: the request says {claimed:#010x}, what arrived has {actual:#010x}"
    );
    Err(Reply::Stream(StreamReply::refused(
        StatusCode::ChecksumFailed,
        message,
    )))
}

fn small_enough(data: &[u8]) -> Result<(), Reply> {
    if data.len() > MAX_RECORD_BYTES {
        Err(Reply::Stream(too_large(data.len())))
    } else {
        Ok(())
    }
}

/// Makes a single record of a part of the frame.
fn record(frame: &Bytes, data: &[u8]) -> EntryRecord {
    EntryRecord {
        payload: frame.slice_ref(data),
        slots: 1,
        is_record_set: false,
    }
}

/// Returns the number of records in a set, each of which takes a slot, and its identity. All
/// records are decompressed first, to check that the set is whole.
fn inspect_set(set: &[u8]) -> Result<(u32, Option<SetIdentity>), StreamReply> {
    let broken = |error: RecordSetError| {
        StreamReply::refused(
            StatusCode::InternalServerError,
            format!("not a record set: {error}"),
        )
    };
    let header = Header::parse(set).map_err(broken)?;
    let (count, identity) = SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < header.payload_bytes {
            scratch.resize(header.payload_bytes, 0);
        }
        RecordSet::parse(set, scratch)
            .map(|set| (set.len(), set.identity()))
            .map_err(broken)
    })?;
    match u32::try_from(count) {
        Ok(count) if count > 0 => Ok((count, identity)),
        Ok(_) | Err(_) => Err(StreamReply::refused(
            StatusCode::InternalServerError,
            "not a record set: it contains no record",
        )),
    }
}

/// Makes the fingerprint that identifies duplicates of a set. The checksum is the client's, which
/// was verified, or is computed if it sent none.
fn fingerprint(
    identity: SetIdentity,
    set: &[u8],
    checksum: impl FnOnce() -> u32,
    context: &WriteContext<'_>,
) -> Fingerprint {
    let claimed = context
        .crc32
        .and_then(|claimed| u32::try_from(claimed).ok());
    let bytes = u32::try_from(set.len()).expect("it is at most MAX_RECORD_BYTES");
    Fingerprint {
        identity,
        bytes,
        checksum: claimed.unwrap_or_else(checksum),
    }
}

/// Collects the records up to the first one that is too large.
fn bulk(frame: &Bytes, data: Binaries<'_>) -> Bulk {
    let mut bulk = Bulk::default();
    for data in data {
        if bulk.too_large.is_some() {
            bulk.cancelled += 1;
        } else if data.len() > MAX_RECORD_BYTES {
            bulk.too_large = Some(data.len());
        } else {
            bulk.records.push(record(frame, data));
        }
    }
    bulk
}

fn handshake<'a>(info: &ClientInfo<'_>) -> Result<Action<'a>, Reply> {
    let filter = match info.stream_name_regex {
        None | Some(".*") => None,
        Some(pattern) => Some(filter(pattern).map_err(|why| {
            let message = format!(
                "handshakeWithClientInfo: streamNameRegex {:?} cannot be used: {why}",
                shorten(pattern, MAX_QUOTE_CHARS)
            )
            .into();
            Reply::Exception {
                kind: ExceptionKind::InternalError,
                message,
            }
        })?),
    };
    Ok(Action::Handshake {
        ownerships: info.with_ownerships.unwrap_or(true),
        filter,
    })
}

/// Compiles a filter that matches whole names, as the original's does.
///
/// It is first compiled as it is: the anchors and the group that are put around it for the second
/// compilation would make valid some expressions that are not, such as `a)|(b`.
pub(crate) fn filter(pattern: &str) -> Result<Regex, Cow<'static, str>> {
    if pattern.len() > MAX_FILTER_LENGTH {
        return Err(format!(
            "it has {} bytes, and {MAX_FILTER_LENGTH} are the most",
            pattern.len()
        )
        .into());
    }
    let compile = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(MAX_FILTER_BYTES)
            .build()
            .map_err(|error| Cow::from(error.to_string()))
    };
    compile(pattern)?;
    compile(&format!(r"\A(?:{pattern})\z"))
}

/// Converts a client's deadline to this proxy's own clock.
///
/// Both of the client's values are times of day. If its clock agrees with this machine's, the
/// deadline is used. Where the two clocks cannot agree (the request was sent in the future, or
/// ended longer ago than `max_skew`), the time that the client allowed counts from now.
///
/// # Errors
///
/// The time since the deadline passed.
pub(crate) fn deadline(
    said: mux::Deadline,
    now: Instant,
    unix_nanos: u64,
    max_skew: Duration,
) -> Result<Instant, Duration> {
    let budget = said.budget();
    let here = i64::try_from(unix_nanos).unwrap_or(i64::MAX);
    let left = i128::from(said.deadline_ns) - i128::from(here);
    let length = Duration::from_nanos(u64::try_from(left.unsigned_abs()).unwrap_or(u64::MAX));
    if left >= 0 {
        Ok(now + length.min(budget))
    } else if length > max_skew {
        Ok(now + budget)
    } else {
        Err(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const NOW: i64 = 1_800_000_000 * SECOND;

    #[track_caller]
    fn deadline_in(sent_ago: i64, allowed: i64) -> Result<Duration, Duration> {
        let said = mux::Deadline {
            timestamp_ns: NOW - sent_ago,
            deadline_ns: NOW - sent_ago + allowed,
        };
        let now = Instant::from_millis(5000);
        deadline(said, now, NOW as u64, Duration::from_secs(300)).map(|at| at.since(now))
    }

    #[test]
    fn a_deadline_is_the_time_of_day_that_the_client_named() {
        assert_eq!(
            deadline_in(SECOND / 4, SECOND),
            Ok(Duration::from_millis(750))
        );
        assert_eq!(deadline_in(0, SECOND), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn a_passed_deadline_is_refused_with_the_time_since_then() {
        assert_eq!(deadline_in(3 * SECOND, SECOND), Err(Duration::from_secs(2)));
    }

    #[test]
    fn where_the_clocks_disagree_the_time_allowed_counts_from_now() {
        assert_eq!(
            deadline_in(86_400 * SECOND, SECOND),
            Ok(Duration::from_secs(1)),
            "the client's clock is a day slow"
        );
        assert_eq!(
            deadline_in(-86_400 * SECOND, SECOND),
            Ok(Duration::from_secs(1)),
            "the client's clock is a day fast"
        );
        assert_eq!(
            deadline_in(-86_400 * SECOND, -SECOND),
            Ok(Duration::ZERO),
            "nothing was allowed"
        );
    }

    #[test]
    fn filters_match_whole_names_only() {
        let filter = filter("basic-stream-[0-9]|other").expect("a valid expression");
        assert!(filter.is_match("basic-stream-3") && filter.is_match("other"));
        assert!(!filter.is_match("basic-stream-33") && !filter.is_match("my-other"));
    }

    #[test]
    fn filters_that_cannot_be_are_refused_with_a_reason() {
        for pattern in ["(", "a)|(b", "(?=lookahead)", "(?:a{1000}){1000}"] {
            let info = ClientInfo {
                stream_name_regex: Some(pattern),
                with_ownerships: None,
            };
            let Err(Reply::Exception { message, .. }) = handshake(&info) else {
                panic!("{pattern} was taken")
            };
            assert!(message.contains("streamNameRegex"), "{message}");
        }
    }
}
