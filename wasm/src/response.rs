//! Meaning of an HTTP exchange that is not a success, for the writer's state machine.

use core::time::Duration;

use distributedlog::{Advice, Cause, Failure, StatusCode, WriteState};

/// An HTTP response other than a success, from a proxy or from a gateway in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// HTTP status.
    pub http: u16,
    /// DistributedLog status code of the body. `None` if the body has none.
    pub code: Option<i32>,
    /// Member `known` of the body: the state of the records. `None` if the body has none.
    pub known: Option<WriteState>,
    /// Header `Retry-After`: the pause that the server asks for. `None` without the header.
    pub retry_after: Option<Duration>,
}

/// Reason why an attempt has no usable response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoResponse {
    /// No connection was made: nothing was sent.
    Unreachable,
    /// The connection ended before the response, or the browser hides the reason.
    Lost,
    /// The status is a success, but the body contains no position.
    Malformed,
    /// The browser forbids this page to use the server (CORS): no attempt can succeed.
    Forbidden,
}

impl ErrorResponse {
    /// Returns the failure that the writer handles: by the DistributedLog code if there is one,
    /// otherwise by the HTTP status.
    ///
    /// `known` replaces the state of the records that the code implies. `retry_after` becomes a
    /// pushback where the code or status means overload.
    #[must_use]
    pub fn failure(self) -> Failure {
        let mut failure = match self.code {
            Some(code) => Failure::of_status(StatusCode::from_i32(code)),
            None => self.failure_of_http_status(),
        };
        failure.known = self.known.unwrap_or(failure.known);
        if failure.known == WriteState::Rejected {
            failure.advice = Advice::FailRecords;
        }
        let overloaded = match (failure.advice, failure.cause) {
            (Advice::NextStreamAndCoolDown(_), _) => true,
            (Advice::NextStream, Cause::Status(code)) => matches!(
                code,
                StatusCode::ServiceUnavailable | StatusCode::RegionUnavailable
            ),
            (
                Advice::NextStream
                | Advice::NextStreamAndProbation
                | Advice::FailOnThisStream
                | Advice::FailRecords,
                _,
            ) => false,
        };
        if overloaded && self.retry_after.is_some() {
            failure.advice = Advice::NextStreamAndCoolDown(self.retry_after);
        }
        failure
    }

    /// Returns the failure of a response without a DistributedLog code: the refusal of the HTTP
    /// layer, or of a gateway.
    const fn failure_of_http_status(self) -> Failure {
        let (cause, known, advice) = match self.http {
            413 | 415 => (Cause::Refused, WriteState::Rejected, Advice::FailRecords),
            408 | 421 => (Cause::Refused, WriteState::NotWritten, Advice::NextStream),
            429 | 503 => (
                Cause::Refused,
                WriteState::NotWritten,
                Advice::NextStreamAndCoolDown(None),
            ),
            400..=499 => (
                Cause::Refused,
                WriteState::NotWritten,
                Advice::FailOnThisStream,
            ),
            504 => (Cause::TimedOut, WriteState::Unknown, Advice::NextStream),
            500..=599 => (Cause::Exception, WriteState::Unknown, Advice::NextStream),
            // Redirects that fetch did not follow, or no HTTP status: the peer is not a proxy.
            0..=399 | 600.. => (
                Cause::ProtocolError,
                WriteState::Unknown,
                Advice::NextStream,
            ),
        };
        Failure {
            cause,
            known,
            advice,
        }
    }
}

impl NoResponse {
    /// Returns the failure that the writer handles.
    #[must_use]
    pub const fn failure(self) -> Failure {
        match self {
            Self::Unreachable => Failure::not_sent(Cause::Unreachable),
            Self::Lost => Failure::unanswered(Cause::ConnectionLost),
            Self::Malformed => Failure::unanswered(Cause::ProtocolError),
            Self::Forbidden => Failure {
                cause: Cause::Refused,
                known: WriteState::NotWritten,
                advice: Advice::FailOnThisStream,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(http: u16, code: i32, known: Option<WriteState>) -> ErrorResponse {
        ErrorResponse {
            http,
            code: (code != 0).then_some(code),
            known,
            retry_after: None,
        }
    }

    #[test]
    fn a_distributedlog_code_means_the_same_over_http_as_over_thrift() {
        for code in [403, 413, 500, 502, 503, 506, 510, 515, 517, 523, 524, 602] {
            let expected = Failure::of_status(StatusCode::from_i32(code));
            assert_eq!(response(500, code, None).failure(), expected, "{code}");
        }
    }

    #[test]
    fn the_known_member_of_the_body_overrides_the_code() {
        assert_eq!(
            response(504, 0, Some(WriteState::NotWritten))
                .failure()
                .known,
            WriteState::NotWritten
        );
        assert_eq!(
            response(503, 503, Some(WriteState::Unknown))
                .failure()
                .known,
            WriteState::Unknown
        );
        assert_eq!(
            response(400, 0, Some(WriteState::Rejected))
                .failure()
                .advice,
            Advice::FailRecords
        );
    }

    #[test]
    fn a_retry_after_becomes_a_pushback() {
        let second = Some(Duration::from_secs(1));
        for (http, code) in [
            (429, 517),
            (503, 503),
            (503, 518),
            (503, 524),
            (503, 519),
            (429, 0),
            (503, 0),
        ] {
            let failure = ErrorResponse {
                retry_after: second,
                ..response(http, code, None)
            }
            .failure();
            assert_eq!(
                failure.advice,
                Advice::NextStreamAndCoolDown(second),
                "{http} {code}"
            );
            assert_eq!(failure.known, WriteState::NotWritten, "{http} {code}");
        }
        // 515: the stream moves to another owner. That is no overload, so there is no pushback.
        let moving = ErrorResponse {
            retry_after: second,
            ..response(503, 515, None)
        }
        .failure();
        assert_eq!(moving.advice, Advice::NextStream);
    }

    #[test]
    fn only_4xx_and_503_promise_that_nothing_was_written() {
        for http in 0..700 {
            let failure = response(http, 0, None).failure();
            let promised = failure.known != WriteState::Unknown;
            assert_eq!(
                promised,
                (400..500).contains(&http) || http == 503,
                "{http}: {failure:?}"
            );
        }
        assert_eq!(NoResponse::Lost.failure().known, WriteState::Unknown);
        assert_eq!(NoResponse::Malformed.failure().known, WriteState::Unknown);
    }
}
