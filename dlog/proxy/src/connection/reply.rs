use distributedlog::StatusCode;
use distributedlog::wire::service::{
    BulkWriteResponse, ExceptionKind, Method, Reply as WireReply, ResponseHeader, ServerInfo,
    ServerStatus, WriteResponse, WriteResponses,
};

use crate::machine::{NotStarted, Reply, StreamReply};
use distributedlog_store::StreamName;

/// Description of a proxy in its handshakes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProxyInfo<'a> {
    /// DistributedLog's text for the proxy.
    pub(crate) location: &'a str,
    /// Name of the failure domain of its streams' storage, if it has one.
    pub(crate) failure_domain: Option<&'a str>,
}

/// Calls `encode` with the reply as the thrift wire has it. Requests that were not started become
/// an exception there; mux has a status of its own for them.
pub(super) fn with_reply<R>(
    method: Option<Method>,
    reply: &Reply,
    proxy: ProxyInfo<'_>,
    encode: impl FnOnce(&WireReply<'_>) -> R,
) -> R {
    match reply {
        Reply::ServerInfo { status, ownerships } => {
            with_server_info(*status, ownerships.as_deref(), proxy, encode)
        }
        Reply::Stream(reply) if method == Some(Method::WriteBulkWithContext) => {
            encode(&WireReply::BulkWrite(BulkWriteResponse {
                header: header(reply),
                responses: None,
            }))
        }
        // As the original does: a client that creates its streams at each start must not fail at
        // the second one.
        Reply::Stream(StreamReply {
            code: StatusCode::LogExists,
            ..
        }) if method == Some(Method::Create) => encode(&WireReply::Write(WriteResponse {
            header: ResponseHeader::new(StatusCode::Success),
            dlsn: None,
        })),
        Reply::Stream(reply) => {
            let dlsn = reply.dlsn.map(|dlsn| dlsn.to_text());
            encode(&WireReply::Write(WriteResponse {
                header: header(reply),
                dlsn: dlsn.as_ref().map(|text| text.as_str()),
            }))
        }
        Reply::Bulk(replies) => with_bulk(replies, encode),
        Reply::Void => encode(&WireReply::Void),
        Reply::Exception { kind, message } => encode(&WireReply::Exception {
            kind: *kind,
            message,
        }),
        Reply::NotStarted(why) => encode(&WireReply::Exception {
            kind: ExceptionKind::InternalError,
            message: not_started(*why),
        }),
    }
}

fn with_server_info<R>(
    status: ServerStatus,
    ownerships: Option<&[StreamName]>,
    proxy: ProxyInfo<'_>,
    encode: impl FnOnce(&WireReply<'_>) -> R,
) -> R {
    let pairs: Option<Vec<(&str, &str)>> = ownerships.map(|streams| {
        streams
            .iter()
            .map(|stream| (stream.as_str(), proxy.location))
            .collect()
    });
    encode(&WireReply::ServerInfo(ServerInfo {
        ownerships: pairs.as_deref().map(Into::into),
        status: Some(status),
        failure_domain: proxy.failure_domain,
    }))
}

fn with_bulk<R>(replies: &[StreamReply], encode: impl FnOnce(&WireReply<'_>) -> R) -> R {
    let texts: Vec<_> = replies
        .iter()
        .map(|reply| reply.dlsn.map(|dlsn| dlsn.to_text()))
        .collect();
    let responses: Vec<WriteResponse<'_>> = replies
        .iter()
        .zip(&texts)
        .map(|(reply, dlsn)| WriteResponse {
            header: header(reply),
            dlsn: dlsn.as_ref().map(|text| text.as_str()),
        })
        .collect();
    encode(&WireReply::BulkWrite(BulkWriteResponse {
        header: ResponseHeader::new(StatusCode::Success),
        responses: Some(WriteResponses::new(&responses)),
    }))
}

pub(super) const fn not_started(why: NotStarted) -> &'static str {
    match why {
        NotStarted::DeadlinePassed => "not started: the request's deadline had passed",
        NotStarted::Discarded => "not started: the client discarded the request",
    }
}

fn header(reply: &StreamReply) -> ResponseHeader<'_> {
    ResponseHeader {
        code: reply.code,
        message: reply.message.as_deref(),
        location: reply.location.as_deref(),
    }
}
