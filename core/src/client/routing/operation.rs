use super::{HostId, StreamKey};

use crate::Instant;

/// Operation of a request. It decides if the request may be repeated safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `writeWithContext` of one record.
    Write,
    /// `writeWithContext` of a record set.
    WriteRecordSet,
    /// `writeBulkWithContext`: several records, each with a result of its own. A success of the
    /// request is final, for any results of the single records; a failure of the request means that
    /// no record was tried.
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
    /// `getOwner`: the code FOUND is its reply, not a redirect.
    Owner,
    /// `handshake` or `handshakeWithClientInfo`: for a host, not a stream.
    Handshake,
    /// `setAcceptNewStream`: for a host, not a stream.
    SetAcceptNewStream,
}

impl Operation {
    /// Returns `true` if carrying it out twice is the same as carrying it out once, so that it may
    /// be sent again when it is unknown if the first attempt was carried out. Writes are not
    /// idempotent: the record would be stored twice. Deleting is not: a stream that was created
    /// anew in between would be lost.
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

    /// Returns `true` if the request is a record set: `WriteContext.isRecordSet`.
    #[must_use]
    pub const fn is_record_set(self) -> bool {
        matches!(self, Self::WriteRecordSet)
    }
}

/// Destination of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// To the owner of this stream, wherever it is.
    Stream(StreamKey),
    /// To this host and no other: handshakes, `setAcceptNewStream`.
    Host(HostId),
}

/// Rule for sending a request again after an attempt that may have been carried out.
///
/// The original sends everything again, and so writes some records twice without reporting it.
/// Here, by default, a request that is not idempotent is sent again only when the first attempt was
/// certainly not carried out: the caller of a single write gets
/// [`WriteState::Unknown`](crate::WriteState::Unknown) and decides, and the multi stream writer
/// goes to its next stream, where readers recognise duplicates (R12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Resend {
    /// Only what was surely not carried out, and idempotent operations.
    #[default]
    WhenNotWritten,
    /// Also after a reply that leaves it open (a lost lock, a failed flush): the original's
    /// behaviour after replies.
    AfterAnswers,
    /// Also after a connection was lost with the request in flight: the original's behaviour in all
    /// cases. Timeouts still go to the caller.
    Always,
}

/// Rule for a request whose hosts were all tried, or are all unreachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetryPolicy {
    /// Goes round again, with backoff, until its deadline; without a deadline, fails after one
    /// round.
    #[default]
    UntilDeadline,
    /// Fails: another stream may succeed sooner. Used by the multi stream writer's transport, and
    /// the original's behaviour.
    OneRound,
    /// As `OneRound`, for a caller that makes other attempts meanwhile: a host may take until the
    /// request's deadline to answer, not for the settings' attempt timeout.
    OneRoundUntilDeadline,
}

/// A request, as [`Client::submit`](super::Client::submit) takes it. Its bytes stay with the
/// caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Submission {
    /// Operation to carry out.
    pub operation: Operation,
    /// Destination.
    pub target: Target,
    /// `WriteContext.crc32`, see [`wire::crc`](crate::wire::crc). Not sent if the settings switch
    /// checksums off.
    pub checksum: Option<u32>,
    /// Time at which the request fails at the latest. The settings' request timeout may end it
    /// sooner.
    pub deadline: Option<Instant>,
    /// Rule for when no host is left to try.
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
