use std::ffi::OsString;
use std::path::Path;

use super::super::args::{Cli, Command};
use super::*;

const FILE: &str = "
current_context = \"local\"
[contexts.local]
to = \"distributedlog://127.0.0.1:7000/n\"
[contexts.prod]
to = \"inet!proxy-1:8000\"
http = \"https://proxy-1:8002\"
streams = [\"a\", \"b\"]
tls_name = \"proxy.example\"
";

fn args(flags: &str) -> TargetArgs {
    let line = format!("dlog multi-reader {flags}");
    let Command::MultiReader(args) = Cli::read(line.split_whitespace().map(OsString::from))
        .expect("a command line")
        .command
    else {
        panic!("{line}");
    };
    args.target
}

/// The target of these flags, with the environment's variables and the file.
fn target(flags: &str, environment: &[(&str, &str)], file: &str) -> Result<Target, CliError> {
    let file = ConfigFile::parse(Path::new("/c/c.toml"), file)?;
    let mut args = args(flags);
    for (name, value) in environment {
        // As clap reads them.
        let given = |value: &str| Given {
            value: value.to_owned(),
            level: Level::Environment,
            source: (*name).to_owned(),
        };
        if *name == "DLOG_CONTEXT" && args.context.is_none() {
            args.context = Some(given(value));
        }
    }
    args.resolve_in(&file, None, &|wanted| {
        let mut found = environment.iter().filter(|(name, _)| *name == wanted);
        found.next().map(|(_, value)| (*value).to_owned())
    })
}

fn place(flags: &str, environment: &[(&str, &str)], file: &str) -> (String, String) {
    let target = target(flags, environment, file).expect(flags);
    (target.place.to_string(), target.source)
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_a_context() {
    let of = |place: &str, source: &str| (place.to_owned(), source.to_owned());
    let uri = [("DLOG_URI", "distributedlog://uri:7000/n")];
    let both = [
        ("DLOG_TO", "inet!to:1"),
        ("DLOG_URI", "distributedlog://uri:7000/n"),
    ];
    assert_eq!(
        place("--to inet!flag:1", &both, FILE),
        of("inet!flag:1", "--to")
    );
    assert_eq!(place("", &both, FILE), of("inet!to:1", "DLOG_TO"));
    assert_eq!(
        place("", &uri, FILE),
        of("distributedlog://uri:7000/n", "DLOG_URI")
    );
    assert_eq!(
        place("--context prod", &both, FILE),
        of("inet!proxy-1:8000", "/c/c.toml:6")
    );
    assert_eq!(
        place("", &[("DLOG_CONTEXT", "prod")], FILE),
        of("inet!proxy-1:8000", "/c/c.toml:6")
    );
    assert_eq!(
        place("", &[], FILE),
        of("distributedlog://127.0.0.1:7000/n", "/c/c.toml:4")
    );
}

#[test]
fn what_a_context_shows_to_servers_is_for_its_own_place() {
    let has_tls = |flags: &str, environment: &[(&str, &str)]| {
        let target = target(flags, environment, FILE).expect(flags);
        (target.security.tls().is_some(), target.streams.is_some())
    };
    let prod = [("DLOG_CONTEXT", "prod")];
    assert_eq!(has_tls("--context prod", &[]), (true, true));
    assert_eq!(has_tls("--to inet!other:1", &prod), (false, false));
    // Named beside each other on purpose.
    assert_eq!(
        has_tls("--context prod --to inet!other:1", &[]),
        (true, false)
    );
    assert_eq!(has_tls("--to inet!other:1 --tls", &[]), (true, false));
}

#[test]
fn a_context_names_several_ports_of_one_installation() {
    let target = target("--context prod", &[], FILE).expect("valid");
    assert_eq!(target.proxies().expect("named"), "inet!proxy-1:8000");
    assert_eq!(target.http.as_deref(), Some("https://proxy-1:8002"));
    assert_eq!(target.streams(None).expect("named").len(), 2);
}

#[test]
fn without_a_place_the_error_says_how_to_name_one() {
    let error = target("", &[], "").expect_err("no place");
    let report = error.report(false).expect("it says so");
    for way in [
        "--to WHERE",
        "DLOG_TO",
        "dlog context add",
        "distributedlog://127.0.0.1:7000",
    ] {
        assert!(report.contains(way), "{report}");
    }
    assert_eq!(error.exit_status(), crate::EXIT_USAGE);
}

#[test]
fn a_missing_context_and_a_variable_that_is_no_place_are_refused() {
    let error = target("--context prd", &[], FILE).expect_err("there is none");
    let report = error.report(false).expect("it says so");
    assert!(
        report.contains("no context \"prd\"") && report.contains("is prod meant?"),
        "{report}"
    );
    let error = target("", &[("DLOG_URI", "7000")], FILE).expect_err("no place");
    assert!(
        error.to_string().starts_with("DLOG_URI is \"7000\": write"),
        "{error}"
    );
}

#[test]
fn a_place_without_what_a_command_needs_is_refused_with_a_way_out() {
    let error = target("--to distributedlog://h/n", &[], "")
        .expect("valid")
        .proxies();
    let report = error.expect_err("unknown").report(false).expect("a text");
    assert!(report.contains("--to 'inet!HOST:PORT'"), "{report}");
    let on_bookkeeper = target("--to distributedlog-bk://zk:2181/m/dl", &[], "").expect("valid");
    assert_eq!(
        on_bookkeeper.proxies().expect("announced"),
        "zk!zk:2181!/m/dl/.write_proxy"
    );
    let report = target("--to inet!h:1", &[], "")
        .expect("valid")
        .no_records();
    assert!(
        report
            .report(false)
            .expect("a text")
            .contains("--to http://")
    );
}

#[test]
fn files_of_tls_and_tokens_that_cannot_be_used_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "no PEM, se cret").expect("it can be written");
    let file = file.display();
    for (flags, said) in [
        (
            format!("--tls-ca {file}"),
            format!("the file of the authorities, {file}, is not valid"),
        ),
        (
            format!("--token-file {file}"),
            format!("the file of the token, {file}, must hold"),
        ),
        (
            "--token-file none".to_owned(),
            "cannot read the file of the token, none".to_owned(),
        ),
        (
            "--tls-key none".to_owned(),
            "--tls-key has no meaning without --tls-certificate".into(),
        ),
        (
            format!("--tls-certificate {file} --tls-key {file}"),
            format!("the file of the certificate, {file}, is not valid"),
        ),
        (
            "--tls-name ..".to_owned(),
            "the TLS settings are not valid".to_owned(),
        ),
    ] {
        let error = target(&format!("--to inet!h:1 {flags}"), &[], "").expect_err(&flags);
        let report = error.report(false).expect("it says so");
        assert!(
            report.contains(&said) && !report.contains("se cret"),
            "{flags}: {report}"
        );
    }
}

/// The place and the streams of `dlog multi-reader LINE`, without an environment.
fn both(line: &str) -> Result<(String, String), String> {
    let line = format!("dlog multi-reader {line}");
    let cli = Cli::read(line.split_whitespace().map(OsString::from));
    let Command::MultiReader(args) = cli.map_err(|error| error.to_string())?.command else {
        panic!("{line}");
    };
    let resolved = args.place.resolve(&args.target);
    let (target, streams) = resolved.map_err(|error| error.to_string())?;
    Ok((
        target.place.to_string(),
        super::super::streams::as_argument(&streams),
    ))
}

#[test]
fn the_place_is_left_out_where_a_flag_names_it() {
    let of = |place: &str, streams: &str| Ok((place.to_owned(), streams.to_owned()));
    assert_eq!(both("inet!h:1 a,b"), of("inet!h:1", "a,b"));
    assert_eq!(
        both("distributedlog://h/n a"),
        of("distributedlog://h:7000/n", "a")
    );
    assert_eq!(both("h:1 a"), of("inet!h:1", "a"));
    assert_eq!(both("--to inet!h:1 a,b"), of("inet!h:1", "a,b"));
    // An address alone is a stream's name, as far as one may be so called.
    assert_eq!(both("--to inet!h:1 orders"), of("inet!h:1", "orders"));
    for (line, said) in [
        ("orders a", "\"orders\" is not a place: write a namespace"),
        ("--to inet!h:1", "the command names no stream"),
        ("inet!h:1", "the command names no stream"),
        ("--to inet!h:1 inet!h:2 a", "two places are named"),
        ("--to inet!h:1 a,,b", "a name is missing"),
        ("ftp://h:1 a", "write a namespace"),
    ] {
        let error = both(line).expect_err(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}
