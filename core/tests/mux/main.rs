//! Both sides of mux sessions, each against a model of what it must do.

mod client;
mod server;

use distributedlog::wire::mux::{
    Contexts, Delegations, INIT_CHECK, InitHeaders, Message, RequestKind, Status, Tag, TraceKeys,
};
use distributedlog_testkit::Random;

/// Returns a message of any kind. Two of five are what `usual` returns: what the other side of a
/// session mostly sends.
fn any_message(
    random: &mut Random,
    discarded: Tag,
    usual: impl FnOnce(&mut Random) -> Message<'static>,
) -> Message<'static> {
    let (payload, reason, error): (&[u8], _, _) = (b"payload", "why", "what");
    let headers = InitHeaders::default();
    match random.below(30) {
        0 => Message::Tping,
        1 => Message::Rping,
        2 => Message::Tdrain,
        3 => Message::Rdrain,
        4 => Message::Tinit {
            version: 1,
            headers,
        },
        5 => Message::Rinit {
            version: random.below(3) as u16,
            headers,
        },
        6 => Message::BadRerr { error: INIT_CHECK },
        7 => Message::BadRerr { error },
        8 => Message::Rerr { error },
        9 => Message::Tdiscarded { discarded, reason },
        10 => Message::BadTdiscarded { discarded, reason },
        11 => Message::Rdiscarded,
        12 => Message::Tlease { unit: 0, amount: 1 },
        13 => RequestKind::Treq.reply(Status::Ok, payload),
        14 => RequestKind::Tdispatch.reply(Status::Nack, payload),
        15 => RequestKind::Tdispatch.reply(Status::Ok, payload),
        16 => Message::Treq {
            keys: TraceKeys::default(),
            payload,
        },
        17 => request(payload),
        _ => usual(random),
    }
}

fn request(payload: &[u8]) -> Message<'_> {
    Message::Tdispatch {
        contexts: Contexts::default(),
        destination: "",
        delegations: Delegations::default(),
        payload,
    }
}
