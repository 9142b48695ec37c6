//! Against a server that keeps sessions alive and answers no request, as ZooKeeper can while it
//! starts or loses its quorum.

use core::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Number of a ping's request and reply.
const PING_XID: [u8; 4] = (-2_i32).to_be_bytes();

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Grants a session, answers its pings, and nothing else.
async fn keep_alive(mut stream: TcpStream) -> io::Result<()> {
    read_frame(&mut stream).await?;
    let mut granted = Vec::new();
    granted.extend(0_i32.to_be_bytes()); // Version of the protocol.
    granted.extend(10_000_i32.to_be_bytes()); // Timeout of the session in ms.
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

async fn write_frame(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("frames of this test are short");
    stream.write_u32(length).await?;
    stream.write_all(frame).await
}

#[tokio::test]
async fn an_ensemble_that_answers_pings_alone_is_named_and_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let ensemble = listener.local_addr().expect("a port").to_string();
    let (session, mut sessions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            session.send(()).ok();
            tokio::spawn(keep_alive(stream));
        }
    });
    let mut set = ServerSet::new(ServerSetName {
        ensemble: ensemble.clone(),
        path: "/set".to_owned(),
        endpoint: None,
        login: None,
        every: Duration::from_secs(3600),
    });
    let patience = 6 * SESSION_TIMEOUT;
    let event = timeout(patience, poll_fn(|cx| set.poll(cx)))
        .await
        .expect("the request that is not answered ends");
    let (place, why) = &event.failures[0];
    assert_eq!(*place, format!("{ensemble}/set"));
    assert!(why.to_string().contains("cannot be asked"), "{why}");
    for session in ["the first session", "the next"] {
        let begun = timeout(patience, sessions.recv()).await;
        assert_eq!(begun.ok().flatten(), Some(()), "{session}");
    }
}
