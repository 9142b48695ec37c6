//! Conversion of finished requests into the results of handles.

use core::net::SocketAddr;

use distributedlog::client::routing::{SubmitError, Success};
use distributedlog::{Cause, Failure};

use super::command::Reply;
use super::reply::{HandshakeReply, HostReply, Owner};
use crate::driver::FinishedRequest;
use crate::error::RequestError;

/// Converts a finished request into the result for its handle.
pub(super) fn operation_result(
    finished: FinishedRequest,
    host: Option<SocketAddr>,
) -> Result<Reply, RequestError> {
    match finished.result {
        Ok(Success::Written(position)) => Ok(Reply::Done(Some(position))),
        Ok(Success::Done | Success::ServerInfo) => Ok(Reply::Done(finished.detail.position)),
        Ok(Success::Bulk) => {
            let (stream, operation) = (finished.stream, finished.operation);
            let records = finished.detail.bulk.into_iter().map(|item| {
                item.result.map_err(|failure| RequestError {
                    failure,
                    operation,
                    stream: (*stream).into(),
                    host,
                    message: item.message,
                })
            });
            Ok(Reply::Bulk(records.collect()))
        }
        Ok(Success::Owner) => match finished.detail.owner() {
            Some(owner) => Ok(Reply::Owner(Owner {
                host: owner.host.into(),
                port: owner.port,
                shard: owner.shard,
            })),
            None => Err(error_of(
                finished,
                Failure::not_sent(Cause::ProtocolError),
                host,
            )),
        },
        Err(failure) => Err(error_of(finished, failure, host)),
    }
}

/// Returns the error of an operation that ended with this failure.
pub(super) fn error_of(
    finished: FinishedRequest,
    failure: Failure,
    host: Option<SocketAddr>,
) -> RequestError {
    RequestError {
        failure,
        operation: finished.operation,
        stream: (*finished.stream).into(),
        host,
        message: finished.detail.message,
    }
}

/// Returns the error of an operation that could not be started.
pub(super) fn refused(refusal: SubmitError) -> RequestError {
    let cause = match refusal {
        SubmitError::Full => Cause::TransportFull,
        SubmitError::Closed => Cause::Closed,
        // Any reason that core may add: nothing was sent.
        SubmitError::UnknownHost | _ => Cause::Unreachable,
    };
    RequestError {
        failure: Failure::not_sent(cause),
        operation: "",
        stream: "".into(),
        host: None,
        message: refusal.to_string().into(),
    }
}

/// Converts a proxy's server info into a handle's result.
pub(super) fn handshake_reply(
    host: SocketAddr,
    mut finished: FinishedRequest,
) -> HostReply<HandshakeReply> {
    let result = match (finished.result, finished.detail.server.take()) {
        (Ok(_), Some(server)) => Ok(HandshakeReply {
            host,
            status: server.status.map(|status| status.as_i32()),
            streams: server.streams,
            failure_domain: server.failure_domain,
        }),
        (Ok(_), None) => Err(error_of(
            finished,
            Failure::unanswered(Cause::ProtocolError),
            Some(host),
        )),
        (Err(failure), _) => Err(error_of(finished, failure, Some(host))),
    };
    HostReply { host, result }
}
