use distributedlog::Dlsn;
use distributedlog_store::StreamName;

use super::super::output::note;
use super::super::since::Since;
use super::super::{CliError, Output, confirm};
use super::Administered;

/// Where the records that are kept begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before {
    Dlsn(Dlsn),
    Time(Since),
}

/// Discards the records of a stream before a position or a time, after a question unless `force`.
///
/// # Errors
/// The stream does not exist, or it could not be truncated.
pub(crate) async fn truncate(
    at: Administered<'_>,
    stream: &StreamName,
    before: Before,
    force: bool,
    output: &Output,
) -> Result<(), CliError> {
    let failed = |error| at.error(&error);
    let info = at.store.describe(stream).await.map_err(failed)?;
    let dlsn = match before {
        Before::Dlsn(dlsn) => dlsn,
        Before::Time(since) => {
            let position = at.store.position_at(stream, since.unix_ms());
            position.await.map_err(failed)?
        }
    };
    if info.first.is_none_or(|first| dlsn <= first) {
        return output.line(format_args!(
            "Nothing was truncated: log stream {stream} has no record before {dlsn}."
        ));
    }
    let beyond = info.last.is_none_or(|last| dlsn > last);
    let what = if beyond {
        "every record"
    } else {
        "every older record"
    };
    let question = format!("Do you want to truncate {stream} at dlsn {dlsn} ({what} goes)?");
    if !confirm::confirm(&question, force, output)? {
        note("Nothing was truncated.");
        return Ok(());
    }
    at.store.truncate(stream, dlsn).await.map_err(failed)?;
    if beyond {
        // The position was not reached: the next record is before it, and stays.
        output.line(format_args!(
            "Truncated log stream {stream} at its end, which is before {dlsn}: all its records \
             are discarded."
        ))
    } else {
        output.line(format_args!("Truncated log stream {stream} before {dlsn}."))
    }
}
