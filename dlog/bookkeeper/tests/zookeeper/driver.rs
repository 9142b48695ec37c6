//! The driver against servers that answer less than they should.

use core::time::Duration;
use std::io;

use distributedlog_bookkeeper::driver::zookeeper::{ConnectError, Session, SessionSettings};
use distributedlog_bookkeeper::zookeeper::{
    Access, CreateMode, MultiError, Op, SessionEnd, ZooKeeper as _, ZooKeeperError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Number of a ping's request and reply.
const PING_XID: [u8; 4] = (-2_i32).to_be_bytes();

/// Session timeout that the server grants.
const GRANTED: Duration = Duration::from_millis(1_500);

/// Limit of everything that a test waits for.
const LIMIT: Duration = Duration::from_secs(60);

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("frames of this test are short");
    stream.write_u32(length).await?;
    stream.write_all(frame).await
}

/// Grants a session, answers its pings, and nothing else.
async fn keep_alive(mut stream: TcpStream) -> io::Result<()> {
    read_frame(&mut stream).await?;
    let mut granted = Vec::new();
    granted.extend(0_i32.to_be_bytes()); // Version of the protocol.
    let timeout_ms = i32::try_from(GRANTED.as_millis()).expect("short");
    granted.extend(timeout_ms.to_be_bytes());
    granted.extend(7_i64.to_be_bytes()); // The session.
    granted.extend(16_i32.to_be_bytes());
    granted.extend([0; 16]); // Its password.
    granted.push(0); // It may write.
    write_frame(&mut stream, &granted).await?;
    loop {
        let request = read_frame(&mut stream).await?;
        if request.starts_with(&PING_XID) {
            let mut pong = PING_XID.to_vec();
            pong.extend([0; 12]); // Last transaction and error.
            write_frame(&mut stream, &pong).await?;
        }
    }
}

/// Starts a server that only keeps sessions alive, and returns its address.
async fn start() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    let server = tokio::spawn(async move {
        // Dropped with its connections.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(keep_alive(stream));
        }
    });
    (address, server)
}

fn settings(request_timeout: Duration) -> SessionSettings {
    SessionSettings {
        session_timeout: GRANTED,
        request_timeout,
        connect_timeout: Duration::from_millis(500),
        ..SessionSettings::default()
    }
}

#[tokio::test]
async fn a_request_that_is_not_answered_may_have_been_applied() {
    let (address, _server) = start().await;
    let session = Session::connect(&address, &settings(Duration::from_millis(100)))
        .await
        .expect("it grants sessions");
    assert_eq!((session.session(), session.session_timeout()), (7, GRANTED));
    let mode = CreateMode::Persistent;
    let created = timeout(LIMIT, session.create("/a", b"", mode, Access::Anyone)).await;
    let lost = created.expect("a limit of its own").expect_err("no reply");
    assert_eq!(lost, ZooKeeperError::Lost);
    let path = "/a".to_owned();
    let ops = [Op::Delete {
        path,
        version: None,
    }];
    let lost = session.multi(&ops).await.expect_err("no reply");
    assert_eq!(lost, MultiError::Request(ZooKeeperError::Lost));
    assert!(lost.may_have_been_applied());
}

#[tokio::test]
async fn a_request_that_follows_no_rule_is_not_sent() {
    let (address, _server) = start().await;
    let session = Session::connect(&address, &settings(LIMIT))
        .await
        .expect("it grants sessions");
    // No reply would come.
    let refused = session.get("no/slash").await.expect_err("not sent");
    assert!(matches!(refused, ZooKeeperError::Refused(_)), "{refused}");
    let delete = |path: &str| Op::Delete {
        path: path.to_owned(),
        version: None,
    };
    let refused = session.multi(&[delete("/a"), delete("/a//b")]).await;
    assert!(
        matches!(refused, Err(MultiError::Operation { index: 1, .. })),
        "{refused:?}"
    );
    assert_eq!(session.multi(&[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_session_whose_ensemble_is_silent_ends_though_pings_are_answered() {
    let (address, _server) = start().await;
    let session = Session::connect(&address, &settings(Duration::from_millis(200)))
        .await
        .expect("it grants sessions");
    let ended = timeout(LIMIT, session.ended()).await.expect("in time");
    assert_eq!(ended, SessionEnd::Expired);
    assert_eq!(session.end(), Some(SessionEnd::Expired));
    assert!(session.silence() >= GRANTED, "{:?}", session.silence());
    let refused = session.get("/").await.expect_err("it has ended");
    assert_eq!(refused, ZooKeeperError::SessionEnded);
}

#[tokio::test]
async fn a_request_without_a_connection_is_not_sent() {
    let (address, server) = start().await;
    let session = Session::connect(&address, &settings(Duration::from_millis(300)))
        .await
        .expect("it grants sessions");
    server.abort();
    let seen = async {
        loop {
            match session.get("/").await {
                // It was in flight when the connection was lost.
                Err(ZooKeeperError::Lost) => {}
                other => return other,
            }
        }
    };
    let refused = timeout(LIMIT, seen).await.expect("in time");
    assert_eq!(refused, Err(ZooKeeperError::Unavailable));
    let ended = timeout(LIMIT, session.ended()).await.expect("in time");
    assert_eq!(ended, SessionEnd::Expired);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    let settings = settings(LIMIT);
    let refused = timeout(LIMIT, Session::connect(&address, &settings)).await;
    let refused = refused.expect("in time").expect_err("no session");
    assert!(refused.to_string().contains("within 500ms"), "{refused}");
    let wrong = Session::connect("127.0.0.1:none", &settings).await;
    assert!(
        matches!(wrong, Err(ConnectError::Servers { .. })),
        "{wrong:?}"
    );
    // Semicolons separate servers too.
    let two = Session::connect("127.0.0.1:none;127.0.0.1:1", &settings).await;
    assert!(
        matches!(&two, Err(ConnectError::Servers { servers, .. }) if servers.contains(",")),
        "{two:?}"
    );
}

#[tokio::test]
async fn a_session_that_is_closed_says_so() {
    let (address, _server) = start().await;
    let session = Session::connect(&address, &settings(Duration::from_millis(100)))
        .await
        .expect("it grants sessions");
    let clone = session.clone();
    let ended = clone.ended();
    timeout(LIMIT, session.close()).await.expect("in time");
    let end = timeout(LIMIT, ended).await.expect("in time");
    assert_eq!(end, SessionEnd::Closed);
    // Clones do not keep it.
    assert_eq!(clone.end(), Some(SessionEnd::Closed));
    let refused = clone.get("/").await;
    assert_eq!(refused, Err(ZooKeeperError::SessionEnded));
    let (address, _server) = start().await;
    let session = Session::connect(&address, &settings(LIMIT)).await;
    let session = session.expect("it grants sessions");
    let ended = session.ended();
    drop(session);
    let end = timeout(LIMIT, ended).await.expect("in time");
    assert_eq!(end, SessionEnd::Closed);
}
