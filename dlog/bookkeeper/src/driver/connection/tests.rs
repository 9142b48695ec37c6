use bytes::Bytes;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::super::call::Outcome;
use super::*;
use crate::wire::{Operation, Priority, Read, ReadMode, ReadReply, Reply, Request, Status};

/// Timeout of each step, long enough for loaded machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection with the test as its bookie.
struct Kit {
    calls: UnboundedSender<Call>,
    held_bytes: Arc<AtomicUsize>,
    bookie: DuplexStream,
    received: BytesMut,
    sender: UnboundedSender<(i64, Outcome)>,
    outcomes: UnboundedReceiver<(i64, Outcome)>,
}

impl Kit {
    /// `buffer` is the number of bytes that are on the way at most.
    fn new(buffer: usize) -> Self {
        let (stream, bookie) = duplex(buffer);
        let (calls, receiver) = unbounded_channel();
        let (sender, outcomes) = unbounded_channel();
        let kit = Self {
            calls,
            held_bytes: Arc::default(),
            bookie,
            received: BytesMut::new(),
            sender,
            outcomes,
        };
        let connection = Connection::new(stream, receiver, Arc::clone(&kit.held_bytes));
        let first = kit.call(0, None);
        tokio::spawn(connection.run(first));
        kit
    }

    fn call(&self, entry: i64, timeout: Option<Duration>) -> Call {
        let sender = self.sender.clone();
        let read = Read {
            ledger: 1,
            entry,
            mode: ReadMode::Plain,
        };
        let call = Call {
            operation: Operation::Read(read),
            priority: Priority::Normal,
            timeout,
            done: Done::call(move |outcome| {
                sender.send((entry, outcome)).ok();
            }),
        };
        self.held_bytes.fetch_add(call.size(), Ordering::Relaxed);
        call
    }

    fn ask(&self, entry: i64, timeout: Option<Duration>) {
        let call = self.call(entry, timeout);
        self.calls.send(call).ok();
    }

    /// The next request, at the bookie.
    async fn request(&mut self) -> (u64, i64) {
        loop {
            let whole = frame_len(&self.received, MAX_FRAME_BYTES).expect("a frame");
            if let Some(whole) = whole.filter(|it| self.received.len() >= *it) {
                let mut frame = self.received.split_to(whole).freeze();
                frame.advance(4);
                let request = Request::decode(&frame).expect("a request");
                let Operation::Read(read) = request.operation else {
                    panic!("{request:?}");
                };
                return (request.txn_id, read.entry);
            }
            let read = self.bookie.read_buf(&mut self.received);
            let length = timeout(PATIENCE, read).await.expect("in time");
            assert_ne!(length.expect("the connection is there"), 0);
        }
    }

    fn response(txn_id: u64, entry: i64) -> BytesMut {
        let mut frame = BytesMut::new();
        let response = Response {
            txn_id,
            operation: 1,
            outer: Status::Ok,
            reply: Some(Reply::Read(ReadReply {
                status: Status::Ok,
                ledger: 1,
                entry,
                body: Some(Bytes::from(format!("entry {entry}"))),
                max_lac: None,
                lac_update_unix_ms: None,
            })),
        };
        response.encode(&mut frame);
        frame
    }

    async fn answer(&mut self, txn_id: u64, entry: i64) {
        let frame = Self::response(txn_id, entry);
        self.bookie.write_all(&frame).await.expect("it is read");
    }

    async fn outcome(&mut self) -> (i64, Outcome) {
        timeout(PATIENCE, self.outcomes.recv())
            .await
            .expect("in time")
            .expect("the kit holds a sender")
    }

    fn held(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

fn body(outcome: &Outcome) -> String {
    let Ok(Response {
        reply: Some(Reply::Read(reply)),
        ..
    }) = outcome
    else {
        panic!("{outcome:?}");
    };
    let body = reply.body.as_deref().unwrap_or_default();
    String::from_utf8_lossy(body).into_owned()
}

#[tokio::test]
async fn frames_that_are_cut_at_every_byte_reach_their_receivers() {
    // One byte at a time in both directions.
    let mut kit = Kit::new(1);
    for entry in 1..5 {
        kit.ask(entry, None);
    }
    let mut requests = Vec::new();
    for _ in 0..5 {
        requests.push(kit.request().await);
    }
    requests.reverse();
    for (txn_id, entry) in requests {
        kit.answer(txn_id, entry).await;
    }
    for expected in (0..5).rev() {
        let (entry, outcome) = kit.outcome().await;
        assert_eq!(
            (entry, body(&outcome)),
            (expected, format!("entry {expected}"))
        );
    }
    assert_eq!(kit.held(), 0, "what has a response is not held");
}

#[tokio::test]
async fn a_connection_that_ends_reports_each_request_once() {
    let mut kit = Kit::new(1024);
    kit.ask(1, None);
    let (txn_id, _) = kit.request().await;
    kit.request().await;
    kit.answer(txn_id, 0).await;
    assert_eq!(kit.outcome().await.0, 0);
    let (bookie, _) = duplex(1);
    drop(core::mem::replace(&mut kit.bookie, bookie));
    let (entry, outcome) = kit.outcome().await;
    assert_eq!(entry, 1);
    assert!(
        matches!(outcome, Err(CallError::Disconnected(_))),
        "{outcome:?}"
    );
    assert_eq!(kit.held(), 0);
    // What was called behind the end is reported too, when nobody takes calls any more.
    kit.ask(2, None);
    kit.calls = unbounded_channel().0;
    let (entry, outcome) = kit.outcome().await;
    assert!(entry == 2 && outcome.is_err(), "{entry}: {outcome:?}");
    assert!(kit.outcomes.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_in_its_time_and_its_late_response_is_nobodys() {
    let mut kit = Kit::new(1024);
    let (first, _) = kit.request().await;
    kit.ask(1, Some(Duration::from_secs(2)));
    let (second, _) = kit.request().await;
    let began = Instant::now();
    let (entry, outcome) = kit.outcome().await;
    assert_eq!((entry, outcome), (1, Err(CallError::TimedOut)));
    assert_eq!(began.elapsed().as_secs(), 2);
    kit.answer(second, 1).await;
    kit.answer(first, 0).await;
    let (entry, outcome) = kit.outcome().await;
    assert_eq!((entry, body(&outcome)), (0, "entry 0".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_to_a_bookie_that_says_nothing_ends() {
    let mut kit = Kit::new(1024);
    kit.request().await;
    let began = Instant::now();
    let (_, outcome) = kit.outcome().await;
    assert!(
        matches!(outcome, Err(CallError::Disconnected(_))),
        "{outcome:?}"
    );
    assert!(began.elapsed() <= MAX_SILENCE + Duration::from_secs(1));
}

#[tokio::test]
async fn a_response_beyond_the_limit_ends_the_connection_before_it_is_buffered() {
    let mut kit = Kit::new(1024);
    kit.request().await;
    kit.bookie.write_all(&[0xff; 4]).await.expect("it is read");
    let (_, outcome) = kit.outcome().await;
    assert!(
        matches!(outcome, Err(CallError::Disconnected(_))),
        "{outcome:?}"
    );
}
