//! The replies to the thirteen methods, in one conversation each.

use bytes::Bytes;
use distributedlog::wire::crc;
use distributedlog::wire::service::{
    Binaries, ClientInfo, HeartbeatOptions, Request, WriteContext,
};
use distributedlog::{Dlsn, StatusCode};

use super::kit::{Raw, settings, start, start_on, write};
use crate::AdminPeers;
use crate::MAX_RECORD_BYTES;
use distributedlog_store::{Entropy, StoreError, StoreId};

const CONTEXT: WriteContext<'static> = WriteContext {
    tried_hosts: None,
    crc32: None,
    is_record_set: None,
    identity: None,
    attempt: None,
};

fn bulk<'a>(stream: &'a str, records: &'a [&'a [u8]]) -> Request<'a> {
    Request::WriteBulkWithContext {
        stream,
        data: Binaries::new(records),
        context: CONTEXT,
    }
}

#[tokio::test]
async fn the_first_write_makes_the_stream_and_gets_its_first_position() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(client.ask(&write("s", b"hello")).await, "200 at 1/0/0");
    assert_eq!(
        client
            .ask(&Request::Write {
                stream: "s",
                data: b""
            })
            .await,
        "200 at 1/1/0",
        "an empty record is a record"
    );
    assert_eq!(
        store.records("s"),
        [
            (Dlsn::INITIAL, Bytes::from_static(b"hello")),
            (Dlsn::new(1, 1, 0), Bytes::new())
        ]
    );
}

#[tokio::test]
async fn missing_streams_are_not_created_when_the_settings_forbid_it() {
    let (proxy, _) = start(settings().create_missing_streams(false)).await;
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(
        client.ask(&write("s", b"x")).await,
        "510 (log stream s: log stream s is not found)"
    );
    assert_eq!(
        client
            .ask(&Request::Create {
                stream: "s",
                context: CONTEXT
            })
            .await,
        "200"
    );
    assert_eq!(client.ask(&write("s", b"x")).await, "200 at 1/0/0");
}

#[tokio::test]
async fn a_write_after_release_opens_the_next_log_segment() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    let release = Request::Release {
        stream: "s",
        context: CONTEXT,
    };
    assert_eq!(client.ask(&release).await, "200");
    assert_eq!(store.owner("s"), None);
    assert_eq!(
        client.ask(&release).await,
        "200",
        "releasing what is not owned has nothing to do"
    );
    assert_eq!(client.ask(&write("s", b"x")).await, "200 at 2/0/0");
}

#[tokio::test]
async fn a_write_after_delete_makes_the_stream_again() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    let delete = Request::Delete {
        stream: "s",
        context: CONTEXT,
    };
    assert_eq!(client.ask(&delete).await, "200");
    assert_eq!(
        client.ask(&delete).await,
        "510 (log stream s: log stream s is not found)"
    );
    assert_eq!(client.ask(&write("s", b"x")).await, "200 at 1/0/0");
}

#[tokio::test]
async fn creating_a_stream_that_exists_changes_nothing() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let create = Request::Create {
        stream: "s",
        context: CONTEXT,
    };
    assert_eq!(client.ask(&create).await, "200");
    client.ask(&write("s", b"x")).await;
    assert_eq!(client.ask(&create).await, "200");
    assert_eq!(store.records("s").len(), 1);
}

#[tokio::test]
async fn the_records_of_a_bulk_write_share_an_entry() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let answer = client.ask(&bulk("s", &[b"a", b"b", b"c"])).await;
    assert_eq!(
        answer,
        r#"bulk 200 ["200 at 1/0/0", "200 at 1/0/1", "200 at 1/0/2"]"#
    );
    assert_eq!(client.ask(&bulk("s", &[])).await, "bulk 200 []");
    assert_eq!(store.records("s").len(), 3);
}

#[tokio::test]
async fn of_a_bulk_write_what_comes_before_a_record_that_is_too_large_is_written() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let large = vec![0; MAX_RECORD_BYTES + 1];
    let answer = client.ask(&bulk("s", &[b"a", &large, b"c", b"d"])).await;
    let cancelled =
        "516 (write cancelled on log stream s: an earlier record of the bulk write is too large)";
    let too_large = "413 (log record of 1040385 bytes, but at most 1040384 are stored)";
    assert_eq!(
        answer,
        format!(
            "bulk 200 {:?}",
            ["200 at 1/0/0", too_large, cancelled, cancelled]
        )
    );
    assert_eq!(store.records("s").len(), 1);
}

#[tokio::test]
async fn a_bulk_write_beyond_one_entry_goes_on_in_the_next() {
    let (proxy, _) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    let large = vec![0; 600 << 10];
    let answer = client.ask(&bulk("s", &[&large, b"b", &large, b"d"])).await;
    assert_eq!(
        answer,
        r#"bulk 200 ["200 at 1/0/0", "200 at 1/0/1", "200 at 1/1/0", "200 at 1/1/1"]"#
    );
}

#[tokio::test]
async fn heartbeats_take_the_stream_and_readers_move_on_on_request() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(
        client
            .ask(&Request::Heartbeat {
                stream: "s",
                context: CONTEXT
            })
            .await,
        "200"
    );
    assert_eq!(store.owner("s").as_ref(), Some(proxy.owner()));
    let options = HeartbeatOptions {
        send_to_reader: Some(true),
    };
    let heartbeat = Request::HeartbeatWithOptions {
        stream: "s",
        context: CONTEXT,
        options,
    };
    assert_eq!(client.ask(&heartbeat).await, "200 at 1/0/0");
    assert_eq!(client.ask(&write("s", b"x")).await, "200 at 1/1/0");
    assert_eq!(client.ask(&heartbeat).await, "200 at 1/2/0");
    let records = store.records("s");
    assert_eq!(
        records
            .iter()
            .map(|(_, payload)| &payload[..])
            .collect::<Vec<_>>(),
        [&b"heartbeat"[..], b"x", b"heartbeat"]
    );
    assert_eq!(
        store.slots("s"),
        [0, 1, 0],
        "readers pass the control records over"
    );
}

#[tokio::test]
async fn truncation_needs_a_position() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    let before = Dlsn::new(1, 1, 0);
    let text = before.to_text();
    let truncate = |dlsn, crc32| Request::Truncate {
        stream: "s",
        dlsn,
        context: WriteContext { crc32, ..CONTEXT },
    };
    assert_eq!(
        client
            .ask(&truncate(
                text.as_str(),
                Some(crc::truncate("s", &before).into())
            ))
            .await,
        "200"
    );
    assert_eq!(store.truncated_before("s"), Some(before));
    let answer = client.ask(&truncate("!!!", None)).await;
    assert!(
        answer.starts_with(r#"403 (cannot truncate before "!!!": not a DLSN"#),
        "{answer}"
    );
    let answer = client.ask(&truncate(text.as_str(), Some(1))).await;
    assert!(
        answer.starts_with("523 (checksum failed: the request says 0x00000001"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_owner_is_returned_if_it_is_this_proxy_or_another() {
    let (proxy, store) = start(settings().announce(Some("proxy-1:8000".into()))).await;
    let mut client = Raw::connect(&proxy).await;
    let owner = |stream| Request::GetOwner {
        stream,
        context: CONTEXT,
    };
    assert_eq!(
        client.ask(&owner("s")).await,
        "302 -> 1;1;proxy-1:8000",
        "it would be made here"
    );
    assert_eq!(store.owner("s"), None, "asking takes nothing");
    client.ask(&write("s", b"x")).await;
    assert_eq!(client.ask(&owner("s")).await, "302 -> 1;1;proxy-1:8000");
    store.set_owner(
        &"foreign".parse().expect("a valid name"),
        &distributedlog_store::Owner {
            shard: 12,
            address: "proxy-2:8000".into(),
        },
    );
    assert_eq!(
        client.ask(&owner("foreign")).await,
        "302 -> 1;12;proxy-2:8000"
    );
    assert_eq!(
        client.ask(&write("foreign", b"x")).await,
        "302 -> 1;12;proxy-2:8000"
    );
    assert_eq!(
        client.ask(&bulk("foreign", &[b"x", b"y"])).await,
        "bulk 302 -> 1;12;proxy-2:8000 []"
    );
}

#[tokio::test]
async fn a_proxy_that_accepts_no_new_streams_serves_those_that_it_has() {
    let (proxy, _) = start(settings().announce(Some("proxy-1:8000".into()))).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("old", b"x")).await;
    assert_eq!(
        client
            .ask(&Request::SetAcceptNewStream { enabled: false })
            .await,
        "void"
    );
    assert_eq!(
        client.ask(&Request::Handshake).await,
        r#"server 200 ["old=1;1;proxy-1:8000"]"#
    );
    assert_eq!(client.ask(&write("old", b"x")).await, "200 at 1/1/0");
    assert_eq!(
        client.ask(&write("new", b"x")).await,
        "503 (proxy 1;1;proxy-1:8000 accepts no new streams)"
    );
    assert_eq!(
        client
            .ask(&Request::SetAcceptNewStream { enabled: true })
            .await,
        "void"
    );
    assert_eq!(client.ask(&write("new", b"x")).await, "200 at 1/0/0");
}

#[tokio::test]
async fn handshakes_list_the_requested_ownerships() {
    let (proxy, _) = start(settings().announce(Some("p:1".into()))).await;
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(client.ask(&Request::Handshake).await, "server 100 []");
    for stream in ["basic-1", "basic-2", "other"] {
        client.ask(&write(stream, b"x")).await;
    }
    let handshake = |stream_name_regex, with_ownerships| Request::HandshakeWithClientInfo {
        info: ClientInfo {
            stream_name_regex,
            with_ownerships,
        },
    };
    let all = r#"server 100 ["basic-1=1;1;p:1", "basic-2=1;1;p:1", "other=1;1;p:1"]"#;
    assert_eq!(client.ask(&handshake(None, None)).await, all);
    assert_eq!(client.ask(&handshake(Some(".*"), Some(true))).await, all);
    assert_eq!(
        client.ask(&handshake(Some("basic-.*"), Some(true))).await,
        r#"server 100 ["basic-1=1;1;p:1", "basic-2=1;1;p:1"]"#
    );
    assert_eq!(
        client.ask(&handshake(None, Some(false))).await,
        "server 100 []"
    );
    let answer = client.ask(&handshake(Some("("), None)).await;
    assert!(
        answer.starts_with(
            "exception 6: handshakeWithClientInfo: streamNameRegex \"(\" cannot be used"
        ),
        "{answer}"
    );
    let answer = client.ask(&handshake(Some("(?=x)"), None)).await;
    assert!(answer.contains("look-around"), "{answer}");
}

#[tokio::test]
async fn handshakes_say_the_failure_domain_of_the_settings_or_else_the_identity_of_the_store() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(
        client.ask(&Request::Handshake).await,
        "server 100 []",
        "the store has none, as on BookKeeper"
    );
    // A remote store has one once it is connected.
    let id = StoreId::draw(&Entropy::seeded(7));
    store.identify(id);
    let said = format!("server 100 [] in {id}");
    assert_eq!(client.ask(&Request::Handshake).await, said);
    let info = ClientInfo::default();
    let request = Request::HandshakeWithClientInfo { info };
    assert_eq!(client.ask(&request).await, said);

    let named = settings().failure_domain(Some("rack-1".into()));
    let proxy = start_on(named, &store).await;
    let mut client = Raw::connect(&proxy).await;
    assert_eq!(
        client.ask_framed(&Request::Handshake).await,
        "server 100 [] in rack-1"
    );
}

/// A full disk is answered by a code that says "not written", a failed disk by one that does not.
#[tokio::test]
async fn errors_of_the_store_are_passed_on() {
    let (proxy, store) = start(settings()).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&write("s", b"x")).await;
    for (error, expected) in [
        (
            StoreError::DiskFull {
                path: "/data".into(),
            },
            "517 (the disk is full: /data cannot grow)",
        ),
        (
            StoreError::ReadOnly {
                path: "/data".into(),
            },
            "506 (/data cannot be written: it is read-only, or not this user's to write)",
        ),
        (
            StoreError::Io {
                path: "/data".into(),
                detail: "broken".into(),
            },
            "514 (/data: broken)",
        ),
    ] {
        store.fail_next_append(error.clone());
        assert_eq!(client.ask(&write("s", b"x")).await, expected);
        store.fail_next_append(error);
        assert_eq!(
            client.ask(&bulk("s", &[b"x", b"y"])).await,
            format!("bulk {expected} []"),
            "where nothing was written, the header says why"
        );
    }
    assert_eq!(
        client.ask(&write("s", b"x")).await,
        "200 at 1/1/0",
        "the stream goes on"
    );
}

#[tokio::test]
async fn a_read_only_proxy_changes_nothing() {
    let (proxy, store) = start(settings().read_only(true)).await;
    let mut client = Raw::connect(&proxy).await;
    let denied = format!(
        "{} (the proxy is read only)",
        StatusCode::RequestDenied.as_i32()
    );
    assert_eq!(client.ask(&write("s", b"x")).await, denied);
    assert_eq!(
        client
            .ask(&Request::Create {
                stream: "s",
                context: CONTEXT
            })
            .await,
        denied
    );
    assert_eq!(
        client
            .ask(&Request::Delete {
                stream: "s",
                context: CONTEXT
            })
            .await,
        denied
    );
    assert!(store.records("s").is_empty());
}

#[tokio::test]
async fn only_clients_of_this_machine_administer_unless_the_settings_say_otherwise() {
    let administration = [
        Request::Delete {
            stream: "s",
            context: CONTEXT,
        },
        Request::Truncate {
            stream: "s",
            dlsn: "AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==",
            context: CONTEXT,
        },
        Request::Release {
            stream: "s",
            context: CONTEXT,
        },
        Request::SetAcceptNewStream { enabled: false },
    ];
    for from in [AdminPeers::None, AdminPeers::Any, AdminPeers::Loopback] {
        let (proxy, store) = start(settings().admin_from(from)).await;
        let mut client = Raw::connect(&proxy).await;
        for request in &administration {
            client.ask(&write("s", b"x")).await;
            let (mux, framed) = (
                client.ask(request).await,
                Raw::connect(&proxy).await.ask_framed(request).await,
            );
            let why = "this proxy was started with --admin-from none";
            match from {
                AdminPeers::None => {
                    assert!(mux.contains(why) && framed.contains(why), "{mux} {framed}");
                    assert!(
                        mux.starts_with("403 (") || mux.starts_with("exception 6"),
                        "{mux}"
                    );
                }
                AdminPeers::Any | AdminPeers::Loopback => {
                    assert!(mux.starts_with("200") || mux == "void", "{mux}");
                }
            }
        }
        let kept = store.records("s").len() == administration.len();
        assert_eq!(kept, from == AdminPeers::None);
    }
}
