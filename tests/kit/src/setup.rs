use std::sync::{Arc, Mutex};

use distributedlog::async_writer::{HeapSlots, MultiStreamWriter, Runner, State};
use distributedlog::writer::{Heap, Settings, StreamCount, Writer};
use distributedlog::{Clock, Transport};

/// The state of a writer with its tables on the heap, shared by any number of threads.
pub type SharedState<C> = Arc<Mutex<State<Heap, HeapSlots, C>>>;

/// Creates a writer to `streams` streams over any clock and transport, with its tables on the heap.
///
/// # Panics
///
/// If `streams` is 0 or above the maximum of a writer.
pub fn writer<C: Clock + Clone, T: Transport>(
    settings: Settings,
    streams: usize,
    clock: C,
    transport: T,
) -> (MultiStreamWriter<SharedState<C>>, Runner<SharedState<C>, T>) {
    let streams = StreamCount::new(streams).expect("a valid number of streams");
    let machine = Writer::new(settings, streams, Heap::new(&settings, streams))
        .expect("the heap has what the settings ask for");
    let state = State::new(machine, HeapSlots::new(), clock);
    MultiStreamWriter::new(Arc::new(Mutex::new(state)), transport)
}
