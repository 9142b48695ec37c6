use bytes::BytesMut;
use distributedlog_bookkeeper::wire::{MAX_FRAME_BYTES, Request, Response, Status, frame_len};

use crate::recorded::frames;

#[test]
fn every_recorded_frame_decodes_and_encodes_to_the_same_bytes() {
    let (mut requests, mut responses) = (0, 0);
    for recorded in frames() {
        let mut out = BytesMut::new();
        let step = &recorded.step;
        if recorded.from_client {
            let request =
                Request::decode(&recorded.frame).unwrap_or_else(|error| panic!("{step}: {error}"));
            request.encode(&mut out);
            requests += 1;
        } else {
            let response =
                Response::decode(&recorded.frame).unwrap_or_else(|error| panic!("{step}: {error}"));
            response.encode(&mut out);
            responses += 1;
        }
        let length = frame_len(&out, MAX_FRAME_BYTES)
            .expect("short enough")
            .expect("whole");
        assert_eq!(length, out.len());
        assert_eq!(out[4..], recorded.frame[..], "{step}");
    }
    assert_eq!((requests, responses), (380, 383));
}

#[test]
fn the_worse_status_of_a_reply_counts() {
    let statuses = frames()
        .into_iter()
        .filter(|it| !it.from_client)
        .map(|it| Response::decode(&it.frame).expect("valid").status());
    let mut seen: Vec<Status> = Vec::new();
    for status in statuses {
        if !seen.contains(&status) {
            seen.push(status);
        }
    }
    seen.sort_by_key(|status| status.code());
    assert_eq!(
        seen,
        [
            Status::Ok,
            Status::NoLedger,
            Status::NoEntry,
            Status::BadRequest,
            Status::Unauthorized,
            Status::BadVersion,
            Status::Fenced,
        ]
    );
}
