use distributedlog_reader::entries::{CONTENT_TYPE, Frame, FrameBuffer, StoredRecord};
use distributedlog_store::{Dlsn, EntryRecord, StoredEntry};
use hyper::HeaderMap;

use super::lines::{Assembly, Line, LineBuffer, parse_position};

/// Formats of a response. Proxies of earlier versions have lines only.
pub(super) const ACCEPTED: &str =
    "application/vnd.distributedlog.entries, application/x-ndjson;q=0.5";

/// The bytes of a response to a read, taken entry by entry.
#[derive(Debug)]
pub(super) enum Received {
    Lines {
        lines: LineBuffer,
        assembly: Assembly,
    },
    Frames {
        frames: FrameBuffer,
        /// Position before which nothing is delivered.
        start: Dlsn,
    },
}

/// What was taken of a response.
#[derive(Debug)]
pub(super) enum Taken {
    Entry {
        entry: StoredEntry,
        /// Position of its first record that may be delivered.
        start: Dlsn,
        /// Position behind its last record.
        next: Dlsn,
    },
    /// The stream's time of creation, in milliseconds since 1970.
    Created(u64),
    End {
        reason: String,
        detail: Option<String>,
    },
}

impl Received {
    /// Nothing of a response with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get("content-type");
        if content_type.is_some_and(|it| it == CONTENT_TYPE) {
            return Self::Frames {
                frames: FrameBuffer::default(),
                start: Dlsn::INITIAL,
            };
        }
        Self::Lines {
            lines: LineBuffer::default(),
            assembly: Assembly::from(Dlsn::INITIAL),
        }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        match self {
            Self::Lines { lines, .. } => lines.push(piece),
            Self::Frames { frames, .. } => frames.push(piece),
        }
    }

    /// Takes what is complete. `None` if nothing is.
    ///
    /// # Errors
    /// The bytes are none of a write proxy.
    pub(super) fn pop(&mut self) -> Result<Option<Taken>, String> {
        match self {
            Self::Lines { lines, assembly } => pop_line(lines, assembly),
            Self::Frames { frames, start } => pop_frame(frames, start),
        }
    }
}

fn pop_line(lines: &mut LineBuffer, assembly: &mut Assembly) -> Result<Option<Taken>, String> {
    // Bounded: each round takes a line out of the buffer.
    while let Some(line) = lines.pop()? {
        if line.is_empty() {
            continue;
        }
        let line = Line::parse(&line)?;
        match line.event.as_str() {
            "record" | "malformed" => {
                if let Some((entry, start)) = assembly.take(&line)? {
                    let next = assembly.next;
                    return Ok(Some(Taken::Entry { entry, start, next }));
                }
            }
            "heartbeat" => {
                if let Some(Ok((_, Some(created)))) = line.next.as_deref().map(parse_position) {
                    return Ok(Some(Taken::Created(created)));
                }
            }
            "end" => {
                return Ok(Some(Taken::End {
                    reason: line.reason.unwrap_or_default(),
                    detail: line.detail,
                }));
            }
            // Of a later version.
            _ => {}
        }
    }
    Ok(None)
}

fn pop_frame(frames: &mut FrameBuffer, start: &mut Dlsn) -> Result<Option<Taken>, String> {
    // Bounded: each round takes a frame out of the buffer.
    while let Some(frame) = frames.pop().map_err(|error| error.to_string())? {
        match frame {
            Frame::Stored(stored) => return Ok(Some(entry(stored, *start))),
            Frame::Start(next) => {
                *start = next.dlsn;
                return Ok(Some(Taken::Created(next.created_unix_ms)));
            }
            Frame::Heartbeat(next) => return Ok(Some(Taken::Created(next.created_unix_ms))),
            Frame::End { reason, detail, .. } => {
                let detail = Some(detail).filter(|detail| !detail.is_empty());
                return Ok(Some(Taken::End { reason, detail }));
            }
            // Of a later version.
            _ => {}
        }
    }
    Ok(None)
}

fn entry(stored: StoredRecord, start: Dlsn) -> Taken {
    let StoredRecord { dlsn, slots, .. } = stored;
    let record = EntryRecord {
        payload: stored.payload,
        slots,
        is_record_set: stored.is_record_set,
    };
    Taken::Entry {
        entry: StoredEntry {
            dlsn,
            written_unix_ms: stored.written_unix_ms,
            records: vec![record],
        },
        start: start.max(dlsn),
        next: dlsn.slot(slots),
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use distributedlog_reader::entries::{
        FramePosition, put_end, put_heartbeat, put_start, put_stored_head,
    };
    use hyper::header::{CONTENT_TYPE as NAME, HeaderValue};

    use super::*;

    const fn position(dlsn: Dlsn) -> FramePosition {
        FramePosition {
            dlsn,
            created_unix_ms: 7,
        }
    }

    fn frames() -> Received {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::from_static(CONTENT_TYPE));
        Received::of(&headers)
    }

    fn put(out: &mut BytesMut, entry: i64, slots: u32, is_record_set: bool) {
        let stored = StoredRecord {
            dlsn: Dlsn::new(1, entry, 0),
            written_unix_ms: 9,
            slots,
            is_record_set,
            payload: Bytes::from_static(b"stored"),
        };
        put_stored_head(out, &stored);
        out.extend_from_slice(&stored.payload);
    }

    fn taken(mut received: Received, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut taken = Vec::new();
        // However it is cut.
        for piece in bytes.chunks(3) {
            received.push(piece);
            while let Some(it) = received.pop()? {
                taken.push(match it {
                    Taken::Entry { entry, start, next } => {
                        let record = &entry.records[0];
                        format!("{} from {start} to {next}, {}", entry.dlsn, record.slots)
                    }
                    Taken::Created(unix_ms) => format!("created {unix_ms}"),
                    Taken::End { reason, detail } => format!("{reason} {detail:?}"),
                });
            }
        }
        Ok(taken)
    }

    #[test]
    fn a_set_is_taken_whole_with_the_position_at_which_reading_began() {
        let mut out = BytesMut::new();
        put_start(&mut out, position(Dlsn::new(1, 4, 2)));
        put(&mut out, 4, 3, true);
        put(&mut out, 5, 1, false);
        put_heartbeat(&mut out, position(Dlsn::new(1, 6, 0)));
        put_end(&mut out, position(Dlsn::new(1, 6, 0)), "caught_up", "");
        let at = |entry, slot| Dlsn::new(1, entry, slot).to_string();
        assert_eq!(
            taken(frames(), &out).expect("frames"),
            [
                "created 7".to_owned(),
                format!("{} from {} to {}, 3", at(4, 0), at(4, 2), at(4, 3)),
                format!("{} from {} to {}, 1", at(5, 0), at(5, 0), at(5, 1)),
                "created 7".to_owned(),
                "caught_up None".to_owned(),
            ]
        );
    }

    #[test]
    fn without_the_content_type_of_frames_a_response_is_lines() {
        let lines = concat!(
            r#"{"event":"heartbeat","next":"1,0,0@7"}"#,
            "\n\n",
            r#"{"event":"record","dlsn":"1,0,0","slot":0,"slots":1,"payload":"YQ=="}"#,
            "\n",
            r#"{"event":"end","reason":"failed","detail":"the disk"}"#,
            "\n"
        );
        let received = || Received::of(&HeaderMap::new());
        let found = taken(received(), lines.as_bytes()).expect("lines");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[2], "failed Some(\"the disk\")");
        assert!(taken(received(), b"no line of a proxy\n").is_err());
        assert!(taken(frames(), lines.as_bytes()).is_err());
    }
}
