use core::time::Duration;
use std::sync::PoisonError;

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::client::{AskError, HttpAnswer, chain, escape};
use super::received::{ACCEPTED, Received, Taken};
use super::store::{HttpStore, path_of, position_text};
use distributedlog_store::{Dlsn, ReadBatch, ReadLimit, StoreError, StoredEntry, StreamName};

/// Reads that go on at a time; further ones begin anew with each batch.
const MAX_CURSORS: usize = 256;

/// Interval of the proxy's heartbeats, and silence after which the connection counts as lost.
const HEARTBEAT_MS: u64 = 5_000;
const SILENCE: Duration = Duration::from_millis(3 * HEARTBEAT_MS);

/// Largest body of a problem.
const MAX_PROBLEM_BYTES: usize = 64 << 10;

/// The response to a read, and what was taken from it.
pub(super) struct Cursor {
    body: Incoming,
    received: Received,
    /// Position behind the last record that was taken.
    reached: Dlsn,
    /// Position that the next batch must begin at for this response to go on.
    next: Dlsn,
    created_unix_ms: u64,
    follows: bool,
    ended: bool,
}

/// What was read for a batch.
struct Gathered {
    entries: Vec<StoredEntry>,
    bytes: usize,
    start: Dlsn,
}

impl HttpStore {
    pub(super) async fn read_batch(
        &self,
        stream: &StreamName,
        from: Dlsn,
        limit: ReadLimit,
    ) -> Result<ReadBatch, StoreError> {
        let deadline = Instant::now() + limit.wait;
        let follows = !limit.wait.is_zero();
        let mut cursor = match self.kept(stream, from, follows, limit.created_unix_ms) {
            Some(cursor) => cursor,
            None => match self
                .open(stream, from, follows, limit.created_unix_ms)
                .await?
            {
                Some(cursor) => cursor,
                // Beyond the end: as in a store, the reader waits until the stream gets there.
                None => {
                    tokio::time::sleep_until(deadline).await;
                    return Ok(ReadBatch {
                        entries: Vec::new(),
                        next: from,
                        start: from,
                        created_unix_ms: limit.created_unix_ms.unwrap_or_default(),
                    });
                }
            },
        };
        let gathered = self
            .gather(stream, &mut cursor, from, &limit, deadline)
            .await?;
        if !gathered.entries.is_empty() {
            cursor.next = cursor.reached;
        }
        let batch = ReadBatch {
            entries: gathered.entries,
            next: cursor.next,
            start: gathered.start,
            created_unix_ms: cursor.created_unix_ms,
        };
        if !cursor.ended {
            let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            if cursors.len() < MAX_CURSORS {
                cursors.insert(stream.clone(), cursor);
            }
        }
        Ok(batch)
    }

    /// Takes the response of an earlier read that goes on at this position.
    fn kept(
        &self,
        stream: &StreamName,
        from: Dlsn,
        follows: bool,
        created: Option<u64>,
    ) -> Option<Cursor> {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.remove(stream).filter(|cursor| {
            let is_same_stream = created.is_none_or(|it| it == cursor.created_unix_ms);
            cursor.next == from && cursor.follows == follows && is_same_stream
        })
    }

    /// Begins a read. `None` if the position is beyond the stream's end.
    async fn open(
        &self,
        stream: &StreamName,
        from: Dlsn,
        follows: bool,
        created: Option<u64>,
    ) -> Result<Option<Cursor>, StoreError> {
        // From the beginning of the entry: a set is put together from all of its records.
        let mut position = position_text(Dlsn { slot_id: 0, ..from });
        if let Some(created) = created {
            position += &format!("@{created}");
        }
        let position = escape(&position);
        let query =
            format!("/records?follow={follows}&heartbeat_ms={HEARTBEAT_MS}&from={position}");
        let response = self.client.open(&path_of(stream, &query), ACCEPTED).await;
        let response = response.map_err(|error| StoreError::Unreachable {
            address: self.client.url().to_owned(),
            detail: match error {
                AskError::NotSent(why) | AskError::Unanswered(why) => why,
            },
        })?;
        let status = response.status();
        let received = Received::of(response.headers());
        let body = response.into_body();
        if status == StatusCode::OK {
            return Ok(Some(Cursor {
                body,
                received,
                reached: from,
                next: from,
                created_unix_ms: created.unwrap_or_default(),
                follows,
                ended: false,
            }));
        }
        let body = http_body_util::Limited::new(body, MAX_PROBLEM_BYTES).collect();
        let body = body.await.map(|body| body.to_bytes()).unwrap_or_default();
        if status == StatusCode::CONFLICT {
            return Ok(None);
        }
        if status == StatusCode::GONE {
            return Err(StoreError::StreamNotFound(stream.clone()));
        }
        Err(self.problem(&HttpAnswer { status, body }, Some(stream)))
    }

    /// Reads until the batch is full, nothing more has come, or the wait is over.
    async fn gather(
        &self,
        stream: &StreamName,
        cursor: &mut Cursor,
        from: Dlsn,
        limit: &ReadLimit,
        deadline: Instant,
    ) -> Result<Gathered, StoreError> {
        let mut gathered = Gathered {
            entries: Vec::new(),
            bytes: 0,
            start: from,
        };
        loop {
            let taken = cursor.received.pop();
            if let Some(taken) = taken.map_err(|detail| self.no_proxy(&detail))? {
                self.take(stream, cursor, from, taken, &mut gathered)?;
                if gathered.bytes >= limit.max_bytes {
                    return Ok(gathered);
                }
                continue;
            }
            if cursor.ended {
                return Ok(gathered);
            }
            let frame = if gathered.entries.is_empty() {
                let silence = Instant::now() + SILENCE;
                let until = if cursor.follows {
                    silence.min(deadline)
                } else {
                    silence
                };
                match tokio::time::timeout_at(until, cursor.body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) if cursor.follows && until == deadline => return Ok(gathered),
                    Err(_) => return Err(self.lost("it is silent".to_owned())),
                }
            } else {
                match cursor.body.frame().now_or_never() {
                    Some(frame) => frame,
                    None => return Ok(gathered),
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        cursor.received.push(&data);
                    }
                }
                Some(Err(error)) => return Err(self.lost(chain(&error))),
                None => return Err(self.lost("the response ended within a read".to_owned())),
            }
        }
    }

    fn take(
        &self,
        stream: &StreamName,
        cursor: &mut Cursor,
        from: Dlsn,
        taken: Taken,
        gathered: &mut Gathered,
    ) -> Result<(), StoreError> {
        match taken {
            Taken::Entry { entry, start, next } => {
                cursor.reached = next;
                // Those before the position, at the beginning of its entry.
                if next <= from {
                    return Ok(());
                }
                // A set whose beginning is truncated.
                if gathered.entries.is_empty() && start > entry.dlsn {
                    gathered.start = from.max(start);
                }
                gathered.bytes += entry.records[0].payload.len();
                gathered.entries.push(entry);
                Ok(())
            }
            Taken::Created(created_unix_ms) => {
                cursor.created_unix_ms = created_unix_ms;
                Ok(())
            }
            Taken::End { reason, detail } => {
                cursor.ended = true;
                match reason.as_str() {
                    "caught_up" | "limit" => Ok(()),
                    "deleted" | "recreated" => Err(StoreError::StreamNotFound(stream.clone())),
                    reason => {
                        let detail = detail.as_deref().unwrap_or(reason);
                        Err(self.lost(format!("it ended the read: {detail}")))
                    }
                }
            }
        }
    }

    fn lost(&self, detail: String) -> StoreError {
        StoreError::Disconnected {
            address: self.client.url().to_owned(),
            detail,
        }
    }
}
