//! Format 1: lines of numbers, which BookKeeper before 4.2 wrote.

use core::fmt::Write as _;

use bytes::BytesMut;

use super::{
    Format, LedgerMetadata, LedgerState, Partial, Segment, add_member, length_of, size_of,
};
use crate::EntryId;
use crate::wire::{DecodeError, DecodeErrorKind};

/// Last entry of a ledger in recovery.
const IN_RECOVERY: EntryId = -102;

const SYNTAX: DecodeError = DecodeError::new("LedgerMetadata", DecodeErrorKind::Syntax);

pub(super) fn decode(body: &[u8]) -> Result<LedgerMetadata, DecodeError> {
    let text = core::str::from_utf8(body)
        .map_err(|_| DecodeError::new("LedgerMetadata", DecodeErrorKind::NotUtf8))?;
    let mut lines = text.lines();
    let mut number = || -> Result<i64, DecodeError> { parse(lines.next().ok_or(SYNTAX)?) };
    let mut partial = Partial {
        write_quorum: Some(size_of("quorumSize", number()?)?),
        ensemble_size: Some(size_of("ensembleSize", number()?)?),
        length: Some(length_of(number()?)?),
        state: Some(LedgerState::Open),
        ..Partial::default()
    };
    for line in lines {
        let mut words = line.split('\t');
        let first = parse(words.next().ok_or(SYNTAX)?)?;
        let rest = words.clone().next().ok_or(SYNTAX)?;
        if rest == "CLOSED" {
            if first == IN_RECOVERY {
                partial.state = Some(LedgerState::InRecovery);
            } else {
                partial.state = Some(LedgerState::Closed);
                partial.last_entry = Some(first);
            }
            break;
        }
        let mut segment = Segment {
            first_entry: first,
            ensemble: Vec::new(),
        };
        for member in words {
            add_member(&mut segment.ensemble, member)?;
        }
        partial.add_segment(segment)?;
    }
    partial.complete(Format::Lines)
}

fn parse(word: &str) -> Result<i64, DecodeError> {
    word.parse().map_err(|_| SYNTAX)
}

pub(super) fn encode(metadata: &LedgerMetadata, out: &mut BytesMut) {
    write_lines(metadata, out).expect("a growing buffer takes every text");
}

fn write_lines(metadata: &LedgerMetadata, out: &mut BytesMut) -> core::fmt::Result {
    let LedgerMetadata {
        write_quorum,
        ensemble_size,
        length,
        ..
    } = metadata;
    write!(out, "{write_quorum}\n{ensemble_size}\n{length}\n")?;
    for segment in &metadata.segments {
        write!(out, "{}", segment.first_entry)?;
        for member in &segment.ensemble {
            write!(out, "\t{member}")?;
        }
        out.write_char('\n')?;
    }
    match metadata.state {
        LedgerState::Open => Ok(()),
        LedgerState::InRecovery => write!(out, "{IN_RECOVERY}\tCLOSED"),
        LedgerState::Closed => write!(out, "{}\tCLOSED", metadata.last_entry),
    }
}
