//! Runs recoveries of ledgers.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::shared::{Core, read_answer, send_reply};
use crate::entry::{EntryCodec, MasterKey};
use crate::ledger::{
    ReadAnswer, Recovery, RecoveryError, RecoveryOutput, RecoveryRequest, SendReply, Versioned,
};

/// A reply on its way to the machine.
enum Event {
    Read(RecoveryRequest, ReadAnswer),
    Written(RecoveryRequest, SendReply),
}

/// Recovers a ledger: fences it, finds its end and closes it. Returns the metadata of the closed
/// ledger.
///
/// # Errors
/// [`RecoveryError`]. The ledger stays fenced; another recovery may begin.
///
/// # Cancel safety
/// Dropping the future leaves the ledger as a failure would.
pub(super) async fn recover(
    core: &Arc<Core>,
    codec: &EntryCodec,
    key: MasterKey,
    known: Versioned,
) -> Result<Versioned, RecoveryError> {
    let ledger = codec.ledger();
    let candidates = core.bookies.candidates();
    let mut machine = Recovery::new(core.settings.recovery, codec.clone(), known, candidates);
    // Bounded by the requests in flight: the ensemble times the entries that are read ahead.
    let (sender, mut events) = unbounded_channel();
    loop {
        while let Some(output) = machine.poll_output() {
            match output {
                RecoveryOutput::SetMetadata(next) => {
                    let reply = core.nodes.set(ledger, &next).await;
                    machine.handle_set(reply);
                }
                RecoveryOutput::ReadMetadata { after } => {
                    sleep(after).await;
                    let reply = core.nodes.read(ledger).await;
                    machine.handle_metadata(reply);
                }
                RecoveryOutput::Read { request, bookie } => {
                    let sender: UnboundedSender<Event> = sender.clone();
                    let read = request.read(0, ledger, key);
                    core.ask(&bookie, read, core.settings.read_timeout, move |outcome| {
                        let event = Event::Read(request, read_answer(outcome));
                        sender.send(event).ok();
                    });
                }
                RecoveryOutput::WriteBack {
                    request,
                    bookie,
                    body,
                } => {
                    let sender = sender.clone();
                    let add = request.write_back(0, ledger, key, body);
                    let timeout = core.settings.writer.add_timeout;
                    core.ask(&bookie, add, timeout, move |outcome| {
                        let event = Event::Written(request, send_reply(outcome));
                        sender.send(event).ok();
                    });
                }
                RecoveryOutput::Closed(recovered) => return Ok(recovered.stored),
                RecoveryOutput::Failed(error) => return Err(error),
            }
        }
        match events.recv().await {
            Some(Event::Read(request, answer)) => machine.handle_read(request, answer),
            Some(Event::Written(request, reply)) => machine.handle_written(request, reply),
            // This function holds a sender.
            None => core::future::pending().await,
        }
    }
}
