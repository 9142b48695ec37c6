use distributedlog::Escaped;
use serde::Serialize;

use distributedlog_store::bookkeeper::operator::Recovery;

use super::super::super::namespace;
use super::super::super::output::counted;
use super::super::super::streams::StreamSelection;
use super::super::super::target::NamespaceArg;
use super::super::super::{CliError, Format, Output, record_text};

/// Complete the log segments that a writer left in progress.
///
/// The next write to a stream does the same. A stream that a proxy owns is not changed. Exits with
/// status 1 if a stream was not recovered.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181/messaging/distributedlog:
  dlog tool recover -u $URI -s basic-stream-3
  dlog tool recover -u $URI -r basic-stream- -e 3-7 --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: NamespaceArg,

    #[command(flatten)]
    selection: StreamSelection,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct RecoveredJson<'a> {
    stream: &'a str,
    recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    completed: Vec<CompletedJson>,
    deleted: &'a [i64],
}

#[derive(Serialize)]
struct CompletedJson {
    log_segment_sequence_no: i64,
    records: u64,
}

impl Args {
    /// Recovers the streams.
    ///
    /// # Errors
    /// The cluster cannot be reached, a stream does not exist, or a proxy owns one.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let names = self.selection.names()?;
        let uri = &self.uri.uri()?;
        let operator = super::operator(uri).await?;
        // Streams are recovered, whether a pipe is read or not.
        let output = &output.best_effort();
        let mut owned = 0;
        for name in &names {
            let recovery = operator.recover(name).await;
            let recovery = recovery.map_err(|error| namespace::zookeeper_error(&error, uri))?;
            owned += u64::from(matches!(recovery, Recovery::OwnedBy { .. }));
            match self.format {
                Format::Text => output.line(text(name.as_str(), &recovery))?,
                Format::Json => record_text::json_line(output, &json(name.as_str(), &recovery))?,
            }
        }
        output.check()?;
        if owned == 0 {
            return Ok(());
        }
        Err(CliError::failure(format!(
            "not recovered, because it is owned: {}",
            counted(owned, "stream")
        ))
        .tip("its owner completes the log segments; an owner that is dead ends with its session"))
    }
}

fn text(stream: &str, recovery: &Recovery) -> String {
    let (completed, deleted) = match recovery {
        Recovery::OwnedBy { client_id } => {
            let owner = Escaped(client_id);
            return format!("{stream}: owned by {owner}; nothing was changed");
        }
        Recovery::Done { completed, deleted } => (completed, deleted),
    };
    if completed.is_empty() && deleted.is_empty() {
        return format!("{stream}: no log segment was in progress");
    }
    let mut did: Vec<String> = Vec::new();
    for (number, records) in completed {
        let records = counted(*records, "record");
        did.push(format!("completed log segment {number} with {records}"));
    }
    for number in deleted {
        did.push(format!("deleted log segment {number}, which was empty"));
    }
    format!("{stream}: {}", did.join("; "))
}

fn json<'a>(stream: &'a str, recovery: &'a Recovery) -> RecoveredJson<'a> {
    match recovery {
        Recovery::OwnedBy { client_id } => RecoveredJson {
            stream,
            recovered: false,
            owner: Some(client_id),
            completed: Vec::new(),
            deleted: &[],
        },
        Recovery::Done { completed, deleted } => RecoveredJson {
            stream,
            recovered: true,
            owner: None,
            completed: completed
                .iter()
                .map(|&(log_segment_sequence_no, records)| CompletedJson {
                    log_segment_sequence_no,
                    records,
                })
                .collect(),
            deleted,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_says_what_it_did() {
        let done = |completed: &[(i64, u64)], deleted: &[i64]| Recovery::Done {
            completed: completed.to_vec(),
            deleted: deleted.to_vec(),
        };
        for (recovery, said) in [
            (done(&[], &[]), "s: no log segment was in progress"),
            (
                done(&[(3, 1)], &[4]),
                "s: completed log segment 3 with 1 record; deleted log segment 4, which was empty",
            ),
            (
                Recovery::OwnedBy {
                    client_id: "1;0;h:8000".to_owned(),
                },
                "s: owned by 1;0;h:8000; nothing was changed",
            ),
        ] {
            assert_eq!(text("s", &recovery), said);
        }
    }
}
