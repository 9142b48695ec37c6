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
    /// Member `known` of the body: the state of the records. `None` if the body has none: then it
    /// is not a proxy's.
    pub known: Option<WriteState>,
    /// Header `Retry-After`: the pause that the server asks for. `None` without the header.
    pub retry_after: Option<Duration>,
}

/// Reason why an attempt has no usable response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoResponse {
    /// No connection was made, or the runtime refused to make one: nothing was sent.
    Unreachable,
    /// The connection ended before the response, or the browser hides the reason.
    Lost,
    /// The status is a success, but the body contains no position.
    Malformed,
    /// The browser forbids this page to use the server (CORS): no attempt can succeed. Requests of
    /// record sets need a preflight, so nothing was sent.
    Forbidden,
}

impl ErrorResponse {
    /// Returns the failure that the writer handles.
    ///
    /// Only a body with `known` is a proxy's own: then the DistributedLog code says what to do
    /// next, and `known` what became of the records. Every other response is a gateway's, which may
    /// have passed the request on and lost the proxy's answer: the records may be stored, and the
    /// HTTP status says what to do next.
    ///
    /// `retry_after` becomes a pushback where the code or status means overload.
    #[must_use]
    pub fn failure(self) -> Failure {
        let (cause, mut advice) = match (self.known, self.code) {
            (Some(_), Some(code)) => {
                let Failure { cause, advice, .. } = Failure::of_status(StatusCode::from_i32(code));
                (cause, advice)
            }
            (None, _) | (_, None) => self.consequence_of_http_status(),
        };
        let known = self.known.unwrap_or(WriteState::Unknown);
        advice = match (known, advice) {
            (WriteState::Rejected, _) => Advice::FailRecords,
            // The code alone rejects the records, `known` does not.
            (_, Advice::FailRecords) => Advice::FailOnThisStream,
            (_, advice) => advice,
        };
        let overloaded = match (advice, cause) {
            (Advice::NextStreamAndCoolDown(_), _) => true,
            // Those of `StatusCode::is_unavailable` that do not ask for less load anyway: asking
            // the table would make the page's module larger.
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
            advice = Advice::NextStreamAndCoolDown(self.retry_after);
        }
        Failure::new(cause, known, advice)
    }

    /// Returns the cause and the advice for a response without a DistributedLog code: the refusal
    /// of the HTTP layer, or of a gateway.
    const fn consequence_of_http_status(self) -> (Cause, Advice) {
        match self.http {
            408 | 421 => (Cause::Refused, Advice::NextStream),
            429 | 503 => (Cause::Refused, Advice::NextStreamAndCoolDown(None)),
            400..=499 => (Cause::Refused, Advice::FailOnThisStream),
            504 => (Cause::TimedOut, Advice::NextStream),
            500..=599 => (Cause::Exception, Advice::NextStream),
            // Redirects that fetch did not follow, or no HTTP status: the peer is not a proxy.
            0..=399 | 600.. => (Cause::ProtocolError, Advice::NextStream),
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
            Self::Forbidden => Failure::new(
                Cause::Refused,
                WriteState::NotWritten,
                Advice::FailOnThisStream,
            ),
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
            let failure = response(500, code, Some(expected.known)).failure();
            assert_eq!(failure, expected, "{code}");
        }
    }

    #[test]
    fn the_known_member_of_the_body_overrides_the_code() {
        let known = |http, code, known| response(http, code, Some(known)).failure();
        assert_eq!(
            known(504, 0, WriteState::NotWritten).known,
            WriteState::NotWritten
        );
        assert_eq!(
            known(503, 503, WriteState::Unknown).known,
            WriteState::Unknown
        );
        assert_eq!(
            known(400, 0, WriteState::Rejected).advice,
            Advice::FailRecords
        );
        // The set fails once every stream has refused it, and not as rejected.
        assert_eq!(
            known(413, 413, WriteState::Unknown).advice,
            Advice::FailOnThisStream
        );
    }

    #[test]
    fn a_retry_after_becomes_a_pushback() {
        let second = Some(Duration::from_secs(1));
        for known in [None, Some(WriteState::NotWritten)] {
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
                    ..response(http, code, known)
                }
                .failure();
                assert_eq!(
                    failure.advice,
                    Advice::NextStreamAndCoolDown(second),
                    "{http} {code}"
                );
            }
        }
        // 515: the stream moves to another owner. That is no overload, so there is no pushback.
        let moving = ErrorResponse {
            retry_after: second,
            ..response(503, 515, Some(WriteState::Unknown))
        }
        .failure();
        assert_eq!(moving.advice, Advice::NextStream);
    }

    #[test]
    fn a_retry_after_counts_with_every_code_that_means_overload_or_an_unavailable_proxy() {
        let second = Some(Duration::from_secs(1));
        let mut paused = Vec::new();
        for code in StatusCode::ALL {
            let failure = ErrorResponse {
                retry_after: second,
                ..response(503, code.as_i32(), Some(WriteState::NotWritten))
            }
            .failure();
            let pauses = failure.advice == Advice::NextStreamAndCoolDown(second);
            let overloaded = matches!(
                Failure::of_status(*code).advice,
                Advice::NextStreamAndCoolDown(_)
            );
            assert_eq!(pauses, overloaded || code.is_unavailable(), "{code}");
            if pauses {
                paused.push(code.as_i32());
            }
        }
        assert_eq!(paused, [503, 517, 518, 519, 524]);
    }

    #[test]
    fn only_a_proxys_own_body_or_a_missing_connection_proves_that_nothing_was_written() {
        for http in 0..700 {
            // A gateway's body may have a member `code` too.
            for code in [0, 403, 413, 503, 517] {
                let failure = response(http, code, None).failure();
                assert_eq!(failure.known, WriteState::Unknown, "{http}: {failure:?}");
                assert_ne!(failure.advice, Advice::FailRecords, "{http}: {failure:?}");
            }
        }
        for (ended, known) in [
            (NoResponse::Lost, WriteState::Unknown),
            (NoResponse::Malformed, WriteState::Unknown),
            (NoResponse::Unreachable, WriteState::NotWritten),
            (NoResponse::Forbidden, WriteState::NotWritten),
        ] {
            assert_eq!(ended.failure().known, known, "{ended:?}");
        }
    }
}
