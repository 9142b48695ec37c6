use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::args::Command;
use super::super::output::CapturedOutput;
use super::super::{Cli, CliError, Output};
use super::*;

const FILE: &str = r#"# Mine.
current_context = "prod" # the one
verbose = 1

[contexts.prod]
# Behind the firewall.
to = "inet!proxy-1:8000"
http = "https://proxy-1:8002"
streams = ["a", "b"]

[proxy]
http-port = 9002
max_connections = 77
faults = true

[tool.create]
prefix = "orders-"

["tool.truncate"]
since = "7d"
"#;

fn file(text: &str) -> Result<ConfigFile, CliError> {
    let file = ConfigFile::parse(Path::new("/c/config.toml"), text)?;
    check_file(&file)?;
    Ok(file)
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn applied(line: &str, text: &str) -> (clap::ArgMatches, Applied) {
    let file = file(text).expect("it is valid");
    apply(&Cli::laid_out(), &words(line), &file).expect(line)
}

/// The value of a flag of `dlog proxy LINE` with a table of the proxy.
fn proxy(line: &str, table: &str, flag: &str) -> Option<String> {
    let (matches, _) = applied(&format!("dlog proxy {line}"), &format!("[proxy]\n{table}"));
    let (_, matches) = matches.subcommand().expect("the proxy");
    let mut values = matches.get_raw(flag)?;
    values
        .next()
        .map(|value| value.to_string_lossy().into_owned())
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let table = "shard-id = 7\nmax-connections = 77";
    assert_eq!(proxy("", table, "shard_id").as_deref(), Some("7"));
    assert_eq!(
        proxy("--shard-id 3", table, "shard_id").as_deref(),
        Some("3")
    );
    assert_eq!(proxy("", table, "max-connections").as_deref(), Some("77"));
    assert_eq!(proxy("", "", "shard_id"), None);
    let (_, origins) = applied("dlog proxy --shard-id 3", &format!("[proxy]\n{table}"));
    assert_eq!(
        origins.origin("max-connections").as_deref(),
        Some("/c/config.toml:3")
    );
    assert_eq!(origins.origin("shard-id"), None);
}

#[test]
fn a_setting_that_excludes_a_flag_that_was_given_has_no_effect() {
    let table = "data = \"/var/lib/dlog\"";
    assert_eq!(proxy("", table, "data").as_deref(), Some("/var/lib/dlog"));
    assert_eq!(proxy("-u distributedlog://h/n", table, "data"), None);
}

#[test]
fn a_switch_that_the_file_turns_on_is_turned_off_on_the_command_line() {
    let merged = |line: &str| {
        let text = "[multi-reader]\nmerge = true";
        let (matches, _) = applied(&format!("dlog multi-reader inet!h:1 a {line}"), text);
        let (_, matches) = matches.subcommand().expect("the reader");
        matches.get_flag("merge")
    };
    assert!(merged("") && merged("--merge"));
    assert!(!merged("--merge=false"));
}

#[test]
fn flags_of_every_command_and_commands_of_a_group_have_tables() {
    let (matches, _) = applied("dlog tool create -u distributedlog://h/n -e 1", FILE);
    assert_eq!(matches.get_count("verbose"), 1);
    let (_, tool) = matches.subcommand().expect("the tool");
    let (_, create) = tool.subcommand().expect("create");
    let prefix: Option<&String> = create.get_one("prefix");
    assert_eq!(prefix.map(String::as_str), Some("orders-"));
}

#[test]
fn what_is_wrong_is_refused_with_its_file_its_line_and_the_nearest_name() {
    for (text, said) in [
        ("a =", "config.toml:1: "),
        (
            "\n[prxy]\nport = 1",
            "config.toml:3: there is no command prxy; is proxy meant?",
        ),
        (
            "[proxy]\n\nprot = 1",
            "config.toml:3: proxy has no flag --prot; is port meant?",
        ),
        (
            "[tool.crate]\nforce = true",
            "no command tool.crate; is create meant?",
        ),
        ("colour = \"red\"", "config.toml:1: there is no key colour"),
        (
            "[proxy]\nport = 99999",
            "config.toml:2: port is \"99999\": '99999' is not a port",
        ),
        ("[proxy]\nport = true", "port takes a value"),
        ("[proxy]\nport = [1, 2]", "port takes one value"),
        (
            "[proxy]\nread-only = 1",
            "read-only is a switch; write true or false",
        ),
        (
            "[proxy]\nport = 1979-05-27",
            "port must be a text, a number",
        ),
        (
            "[bench]\nduration = \"5\"",
            "config.toml:2: duration is \"5\": '5' has no unit",
        ),
        (
            "[multi-reader]\nformat = \"xml\"",
            "config.toml:2: format is \"xml\"",
        ),
        (
            "current_context = \"a\"",
            "config.toml:1: current_context is \"a\", and there is no",
        ),
        (
            "[contexts.a]\nhttp = \"http://h\"",
            "config.toml:1: the context a has no key to",
        ),
        (
            "[contexts.a]\nto = \"h\"",
            "config.toml:2: to: write a namespace",
        ),
        (
            "[contexts.a]\nto = \"inet!h:1\"\ntls-cert = 1",
            "no key tls-cert",
        ),
        (
            "[contexts.a]\nto = \"inet!h:1\"\ntls_nam = \"x\"",
            "is tls_name meant?",
        ),
        (
            "[contexts.a]\nto = \"inet!h:1\"\ntoken = \"s3cret\"",
            "config.toml:3: token has no place",
        ),
        (
            "[contexts.a]\nto = \"inet!h:1\"\nhttp = \"inet!h:1\"",
            "http is the port for clients",
        ),
        (
            "[contexts.a]\nto = \"inet!h:1\"\nstreams = [\"a b\"]",
            "is not a stream name",
        ),
        ("[contexts]\na = 1", "a must be a table"),
        ("[a]\nb = 1\nb = 2", "config.toml:3: "),
    ] {
        let error = file(text).expect_err(text);
        let report = error.report(false).expect("it says so");
        assert!(report.contains(said), "{text}: {report}");
        assert!(!report.contains("s3cret"), "{report}");
        assert_eq!(error.exit_status(), crate::EXIT_USAGE, "{report}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there_and_the_default_one_need_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none.toml");
    let named = Location::find(Some(&path), None).expect("a path");
    let error = named.read().expect_err("there is no such file");
    assert!(error.to_string().contains("none.toml"), "{error}");
    let default = Location { path, named: false };
    assert!(default.read().expect("none is needed").settings.is_empty());
    let variable = PathBuf::from("/v.toml");
    assert_eq!(
        Location::find(None, Some(&variable)).map(|it| it.path),
        Some(variable)
    );
    // A folder cannot be read.
    let unreadable = Location::find(Some(folder.path()), None).expect("a path");
    assert!(unreadable.read().is_err());
}

#[test]
fn files_that_a_context_names_are_relative_to_its_own_file() {
    let text = "[contexts.a]\nto = \"inet!h:1\"\ntoken_file = \"t\"\ntls_ca = \"/etc/ca.pem\"";
    let file = file(text).expect("valid");
    let context = file.context("a").expect("there");
    assert_eq!(context.token_file.as_deref(), Some(Path::new("/c/t")));
    assert_eq!(context.tls_ca.as_deref(), Some(Path::new("/etc/ca.pem")));
}

/// Runs a command that reads or writes the file at `path`.
fn ran(path: &Path, line: &str) -> Result<String, String> {
    let captured = CapturedOutput::default();
    let cli = Cli::read(words(&format!("dlog --config {} {line}", path.display())));
    let output: Output = captured.output();
    let location = Location::find(Some(path), None);
    let location = location.map(|it| Location { named: false, ..it });
    let command = cli.map_err(|error| error.to_string())?.command;
    let result = if let Command::Config(args) = command {
        args.run(location.as_ref(), &output)
    } else if let Command::Context(args) = command {
        args.run(location.as_ref(), &output)
    } else {
        panic!("{line}")
    };
    let result = result.map(|()| captured.text());
    result.map_err(|error| error.report(false).unwrap_or_default())
}

#[test]
fn each_setting_is_shown_with_its_value_and_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.toml");
    std::fs::write(&path, FILE).expect("it can be written");
    let line = |text: &str, setting: &str| {
        let mut lines = text.lines();
        let found = lines.find(|line| line.split_whitespace().next() == Some(setting));
        let found = found.unwrap_or_else(|| panic!("{setting}: {text}"));
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let at = |line: usize| format!("{}:{line}", path.display());
    let text = ran(&path, "config show proxy").expect("valid");
    assert_eq!(
        line(&text, "http-port"),
        format!("http-port 9002 {}", at(12))
    );
    assert_eq!(
        line(&text, "max-connections"),
        format!("max-connections 77 {}", at(13))
    );
    assert_eq!(line(&text, "port"), "port 8000 default");
    assert_eq!(line(&text, "read-only"), "read-only false default");
    let text = ran(&path, "config show").expect("valid");
    assert_eq!(
        line(&text, "where"),
        format!("where inet!proxy-1:8000 {}", at(7))
    );
    assert_eq!(
        line(&text, "contexts.prod.http"),
        format!("contexts.prod.http https://proxy-1:8002 {}", at(8))
    );
    assert_eq!(
        line(&text, "tool.create.prefix"),
        format!("tool.create.prefix orders- {}", at(17))
    );
    assert!(!text.contains(" default"), "{text}");
    let text = ran(&path, "config show tool create --format json").expect("valid");
    let json = format!(
        "{{\"setting\":\"prefix\",\"value\":\"orders-\",\"source\":\"{}\"}}",
        at(17)
    );
    assert!(text.lines().any(|line| line == json), "{text}");
    assert!(ran(&path, "config show nonsense").is_err());
    assert!(
        ran(&path, "config check")
            .expect("valid")
            .contains("6 settings and 1 context")
    );
    assert_eq!(
        ran(&path, "config path"),
        Ok(format!("{}\n", path.display()))
    );
}

#[test]
fn contexts_are_added_chosen_and_removed_and_comments_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/c.toml");
    let text = ran(&path, "context add one --to inet!h:1").expect("it is the first");
    assert!(text.contains("The current context is one."), "{text}");
    std::fs::write(&path, FILE).expect("it can be written");
    ran(
        &path,
        "context add two --to 127.0.0.1:8000 --http http://127.0.0.1:8002",
    )
    .expect("new");
    let error = ran(&path, "context add two --to inet!h:1").expect_err("it exists");
    assert!(
        error.contains("exists already") && error.contains("-f"),
        "{error}"
    );
    ran(
        &path,
        "context add prod --to inet!proxy-9:8000 --streams x,y -f",
    )
    .expect("replaced");
    let error = ran(&path, "context use tow").expect_err("there is none");
    assert!(error.contains("is two meant?"), "{error}");
    ran(&path, "context use two").expect("there");
    let listed = ran(&path, "context list").expect("valid");
    assert_eq!(
        listed,
        "  NAME  WHERE\n  prod  inet!proxy-9:8000 x,y\n* two   inet!127.0.0.1:8000 \
         http://127.0.0.1:8002\n"
    );
    let text = std::fs::read_to_string(&path).expect("there");
    for kept in [
        "# Mine.\n",
        " # the one\n",
        "# Behind the firewall.\n",
        "faults = true",
        "since = \"7d\"",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert!(!text.contains("https://proxy-1"), "{text}");
    let shown = ran(&path, "context show --format json").expect("valid");
    assert!(
        shown.starts_with("{\"context\":\"two\",\"current\":true,"),
        "{shown}"
    );
    let removed = ran(&path, "context remove two").expect("there");
    assert!(
        removed.contains("There is no current context."),
        "{removed}"
    );
    assert!(ran(&path, "context show").is_err());
    assert!(ran(&path, "context show prod").is_ok());
    assert!(ran(&path, "context use --none").is_ok());
}

#[test]
fn a_context_that_is_not_valid_is_not_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.toml");
    let token = folder.path().join("token");
    std::fs::write(&token, "two words\n").expect("it can be written");
    for (line, said) in [
        ("context add a --to nowhere".to_owned(), "write a namespace"),
        (
            "context add a!b --to inet!h:1".to_owned(),
            "a name has up to 64",
        ),
        (
            "context add a --to inet!h:1 --http inet!h:1".to_owned(),
            "--http is the port for",
        ),
        (
            "context add a --to inet!h:1 --token-file none".to_owned(),
            "cannot read the file of",
        ),
        (
            format!(
                "context add a --to inet!h:1 --token-file {}",
                token.display()
            ),
            "must hold one word",
        ),
        (
            "context add a --to http://u:p@h:1".to_owned(),
            "has credentials",
        ),
    ] {
        let error = ran(&path, &line).expect_err(&line);
        assert!(error.contains(said), "{line}: {error}");
        assert!(!path.exists(), "{line}");
    }
}
