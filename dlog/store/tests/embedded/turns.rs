//! Callers' threads that commit their own appends.

use core::sync::atomic::Ordering;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::ThreadId;
use std::time::Instant;

use distributedlog::Dlsn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::panics::{Bug, LIMIT, open};
use super::{acquire, append, begin_append, entry, small, stream};
use distributedlog_store::embedded::EmbeddedStore;
use distributedlog_store::{Lease, LogStore, StoreError};
use distributedlog_testkit::store::SimDisk;

/// Result of an append, and the thread on which it was answered.
type Answer = (Result<Dlsn, StoreError>, ThreadId);

/// Appends without a flush.
fn append_later(store: &EmbeddedStore, lease: &Lease, text: &str) -> mpsc::Receiver<Answer> {
    let (done, answer) = mpsc::channel();
    store.append_later(
        lease,
        entry(text),
        Box::new(move |result| {
            let _ = done.send((result, std::thread::current().id()));
        }),
    );
    answer
}

fn answer_of(answer: &mpsc::Receiver<Answer>) -> Answer {
    answer.recv_timeout(LIMIT).expect("it is answered")
}

/// Appends one at a time until this thread has committed one. A busy machine may make turns slow.
fn until_callers_commit(store: &EmbeddedStore, lease: &Lease) {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        let answer = append_later(store, lease, "first");
        store.flush(true);
        let (result, thread) = answer_of(&answer);
        result.expect("it is written");
        if thread == std::thread::current().id() {
            return;
        }
    }
    panic!("no caller's thread ever commits");
}

async fn with_stream(store: &EmbeddedStore) -> Lease {
    store.create(&stream("s")).await.unwrap();
    acquire(store, &stream("s")).await
}

/// Runs a future to its end on this thread, which is not one of a runtime afterwards.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it starts").block_on(future)
}

fn in_memory() -> EmbeddedStore {
    let disk = Arc::new(SimDisk::new(1));
    EmbeddedStore::open_on(small(), disk, Arc::new(|| 1)).unwrap()
}

#[test]
fn appends_that_come_together_share_a_sync_of_the_stores_own_thread() {
    let store = in_memory();
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    let together: Vec<_> = (0..5)
        .map(|_| append_later(&store, &lease, "together"))
        .collect();
    store.flush(true);
    for answer in &together {
        let (result, thread) = answer_of(answer);
        result.expect("it is written");
        assert_ne!(thread, std::thread::current().id());
    }
}

#[test]
fn a_caller_neither_waits_for_a_sync_of_another_thread_nor_overtakes_it() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    bug.close_gate();
    // Behind the second of them nothing is left to callers.
    let first = [(); 2].map(|()| append_later(&store, &lease, "of the store's own thread"));
    bug.until_waiting();
    let (flushed, has_flushed) = mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let answer = append_later(&store, &lease, "of a caller");
            store.flush(true);
            flushed.send(()).unwrap();
            answer
        });
        let is_free = has_flushed.recv_timeout(LIMIT).is_ok();
        bug.open_gate();
        assert!(is_free, "the caller waits for another thread's sync");
        let first = first.map(|answer| answer_of(&answer).0.expect("written"));
        let second = answer_of(&second.join().unwrap()).0.expect("written");
        assert!(second > first[1] && first[1] > first[0]);
    });
    block_on(store.close()).expect("it closes");
}

#[test]
fn what_comes_during_a_callers_turn_is_committed_after_it() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    bug.close_gate();
    std::thread::scope(|scope| {
        let callers = scope.spawn(|| {
            let answer = append_later(&store, &lease, "in a caller's turn, or behind a slow one");
            store.flush(true);
            answer_of(&answer).0.expect("written")
        });
        bug.until_waiting();
        let others = begin_append(&store, &lease, entry("meanwhile"));
        let later = append_later(&store, &lease, "meanwhile too");
        store.flush(true);
        bug.open_gate();
        let first = callers.join().unwrap();
        let second = block_on(others).unwrap().unwrap();
        assert!(first < second && second < answer_of(&later).0.expect("written"));
    });
}

#[test]
fn no_caller_waits_for_a_disk_whose_last_sync_was_slow() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    bug.close_gate();
    let slow = begin_append(&store, &lease, entry("slow"));
    bug.until_waiting();
    let began = Instant::now();
    while began.elapsed().as_millis() < 3 {
        core::hint::spin_loop();
    }
    bug.open_gate();
    block_on(slow).unwrap().unwrap();
    // That turn ends behind its answer: this one is queued in it, or has another.
    let answer = append_later(&store, &lease, "next");
    store.flush(true);
    let (result, thread) = answer_of(&answer);
    result.unwrap();
    assert_ne!(thread, std::thread::current().id());
}

#[test]
fn an_append_whose_caller_never_flushes_is_committed_nevertheless() {
    let store = in_memory();
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    let answer = append_later(&store, &lease, "left alone");
    answer_of(&answer).0.expect("it is written");
}

#[test]
fn a_bug_in_a_callers_turn_ends_the_store_and_not_the_caller() {
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    bug.syncing.store(true, Ordering::SeqCst);
    let answer = append_later(&store, &lease, "unknown");
    store.flush(true);
    let (result, _) = answer_of(&answer);
    assert!(matches!(result, Err(StoreError::Io { .. })), "{result:?}");
    let ended = async {
        let late = append(&store, &lease, entry("late")).await;
        assert_eq!(late, Err(StoreError::Closed));
        store.close().await.unwrap();
    };
    block_on(ended);
}

#[test]
fn a_store_closes_while_callers_commit() {
    let store = in_memory();
    let lease = block_on(with_stream(&store));
    until_callers_commit(&store, &lease);
    std::thread::scope(|scope| {
        let (went, going) = mpsc::channel();
        for _ in 0..3 {
            let (store, lease, went) = (&store, &lease, went.clone());
            scope.spawn(move || {
                let mut last = Dlsn::INITIAL;
                let error = loop {
                    let answer = append_later(store, lease, "more");
                    store.flush(true);
                    match answer_of(&answer).0 {
                        Ok(dlsn) => {
                            assert!(dlsn > last || last == Dlsn::INITIAL);
                            last = dlsn;
                            let _ = went.send(());
                        }
                        Err(error) => break error,
                    }
                };
                assert_eq!(error, StoreError::Closed);
            });
        }
        for _ in 0..1_000 {
            going.recv_timeout(LIMIT).expect("they append");
        }
        block_on(store.close()).unwrap();
    });
}

/// A connection to a task of the runtime, and that one's side of it.
fn connect(runtime: &tokio::runtime::Runtime) -> (TcpStream, tokio::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let client = TcpStream::connect(address).expect("it connects");
    client.set_read_timeout(Some(LIMIT)).expect("it is set");
    let (peer, _) = listener.accept().expect("it has connected");
    peer.set_nonblocking(true).expect("it is set");
    let _entered = runtime.enter();
    let peer = tokio::net::TcpStream::from_std(peer).expect("it is registered");
    (client, peer)
}

async fn echo_byte(peer: &mut tokio::net::TcpStream) {
    let mut byte = [0];
    peer.read_exact(&mut byte).await.expect("a byte");
    peer.write_all(&byte).await.expect("it is sent");
}

fn ask(client: &mut TcpStream) {
    client.write_all(&[7]).expect("it is sent");
    client.read_exact(&mut [0]).expect("the runtime answers");
}

#[test]
fn a_runtime_serves_its_sockets_while_one_of_its_threads_waits_for_a_stalled_disk() {
    let began = Instant::now();
    // On a busy machine the turn before may have been slow, so that no caller waits.
    while !stalls_in_a_callers_turn() {
        assert!(began.elapsed() < LIMIT, "no caller's thread ever waits");
    }
}

/// Stalls the disk in the turn of a task, while another echoes what comes from a socket. Returns
/// false if it was a turn of the store's own thread.
fn stalls_in_a_callers_turn() -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .expect("it starts");
    let bug = Arc::new(Bug::default());
    let store = open(&bug);
    let lease = block_on(with_stream(&store));
    let (mut control, mut controlled) = connect(&runtime);
    let (mut client, mut peer) = connect(&runtime);
    runtime.spawn(async move {
        for _ in 0..2 {
            echo_byte(&mut peer).await;
        }
    });
    ask(&mut client);
    let committed = runtime.spawn({
        let bug = Arc::clone(&bug);
        async move {
            until_callers_commit(&store, &lease);
            echo_byte(&mut controlled).await;
            // Woken by the thread that waits for all sockets, which then runs this.
            controlled.read_exact(&mut [0]).await.expect("a byte");
            bug.close_gate();
            let answer = append_later(&store, &lease, "waits");
            store.flush(true);
            (answer, std::thread::current().id(), store)
        }
    });
    ask(&mut control);
    control.write_all(&[7]).expect("it is sent");
    bug.until_closed();
    bug.until_waiting();
    client.write_all(&[7]).expect("it is sent");
    let echoed = client.read_exact(&mut [0]);
    bug.open_gate();
    echoed.expect("the runtime's sockets are served");
    let (answer, callers, _store) = block_on(committed).expect("it ends");
    let (result, thread) = answer_of(&answer);
    result.expect("it is written");
    thread == callers
}

#[tokio::test]
async fn a_thread_that_is_a_runtimes_only_one_never_commits() {
    let store = in_memory();
    let lease = with_stream(&store).await;
    for _ in 0..100 {
        let answer = append_later(&store, &lease, "x");
        store.flush(true);
        let (result, thread) = answer_of(&answer);
        result.unwrap();
        assert_ne!(thread, std::thread::current().id());
    }
}
