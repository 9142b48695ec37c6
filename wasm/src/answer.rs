use core::time::Duration;

use distributedlog::{Advice, Cause, Failure, StatusCode, WriteState};

/// An answer of a proxy, or of whatever stands in front of it, that is not a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub http: u16,
    /// DistributedLog's own, if the answer's body has one.
    pub code: Option<i32>,
    /// What the answer's body says of the records.
    pub known: Option<WriteState>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// When no connection was made: nothing was sent.
    Unreachable,
    /// When the connection ended, or a browser does not say what happened.
    Lost,
    /// When a success says no position.
    Malformed,
    /// When the browser does not let this page write there: no attempt can.
    Forbidden,
}

impl Answer {
    /// What it means to the writer: the table of the code where there is one, else that of HTTP's
    /// status. What the body says of the records is taken from it, and so is a pause that was
    /// asked for.
    #[must_use]
    pub fn failure(self) -> Failure {
        let mut failure = match self.code {
            Some(code) => Failure::of_status(StatusCode::from_i32(code)),
            None => self.of_http(),
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

    /// Without a code it is HTTP's own refusal, or that of a gateway.
    const fn of_http(self) -> Failure {
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
            // Redirects that fetch did not follow, or no status of HTTP: whatever answered, it is
            // no proxy.
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

impl NoAnswer {
    /// What it means to the writer.
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

    fn answer(http: u16, code: i32, known: Option<WriteState>) -> Answer {
        Answer {
            http,
            code: (code != 0).then_some(code),
            known,
            retry_after: None,
        }
    }

    #[test]
    fn a_code_of_distributedlog_means_what_it_means_over_thrift() {
        for code in [403, 413, 500, 502, 503, 506, 510, 515, 517, 523, 524, 602] {
            let expected = Failure::of_status(StatusCode::from_i32(code));
            assert_eq!(answer(500, code, None).failure(), expected, "{code}");
        }
    }

    #[test]
    fn what_the_body_says_of_the_records_is_believed() {
        assert_eq!(
            answer(504, 0, Some(WriteState::NotWritten)).failure().known,
            WriteState::NotWritten
        );
        assert_eq!(
            answer(503, 503, Some(WriteState::Unknown)).failure().known,
            WriteState::Unknown
        );
        assert_eq!(
            answer(400, 0, Some(WriteState::Rejected)).failure().advice,
            Advice::FailRecords
        );
    }

    #[test]
    fn a_pause_that_is_asked_for_is_a_pushback() {
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
            let failure = Answer {
                retry_after: second,
                ..answer(http, code, None)
            }
            .failure();
            assert_eq!(
                failure.advice,
                Advice::NextStreamAndCoolDown(second),
                "{http} {code}"
            );
            assert_eq!(failure.known, WriteState::NotWritten, "{http} {code}");
        }
        // A stream that moves asks for no less load.
        let moving = Answer {
            retry_after: second,
            ..answer(503, 515, None)
        }
        .failure();
        assert_eq!(moving.advice, Advice::NextStream);
    }

    #[test]
    fn nothing_but_a_clear_word_promises_that_nothing_was_written() {
        for http in 0..700 {
            let failure = answer(http, 0, None).failure();
            let promised = failure.known != WriteState::Unknown;
            assert_eq!(
                promised,
                (400..500).contains(&http) || http == 503,
                "{http}: {failure:?}"
            );
        }
        assert_eq!(NoAnswer::Lost.failure().known, WriteState::Unknown);
        assert_eq!(NoAnswer::Malformed.failure().known, WriteState::Unknown);
    }
}
