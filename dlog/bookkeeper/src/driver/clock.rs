use distributedlog::Instant;
use tokio::time::Instant as TokioInstant;

/// Clock of the state machines, on tokio's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: TokioInstant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            start: TokioInstant::now(),
        }
    }

    pub(super) fn now(self) -> Instant {
        let micros = self.start.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Returns tokio's instant of a machine's.
    pub(super) fn at(self, instant: Instant) -> TokioInstant {
        self.start + instant.since(Instant::ZERO)
    }
}
