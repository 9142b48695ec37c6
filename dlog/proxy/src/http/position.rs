use std::fmt;

use distributedlog::Dlsn;
use serde::Serialize;

use super::problem::Problem;
use distributedlog_store::dlsn_text::parse_dlsn;

/// A position as JSON, in all its forms.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DlsnBody {
    text: String,
    serialized: String,
    log_segment: i64,
    entry: i64,
    slot: i64,
}

impl From<Dlsn> for DlsnBody {
    fn from(dlsn: Dlsn) -> Self {
        Self {
            text: ShortDlsn(dlsn).to_string(),
            serialized: dlsn.to_text().as_str().to_owned(),
            log_segment: dlsn.log_segment_sequence_no,
            entry: dlsn.entry_id,
            slot: dlsn.slot_id,
        }
    }
}

/// A position as `1,0,5`, which needs no escaping anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortDlsn(pub(super) Dlsn);

impl fmt::Display for ShortDlsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dlsn {
            log_segment_sequence_no,
            entry_id,
            slot_id,
        } = self.0;
        write!(f, "{log_segment_sequence_no},{entry_id},{slot_id}")
    }
}

impl Serialize for ShortDlsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses a position in any of its forms, from the query parameter or header `place`.
pub(super) fn parse(place: &str, text: &str) -> Result<Dlsn, Problem> {
    // A `+` of base64 that the client did not escape arrives as a blank.
    let restored = if text.contains(',') {
        text.to_owned()
    } else {
        text.replace(' ', "+")
    };
    parse_dlsn(&restored).map_err(|error| Problem::bad_request(format!("{place}: {error}")))
}
