use core::time::Duration;
use std::sync::Arc;

use super::available::Available;
use super::call::{Call, Done, Outcome};
use super::clock::Clock;
use super::environment::Environment;
use super::pool::Pool;
use super::seam::LedgerNodes;
use super::sessions::AbortOnDrop;
use super::settings::Settings;
use crate::ledger::{ReadAnswer, SendReply};
use crate::metadata::BookieId;
use crate::wire::{Reply, Request};

/// State that all ledgers of one client share.
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) environment: Environment,
    pub(super) clock: Clock,
    pub(super) pool: Pool,
    pub(super) nodes: Arc<dyn LedgerNodes>,
    pub(super) bookies: Available,
    /// Task that follows the bookies.
    pub(super) _follower: AbortOnDrop,
}

impl Core {
    /// Sends a request whose number the connection chooses. `receiver` is called once with the
    /// outcome, on the task of a connection.
    pub(super) fn ask(
        &self,
        bookie: &BookieId,
        request: Request,
        timeout: Duration,
        receiver: impl FnOnce(Outcome) + Send + 'static,
    ) {
        let call = Call {
            operation: request.operation,
            priority: request.priority,
            timeout: Some(timeout),
            done: Done::call(receiver),
        };
        self.pool.send(bookie, call);
    }
}

/// Returns the answer to a read.
pub(super) fn read_answer(outcome: Outcome) -> ReadAnswer {
    let Ok(response) = outcome else {
        return ReadAnswer::Unknown;
    };
    let status = response.status();
    let body = match response.reply {
        Some(Reply::Read(reply)) => reply.body,
        Some(
            Reply::Add(_)
            | Reply::Auth(_)
            | Reply::WriteLac(_)
            | Reply::ReadLac(_)
            | Reply::BookieInfo(_)
            | Reply::StartTls
            | Reply::ForceLedger(_)
            | Reply::ListEntries(_),
        )
        | None => None,
    };
    ReadAnswer::of(status, body)
}

/// Returns the reply to an addition.
pub(super) fn send_reply(outcome: Outcome) -> SendReply {
    outcome.map_or(SendReply::Lost, |it| SendReply::Status(it.status()))
}
