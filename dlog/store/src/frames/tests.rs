use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use distributedlog::wire::mux::{Frame, Message, Tag};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Semaphore;

use super::*;
use crate::budget::{ByteBudget, GrowingRoom};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as usize % bound
    }
}

/// A socket that gives its bytes in pieces of any size, with waits between them.
struct Chopped {
    bytes: Vec<u8>,
    given: usize,
    random: Random,
    /// Largest piece.
    most: usize,
}

impl AsyncRead for Chopped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.random.below(3) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = self.most;
        let count = (1 + self.random.below(most))
            .min(buf.remaining())
            .min(self.bytes.len() - self.given);
        buf.put_slice(&self.bytes[self.given..self.given + count]);
        self.given += count;
        Poll::Ready(Ok(()))
    }
}

/// Frames of any length within the limit, most of them small, and their bytes in a row.
fn any_frames(random: &mut Random, limit: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let frames: Vec<Vec<u8>> = (0..1 + random.below(40))
        .map(|_| {
            let most = if random.below(8) == 0 { limit - 4 } else { 200 };
            let length = random.below(most + 1);
            let mut frame = (length as u32).to_be_bytes().to_vec();
            frame.extend((0..length).map(|_| random.below(256) as u8));
            frame
        })
        .collect();
    let bytes = frames.concat();
    (frames, bytes)
}

fn room(budget: &ByteBudget) -> Option<GrowingRoom> {
    Some(GrowingRoom::new(
        budget.clone(),
        Arc::new(Semaphore::new(1)),
    ))
}

#[tokio::test]
async fn frames_come_whole_and_in_order_however_their_bytes_are_chopped() {
    const LIMIT: usize = 100 << 10;
    let budget = ByteBudget::new(64 << 10);
    for seed in 0..200 {
        let mut random = Random(seed);
        let (frames, bytes) = any_frames(&mut random, LIMIT);
        let most = [1, 7, 300, 20_000, 1 << 20][random.below(5)];
        // The bytes of the largest pieces only: a wait for each byte takes long.
        let frames = if most < 300 {
            &frames[..1]
        } else {
            &frames[..]
        };
        let bytes = bytes[..frames.iter().map(Vec::len).sum::<usize>()].to_vec();
        let torn = if random.below(2) == 0 {
            0
        } else {
            random.below(frames[0].len())
        };
        let socket = Chopped {
            bytes: [&bytes[..], &frames[0][..torn]].concat(),
            given: 0,
            random,
            most,
        };
        let mut stream = FrameStream::new(socket, LIMIT, room(&budget));
        for frame in frames {
            // The future is dropped whenever it waits, which loses nothing.
            let next = loop {
                tokio::select! {
                    biased;
                    next = stream.next() => break next,
                    () = core::future::ready(()) => tokio::task::yield_now().await,
                }
            };
            let next = next.expect("no error").expect("a frame");
            assert!(next == frame[..], "seed {seed}");
        }
        match stream.next().await {
            Ok(None) => assert_eq!(torn, 0),
            Err(FrameReadError::Torn(arrived)) => assert_eq!(arrived, torn),
            other => panic!("seed {seed}: {other:?}"),
        }
        drop(stream);
        assert_eq!(budget.held(), 0);
    }
}

#[tokio::test]
async fn a_frame_above_the_limit_is_refused_by_its_length_alone() {
    let socket = [0, 0, 0, 97];
    let mut stream = FrameStream::new(&socket[..], 100, None);
    let error = stream.next().await.expect_err("101 bytes");
    assert!(matches!(error, FrameReadError::TooLarge(_)), "{error}");
}

const LIMITS: OutputLimits = OutputLimits {
    free: 1 << 10,
    full: 64 << 10,
    kept: 4 << 10,
};

/// Writes, reserved or not, and sends, in any order: what comes out is what went in, and the budget
/// counts what waits.
#[test]
fn an_output_counts_what_waits_in_it_and_gives_all_of_it_back() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let budget = ByteBudget::new(1 << 20);
        let mut output = FrameWriter::new(LIMITS, Some(budget.clone()));
        let (mut written, mut sent) = (Vec::<u8>::new(), Vec::<u8>::new());
        for _ in 0..200 {
            match random.below(4) {
                0 => {
                    let bytes = vec![random.below(256) as u8; random.below(3000)];
                    output.write(None, |out| out.extend(&bytes));
                    written.extend(bytes);
                }
                1 => {
                    let bytes = vec![random.below(256) as u8; random.below(3000)];
                    let room = budget.try_reserve(bytes.len() + random.below(5000));
                    output.write(room, |out| out.extend(&bytes));
                    written.extend(bytes);
                }
                _ => {
                    let count = random.below(output.unsent().len() + 1);
                    sent.extend_from_slice(&output.unsent()[..count]);
                    output.advance(count);
                }
            }
            let waiting = output.unsent().len();
            let counted = waiting.saturating_sub(LIMITS.free);
            assert!(budget.held() >= counted, "seed {seed}: {counted}");
            assert!(waiting > 0 || budget.held() == 0, "seed {seed}");
            assert_eq!(output.is_full(), waiting > LIMITS.full);
        }
        sent.extend_from_slice(output.unsent());
        assert!(sent == written, "seed {seed}");
        output.clear();
        assert_eq!(budget.held(), 0);
    }
}

#[test]
fn an_output_is_full_at_its_limit_or_above_what_is_free_once_the_budget_is_spent() {
    let budget = ByteBudget::new(10_000);
    let mut output = FrameWriter::new(LIMITS, Some(budget.clone()));
    let other = budget.try_reserve(9_000);
    output.write(None, |out| out.resize(1 << 10, 0));
    assert!(!output.is_full() && budget.held() == 9_000, "that is free");
    output.write(None, |out| out.resize(3 << 10, 0));
    assert!(output.is_full() && budget.held() == 10_000);
    drop(other);
    assert!(!output.is_full());
    let mut alone = FrameWriter::new(LIMITS, None);
    alone.write(None, |out| out.resize(64 << 10, 0));
    assert!(!alone.is_full());
    alone.send(&Frame::new(Tag::ONE, Message::Tping));
    assert!(alone.is_full() && alone.unsent().ends_with(&[0, 0, 0, 4, 65, 0, 0, 1]));
}

#[test]
fn a_frame_longer_than_its_first_room_is_encoded_once_more() {
    let error = &"x".repeat(1000);
    let frame = Frame::new(Tag::ONE, Message::Rerr { error });
    let mut output = FrameWriter::new(LIMITS, None);
    output.send(&frame);
    assert_eq!(Frame::decode(output.unsent()), Ok(frame));
}
