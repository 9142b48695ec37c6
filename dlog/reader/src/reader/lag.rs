use core::time::Duration;
use std::sync::Arc;

use crate::position::{Mark, Place};
use crate::source::{Prepared, SegmentEnd};

/// Distance of a reader to the end of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLag {
    /// The stream.
    pub stream: Arc<str>,
    /// Number of entries of which no record was delivered. An entry is what a writer wrote at once,
    /// a record or a record set; duplicates count. `None` if the reader has not begun the stream.
    pub entries: Option<u64>,
    /// Time from the last record delivered to the last one of the stream; zero if there are no
    /// entries between them. `None` if no record was delivered and there are some.
    pub behind: Option<Duration>,
    /// Description of the failure if the source could not say. Then the others are `None`.
    pub error: Option<String>,
}

/// Position of one stream, when its lag was asked for.
pub(super) struct LagPoint {
    pub(super) stream: Arc<str>,
    pub(super) position: Mark,
    pub(super) last_written_unix_ms: Option<u64>,
}

pub(super) async fn measure(source: Prepared, points: Vec<LagPoint>) -> Vec<StreamLag> {
    let streams: Vec<_> = points
        .iter()
        .map(|point| Arc::clone(&point.stream))
        .collect();
    let described = source.describe(&streams).await;
    points
        .into_iter()
        .zip(described)
        .map(|(point, segments)| match segments {
            Ok(segments) => lag(point, &segments),
            Err(error) => StreamLag {
                stream: point.stream,
                entries: None,
                behind: None,
                error: Some(error),
            },
        })
        .collect()
}

fn lag(point: LagPoint, segments: &[SegmentEnd]) -> StreamLag {
    let entries = entries_left(&point.position, segments);
    let last = segments.last().map(|segment| segment.last_unix_ms);
    let behind = match (entries, last, point.last_written_unix_ms) {
        (Some(0), ..) | (_, None, _) => Some(Duration::ZERO),
        (_, Some(last), Some(written)) => Some(Duration::from_millis(last.saturating_sub(written))),
        (_, Some(_), None) => None,
    };
    StreamLag {
        stream: point.stream,
        entries,
        behind,
        error: None,
    }
}

/// Counts the entries from the position on. `None` if it is a name such as `start`.
fn entries_left(position: &Mark, segments: &[SegmentEnd]) -> Option<u64> {
    let (dlsn, begun) = match position {
        Mark::After(Place::At(at)) => (at.dlsn, true),
        // Behind the first slot the entry was begun.
        Mark::From(Place::At(at)) => (at.dlsn, at.dlsn.slot_id > 0),
        Mark::After(Place::Text(_)) | Mark::From(Place::Text(_)) => return None,
    };
    let next = u64::try_from(dlsn.entry_id).unwrap_or(0) + u64::from(begun);
    let left = |segment: &SegmentEnd| match segment.log_segment.cmp(&dlsn.log_segment_sequence_no) {
        core::cmp::Ordering::Less => 0,
        core::cmp::Ordering::Equal => segment.entries.saturating_sub(next),
        core::cmp::Ordering::Greater => segment.entries,
    };
    // Saturating: the numbers are what a server says.
    let entries = segments.iter().map(left);
    Some(entries.fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_from_the_position_on() {
        let segment = |log_segment, entries| SegmentEnd {
            log_segment,
            entries,
            last_unix_ms: 0,
        };
        let segments = [segment(1, 10), segment(2, 5), segment(4, 3)];
        for (after, text, expected) in [
            (false, "1,0,0", Some(18)),
            (true, "1,0,0", Some(17)),
            (false, "2,1,0", Some(7)),
            (false, "2,1,3", Some(6)),
            (true, "2,4,0", Some(3)),
            (false, "3,0,0", Some(3)),
            (false, "4,3,0", Some(0)),
            (false, "4,9,0", Some(0)),
            (false, "start", None),
        ] {
            let place = Place::parse(text);
            let mark = if after {
                Mark::After(place)
            } else {
                Mark::From(place)
            };
            assert_eq!(entries_left(&mark, &segments), expected, "{mark:?}");
        }
    }
}
