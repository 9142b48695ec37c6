//! One connection of a bookie: frames in, frames out.

use core::time::Duration;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use distributedlog_bookkeeper::metadata::BookieId;
use distributedlog_bookkeeper::wire::{
    MAX_FRAME_BYTES, Operation, Read, ReadMode, Request, Response, frame_len,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

use super::bookie::Handled;
use super::{BookieMode, ModelBookies};

/// Interval at which a read that waits looks again: a bookie's timer is coarse too.
const POLL: Duration = Duration::from_millis(5);

/// Serves a connection until either end closes it, or the bookie dies.
pub(super) async fn serve(cluster: ModelBookies, bookie: BookieId, stream: DuplexStream) {
    let Some(life) = cluster.lock().bookies.get(&bookie).map(|it| it.life()) else {
        return;
    };
    let (reader, writer) = split(stream);
    let (arrive, arrivals) = unbounded_channel();
    let (answer, answers) = unbounded_channel();
    let connection = Connection {
        cluster: cluster.clone(),
        bookie: bookie.clone(),
        life,
        answers: answer,
    };
    let died = cluster
        .0
        .modes
        .wait_for(|_| cluster.lock().bookies.get(&bookie).map(|it| it.life()) != Some(life));
    tokio::select! {
        biased;
        _ = died => {}
        () = read_requests(&connection, reader, &arrive) => {}
        () = connection.handle_arrivals(arrivals) => {}
        () = write_responses(answers, writer) => {}
    }
}

/// One connection of a bookie's process.
struct Connection {
    cluster: ModelBookies,
    bookie: BookieId,
    life: u64,
    answers: UnboundedSender<Response>,
}

/// Reads requests, which arrive in their order and a while later.
async fn read_requests(
    connection: &Connection,
    mut reader: ReadHalf<DuplexStream>,
    arrive: &UnboundedSender<(Instant, Request)>,
) {
    let mut input = BytesMut::new();
    let mut last = Instant::now();
    loop {
        while let Ok(Some(whole)) = frame_len(&input, MAX_FRAME_BYTES)
            && input.len() >= whole
        {
            let mut frame = input.split_to(whole).freeze();
            frame.advance(4);
            let Ok(request) = Request::decode(&frame) else {
                return; // As a bookie closes the connection.
            };
            last = last.max(Instant::now() + connection.latency());
            arrive.send((last, request)).ok();
        }
        match reader.read_buf(&mut input).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

async fn write_responses(
    mut answers: UnboundedReceiver<Response>,
    mut writer: WriteHalf<DuplexStream>,
) {
    let mut output = BytesMut::new();
    while let Some(response) = answers.recv().await {
        response.encode(&mut output);
        if writer.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}

impl Connection {
    fn latency(&self) -> Duration {
        self.random(|state| state.latency)
    }

    fn random(&self, max: impl Fn(&super::State) -> Duration) -> Duration {
        let mut state = self.cluster.lock();
        let micros = u64::try_from(max(&state).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(state.random.below(micros + 1))
    }

    async fn handle_arrivals(&self, mut arrivals: UnboundedReceiver<(Instant, Request)>) {
        while let Some((at, request)) = arrivals.recv().await {
            sleep_until(at).await;
            let modes = &self.cluster.0.modes;
            modes
                .wait_for(|_| self.mode() != Some(BookieMode::Silent))
                .await;
            self.handle(Arc::new(request));
        }
    }

    fn mode(&self) -> Option<BookieMode> {
        let state = self.cluster.lock();
        state.bookies.get(&self.bookie).map(|it| it.mode())
    }

    fn handle(&self, request: Arc<Request>) {
        let handled = {
            let mut state = self.cluster.lock();
            let Some(bookie) = state.bookies.get_mut(&self.bookie) else {
                return;
            };
            bookie.handle(&request)
        };
        match handled {
            Handled::Answer(response) => self.answer_after(Duration::ZERO, None, response),
            Handled::Sync(response) => {
                let sync = self.random(|state| state.sync);
                self.answer_after(sync, Some(request), response);
            }
            Handled::Wait => self.wait(request),
        }
    }

    /// Answers once the journal is synced and the response has passed the network.
    fn answer_after(&self, sync: Duration, synced: Option<Arc<Request>>, response: Response) {
        let (cluster, bookie, life) = (self.cluster.clone(), self.bookie.clone(), self.life);
        let (answers, latency) = (self.answers.clone(), self.latency());
        tokio::spawn(async move {
            sleep(sync).await;
            {
                let mut state = cluster.lock();
                let Some(bookie) = state.bookies.get_mut(&bookie) else {
                    return;
                };
                if bookie.life() != life {
                    return; // It died before the sync.
                }
                if let Some(request) = synced {
                    bookie.sync(&request);
                }
            }
            sleep(latency).await;
            answers.send(response).ok();
        });
    }

    /// Keeps a read until the last add confirmed is later than the known one, or its time is over.
    fn wait(&self, request: Arc<Request>) {
        let Operation::Read(
            read @ Read {
                mode:
                    ReadMode::LongPoll {
                        previous_lac,
                        wait: Some(wait),
                    },
                ..
            },
        ) = request.operation
        else {
            return;
        };
        let (cluster, bookie, life) = (self.cluster.clone(), self.bookie.clone(), self.life);
        let (answers, latency) = (self.answers.clone(), self.latency());
        let end = Instant::now() + wait;
        tokio::spawn(async move {
            loop {
                sleep(POLL).await;
                let response = {
                    let mut state = cluster.lock();
                    let Some(bookie) = state.bookies.get_mut(&bookie) else {
                        return;
                    };
                    if bookie.life() != life {
                        return;
                    }
                    match bookie.handle(&request) {
                        Handled::Answer(response) => Some(response),
                        Handled::Sync(_) | Handled::Wait if Instant::now() < end => None,
                        Handled::Sync(_) | Handled::Wait => {
                            Some(bookie.polled(&read, request.txn_id, previous_lac))
                        }
                    }
                };
                if let Some(response) = response {
                    sleep(latency).await;
                    answers.send(response).ok();
                    return;
                }
            }
        });
    }
}
