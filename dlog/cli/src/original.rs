//! Commands of the original that this one does not have, each with what replaces it.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A command of the original, and what to use instead.
type Replaced = (&'static str, &'static str);

const ACCESS: &str = "streams have no access control lists here; who may administer a proxy is \
                      said by: dlog proxy --admin-from, --http-token-file";

/// Every command that has an answer.
const REPLACED: &[Replaced] = &[
    // Programs of the tutorials.
    (
        "console-writer",
        "write from a console with: dlog console-multi-writer PROXIES STREAM",
    ),
    (
        "console-proxy-writer",
        "write from a console with: dlog console-multi-writer PROXIES STREAM",
    ),
    (
        "console-proxy-multi-writer",
        "the same command is: dlog console-multi-writer PROXIES STREAM,STREAM",
    ),
    (
        "record-generator",
        "write a line for each record with: dlog console-multi-writer PROXIES STREAM <FILE",
    ),
    (
        "multi-stream-reader",
        "read several streams with: dlog multi-reader URI STREAM,STREAM",
    ),
    // Programs of bin/dlog.
    (
        "proxy_tool",
        "truncate with: dlog tool truncate, or over HTTP; release and accept-new-stream are \
         methods of ProxyClient in Rust",
    ),
    (
        "accept-new-stream",
        "a proxy that is stopped with SIGTERM hands its streams over; in Rust: \
         ProxyClient::set_accept_new_stream",
    ),
    (
        "balancer",
        "streams move when their proxy stops or releases them; clients find their owners by \
         themselves",
    ),
    ("zkshell", "use ZooKeeper's own: zkCli.sh -server HOST:PORT"),
    (
        "bkshell",
        "use BookKeeper's own: bookkeeper shell; or look at ledgers with: dlog tool findledger, \
         readentries, audit",
    ),
    (
        "bookie",
        "bookies are BookKeeper's own program: bookkeeper bookie; without them there is: \
         dlog local",
    ),
    (
        "zookeeper",
        "run ZooKeeper's own program; without it there is: dlog local",
    ),
    // Commands of its tool.
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
        "delete_allocator_pool",
        "the proxies here have no pool; once Java's proxies are stopped, list what their pool \
         holds with: dlog tool audit; and delete its node .write_proxy_allocation_pool with \
         ZooKeeper's own tool",
    ),
    (
        "delete_ledgers",
        "list ledgers that no stream names with: dlog tool audit; delete one with: bookkeeper \
         shell deleteledger -ledgerid LEDGER",
    ),
    (
        "delete_subscriber",
        "positions of readers are files here: dlog multi-reader --position FILE; Java's \
         subscribers are nodes below STREAM/<default>/subscribers",
    ),
    (
        "audit_ledgers",
        "compare ledgers with the streams' with: dlog tool audit",
    ),
    (
        "audit_bk_space",
        "compare ledgers with the streams' with: dlog tool audit; its JSON has each one's bytes",
    ),
    (
        "audit_dl_space",
        "sum up payload_bytes of: dlog tool show -s STREAM --format json",
    ),
    // Commands of its admin tool.
    (
        "repairseqno",
        "find wrong sequence numbers with: dlog tool inspect; a writer of this version never \
         writes them, and nothing here changes those that are there",
    ),
    ("dlck", "check a namespace with: dlog tool inspect"),
    ("set_default_acl", ACCESS),
    ("set_stream_acl", ACCESS),
    ("delete_stream_acl", ACCESS),
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
                format!("dlog admin {name}"),
                format!("dlog {name}"),
            ] {
                if !cfg!(feature = "bookkeeper") && line.starts_with("dlog admin") {
                    continue;
                }
                let error = Cli::read(line.split(' ').map(OsString::from)).expect_err(&line);
                let text = error.to_string();
                assert!(text.contains(tip), "{line}: {text}");
            }
        }
    }
}
