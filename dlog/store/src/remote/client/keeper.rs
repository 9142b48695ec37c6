use core::time::Duration;
use std::sync::Arc;

use distributedlog::wire::mux::{Message, Tag};
use tokio::io::AsyncRead;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, info};

use super::hello::{Greeted, connect};
use super::link::{Link, Received};
use super::state::{Connection, State};
use crate::StoreError;
use crate::remote::ClientSettings;
use crate::remote::frames::{FrameReader, push};
use crate::uri::Uri;

/// A peer is given up after so many pings' time without a frame.
const SILENT_PINGS: u32 = 4;

/// Keeps a connection to the server, from the first one on, until the task is aborted.
pub(super) async fn keep(
    uri: Uri,
    settings: ClientSettings,
    first: (Greeted, Arc<Link>),
    state: Arc<State>,
) {
    let (mut greeted, mut link) = first;
    loop {
        let why = serve(greeted, &link, &settings, &state).await;
        info!(
            "the connection to the store at {} is lost: {why}",
            link.address
        );
        let resume = link.welcome.session;
        let down = StoreError::Unreachable {
            address: link.address.clone(),
            detail: format!("the connection was lost: {why}"),
        };
        state.set_connection(Connection::Down(down.clone()));
        link.lose(
            &StoreError::Disconnected {
                address: link.address.clone(),
                detail: why,
            },
            down,
        );
        let mut pause = settings.backoff_min;
        (greeted, link) = loop {
            tokio::time::sleep(jittered(pause, settings.entropy.draw())).await;
            match connect(&uri, &settings, Some(resume)).await {
                Ok(greeted) => {
                    let link = Arc::new(Link::new(
                        greeted.welcome.clone(),
                        greeted.address.clone(),
                        settings.max_append_bytes,
                    ));
                    info!(
                        resumed = greeted.welcome.resumed,
                        "connected to the store at {} again", greeted.address
                    );
                    break (greeted, link);
                }
                Err(error) => {
                    debug!("{error}");
                    state.set_connection(Connection::Down(error));
                    pause = (pause * 2).min(settings.backoff_max);
                }
            }
        };
        state.set_connection(Connection::Up(Arc::clone(&link)));
    }
}

/// Between half of `pause` and all of it, so that clients that lost the same server do not come
/// back at the same moment.
fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

/// Runs one connection until it is lost; says why it was.
async fn serve(greeted: Greeted, link: &Link, settings: &ClientSettings, state: &State) -> String {
    let Greeted {
        mut reader,
        writer,
        welcome,
        ..
    } = greeted;
    let ping_every = Duration::from_millis(welcome.ping_every_ms.max(1).into());
    tokio::select! {
        biased;
        why = receive(&mut reader, link, ping_every, state) => why,
        written = link.outbox.run(writer, (ping_every * SILENT_PINGS).max(settings.connect_timeout)) => match written {
            Ok(()) => "it was closed".to_owned(),
            Err(error) => error.to_string(),
        },
    }
}

async fn receive(
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    link: &Link,
    ping_every: Duration,
    state: &State,
) -> String {
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent_pings = 0;
    loop {
        tokio::select! {
            // An answer that has come is never overtaken by the question whether there is one.
            biased;
            frame = reader.next() => {
                silent_pings = 0;
                let received = match frame {
                    Ok(Some(frame)) => link.receive(&frame),
                    Ok(None) => return "the server closed it".to_owned(),
                    Err(fault) => return fault.to_string(),
                };
                match received {
                    Ok(Received::Nothing) => {}
                    Ok(Received::Nack) => begin_drain(link, state),
                    Ok(Received::Drain(tag)) => {
                        begin_drain(link, state);
                        link.agree_to_drain(tag);
                    }
                    Err(why) => return why,
                }
            }
            _ = pings.tick() => {
                if silent_pings == SILENT_PINGS {
                    return format!("the server said nothing for {} ms", (ping_every * SILENT_PINGS).as_millis());
                }
                silent_pings += 1;
                link.outbox.push(|out| push(out, Tag::ONE, Message::Tping));
            }
        }
    }
}

/// The server starts nothing new: whoever comes now waits for the next connection. What is in
/// flight is answered on this one still.
fn begin_drain(link: &Link, state: &State) {
    let down = StoreError::Unreachable {
        address: link.address.clone(),
        detail: "the server is shutting down".to_owned(),
    };
    link.refuse(down.clone());
    state.set_connection(Connection::Down(down));
}
