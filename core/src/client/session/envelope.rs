use crate::wire::mux::{Deadline, TraceId};

/// Metadata that is sent with a request beside its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The request's ids in traces. [`None`] lets the session draw one from its seed.
    pub trace: Option<TraceId>,
    /// By when the peer must have started, in wall clock time; [`None`] sends none.
    pub deadline: Option<Deadline>,
}
