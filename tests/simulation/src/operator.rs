//! A machine from which somebody truncates, deletes and creates streams while they are written and
//! read, as `dlog tool` does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Dlsn;
use distributedlog_store::Entropy;
use distributedlog_store::{LogStore, StoreError, StreamName};
use tokio::sync::mpsc;

use crate::net::{Death, HostId, Network};
use crate::process::Process;
use crate::proxy::connect;
use crate::trace::Trace;

/// What is asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Truncate(Dlsn),
    Delete,
    Create,
}

/// The number of a task, the stream, and what is to be done with it.
type Asked = (u64, usize, Task);

/// The number of a task, and what is known of it.
type Answer = (u64, Result<(), StoreError>);

/// The machine.
pub(crate) struct OperatorMachine {
    pub(crate) host: HostId,
    store: HostId,
    network: Network,
    trace: Trace,
    streams: Vec<StreamName>,
    entropy: Entropy,
    answers: Answers,
    running: Option<(Process, mpsc::UnboundedSender<Asked>)>,
}

/// What was answered. Clones are the same.
#[derive(Clone, Debug, Default)]
struct Answers(Arc<Mutex<VecDeque<Answer>>>);

impl Answers {
    fn inner(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OperatorMachine {
    pub(crate) fn new(
        seed: u64,
        host: HostId,
        store: HostId,
        network: &Network,
        streams: &[StreamName],
        trace: &Trace,
    ) -> Self {
        let (network, trace, entropy) = (network.clone(), trace.clone(), Entropy::seeded(seed));
        Self {
            host,
            store,
            network,
            trace,
            streams: streams.to_vec(),
            entropy,
            answers: Answers::default(),
            running: None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self) {
        self.network.set_up(self.host);
        let (asks, asked) = mpsc::unbounded_channel();
        let (network, host, store, entropy) = (
            self.network.clone(),
            self.host,
            self.store,
            self.entropy.clone(),
        );
        let (streams, answers) = (self.streams.clone(), self.answers.clone());
        let process = Process::start(async move {
            let store = Arc::new(connect(network, host, store, entropy).await) as Arc<dyn LogStore>;
            serve(&store, &streams, asked, &answers).await;
        });
        self.running = Some((process, asks));
    }

    /// Begins a task, beside those that are under way. False: nobody is there to do it.
    pub(crate) fn begin(&self, number: u64, stream: usize, task: Task) -> bool {
        self.trace.note(format_args!(
            "operator: {number} is {task:?} of stream {stream}"
        ));
        self.running
            .as_ref()
            .is_some_and(|(_, asks)| asks.send((number, stream, task)).is_ok())
    }

    /// The next answer: which task, and whether it was done.
    pub(crate) fn next_answer(&self) -> Option<Answer> {
        let (number, answer) = self.answers.inner().pop_front()?;
        self.trace
            .note(format_args!("operator: {number} {answer:?}"));
        Some((number, answer))
    }

    pub(crate) fn crash(&mut self, death: Death) {
        self.network.end_host(self.host, death);
        self.running = None;
    }

    pub(crate) fn turn(&mut self) {
        if let Some((process, _)) = &mut self.running {
            process.turn();
        }
    }

    pub(crate) fn oversleep(&mut self, millis: u64) {
        if let Some((process, _)) = &mut self.running {
            process.oversleep(millis);
        }
    }
}

async fn serve(
    store: &Arc<dyn LogStore>,
    streams: &[StreamName],
    mut asked: mpsc::UnboundedReceiver<Asked>,
    answers: &Answers,
) {
    while let Some((number, stream, task)) = asked.recv().await {
        let (store, stream, answers) =
            (Arc::clone(store), streams[stream].clone(), answers.clone());
        tokio::spawn(async move {
            let answer = match task {
                Task::Truncate(before) => store.truncate(&stream, before).await,
                Task::Delete => store.delete(&stream).await,
                Task::Create => store.create(&stream).await,
            };
            answers.inner().push_back((number, answer));
        });
    }
}
