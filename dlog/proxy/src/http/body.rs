use core::net::IpAddr;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode as Http;
use bytes::{Bytes, BytesMut};
use distributedlog::StatusCode;
use http_body_util::BodyExt;

use super::HttpState;
use super::problem::Problem;
use crate::MAX_RECORD_BYTES;
use distributedlog_store::budget::{ByteBudget, Reservation};

/// The whole body of a request. Its bytes count as buffered until it is dropped.
pub(super) struct ReceivedBody {
    pub(super) bytes: Bytes,
    _room: Option<Reservation>,
}

/// Reads a body of at most `most` bytes: within the room for all bodies, and in time.
///
/// A body that is announced as too large is refused before any of it is read, or asked for
/// (`Expect: 100-continue`).
pub(super) async fn read(
    state: &HttpState,
    peer: IpAddr,
    mut body: Body,
    most: usize,
) -> Result<ReceivedBody, Problem> {
    let announced = body.size_hint().lower();
    if announced > most as u64 {
        return Err(too_large(&format!("of {announced} bytes"), most));
    }
    // What came is charged, not what is announced: a client that announces and sends nothing would
    // take the room of others.
    let mut room = BodyReservation {
        bodies: state.service.bounds.bodies.of(peer),
        taken: None,
    };
    let limit = state.settings.frame_timeout;
    let reading = async {
        // Most bodies come in one piece, which is not copied.
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                state.service.stats.http.aborted.inc();
                Problem::bad_request(format!("the body ended early: {error}"))
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = first.len() + all.len() + data.len();
            if length > most {
                return Err(too_large("that goes on after that", most));
            }
            room.take(length)?;
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.reserve(length);
                    all.extend_from_slice(&core::mem::take(&mut first));
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    };
    let Ok(bytes) = tokio::time::timeout(limit, reading).await else {
        state.service.stats.timeouts.inc();
        let detail = format!("the body was not complete within {limit:?}");
        return Err(Problem::new(Http::REQUEST_TIMEOUT, "BODY_TOO_SLOW", detail));
    };
    let bytes = bytes?;
    Ok(ReceivedBody {
        bytes,
        _room: room.taken,
    })
}

/// The room that one body takes of that for all bodies.
struct BodyReservation {
    bodies: ByteBudget,
    taken: Option<Reservation>,
}

impl BodyReservation {
    /// Takes room for `length` bytes in all.
    fn take(&mut self, length: usize) -> Result<(), Problem> {
        let have = self.taken.as_ref().map_or(0, Reservation::bytes);
        let Some(more) = length.checked_sub(have).filter(|more| *more > 0) else {
            return Ok(());
        };
        match (self.bodies.try_reserve(more), &mut self.taken) {
            (Some(more), Some(taken)) => taken.merge(more),
            (Some(more), none) => *none = Some(more),
            (None, _) => {
                return Err(Problem::of_code(
                    StatusCode::OverCapacity,
                    "the proxy has no room for the body: too many are being read",
                ));
            }
        }
        Ok(())
    }
}

fn too_large(what: &str, most: usize) -> Problem {
    let detail = if most == MAX_RECORD_BYTES {
        format!("a body {what}, but a record or record set of at most {most} bytes is stored")
    } else {
        format!("a body {what}, but one of at most {most} bytes is taken")
    };
    Problem::of_code(StatusCode::TooLargeRecord, detail)
}
