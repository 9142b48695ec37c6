use distributedlog::{Dlsn, StatusCode};

use super::bench::{Ask, LIMITS, Step, name, play};
use crate::machine::{InjectedFault, Limits, MAX_ENTRY_BYTES, Usage};
use distributedlog_store::StoreError;

const AT: fn(i64, i64) -> Result<Dlsn, StoreError> =
    |segment, entry| Ok(Dlsn::new(segment, entry, 0));

fn fenced() -> Result<Dlsn, StoreError> {
    Err(StoreError::Fenced(name("s")))
}

#[test]
fn requests_for_a_stream_that_is_not_owned_wait_for_it_and_start_in_their_order() {
    let bench = play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Write(5)), &["acquire s"]),
            (Step::Ask(2, "s", Ask::Write(5)), &[]),
            (Step::Ask(3, "s", Ask::Touch), &[]),
            (
                Step::Granted("s", 1),
                &["append s#1 x1 for 1", "append s#1 x1 for 2", "3: 200"],
            ),
            (Step::Ask(4, "s", Ask::Write(5)), &["append s#1 x1 for 4"]),
            (Step::Appended(2, AT(1, 1)), &["2: 200 at 1/1/0"]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
            (Step::Appended(4, AT(1, 2)), &["4: 200 at 1/2/0"]),
        ],
    );
    assert_eq!(bench.machine.usage(), Usage::default());
}

#[test]
fn a_missing_stream_is_made_for_writes_and_for_nothing_else() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Delete), &["acquire s"]),
            (Step::Ask(2, "s", Ask::Truncate), &[]),
            (Step::Ask(3, "s", Ask::Write(1)), &[]),
            (Step::Ask(4, "s", Ask::Truncate), &[]),
            (
                Step::NotAcquired(StoreError::StreamNotFound(name("s"))),
                &["1: 510", "2: 510", "make s"],
            ),
            (Step::Made("s"), &["acquire s"]),
            (
                Step::Granted("s", 1),
                &["append s#1 x1 for 3", "truncate s for 4"],
            ),
            (Step::Truncated("s", 4), &["4: 200"]),
        ],
    );
}

#[test]
fn a_stream_that_vanishes_each_time_it_is_made_is_given_up() {
    let missing = || Step::NotAcquired(StoreError::StreamNotFound(name("s")));
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Write(1)), &["acquire s"]),
            (missing(), &["make s"]),
            (Step::Made("s"), &["acquire s"]),
            (missing(), &["make s"]),
            (Step::Made("s"), &["acquire s"]),
            (missing(), &["make s"]),
            (Step::Made("s"), &["acquire s"]),
            (missing(), &["1: 518"]),
        ],
    );
}

#[test]
fn a_foreign_stream_is_forgotten_once_all_are_redirected() {
    let bench = play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Write(1)), &["acquire s"]),
            (Step::Ask(2, "s", Ask::Bulk(&[1, 2])), &[]),
            (Step::Ask(3, "s", Ask::Release), &[]),
            (Step::Ask(4, "s", Ask::Delete), &[]),
            (
                Step::Foreign("s"),
                &[
                    "1: 302 -> 1;2;there:2",
                    "2: 302 -> 1;2;there:2",
                    "3: 200",
                    "4: 302 -> 1;2;there:2",
                ],
            ),
            (Step::Ask(5, "s", Ask::Write(1)), &["acquire s"]),
        ],
    );
    assert_eq!(bench.machine.stream_count(), 1);
}

#[test]
fn release_and_delete_wait_for_work_in_the_store_and_block_later_work() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Write(1)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(2, "s", Ask::Release), &[]),
            (Step::Ask(3, "s", Ask::Write(1)), &[]),
            (
                Step::Appended(1, AT(1, 0)),
                &["1: 200 at 1/0/0", "release s#1"],
            ),
            (Step::Ask(4, "s", Ask::Delete), &[]),
            (Step::Released("s"), &["2: 200", "acquire s"]),
            (Step::Granted("s", 2), &["append s#2 x1 for 3"]),
            (
                Step::Appended(3, AT(2, 0)),
                &["3: 200 at 2/0/0", "delete s"],
            ),
            (Step::Deleted("s", Ok(())), &["4: 200"]),
            (Step::Ask(5, "s", Ask::Write(1)), &["acquire s"]),
        ],
    );
}

#[test]
fn a_stream_that_could_not_be_deleted_is_still_owned() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Delete), &["acquire s"]),
            (Step::Granted("s", 1), &["delete s"]),
            (Step::Ask(2, "s", Ask::Write(1)), &[]),
            (
                Step::Deleted(
                    "s",
                    Err(StoreError::ReadOnly {
                        path: "/data".into(),
                    }),
                ),
                &["1: 506", "append s#1 x1 for 2"],
            ),
        ],
    );
}

#[test]
fn fenced_appends_are_done_again_in_their_order_when_the_stream_comes_back() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Write(1)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(2, "s", Ask::Write(1)), &["append s#1 x1 for 2"]),
            (Step::Appended(1, fenced()), &["acquire s"]),
            (Step::Ask(3, "s", Ask::Write(1)), &[]),
            (Step::Appended(2, fenced()), &[]),
            (
                Step::Granted("s", 2),
                &[
                    "append s#2 x1 for 1",
                    "append s#2 x1 for 2",
                    "append s#2 x1 for 3",
                ],
            ),
            (Step::Appended(1, AT(2, 0)), &["1: 200 at 2/0/0"]),
            (Step::Appended(2, fenced()), &["2: 515"]),
            (Step::Appended(3, fenced()), &["acquire s"]),
            (Step::Foreign("s"), &["3: 302 -> 1;2;there:2"]),
        ],
    );
}

#[test]
fn a_bulk_write_of_several_entries_is_answered_when_all_are_done() {
    const HALF: usize = MAX_ENTRY_BYTES / 2;
    let roomy = Usage {
        requests: 10,
        bytes: 10 << 20,
    };
    let limits = Limits {
        stream: roomy,
        total: roomy,
        ..LIMITS
    };
    play(
        limits,
        &[
            (
                Step::Ask(1, "s", Ask::Bulk(&[HALF, HALF, 1])),
                &["acquire s"],
            ),
            (
                Step::Granted("s", 1),
                &["append s#1 x2 for 1", "append s#1 x1 for 1"],
            ),
            (Step::Appended(1, AT(1, 0)), &[]),
            (Step::Appended(1, fenced()), &["acquire s"]),
            (Step::Granted("s", 2), &["append s#2 x1 for 1"]),
            (
                Step::Appended(1, AT(2, 0)),
                &["1: 200 at 1/0/0, 200 at 1/0/1, 200 at 2/0/0"],
            ),
            (
                Step::Ask(2, "s", Ask::Bulk(&[HALF, HALF, 1])),
                &["append s#2 x2 for 2", "append s#2 x1 for 2"],
            ),
            (Step::Appended(2, AT(2, 1)), &[]),
            (
                Step::Appended(
                    2,
                    Err(StoreError::DiskFull {
                        path: "/data".into(),
                    }),
                ),
                &["2: 200 at 2/1/0, 200 at 2/1/1, 517"],
            ),
            (
                Step::Ask(3, "s", Ask::Bulk(&[HALF, HALF, 1])),
                &["append s#2 x2 for 3", "append s#2 x1 for 3"],
            ),
            (
                Step::Appended(
                    3,
                    Err(StoreError::DiskFull {
                        path: "/data".into(),
                    }),
                ),
                &[],
            ),
            (
                Step::Appended(
                    3,
                    Err(StoreError::DiskFull {
                        path: "/data".into(),
                    }),
                ),
                &["3: 517"],
            ),
        ],
    );
}

#[test]
fn work_whose_deadline_passes_while_it_waits_is_not_started() {
    play(
        LIMITS,
        &[
            (Step::AskUntil(1, "s", Ask::Write(1), 10), &["acquire s"]),
            (Step::AskUntil(2, "s", Ask::Bulk(&[1, 1]), 10), &[]),
            (Step::AskUntil(3, "s", Ask::Write(1), 20), &[]),
            (Step::At(11), &[]),
            (
                Step::AskUntil(4, "s", Ask::Write(1), 10),
                &["4: deadline passed"],
            ),
            (
                Step::Granted("s", 1),
                &[
                    "1: deadline passed",
                    "2: deadline passed",
                    "append s#1 x1 for 3",
                ],
            ),
            (Step::At(21), &[]),
            (Step::Appended(3, fenced()), &["acquire s"]),
            (Step::Granted("s", 2), &["append s#2 x1 for 3"]),
        ],
    );
}

#[test]
fn queued_work_is_answered_when_its_deadline_passes_without_other_events() {
    let bench = play(
        LIMITS,
        &[
            (Step::Fault("s", Some(InjectedFault::Stalled)), &[]),
            (Step::Ask(1, "s", Ask::Write(1)), &[]),
            (Step::AskUntil(2, "s", Ask::Touch, 20), &[]),
            (Step::AskUntil(3, "s", Ask::Write(1), 20), &[]),
            (Step::AskUntil(4, "s", Ask::Delete, 10), &[]),
            (Step::AskUntil(5, "s", Ask::Write(1), 30), &[]),
            (Step::AskUntil(6, "t", Ask::Write(1), 20), &["acquire t"]),
            (Step::WakeAt(10), &[]),
            (Step::WakeAt(11), &["4: deadline passed"]),
            (
                Step::WakeAt(21),
                &[
                    "2: deadline passed",
                    "3: deadline passed",
                    "6: deadline passed",
                ],
            ),
            (Step::Granted("t", 1), &[]),
            (Step::Discard(5), &["5: discarded"]),
            (Step::WakeAt(31), &[]),
            (Step::Fault("s", None), &["acquire s"]),
            (Step::Granted("s", 2), &["append s#2 x1 for 1"]),
        ],
    );
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn of_a_bulk_write_whose_deadline_passes_nothing_is_left() {
    let limits = Limits {
        stream: Usage {
            requests: 9,
            bytes: 9_000_000,
        },
        total: Usage {
            requests: 9,
            bytes: 9_000_000,
        },
        ..LIMITS
    };
    let bench = play(
        limits,
        &[
            (
                Step::AskUntil(1, "s", Ask::Bulk(&[600_000, 600_000]), 20),
                &["acquire s"],
            ),
            (Step::Ask(2, "s", Ask::Write(1)), &[]),
            (Step::WakeAt(21), &["1: deadline passed"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 2"]),
        ],
    );
    assert_eq!(
        bench.machine.usage(),
        Usage {
            requests: 1,
            bytes: 1
        }
    );
}

#[test]
fn discarding_drops_queued_work_and_lets_later_work_start() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Write(1)), &["acquire s"]),
            (Step::Ask(2, "s", Ask::Bulk(&[1, 1])), &[]),
            (Step::Ask(3, "s", Ask::Release), &[]),
            (Step::Ask(4, "s", Ask::Write(1)), &[]),
            (Step::Discard(2), &["2: discarded"]),
            (Step::Discard(2), &[]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Discard(3), &["3: discarded", "append s#1 x1 for 4"]),
            (Step::Discard(1), &[]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
        ],
    );
}

#[test]
fn limits_count_queued_work_and_work_in_the_store_until_it_is_answered() {
    let limits = Limits {
        stream: Usage {
            requests: 2,
            bytes: 10,
        },
        total: Usage {
            requests: 3,
            bytes: 15,
        },
        streams: 2,
        ..LIMITS
    };
    play(
        limits,
        &[
            (Step::Ask(1, "s", Ask::Write(6)), &["acquire s"]),
            (Step::Ask(2, "s", Ask::Write(6)), &["2: 517"]),
            (Step::Ask(3, "s", Ask::Write(4)), &[]),
            (Step::Ask(4, "s", Ask::Touch), &["4: 517"]),
            (Step::Ask(5, "t", Ask::Write(6)), &["5: 517"]),
            (Step::Ask(6, "t", Ask::Write(5)), &["acquire t"]),
            (Step::Ask(7, "t", Ask::Touch), &["7: 517"]),
            (
                Step::Granted("s", 1),
                &["append s#1 x1 for 1", "append s#1 x1 for 3"],
            ),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
            (Step::Ask(8, "u", Ask::Write(1)), &["8: 524"]),
            (Step::Ask(9, "s", Ask::Write(20)), &["9: 517"]),
            (Step::Appended(3, AT(1, 1)), &["3: 200 at 1/1/0"]),
            (Step::Foreign("t"), &["6: 302 -> 1;2;there:2"]),
            (
                Step::Ask(10, "s", Ask::Write(20)),
                &["append s#1 x1 for 10"],
            ),
        ],
    );
}

#[test]
fn a_proxy_that_accepts_no_streams_does_not_acquire_released_ones_again() {
    play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Touch), &["acquire s"]),
            (Step::Granted("s", 1), &["1: 200"]),
            (Step::SetAccept(false), &["0: void"]),
            (Step::Ask(2, "s", Ask::Write(1)), &["append s#1 x1 for 2"]),
            (Step::Ask(3, "s", Ask::Release), &[]),
            (Step::Ask(4, "s", Ask::Write(1)), &[]),
            (Step::Ask(5, "s", Ask::Release), &[]),
            (
                Step::Appended(2, AT(1, 0)),
                &["2: 200 at 1/0/0", "release s#1"],
            ),
            (Step::Released("s"), &["3: 200", "4: 503", "5: 200"]),
            (Step::Ask(6, "s", Ask::Write(1)), &["6: 503"]),
        ],
    );
}

#[test]
fn a_stalled_stream_starts_nothing_until_it_is_let_go() {
    play(
        LIMITS,
        &[
            (Step::Fault("s", Some(InjectedFault::Stalled)), &[]),
            (Step::Ask(1, "s", Ask::Write(1)), &[]),
            (Step::Ask(2, "t", Ask::Write(1)), &["acquire t"]),
            (Step::Ask(3, "s", Ask::Write(1)), &[]),
            (Step::Discard(3), &["3: discarded"]),
            (Step::Fault("s", None), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (
                Step::Fault(
                    "s",
                    Some(InjectedFault::Failing(StatusCode::WriteException)),
                ),
                &[],
            ),
            (Step::Ask(4, "s", Ask::Write(1)), &["4: 514"]),
            (Step::Appended(1, AT(1, 0)), &["1: 200 at 1/0/0"]),
        ],
    );
}

#[test]
fn closing_gives_every_stream_back_when_nothing_is_under_way_for_it() {
    let bench = play(
        LIMITS,
        &[
            (Step::Ask(1, "s", Ask::Write(1)), &["acquire s"]),
            (Step::Granted("s", 1), &["append s#1 x1 for 1"]),
            (Step::Ask(2, "t", Ask::Write(1)), &["acquire t"]),
            (Step::Fault("u", Some(InjectedFault::Stalled)), &[]),
            (Step::Ask(3, "u", Ask::Write(1)), &[]),
            (Step::Drain, &["3: 503"]),
            (Step::Ask(4, "u", Ask::Write(1)), &["4: 503"]),
            (Step::Close, &[]),
            (Step::Granted("t", 1), &["append t#1 x1 for 2"]),
            (
                Step::Appended(1, AT(1, 0)),
                &["1: 200 at 1/0/0", "release s#1"],
            ),
            (
                Step::Appended(2, AT(1, 0)),
                &["2: 200 at 1/0/0", "release t#1"],
            ),
            (Step::Released("s"), &[]),
            (Step::Released("t"), &[]),
        ],
    );
    assert!(bench.machine.is_closed());
}
