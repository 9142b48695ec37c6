//! Commands of the original that this one does not have, each with what replaces it.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A command of the original, and what to use instead.
type Replaced = (&'static str, &'static str);

/// Every command that has an answer.
const REPLACED: &[Replaced] = &[
    (
        "console-writer",
        "write from a console with: dlog console-multi-writer PROXIES STREAM",
    ),
    (
        "recoverledger",
        "find the ledger's stream with: dlog tool findledger LEDGER; recover it with: dlog tool \
         recover -s STREAM",
    ),
    (
        "inspectstream",
        "check a stream with: dlog tool inspect -r STREAM; show its log segments with: dlog tool \
         show -s STREAM",
    ),
    (
        "watch",
        "follow streams with: dlog multi-reader URI STREAM,STREAM; list them with: dlog tool list",
    ),
    (
        "repairseqno",
        "find wrong sequence numbers with: dlog tool inspect; a writer of this version never \
         writes them, and nothing here changes those that are there",
    ),
    ("dlck", "check a namespace with: dlog tool inspect"),
    (
        "delete_allocator_pool",
        "the proxies here have no pool; once Java's proxies are stopped, list what their pool \
         holds with: dlog tool audit; and delete its node .write_proxy_allocation_pool with \
         ZooKeeper's own tool",
    ),
    (
        "audit_ledgers",
        "compare ledgers with the streams' with: dlog tool audit",
    ),
    (
        "audit_dl_space",
        "sum up payload_bytes of: dlog tool show -s STREAM --format json",
    ),
];

/// Adds to an error about a command of the original what replaces it.
pub(crate) fn with_replacement(mut error: clap::Error) -> clap::Error {
    let named = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) if error.kind() == ErrorKind::InvalidSubcommand => name,
        Some(_) | None => return error,
    };
    let dashed = |name: &str| name.replace('_', "-");
    let found = REPLACED.iter().find(|it| dashed(it.0) == dashed(named));
    if let Some((_, tip)) = found {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![(*tip).into()]),
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::args::Cli;
    use super::*;

    #[test]
    fn each_command_of_the_original_names_its_replacement() {
        for (name, tip) in REPLACED {
            for line in [
                format!("dlog tool {name} -u distributedlog://h/n"),
                format!("dlog tool {}", name.replace('_', "-")),
                format!("dlog {name}"),
            ] {
                let error = Cli::read(line.split(' ').map(OsString::from)).expect_err(&line);
                let text = error.to_string();
                assert!(text.contains(tip), "{line}: {text}");
            }
        }
    }
}
