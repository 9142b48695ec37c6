use distributedlog_store::bookkeeper::operator::{Audit, FoundLedger};
use distributedlog_store::utc;

use super::super::super::namespace;
use super::super::super::output::counted;
use super::super::super::progress_line::ProgressLine;
use super::super::super::target::NamespaceArg;
use super::super::super::{CliError, Format, Output, record_text};

/// Compare the ledgers of the cluster with those that the namespace's streams name.
///
/// Only reports. Ledgers that no stream names may be another namespace's or another application's.
/// Exits with status 1 if a stream names a ledger that does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with URI=distributedlog://zk-1:2181/messaging/distributedlog:
  dlog tool audit -u $URI
  dlog tool audit -u $URI --format json | jq .unnamed[].ledger")]
pub(crate) struct Args {
    #[command(flatten)]
    uri: NamespaceArg,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// Prints the audit.
    ///
    /// # Errors
    /// The cluster cannot be reached, or a ledger is missing.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let uri = &self.uri.uri()?;
        let operator = super::operator(uri).await?;
        let mut progress = ProgressLine::new();
        let audit = operator
            .audit(|what, done| progress.show(|| format!("{what}: {done}")))
            .await;
        progress.clear();
        let audit = audit.map_err(|error| namespace::zookeeper_error(&error, uri))?;
        match self.format {
            Format::Text => output.line(text(&audit))?,
            Format::Json => record_text::json_line(output, &audit)?,
        }
        if audit.missing.is_empty() {
            return Ok(());
        }
        Err(CliError::failure(format!(
            "streams name {} that do not exist",
            counted(audit.missing.len() as u64, "ledger")
        )))
    }
}

fn text(audit: &Audit) -> String {
    let count = |number: usize, thing| counted(number as u64, thing);
    let mut lines = vec![format!(
        "{} in the cluster; {} of the namespace {} {}.",
        count(audit.ledgers, "ledger"),
        count(audit.streams, "stream"),
        if audit.streams == 1 { "names" } else { "name" },
        audit.named
    )];
    for missing in &audit.missing {
        let (stream, ledger) = (&missing.stream, missing.ledger);
        lines.push(format!(
            "stream {stream} names ledger {ledger}, which does not exist"
        ));
    }
    if audit.unnamed.is_empty() {
        lines.push("Each ledger of the cluster has a name here.".to_owned());
    } else {
        lines.push("Not named here; other namespaces and applications may use them:".to_owned());
        lines.extend(audit.unnamed.iter().map(|it| format!("  {}", ledger(it))));
    }
    lines.join("\n")
}

/// A ledger on one line.
pub(super) fn ledger(found: &FoundLedger) -> String {
    use distributedlog_store::bookkeeper::operator::LedgerState;
    let state = match (found.state, found.last_entry) {
        (LedgerState::Open, _) => "open".to_owned(),
        (LedgerState::InRecovery, _) => "in recovery".to_owned(),
        (LedgerState::Closed, None) => "closed, empty".to_owned(),
        (LedgerState::Closed, Some(last)) => format!(
            "closed, {}, {}",
            match last {
                0 => "1 entry".to_owned(),
                last => format!("{} entries", last.saturating_add(1)),
            },
            counted(found.bytes, "byte")
        ),
    };
    let created = found
        .created_unix_ms
        .and_then(|it| u64::try_from(it).ok())
        .map_or_else(String::new, |it| format!(", created {}", utc::text(it)));
    format!("ledger {}: {state}{created}", found.ledger)
}

#[cfg(test)]
mod tests {
    use distributedlog_store::bookkeeper::operator::{LedgerState, MissingLedger};

    use super::*;

    #[test]
    fn an_audit_lists_what_has_no_name_and_what_is_missing() {
        let mut audit = Audit::default();
        (audit.streams, audit.ledgers, audit.named) = (1, 3, 2);
        audit.unnamed = vec![FoundLedger {
            ledger: 7,
            state: LedgerState::Closed,
            last_entry: Some(0),
            bytes: 10,
            quorums: [3, 3, 2],
            ensembles: Vec::new(),
            created_unix_ms: Some(1_795_449_504_000),
        }];
        audit.missing = vec![MissingLedger {
            stream: "s".to_owned(),
            ledger: 9,
        }];
        assert_eq!(
            text(&audit),
            "\
3 ledgers in the cluster; 1 stream of the namespace names 2.
stream s names ledger 9, which does not exist
Not named here; other namespaces and applications may use them:
  ledger 7: closed, 1 entry, 10 bytes, created 2026-11-23 15:58:24 UTC"
        );
    }
}
