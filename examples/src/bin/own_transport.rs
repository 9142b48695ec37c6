//! The writer over a transport of your own: here, a channel to a thread that appends to a file for
//! each stream. A radio, a message queue or another protocol takes its place the same way.
//!
//! ```sh
//! cargo run -p distributedlog-examples --bin own_transport
//! ```

use core::task::{Context, Poll};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};

use distributedlog::async_writer::{HeapSlots, MultiStreamWriter, State};
use distributedlog::writer::{Heap, Settings, StreamCount, Writer};
use distributedlog::{
    Attempt, AttemptId, Cause, Dlsn, Failure, Instant, Outcome, StartRefused, StreamIndex,
    Transport,
};
use distributedlog_examples::Error;
use distributedlog_tokio::TokioClock;
use tokio::sync::mpsc;

/// Hands attempts to a thread and takes their outcomes back.
struct Files {
    attempts: std::sync::mpsc::Sender<(AttemptId, StreamIndex, Vec<u8>)>,
    outcomes: mpsc::UnboundedReceiver<(AttemptId, Outcome)>,
}

impl Files {
    fn open(streams: u16) -> Result<Self, Error> {
        let (attempts, started) = std::sync::mpsc::channel::<(AttemptId, StreamIndex, Vec<u8>)>();
        let (finished, outcomes) = mpsc::unbounded_channel();
        let folder = tempfile::tempdir()?;
        let mut files = Vec::new();
        for stream in 0..streams {
            files.push(File::create(folder.path().join(stream.to_string()))?);
        }
        std::thread::spawn(move || {
            let mut entries = vec![0; files.len()];
            for (id, stream, record_set) in started {
                let index = usize::from(stream.0);
                let appended = files[index]
                    .write_all(&record_set)
                    .and_then(|()| files[index].sync_data());
                let outcome = match appended {
                    Ok(()) => {
                        entries[index] += 1;
                        Ok(Dlsn::new(1, entries[index] - 1, 0))
                    }
                    // Some of the bytes may be in the file.
                    Err(_) => Err(Failure::unanswered(Cause::ConnectionLost)),
                };
                if finished.send((id, outcome)).is_err() {
                    break;
                }
            }
            drop(folder);
        });
        Ok(Self { attempts, outcomes })
    }
}

impl Transport for Files {
    fn start(&mut self, _now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        // The writer's buffer is borrowed during the call alone.
        let set = attempt.record_set.to_vec();
        self.attempts
            .send((attempt.id, attempt.stream, set))
            .map_err(|_| StartRefused)
    }

    fn cancel(&mut self, _now: Instant, _attempt: AttemptId) {
        // What is on its way to the file cannot be called back: its outcome is ignored.
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        match self.outcomes.poll_recv(cx) {
            Poll::Ready(Some(finished)) => Poll::Ready(finished),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let settings = Settings::default();
    let streams = StreamCount::new(3)?;
    let machine = Writer::new(settings, streams, Heap::new(&settings, streams))?;
    let state = State::new(machine, HeapSlots::new(), TokioClock::new());
    let (writer, runner) = MultiStreamWriter::new(Arc::new(Mutex::new(state)), Files::open(3)?);
    let runner = tokio::spawn(runner.run());

    for number in 0..6 {
        let written = writer.write(format!("record {number}").as_bytes()).await?;
        println!("file {} {}", written.stream.0, written.dlsn);
    }
    writer.close().await;
    runner.await?;
    Ok(())
}
