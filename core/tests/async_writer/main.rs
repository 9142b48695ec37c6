//! The async writer under virtual time: waiting, dropping, closing, and no future left pending.

mod domains;
mod dropping;
mod fixed_storage;
mod members;
mod room;
mod simulation;
mod stalled_stream;

use core::time::Duration;

use distributedlog::async_writer::MultiStreamWriter;
use distributedlog::writer::{Settings, SettingsBuilder};
use distributedlog_testkit::{
    Executor, FaultControl, Faulty, Latency, MemoryStreams, SharedState, TaskId, VirtualClock,
    writer,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Settings with one record in each set.
fn single() -> SettingsBuilder {
    Settings::builder().original_features().buffer_size(0)
}

/// A writer with its runner spawned, over streams in memory that answer after 2 ms and accept
/// faults.
struct Stage {
    executor: Executor,
    writer: MultiStreamWriter<SharedState<VirtualClock>>,
    runner: TaskId,
    streams: MemoryStreams,
    faults: FaultControl,
}

fn stage(settings: Settings, streams: usize, seed: u64) -> Stage {
    let mut executor = Executor::new(seed);
    let memory = MemoryStreams::new(executor.clock(), streams, Latency::Constant(ms(2)), seed);
    let (transport, faults) = Faulty::new(memory.clone(), executor.clock(), streams, seed);
    let (writer, runner) = writer(settings, streams, executor.clock(), transport);
    let runner = executor.spawn(runner.run());
    Stage {
        executor,
        writer,
        runner,
        streams: memory,
        faults,
    }
}
