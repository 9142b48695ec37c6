//! Messages between clients, bookies and ZooKeeper.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use distributedlog_bookkeeper::ledger::{MetadataReply, SetReply, Versioned};
use distributedlog_bookkeeper::wire::{Request, Response};

use super::super::bookie::Waiting;
use super::super::clients::Machine;
use super::{Event, LEDGER, REQUEST_TIMEOUT, World};

impl World {
    pub(super) fn delay(&mut self) -> Duration {
        let slowest = if self.healed { 3 } else { self.plan.slowest_ms };
        let slow = self.random.one_in(10);
        let max = if slow { slowest * 5 } else { slowest };
        self.random
            .between(Duration::from_micros(50), Duration::from_millis(max))
    }

    pub(super) fn send(&mut self, client: usize, bookie: usize, request: &Request) {
        let mut frame = BytesMut::new();
        request.encode(&mut frame);
        let txn_id = request.txn_id;
        if !matches!(self.clients[client].machine, Machine::Writer(_)) {
            self.after(REQUEST_TIMEOUT, Event::Lost { client, txn_id });
        }
        if self.bookies[bookie].is_down {
            let delay = self.delay();
            self.after(delay, Event::Lost { client, txn_id });
            return;
        }
        let waiting = Waiting {
            client,
            connection: self.clients[client].connections[bookie],
            txn_id,
        };
        let at = (self.now + self.delay()).max(self.clients[client].latest[bookie]);
        self.clients[client].latest[bookie] = at;
        self.at(
            at,
            Event::ToBookie {
                bookie,
                waiting,
                frame: frame.freeze().slice(4..),
            },
        );
        if !self.healed && self.random.below(1_000) < self.plan.losses_per_mille {
            self.report.faults += 1;
            self.lose_connection(client, bookie);
        }
    }

    /// Everything in flight on a connection is lost; what is under way may arrive or not.
    pub(super) fn lose_connection(&mut self, client: usize, bookie: usize) {
        self.clients[client].connections[bookie] += 1;
        let lost: Vec<u64> = self.clients[client]
            .in_flight
            .iter()
            .filter(|(_, it)| it.bookie == bookie)
            .map(|(txn_id, _)| *txn_id)
            .collect();
        let delay = self.delay();
        for txn_id in lost {
            self.after(delay, Event::Lost { client, txn_id });
        }
    }

    pub(super) fn at_bookie(&mut self, bookie: usize, waiting: Waiting, frame: &Bytes) {
        let client = &self.clients[waiting.client];
        let is_of_old_connection = client.connections[bookie] != waiting.connection;
        if self.bookies[bookie].is_down || is_of_old_connection && self.random.one_in(2) {
            return;
        }
        let request = Request::decode(frame).expect("our own frame");
        let had_unsynced = self.bookies[bookie].has_unsynced();
        match self.bookies[bookie].handle(request, waiting) {
            Some(response) => self.reply(bookie, waiting, &response),
            None if !had_unsynced => {
                let delay = self.delay();
                self.after(delay, Event::Sync { bookie });
            }
            None => {}
        }
    }

    pub(super) fn sync(&mut self, bookie: usize) {
        if self.bookies[bookie].is_down {
            return;
        }
        for (waiting, response) in self.bookies[bookie].sync(LEDGER) {
            self.reply(bookie, waiting, &response);
        }
    }

    fn reply(&mut self, bookie: usize, waiting: Waiting, response: &Response) {
        let mut frame = BytesMut::new();
        response.encode(&mut frame);
        let delay = self.delay();
        self.after(
            delay,
            Event::ToClient {
                waiting,
                bookie,
                frame: frame.freeze().slice(4..),
            },
        );
    }

    pub(super) fn at_client(&mut self, waiting: Waiting, bookie: usize, frame: &Bytes) {
        if self.clients[waiting.client].connections[bookie] != waiting.connection {
            return;
        }
        let response = Response::decode(frame).expect("our own frame");
        assert_eq!(response.txn_id, waiting.txn_id);
        self.answer(waiting.client, waiting.txn_id, Some(&response));
    }

    pub(super) fn answer(&mut self, client: usize, txn_id: u64, response: Option<&Response>) {
        self.clients[client].answer(self.now, txn_id, response);
        self.drive(client);
    }

    pub(super) fn zk_set(&mut self, client: usize, next: &Versioned) {
        let is_unknown = !self.healed && self.random.below(100) < self.plan.unknown_percent;
        let reply = if is_unknown {
            self.report.faults += 1;
            if self.random.one_in(2) {
                _ = self.node.set(next);
            }
            SetReply::Unknown
        } else {
            self.node.set(next)
        };
        let delay = self.delay();
        self.after(delay, Event::ZkSetReply { client, reply });
    }

    pub(super) fn zk_get(&mut self, client: usize) {
        let is_unknown = !self.healed && self.random.below(100) < self.plan.unknown_percent;
        let reply = if is_unknown {
            MetadataReply::Unknown
        } else {
            self.node.get()
        };
        let delay = self.delay();
        self.after(delay, Event::ZkGetReply { client, reply });
    }
}
