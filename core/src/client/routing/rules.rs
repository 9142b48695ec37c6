use super::operation::{Operation, Resend};
use crate::{Failure, StatusCode, WriteState};

/// What an answer's code leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusAction {
    /// The request has succeeded.
    Succeed,
    /// The request goes to the owner that the answer names.
    Redirect,
    /// The request has failed, wherever it would go.
    Fail,
    /// The host serves nothing: it is left alone for a while, and the request goes elsewhere.
    MarkUnavailable,
    /// The request goes elsewhere; what is known of the stream's owner stays.
    Reroute,
    /// The request goes elsewhere, and so do the others of its stream: this host is not the owner
    /// any more.
    ForgetOwner,
}

/// The table of the original's client.
pub(crate) const fn status_action(code: StatusCode) -> StatusAction {
    use StatusCode as S;
    match code {
        S::Success => StatusAction::Succeed,
        S::Found => StatusAction::Redirect,
        S::OverCapacity
        | S::NotImplemented
        | S::MetadataException
        | S::LogEmpty
        | S::LogNotFound
        | S::TruncatedTransaction
        | S::EndOfStream
        | S::TransactionOutOfOrder
        | S::InvalidStreamName
        | S::RequestDenied
        | S::TooLargeRecord
        | S::ChecksumFailed
        | S::StreamNotReady => StatusAction::Fail,
        S::ServiceUnavailable => StatusAction::MarkUnavailable,
        S::RegionUnavailable | S::TooManyStreams => StatusAction::Reroute,
        S::ClientClosed
        | S::InternalServerError
        | S::AlreadyClosed
        | S::LockingException
        | S::ZookeeperError
        | S::BkTransmitError
        | S::FlushTimeout
        | S::WriteException
        | S::StreamUnavailable
        | S::WriteCancelledException
        | S::InvalidEnvelopedEntry
        | S::UnsupportedMetadataVersion
        | S::LogExists
        | S::LogSegmentNotFound
        | S::EndOfLogSegment
        | S::LogSegmentIsTruncated
        | S::Unexpected
        | S::Interrupted
        | S::IllegalState
        | S::RetryableRead
        | S::LogReadError
        | S::ReadCancelledException
        | S::Other(_) => StatusAction::ForgetOwner,
    }
}

/// Whether `stream_failfast` makes a failure of this answer.
pub(crate) const fn fails_fast(code: StatusCode) -> bool {
    matches!(code, StatusCode::TooManyStreams)
        || matches!(status_action(code), StatusAction::ForgetOwner)
}

/// What an answer's failure says, with what is proved beyond [`Failure::of_status`]: a proxy
/// answers 515 before it hands a request to the stream's writer ("Stream … is closed."), also for
/// the bulk writes that it does not answer with 302, so nothing was carried out.
pub(crate) const fn failure(code: StatusCode) -> Failure {
    let failure = Failure::of_status(code);
    if matches!(code, StatusCode::StreamUnavailable) {
        Failure {
            known: WriteState::NotWritten,
            ..failure
        }
    } else {
        failure
    }
}

/// Whether a request may be sent again after a failure of which this is known. `answered`: by the
/// proxy, and not by a lost connection.
pub(crate) const fn may_resend(
    operation: Operation,
    resend: Resend,
    known: WriteState,
    answered: bool,
) -> bool {
    match known {
        WriteState::NotWritten => true,
        WriteState::Rejected => false,
        WriteState::Unknown => {
            operation.is_idempotent()
                || match resend {
                    Resend::WhenNotWritten => false,
                    Resend::AfterAnswers => answered,
                    Resend::Always => true,
                }
        }
    }
}
