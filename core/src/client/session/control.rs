use heapless::Deque;

use super::{SentRequest, SessionFeatures};
use crate::tables::Memory;
use crate::wire::mux::{Client, Frame, INIT_CHECK, InitHeaders, Message, Tag, VERSION};
use crate::wire::{BufferTooSmall, framed};

/// Maximum number of pings from the peer whose replies wait to be written.
const MAX_PONGS: usize = 8;

/// Control frames that wait to be written.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) opening: Option<OpeningFrame>,
    pongs: Deque<Tag, MAX_PONGS>,
    pub(super) drained: Option<Tag>,
    pub(super) ping: bool,
}

/// First frame of a session, by protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpeningFrame {
    /// Tests with an `Rerr` that every peer echoes if the peer knows `Tinit`.
    InitCheck,
    /// `Tinit`.
    Init,
    /// Tests if the peer knows the upgrade of framed thrift.
    UpgradeRequest,
}

/// More than [`MAX_PONGS`] pings wait for their replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PingFlood;

impl Control {
    pub(super) const fn new(opening: Option<OpeningFrame>) -> Self {
        Self {
            opening,
            pongs: Deque::new(),
            drained: None,
            ping: false,
        }
    }

    /// Queues the reply to a ping from the peer.
    pub(super) fn pong(&mut self, tag: Tag) -> Result<(), PingFlood> {
        self.pongs.push_back(tag).map_err(|_| PingFlood)
    }

    /// Writes the next frame: how many bytes, 0 when there is none.
    pub(super) fn write<S: SessionFeatures, const N: usize, M: Memory>(
        &mut self,
        client: &mut Client<SentRequest, N, M>,
        mux: bool,
        out: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        if let Some(opening) = self.opening {
            let count = opening.write::<S>(out)?;
            self.opening = None;
            return Ok(count);
        }
        if let Some(&tag) = self.pongs.front() {
            let count = Frame::new(tag, Message::Rping).encode(out)?;
            self.pongs.pop_front();
            return Ok(count);
        }
        if let Some(tag) = self.drained {
            let count = Frame::new(tag, Message::Rdrain).encode(out)?;
            self.drained = None;
            return Ok(count);
        }
        if self.ping {
            let count = Frame::new(Tag::ONE, Message::Tping).encode(out)?;
            self.ping = false;
            return Ok(count);
        }
        let Some(discard) = client.next_discard() else {
            return Ok(0);
        };
        // Framed thrift has no discard message: the session waits for the reply and drops it.
        let count = if mux { discard.encode(out)? } else { 0 };
        client.discard_sent();
        Ok(count)
    }
}

impl OpeningFrame {
    fn write<S: SessionFeatures>(self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        match self {
            Self::InitCheck => {
                Frame::new(Tag::ONE, Message::BadRerr { error: INIT_CHECK }).encode(out)
            }
            Self::Init => Frame::new(
                Tag::ONE,
                Message::Tinit {
                    version: VERSION,
                    headers: InitHeaders::default(),
                },
            )
            .encode(out),
            // Never queued in a session without framed thrift.
            Self::UpgradeRequest if !S::FRAMED => Ok(0),
            Self::UpgradeRequest => framed::encode_upgrade_request(out),
        }
    }
}
