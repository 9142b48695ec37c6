//! Decisions about a log's segments: the next number, what a truncation changes, what retention
//! lets go.

use core::fmt;

use super::{LogSegment, SegmentState, Truncation};
use crate::EntryId;

/// A log segment as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSegment {
    /// Name of its node.
    pub node_name: String,
    /// Version of its node.
    pub version: i32,
    /// The segment.
    pub segment: LogSegment,
}

/// Nodes of a log that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogStateError {
    /// The segment that would be started does not follow the largest number that was started.
    SequenceNumber {
        /// Number that follows the segments.
        next: i64,
        /// Largest number that was started, by the node of the segments.
        max: i64,
    },
    /// The segment before is still in progress, so that the sequence id of the next is not known.
    InProgressBefore {
        /// Number of the segment.
        sequence_number: i64,
    },
}

impl fmt::Display for LogStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SequenceNumber { next, max } => write!(
                f,
                "log segment {next} would follow the segments that are there, and {max} was \
                 started last"
            ),
            Self::InProgressBefore { sequence_number } => write!(
                f,
                "the segment before log segment {sequence_number} is still in progress"
            ),
        }
    }
}

impl core::error::Error for LogStateError {}

/// A position in a log: log segment, entry and slot.
pub type Position = (i64, EntryId, i64);

/// Sorts segments by their numbers. Of two with the same number the completed one is kept: another
/// client completed it between two reads.
pub fn sort(segments: &mut Vec<StoredSegment>) {
    let is_in_progress = |it: &StoredSegment| matches!(it.segment.state, SegmentState::InProgress);
    segments.sort_by(|a, b| {
        let key = |it: &StoredSegment| (it.segment.sequence_number, is_in_progress(it));
        let (a_key, b_key) = (key(a), key(b));
        a_key
            .cmp(&b_key)
            .then_with(|| a.node_name.cmp(&b.node_name))
    });
    let mut last_completed = None;
    segments.retain(|it| {
        let number = it.segment.sequence_number;
        if !is_in_progress(it) {
            last_completed = Some(number);
        }
        // Version 1 has no numbers.
        !is_in_progress(it) || number == 0 || last_completed != Some(number)
    });
}

/// Returns the number of the next segment, behind sorted segments.
///
/// # Errors
/// [`LogStateError`] if it does not follow the largest number that was started. It may equal it: a
/// recovery deleted an empty segment.
pub fn next_sequence_number(
    segments: &[StoredSegment],
    max_started: i64,
    first: i64,
) -> Result<i64, LogStateError> {
    let Some(last) = segments.last() else {
        return if max_started == 0 || max_started == first || max_started == first - 1 {
            Ok(first)
        } else {
            Err(LogStateError::SequenceNumber {
                next: first,
                max: max_started,
            })
        };
    };
    let next = last.segment.sequence_number.saturating_add(1);
    if max_started == next || max_started == next - 1 {
        Ok(next)
    } else {
        Err(LogStateError::SequenceNumber {
            next,
            max: max_started,
        })
    }
}

/// Returns the sequence id of the first record of a segment that is completed, among sorted
/// segments.
///
/// # Errors
/// [`LogStateError`] if the segment before is in progress: segments are completed in order.
pub fn start_sequence_id(
    segments: &[StoredSegment],
    sequence_number: i64,
) -> Result<i64, LogStateError> {
    let before = segments
        .iter()
        .rfind(|it| it.segment.sequence_number < sequence_number);
    let Some(before) = before else {
        return Ok(0);
    };
    match before.segment.state {
        SegmentState::InProgress => Err(LogStateError::InProgressBefore { sequence_number }),
        SegmentState::Completed(end) => {
            Ok(before.segment.start_sequence_id + i64::from(end.record_count))
        }
    }
}

/// Returns the changed segments of a truncation of everything before a position, in order, each
/// beside what is stored.
///
/// Segments whose last record is before it become truncated as a whole, and the one that holds it
/// from there on. It ends at the first segment in progress.
#[must_use]
pub fn truncation(
    segments: &[StoredSegment],
    before: Position,
) -> Vec<(&StoredSegment, LogSegment)> {
    let mut changes = Vec::new();
    for stored in segments {
        let segment = stored.segment;
        let SegmentState::Completed(end) = segment.state else {
            break;
        };
        let number = segment.sequence_number;
        let mut changed = segment;
        if (number, end.last.0, end.last.1) < before {
            changed.truncation = Truncation::Whole;
        } else if (number, 0, 0) < before {
            let is_newer = (before.1, before.2) > segment.min_active;
            if segment.truncation == Truncation::Whole
                || (segment.truncation == Truncation::Partial && !is_newer)
            {
                break;
            }
            changed.truncation = Truncation::Partial;
            changed.min_active = (before.1, before.2);
        } else {
            break;
        }
        if changed != segment {
            changes.push((stored, changed));
        }
    }
    changes
}

/// Returns the segments that are no longer needed, in order: truncated as a whole, or completed
/// before `cutoff_unix_ms`. The newest completed segment stays, because sequence ids go on from it.
#[must_use]
pub fn expired(segments: &[StoredSegment], cutoff_unix_ms: i64) -> &[StoredSegment] {
    let is_completed = |it: &StoredSegment| matches!(it.segment.state, SegmentState::Completed(_));
    let newest = segments.iter().rposition(is_completed).unwrap_or(0);
    let count = segments[..newest]
        .iter()
        .take_while(|it| match it.segment.state {
            SegmentState::InProgress => false,
            SegmentState::Completed(end) => {
                it.segment.truncation == Truncation::Whole || end.completed_unix_ms < cutoff_unix_ms
            }
        })
        .count();
    &segments[..count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::Completed;

    fn stored(text: &str) -> StoredSegment {
        let segment = LogSegment::decode(text.as_bytes()).expect("a segment");
        StoredSegment {
            node_name: segment.node_name(),
            version: 0,
            segment,
        }
    }

    fn completed(number: i64, completed_unix_ms: i64, count: i32) -> StoredSegment {
        let mut segment = LogSegment::started(number, number, 1);
        segment.start_sequence_id = 100 * number;
        segment.state = SegmentState::Completed(Completed {
            last_txid: 9,
            completed_unix_ms,
            record_count: count,
            last: (10, 1),
        });
        StoredSegment {
            node_name: segment.node_name(),
            version: 0,
            segment,
        }
    }

    #[test]
    fn of_a_segment_in_two_states_the_completed_one_counts() {
        let mut segments = vec![
            stored("5;3;2000;3;0;0;-1"),
            stored("5;2;10;2;0;0;-1"),
            completed(2, 5, 1),
            completed(1, 5, 1),
        ];
        sort(&mut segments);
        let names: Vec<&str> = segments.iter().map(|it| it.node_name.as_str()).collect();
        assert_eq!(
            names,
            [
                "logrecs_000000000000000001",
                "logrecs_000000000000000002",
                "inprogress_000000000000000003"
            ]
        );
    }

    #[test]
    fn the_next_number_follows_the_segments_and_the_largest_that_was_started() {
        assert_eq!(next_sequence_number(&[], 0, 1), Ok(1));
        assert_eq!(
            next_sequence_number(&[], 1, 1),
            Ok(1),
            "the first was empty"
        );
        assert!(next_sequence_number(&[], 7, 1).is_err());
        let segments = [completed(1, 5, 1), completed(2, 5, 1)];
        assert_eq!(next_sequence_number(&segments, 2, 1), Ok(3));
        assert_eq!(
            next_sequence_number(&segments, 3, 1),
            Ok(3),
            "the third was empty"
        );
        let error = LogStateError::SequenceNumber { next: 3, max: 4 };
        assert_eq!(next_sequence_number(&segments, 4, 1), Err(error));
        assert!(next_sequence_number(&segments, 1, 1).is_err());
    }

    #[test]
    fn sequence_ids_go_on_from_the_segment_before() {
        let segments = [completed(1, 5, 11), stored("5;2;10;2;0;0;-1")];
        assert_eq!(start_sequence_id(&segments, 1), Ok(0));
        assert_eq!(start_sequence_id(&segments, 2), Ok(111));
        let error = LogStateError::InProgressBefore { sequence_number: 3 };
        assert_eq!(start_sequence_id(&segments, 3), Err(error));
    }

    #[test]
    fn a_truncation_ends_inside_a_segment_or_at_the_one_in_progress() {
        let segments = [
            completed(1, 5, 1),
            completed(2, 5, 1),
            stored("5;3;10;3;0;0;-1"),
        ];
        let changed = |before| {
            truncation(&segments, before)
                .into_iter()
                .map(|(_, it)| (it.sequence_number, it.truncation, it.min_active))
                .collect::<Vec<_>>()
        };
        assert_eq!(changed((1, 0, 0)), []);
        assert_eq!(changed((1, 10, 1)), [(1, Truncation::Partial, (10, 1))]);
        assert_eq!(changed((1, 10, 2)), [(1, Truncation::Whole, (0, 0))]);
        assert_eq!(
            changed((2, 3, 0)),
            [
                (1, Truncation::Whole, (0, 0)),
                (2, Truncation::Partial, (3, 0))
            ]
        );
        assert_eq!(changed((9, 0, 0)).len(), 2, "the one in progress is kept");

        let mut again = segments.clone();
        again[0].segment.truncation = Truncation::Whole;
        again[1].segment.truncation = Truncation::Partial;
        again[1].segment.min_active = (3, 0);
        assert!(truncation(&again, (2, 3, 0)).is_empty());
        assert!(
            truncation(&again, (2, 2, 0)).is_empty(),
            "it never goes back"
        );
        assert_eq!(truncation(&again, (2, 3, 1)).len(), 1);
    }

    #[test]
    fn retention_ends_at_the_first_segment_that_stays_and_keeps_the_newest_completed() {
        let mut segments = vec![
            completed(1, 10, 1),
            completed(2, 20, 1),
            completed(3, 5, 1),
            stored("5;4;10;4;0;0;-1"),
        ];
        assert_eq!(expired(&segments, 20).len(), 1);
        assert_eq!(expired(&segments, 21).len(), 2);
        assert_eq!(expired(&segments, i64::MAX).len(), 2);
        assert_eq!(expired(&segments[..1], i64::MAX).len(), 0);
        assert_eq!(expired(&[], i64::MAX).len(), 0);
        assert_eq!(expired(&segments, i64::MIN).len(), 0);
        segments[0].segment.truncation = Truncation::Whole;
        segments[1].segment.truncation = Truncation::Partial;
        assert_eq!(expired(&segments, i64::MIN).len(), 1);
    }
}
