//! The structs among the vectors. A struct travels only inside a message, so each is checked as the
//! argument or result of one.

use distributedlog::wire::service::{
    BulkWriteResponse, ClientInfo, HeartbeatOptions, Reply, Request, ResponseHeader, SequenceId,
    ServerInfo, ServerStatus, WriteContext, WriteResponse,
};
use distributedlog::{Dlsn, StatusCode};
use serde_json::Value;

pub(crate) fn check(name: &str, inputs: &Value, bytes: &[u8]) {
    let text = |key: &str| inputs[key].as_str();
    match name {
        "thrift-WriteContext-empty" => in_create(name, WriteContext::default(), bytes),
        "thrift-WriteContext-full" => {
            let hosts: Vec<&str> = inputs["triedHosts"]
                .as_array()
                .expect("hosts")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let context = WriteContext {
                tried_hosts: Some(hosts.as_slice().into()),
                crc32: inputs["crc32"].as_i64(),
                is_record_set: inputs["isRecordSet"].as_bool(),
                ..WriteContext::default()
            };
            in_create(name, context, bytes);
        }
        "thrift-ClientInfo" => {
            let info = ClientInfo {
                stream_name_regex: text("streamNameRegex"),
                with_ownerships: inputs["getOwnerships"].as_bool(),
            };
            call(
                name,
                &Request::HandshakeWithClientInfo { info },
                "0cffff",
                bytes,
                "00",
            );
        }
        "thrift-HeartbeatOptions" => {
            let options = HeartbeatOptions {
                send_to_reader: inputs["sendHeartBeatToReader"].as_bool(),
            };
            let request = Request::HeartbeatWithOptions {
                stream: "s",
                context: WriteContext::default(),
                options,
            };
            call(
                name,
                &request,
                "0cfffd",
                bytes,
                "0cfffe000bffff000000017300",
            );
        }
        "thrift-ServerInfo" => {
            let owners = inputs["ownerships"].as_object().expect("a map");
            let owners: Vec<(&str, &str)> = owners
                .iter()
                .map(|(stream, owner)| (stream.as_str(), owner.as_str().expect("text")))
                .collect();
            let status = inputs["serverStatus"].as_i64().expect("a status") as i32;
            let info = ServerInfo {
                ownerships: Some(owners.as_slice().into()),
                status: Some(ServerStatus::from_i32(status)),
                failure_domain: None,
            };
            result(
                name,
                "handshake",
                &Reply::ServerInfo(info),
                "0c0000",
                bytes,
                "00",
            );
        }
        "thrift-ResponseHeader-FOUND" | "thrift-ResponseHeader-error" => {
            let header = ResponseHeader {
                code: code(&inputs["code"]),
                message: text("errMsg"),
                location: text("location"),
            };
            result(
                name,
                "write",
                &Reply::Write(WriteResponse::new(header)),
                "0c00000c0001",
                bytes,
                "0000",
            );
        }
        "thrift-WriteResponse-ok" => {
            let dlsn = position(&inputs["dlsn"]).to_text();
            result(
                name,
                "write",
                &Reply::Write(WriteResponse::success(Some(dlsn.as_str()))),
                "0c0000",
                bytes,
                "00",
            );
        }
        "thrift-BulkWriteResponse" => {
            let dlsn = position(&inputs["responses"][0]).to_text();
            let failed =
                ResponseHeader::with_message(code(&inputs["responses"][1]), "Checksum failed");
            let responses = [
                WriteResponse::success(Some(dlsn.as_str())),
                WriteResponse::new(failed),
            ];
            let header = ResponseHeader::new(code(&inputs["code"]));
            let bulk = BulkWriteResponse {
                header,
                responses: Some((&responses).into()),
            };
            result(
                name,
                "writeBulkWithContext",
                &Reply::BulkWrite(bulk),
                "0c0000",
                bytes,
                "00",
            );
        }
        other => panic!("no test for {other}"),
    }
}

fn in_create(name: &str, context: WriteContext<'_>, bytes: &[u8]) {
    call(
        name,
        &Request::Create {
            stream: "s",
            context,
        },
        "0cfffe",
        bytes,
        "0bffff000000017300",
    );
}

/// The call is its head, `before`, the struct, `after`; and reads back as what it was made of.
fn call(name: &str, request: &Request<'_>, before: &str, bytes: &[u8], after: &str) {
    let mut out = [0; 512];
    let length = request.encode(SequenceId(0), &mut out).expect("room");
    ends_with(name, &out[..length], before, bytes, after);
    assert_eq!(
        Request::decode(&out[..length]),
        Ok((SequenceId(0), *request)),
        "{name}"
    );
}

fn result(name: &str, method: &str, reply: &Reply<'_>, before: &str, bytes: &[u8], after: &str) {
    let mut out = [0; 512];
    let length = reply.encode(method, SequenceId(0), &mut out).expect("room");
    ends_with(name, &out[..length], before, bytes, after);
    assert_eq!(
        Reply::decode(&out[..length]),
        Ok((SequenceId(0), *reply)),
        "{name}"
    );
}

fn ends_with(name: &str, message: &[u8], before: &str, bytes: &[u8], after: &str) {
    let from_hex = crate::golden_files::from_hex;
    let expected = [from_hex(before), bytes.to_vec(), from_hex(after)].concat();
    assert!(
        message.ends_with(&expected),
        "{name}: {message:02x?} does not end with {expected:02x?}"
    );
}

fn code(value: &Value) -> StatusCode {
    StatusCode::from_i32(value.as_i64().expect("a code") as i32)
}

fn position(value: &Value) -> Dlsn {
    let part = |index: usize| value[index].as_i64().expect("a number");
    Dlsn::new(part(0), part(1), part(2))
}
