//! Faults of bookies, connections and clients.

use core::time::Duration;

use super::super::clients::Machine;
use super::{Event, WRITER, World};

impl World {
    pub(super) fn fault(&mut self) {
        self.report.faults += 1;
        let bookie = self.random.index(self.bookies.len());
        match self.random.below(7) {
            0 => self.crash(bookie),
            1 => {
                // A rack loses power.
                for offset in 0..1 + self.random.index(3) {
                    self.crash((bookie + offset) % self.bookies.len());
                }
            }
            2 => {
                // Stopped: nothing is answered for a while, and no connection is lost.
                let until = self.now + self.random.between(Duration::ZERO, Duration::from_secs(4));
                for client in &mut self.clients {
                    client.latest[bookie] = client.latest[bookie].max(until);
                }
            }
            3 => self.bookies[bookie].is_read_only ^= true,
            4 => {
                let until = self.now + self.random.between(Duration::ZERO, Duration::from_secs(3));
                let client = self.random.index(self.clients.len());
                self.clients[client].paused_until = until;
            }
            5 => {
                for client in 0..self.clients.len() {
                    self.lose_connection(client, bookie);
                }
            }
            _ => {
                let client = self.random.index(self.clients.len());
                if client != WRITER {
                    self.kill(client);
                }
            }
        }
    }

    fn crash(&mut self, bookie: usize) {
        if self.bookies[bookie].is_down {
            return;
        }
        self.bookies[bookie].crash(&mut self.random);
        for client in 0..self.clients.len() {
            self.lose_connection(client, bookie);
        }
        if self.plan.loses_a_bookie && self.lost_bookie.is_none() {
            self.lost_bookie = Some(bookie);
        } else {
            let pause = self.random.between(Duration::ZERO, Duration::from_secs(3));
            self.after(pause, Event::Restart { bookie });
        }
    }

    pub(super) fn kill(&mut self, client: usize) {
        self.clients[client].machine = Machine::Ended;
    }

    pub(super) fn heal(&mut self) {
        self.healed = true;
        for (index, bookie) in self.bookies.iter_mut().enumerate() {
            bookie.is_down = Some(index) == self.lost_bookie;
            bookie.is_read_only = false;
        }
        for client in &mut self.clients {
            client.paused_until = client.paused_until.min(self.now);
        }
    }
}
