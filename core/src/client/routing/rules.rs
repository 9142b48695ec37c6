use super::operation::{Operation, Resend};
use crate::status::StatusAction;
use crate::{Failure, StatusCode, WriteState};

/// Returns `true` if `stream_failfast` turns an answer with this code into a failure.
pub(crate) const fn fails_fast(code: StatusCode) -> bool {
    matches!(code, StatusCode::TooManyStreams) || matches!(code.action(), StatusAction::ForgetOwner)
}

/// Returns the failure of an answer with this code: [`Failure::of_status`], except for 515. A proxy
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

/// Returns `true` if a request may be sent again after a failure that says `known` of it.
/// `answered`: a proxy's answer failed it, not a lost connection.
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
