//! Parts that a binary was built without: the help does not offer them, and their flags and names
//! are refused with how dlog must be built.

use super::super::args::Cli;
use super::help::collect;

/// The help of every command, one after the other.
fn help() -> String {
    let mut texts = Vec::new();
    let command = Cli::laid_out().term_width(100);
    collect(command, "dlog".to_owned(), &mut texts);
    texts.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn the_help_offers_flags_and_names_of_the_features_that_are_there_and_of_no_others() {
    let help = help();
    for (part, there) in [
        ("--plot ", cfg!(feature = "plots")),
        ("--announce ", cfg!(feature = "zookeeper")),
        ("--zookeeper-login ", cfg!(feature = "zookeeper")),
        ("zk!", cfg!(feature = "zookeeper")),
        ("was built without", cfg!(not(feature = "zookeeper"))),
    ] {
        assert_eq!(help.contains(part), there, "{part}\n{help}");
    }
}

#[cfg(not(all(feature = "plots", feature = "zookeeper")))]
mod missing {
    use std::ffi::OsString;

    use super::super::super::args::{Cli, Command};
    use super::super::super::output::CapturedOutput;
    use super::super::super::{EXIT_USAGE, Shutdown};

    /// Runs a command line and checks that it is refused as one that needs `feature`.
    async fn refused(line: &str, feature: &str) {
        let cli = Cli::read(line.split(' ').map(OsString::from)).expect(line);
        let output = CapturedOutput::default().output();
        let shutdown = Shutdown::manual();
        let ended = match cli.command {
            #[cfg(feature = "bookkeeper")]
            Command::Admin(_) => panic!("{line} needs no feature"),
            Command::Proxy(args) => args.run(&output, &shutdown).await,
            Command::ConsoleMultiWriter(args) => args.run(&output, 0, &shutdown).await,
            Command::Sim(args) => args.run(&output, &shutdown).await,
            Command::Write(args) => args.run(&output, &shutdown).await,
            Command::Bench(args) => args.run(&output, &shutdown).await,
            Command::Quickstart(_)
            | Command::Local(_)
            | Command::Read(_)
            | Command::Tail(_)
            | Command::Streams(_)
            | Command::Top(_)
            | Command::Tool(_)
            | Command::Store(_)
            | Command::MultiReader(_)
            | Command::Doctor(_)
            | Command::Config(_)
            | Command::Context(_)
            | Command::Completions(_)
            | Command::Token(_)
            | Command::Man(_) => panic!("{line} needs no feature"),
        };
        let error = ended.expect_err(line);
        assert_eq!(error.exit_status(), EXIT_USAGE, "{line}");
        let report = error.report(false).expect("a message");
        for part in [
            format!("needs the feature `{feature}`"),
            format!("tip: build dlog with: cargo build --release -p dlog --features {feature}"),
        ] {
            assert!(report.contains(&part), "{line}: {report}");
        }
    }

    #[cfg(not(feature = "plots"))]
    #[tokio::test]
    async fn a_plot_is_refused_before_anything_is_simulated() {
        refused("dlog sim a --plot tail.svg", "plots").await;
        refused("dlog bench inet!127.0.0.1:1 a --plot tail.svg", "plots").await;
    }

    #[cfg(not(feature = "zookeeper"))]
    #[tokio::test]
    async fn everything_of_zookeeper_is_refused_before_anything_is_opened() {
        for line in [
            "dlog proxy --data /nowhere/at/all -a zk!127.0.0.1:1!/proxies",
            "dlog proxy --data /nowhere/at/all -a",
            "dlog proxy --data /nowhere/at/all --zookeeper-login /nowhere/login",
            "dlog console-multi-writer zk!127.0.0.1:1!/proxies a",
            "dlog console-multi-writer serverset!127.0.0.1:1!/proxies a",
            "dlog write zk!127.0.0.1:1!/proxies a -m text",
            "dlog bench zk!127.0.0.1:1!/proxies a",
        ] {
            refused(line, "zookeeper").await;
        }
    }
}
