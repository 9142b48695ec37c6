//! The tables of keys in docs/compatibility.md are what the table of keys says.
//! `UPDATE_SNAPSHOTS=1 cargo test -p dlog` writes them again.

use core::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;

use super::super::super::args::Cli;
use super::super::super::setting_flags::flag_of;
use super::super::bookkeeper_args::BookKeeper;
use super::super::effective::Target;
use super::super::setting_args::Limits;
use super::keys::{Key, Meaning, Off, Sets, Unit};
use super::table::KEYS;

const BEGIN: &str = "<!-- Made from the table of keys; do not edit. -->\n";
const END: &str = "<!-- The end of the tables of keys. -->\n";

fn names(key: &Key) -> String {
    let names: Vec<String> = key.names.iter().map(|it| format!("`{it}`")).collect();
    names.join(", ")
}

fn flag(target: Target) -> &'static str {
    match target {
        Target::BookKeeper(name) => flag_of::<BookKeeper>(name),
        Target::Proxy(name) => flag_of::<Limits>(name),
        Target::Port => "port",
        Target::Shard => "shard-id",
    }
}

fn value(sets: &Sets) -> String {
    let mut text = match sets.unit {
        Unit::Count => "a number",
        Unit::Millis => "milliseconds",
        Unit::Seconds => "seconds",
        Unit::Minutes => "minutes",
        Unit::Hours => "hours",
        Unit::Switch => "`true` or `false`",
        Unit::Codec => "`none` or `lz4`",
    }
    .to_owned();
    if let Some((off, meaning)) = sets.off {
        let meaning = match meaning {
            Off::Default => "the default",
            Off::None => "none",
            Off::Year => "a year, which is the most",
        };
        write!(text, "; `{off}`: {meaning}").expect("a string takes all");
    }
    if let Some(needs) = sets.needs {
        let (key, value, default) = (needs.key, needs.value, needs.default);
        write!(
            text,
            "; only with `{key}={value}` (it is {default} by default)"
        )
        .expect("a string takes all");
    }
    text
}

fn tables() -> String {
    let mut sets = String::from("| key | sets | value |\n|---|---|---|\n");
    let mut only = String::from("| key | must be | |\n|---|---|---|\n");
    let mut ignored = String::from("| key without an effect | because |\n|---|---|\n");
    for key in KEYS {
        let names = names(key);
        match key.meaning {
            Meaning::Sets(it) => {
                let flag = flag(it.target);
                writeln!(sets, "| {names} | `--{flag}` | {} |", value(&it))
            }
            Meaning::Only(values, reason) => {
                let values = values.iter().map(|it| match *it {
                    "" => "empty".to_owned(),
                    it => format!("`{it}`"),
                });
                let values: Vec<String> = values.collect();
                writeln!(only, "| {names} | {} | {reason} |", values.join(" or "))
            }
            Meaning::Ignored(reason) => writeln!(ignored, "| {names} | {reason} |"),
        }
        .expect("a string takes all");
    }
    format!("\n{sets}\n{only}\n{ignored}\n")
}

#[test]
fn the_documented_keys_are_those_of_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let kept = fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = kept.split_once(BEGIN).expect("the mark before the tables");
    let (_, after) = rest.split_once(END).expect("the mark behind the tables");
    let page = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
        return;
    }
    assert!(
        page == kept,
        "docs/compatibility.md is stale; make its tables anew with: \
         UPDATE_SNAPSHOTS=1 cargo test -p dlog --bin dlog documented"
    );
}

#[test]
fn each_flag_that_a_key_names_is_one_of_the_proxy() {
    let command = Cli::command();
    let proxy = command.find_subcommand("proxy").expect("the command");
    let flags: Vec<&str> = proxy
        .get_arguments()
        .filter_map(|it| it.get_long())
        .collect();
    let tables = tables();
    let words = tables.split([' ', '`', ',', '|', '\n']);
    let named: Vec<&str> = words
        .filter_map(|it| it.strip_prefix("--"))
        .filter(|it| !it.starts_with('-'))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    for flag in named {
        assert!(flags.contains(&flag), "there is no --{flag}");
    }
}
