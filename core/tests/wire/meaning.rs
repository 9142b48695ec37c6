//! Renders decoded messages as the captures' summaries and the original's client print them.

use distributedlog::wire::mux::{Frame, Message};
use distributedlog::wire::service::{
    MessageHeader, MessageKind, Reply, ResponseHeader, ServerInfo, ServerStatus, WriteResponse,
};

use crate::golden_files::to_hex;

/// A mux frame, up to what its payload is.
pub(crate) fn of_mux(frame: &Frame<'_>) -> String {
    let tag = frame.tag;
    match &frame.message {
        Message::Tdispatch {
            contexts,
            destination,
            delegations,
            payload,
        } => {
            let contexts: Vec<String> = contexts
                .iter()
                .map(|context| {
                    format!(
                        "{}={}",
                        core::str::from_utf8(context.key).expect("UTF-8"),
                        to_hex(context.value)
                    )
                })
                .collect();
            let (contexts, dtab) = (contexts.join(", "), delegations.len());
            format!(
                "mux:Tdispatch tag={tag} ctx[{contexts}] dst='{destination}' dtab={dtab} {}",
                of_thrift(payload)
            )
        }
        Message::Rdispatch {
            status,
            contexts,
            payload,
        } => format!(
            "mux:Rdispatch tag={tag} status={status:?} nctx={} {}",
            contexts.len(),
            of_thrift(payload)
        )
        .replace("=Ok ", "=ok "),
        Message::Tinit { version, headers } => {
            assert!(headers.is_empty());
            format!("mux:Tinit tag={tag} version={version}")
        }
        Message::Rinit { version, headers } => {
            assert!(headers.is_empty());
            format!("mux:Rinit tag={tag} version={version}")
        }
        Message::BadRerr { error } => format!("mux:BAD_Rerr tag={tag} msg='{error}'"),
        Message::Tping => format!("mux:Tping tag={tag}"),
        Message::Rping => format!("mux:Rping tag={tag}"),
        Message::Treq { .. }
        | Message::Rreq { .. }
        | Message::Tdrain
        | Message::Rdrain
        | Message::Tdiscarded { .. }
        | Message::Rdiscarded
        | Message::Tlease { .. }
        | Message::Rerr { .. }
        | Message::BadTdiscarded { .. } => panic!("the captures hold no {frame:?}"),
    }
}

/// A thrift message's head. The capture adds where in the frame it begins, which is left out here.
pub(crate) fn of_thrift(message: &[u8]) -> String {
    let (header, _) = MessageHeader::decode(message).expect("a thrift message");
    let kind = match header.kind {
        MessageKind::Call => "call",
        MessageKind::Reply => "reply",
        MessageKind::Exception => "exception",
        MessageKind::OneWay => "oneway",
    };
    format!(
        "thrift:{kind}:{} seqid={}",
        header.method, header.sequence_id.0
    )
}

/// A reply as the original's client prints its result.
pub(crate) fn of_reply(reply: &Reply<'_>) -> String {
    match reply {
        Reply::ServerInfo(info) => of_server_info(info),
        Reply::Write(response) => of_write(response),
        Reply::BulkWrite(response) => {
            let mut text = format!("BulkWriteResponse(header:{}", of_header(&response.header));
            if let Some(responses) = response.responses {
                let responses: Vec<String> = responses
                    .iter()
                    .map(|response| of_write(&response))
                    .collect();
                text += &format!(", writeResponses:[{}]", responses.join(", "));
            }
            text + ")"
        }
        Reply::Void => "null".to_owned(),
        Reply::Exception { message, .. } => {
            format!("EXC org.apache.thrift.TApplicationException: {message}")
        }
    }
}

fn of_server_info(info: &ServerInfo<'_>) -> String {
    let ownerships: Vec<String> = info
        .ownerships
        .unwrap_or_default()
        .iter()
        .map(|(stream, owner)| format!("{stream}={owner}"))
        .collect();
    let status = match info.status.expect("a status") {
        ServerStatus::WriteAndAccept => "WRITE_AND_ACCEPT",
        ServerStatus::WriteOnly => "WRITE_ONLY",
        ServerStatus::Down => "DOWN",
        ServerStatus::Other(number) => panic!("status {number}"),
    };
    format!(
        "ServerInfo(ownerships:{{{}}}, serverStatus:{status})",
        ownerships.join(", ")
    )
}

fn of_write(response: &WriteResponse<'_>) -> String {
    let dlsn = response
        .dlsn
        .map_or_else(String::new, |dlsn| format!(", dlsn:{dlsn}"));
    format!(
        "WriteResponse(header:{}{dlsn})",
        of_header(&response.header)
    )
}

fn of_header(header: &ResponseHeader<'_>) -> String {
    let message = header
        .message
        .map_or_else(String::new, |message| format!(", errMsg:{message}"));
    let location = header
        .location
        .map_or_else(String::new, |location| format!(", location:{location}"));
    format!(
        "ResponseHeader(code:{}{message}{location})",
        header.code.name()
    )
}
