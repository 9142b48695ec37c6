//! Operator: truncates, deletes and creates streams while they are written and read, as `dlog tool`
//! does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Dlsn;
use distributedlog_store::Entropy;
use distributedlog_store::{LogStore, StoreError, StreamName};
use tokio::sync::mpsc;

use crate::net::{CrashKind, HostId, Network};
use crate::process::Process;
use crate::proxy::connect;
use crate::trace::Trace;

/// Operation of the operator on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Truncate(Dlsn),
    Delete,
    Create,
}

/// Number of a task, index of its stream, and the task.
type TaskRequest = (u64, usize, Task);

/// Number of a task and its result.
type TaskResult = (u64, Result<(), StoreError>);

/// Machine that runs the operator.
pub(crate) struct OperatorMachine {
    pub(crate) host: HostId,
    store: HostId,
    network: Network,
    trace: Trace,
    streams: Vec<StreamName>,
    entropy: Entropy,
    results: TaskResults,
    running: Option<(Process, mpsc::UnboundedSender<TaskRequest>)>,
}

/// Results that have not been taken yet. Clones share the same queue.
#[derive(Clone, Debug, Default)]
struct TaskResults(Arc<Mutex<VecDeque<TaskResult>>>);

impl TaskResults {
    fn inner(&self) -> MutexGuard<'_, VecDeque<TaskResult>> {
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
            results: TaskResults::default(),
            running: None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self) {
        self.network.set_up(self.host);
        let (sender, requests) = mpsc::unbounded_channel();
        let (network, host, store, entropy) = (
            self.network.clone(),
            self.host,
            self.store,
            self.entropy.clone(),
        );
        let (streams, results) = (self.streams.clone(), self.results.clone());
        let process = Process::start(async move {
            let store = Arc::new(connect(network, host, store, entropy).await) as Arc<dyn LogStore>;
            serve(&store, &streams, requests, &results).await;
        });
        self.running = Some((process, sender));
    }

    /// Starts a task; those in flight go on. Returns false if the process is down.
    pub(crate) fn begin(&self, number: u64, stream: usize, task: Task) -> bool {
        self.trace.note(format_args!(
            "operator: {number} is {task:?} of stream {stream}"
        ));
        self.running
            .as_ref()
            .is_some_and(|(_, sender)| sender.send((number, stream, task)).is_ok())
    }

    /// Takes the next result.
    pub(crate) fn next_result(&self) -> Option<TaskResult> {
        let (number, result) = self.results.inner().pop_front()?;
        self.trace
            .note(format_args!("operator: {number} {result:?}"));
        Some((number, result))
    }

    pub(crate) fn crash(&mut self, kind: CrashKind) {
        self.network.end_host(self.host, kind);
        self.running = None;
    }

    pub(crate) fn turn(&mut self) {
        if let Some((process, _)) = &mut self.running {
            process.turn();
        }
    }

    pub(crate) fn advance_clock(&mut self, millis: u64) {
        if let Some((process, _)) = &mut self.running {
            process.advance_clock(millis);
        }
    }
}

async fn serve(
    store: &Arc<dyn LogStore>,
    streams: &[StreamName],
    mut requests: mpsc::UnboundedReceiver<TaskRequest>,
    results: &TaskResults,
) {
    while let Some((number, stream, task)) = requests.recv().await {
        let (store, stream, results) =
            (Arc::clone(store), streams[stream].clone(), results.clone());
        tokio::spawn(async move {
            let result = match task {
                Task::Truncate(before) => store.truncate(&stream, before).await,
                Task::Delete => store.delete(&stream).await,
                Task::Create => store.create(&stream).await,
            };
            results.inner().push_back((number, result));
        });
    }
}
