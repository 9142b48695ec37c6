use super::{HostId, StreamKey};

use crate::Instant;

/// What a request does: it decides what is safe to do again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `writeWithContext` of one record.
    Write,
    /// `writeWithContext` of a record set.
    WriteRecordSet,
    /// `writeBulkWithContext`: several records, each with a result of its own. A success of the
    /// whole is final, whatever became of the single records; a failure of the whole means that
    /// none was tried.
    WriteBulk,
    /// `create`. Creating twice is creating once.
    Create,
    /// `delete`.
    Delete,
    /// `truncate`. Truncating twice is truncating once.
    Truncate,
    /// `release`.
    Release,
    /// `heartbeatWithOptions`, with or without a heartbeat for readers.
    Heartbeat,
    /// `getOwner`: FOUND is its answer, not a redirect.
    Owner,
    /// `handshake` or `handshakeWithClientInfo`; asks a host, not a stream.
    Handshake,
    /// `setAcceptNewStream`; asks a host, not a stream.
    SetAcceptNewStream,
}

impl Operation {
    /// Whether carrying it out twice is the same as carrying it out once, so that it may be sent
    /// again when nobody knows whether the first try was carried out. Writes are not: the
    /// record would be there twice. Deleting is not: a stream that was created anew in
    /// between would be lost.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        match self {
            Self::Write | Self::WriteRecordSet | Self::WriteBulk | Self::Delete => false,
            Self::Create
            | Self::Truncate
            | Self::Release
            | Self::Heartbeat
            | Self::Owner
            | Self::Handshake
            | Self::SetAcceptNewStream => true,
        }
    }

    /// Whether the request is a record set: `WriteContext.isRecordSet`.
    #[must_use]
    pub const fn is_record_set(self) -> bool {
        matches!(self, Self::WriteRecordSet)
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// To the owner of this stream, wherever it is.
    Stream(StreamKey),
    /// To this host and no other: handshakes, `setAcceptNewStream`.
    Host(HostId),
}

/// Which requests are sent again after an attempt that may have been carried out.
///
/// The original sends everything again, and so writes some records twice without telling. Here the
/// default is that nothing which is not idempotent goes out again until it is sure that the first
/// try was not carried out: the caller of a single write is told
/// [`WriteState::Unknown`](crate::WriteState::Unknown) and decides, and the multi stream writer goes to its
/// next stream, whose copies readers can tell apart (R12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Resend {
    /// Only what was surely not carried out, and idempotent operations.
    #[default]
    WhenNotWritten,
    /// Also after an answer that leaves it open (a lost lock, a failed flush): the original's
    /// behaviour after answers.
    AfterAnswers,
    /// Also after a connection that was lost with the request under way: the original's behaviour
    /// altogether. Timeouts go to the caller all the same.
    Always,
}

/// What a request does when every host was tried, or none can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetryPolicy {
    /// Goes round again, with backoff, until its deadline; without a deadline, fails after one
    /// round.
    #[default]
    UntilDeadline,
    /// Fails: another stream may do better than waiting. What the multi stream writer's transport
    /// asks for, and the original's behaviour.
    OneRound,
}

/// A request, as [`Client::submit`](super::Client::submit) takes it. Its bytes stay with the
/// caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Submission {
    /// What it does.
    pub operation: Operation,
    /// Where it goes.
    pub target: Target,
    /// `WriteContext.crc32`, see [`wire::crc`](crate::wire::crc). Left out when the settings say
    /// so.
    pub checksum: Option<u32>,
    /// When it fails at the latest. The settings' request timeout may make it sooner.
    pub deadline: Option<Instant>,
    /// What it does when no host can be tried.
    pub retry_policy: RetryPolicy,
    /// Overrides the settings' rule for this request.
    pub resend: Option<Resend>,
}

impl Submission {
    /// A request about a stream.
    pub const fn to_stream(operation: Operation, stream: StreamKey) -> Self {
        Self::new(operation, Target::Stream(stream))
    }

    /// A request to one host.
    pub const fn to_host(operation: Operation, host: HostId) -> Self {
        Self::new(operation, Target::Host(host))
    }

    const fn new(operation: Operation, target: Target) -> Self {
        Self {
            operation,
            target,
            checksum: None,
            deadline: None,
            retry_policy: RetryPolicy::UntilDeadline,
            resend: None,
        }
    }

    /// With this checksum.
    pub const fn with_checksum(mut self, checksum: u32) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// With this deadline.
    pub const fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// With this retry policy.
    pub const fn with_retry_policy(mut self, retry_policy: RetryPolicy) -> Self {
        self.retry_policy = retry_policy;
        self
    }

    /// With this rule about sending again.
    pub const fn with_resend(mut self, resend: Resend) -> Self {
        self.resend = Some(resend);
        self
    }
}
