//! The task that keeps the client connected.

use core::time::Duration;
use std::sync::Arc;

use distributedlog::wire::mux::{Message, Tag};
use tokio::io::AsyncRead;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, info};

use super::connection::Connection;
use super::handshake::{Established, Previous, connect};
use super::state::{ClientState, ConnectionState};
use crate::StoreError;
use crate::frames::{FrameStream, WriteRate};
use crate::remote::ClientSettings;
use crate::uri::Uri;

/// The connection is closed after this many ping intervals without a frame from the server.
const SILENT_PINGS: u32 = 4;

/// Runs the first connection and reconnects whenever it is lost, until the task is aborted.
///
/// Bounded: the pause between attempts doubles from `backoff_min` to `backoff_max`.
pub(super) async fn reconnect_loop(
    uri: Uri,
    settings: ClientSettings,
    mut established: Established,
    state: Arc<ClientState>,
) {
    let _guard = PanicGuard(Arc::clone(&state));
    loop {
        let connection = Arc::clone(&established.connection);
        let why = run_connection(established, &settings, &state).await;
        info!(
            "the connection to the store at {} is lost: {why}",
            connection.address
        );
        let previous = Previous {
            session: connection.welcome.session,
            store: state.store_id(),
        };
        let down = StoreError::Unreachable {
            address: connection.address.clone(),
            detail: format!("the connection was lost: {why}"),
        };
        state.set_connection(ConnectionState::Down(down.clone()));
        connection.fail_all(
            &StoreError::Disconnected {
                address: connection.address.clone(),
                detail: why,
            },
            down,
        );
        let mut pause = settings.backoff_min;
        established = loop {
            tokio::time::sleep(jittered(pause, settings.entropy.draw())).await;
            match connect(&uri, &settings, Some(previous)).await {
                Ok(established) => {
                    info!(
                        resumed = established.connection.welcome.resumed,
                        "connected to the store at {} again", established.connection.address
                    );
                    break established;
                }
                Err(error) => {
                    debug!("{error}");
                    state.set_connection(ConnectionState::Down(error));
                    pause = (pause * 2).min(settings.backoff_max);
                }
            }
        };
        state.note_store(established.connection.welcome.store);
        state.set_connection(ConnectionState::Up(Arc::clone(&established.connection)));
    }
}

/// Ends the client if a bug ends the reconnect loop, so that no caller waits forever.
struct PanicGuard(Arc<ClientState>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        if let ConnectionState::Up(connection) = self.0.connection() {
            let lost = StoreError::Disconnected {
                address: connection.address.clone(),
                detail: "a bug ended the task of the connection".to_owned(),
            };
            connection.fail_all(&lost, StoreError::Closed);
        }
        self.0.close();
    }
}

/// Returns a time between half of `pause` and all of it, so that clients that lost the same server
/// do not reconnect at the same moment. 1024 steps of 1/2048 cover that half.
fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

/// Runs one connection until it is lost. Returns the reason.
async fn run_connection(
    established: Established,
    settings: &ClientSettings,
    state: &ClientState,
) -> String {
    let Established {
        mut reader,
        writer,
        connection,
    } = established;
    let ping_every = Duration::from_millis(connection.welcome.ping_every_ms.max(1).into());
    // A server that takes a byte in this time is alive: it takes more as its disk does.
    let rate = WriteRate {
        window: (ping_every * SILENT_PINGS).max(settings.connect_timeout),
        min: 0,
    };
    tokio::select! {
        biased;
        why = receive(&mut reader, &connection, ping_every, state) => why,
        written = connection.endpoint.run(writer, rate) => match written {
            Ok(()) => "it was closed".to_owned(),
            Err(error) => error.to_string(),
        },
    }
}

/// Handles the server's frames and sends pings. Returns the reason why the connection is lost.
async fn receive(
    reader: &mut FrameStream<impl AsyncRead + Unpin>,
    connection: &Connection,
    ping_every: Duration,
    state: &ClientState,
) -> String {
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent_pings = 0;
    loop {
        tokio::select! {
            // Frames first: a reply that has arrived must be handled before a missing ping counts
            // against the server.
            biased;
            frame = reader.next() => {
                silent_pings = 0;
                let received = match frame {
                    Ok(Some(frame)) => connection.receive(&frame),
                    Ok(None) => return "the server closed it".to_owned(),
                    Err(fault) => return fault.to_string(),
                };
                match received {
                    Ok(true) => begin_drain(connection, state),
                    Ok(false) => {}
                    Err(why) => return why,
                }
            }
            _ = pings.tick() => {
                if silent_pings == SILENT_PINGS {
                    let silence = (ping_every * SILENT_PINGS).as_millis();
                    return format!("the server sent nothing for {silence} ms");
                }
                silent_pings += 1;
                connection.endpoint.send(Tag::ONE, Message::Tping);
            }
        }
    }
}

/// Stops sending requests on a connection that the server drains: new ones wait for the next
/// connection, and those in flight are still answered on this one.
fn begin_drain(connection: &Connection, state: &ClientState) {
    let down = connection.draining();
    connection.stop_accepting(down.clone());
    state.set_connection(ConnectionState::Down(down));
}
