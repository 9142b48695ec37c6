//! All faces of the settings agree with their tables: the page of documentation, npm's types and
//! what its package checks are made from the rows and kept as files. The command's flags are made
//! from the same rows when it runs.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p distributedlog-tests --test settings` writes the files anew.

use core::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use distributedlog::client::{routing, session};
use distributedlog::settings::{SettingRow, SettingValue};
use distributedlog::writer::{Settings, SettingsBuilder};
use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_store::embedded::EmbeddedSettings;
use distributedlog_store::remote::{ClientSettings, ServerSettings};

const MAKE_ANEW: &str = "make it anew with: \
                         UPDATE_SNAPSHOTS=1 cargo test -p distributedlog-tests --test settings";

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(file)
}

/// Compares a file with what the rows make of it, or writes it.
fn check(file: &str, text: &str) {
    let path = path(file);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{file} is stale; {MAKE_ANEW}");
}

/// A doc in Markdown without rustdoc's links.
fn prose(doc: &str) -> String {
    let mut text = String::new();
    let mut rest = doc.trim();
    while let Some((before, after)) = rest.split_once("[`") {
        let (name, after) = after.split_once("`]").expect("a link ends");
        let after = match after.strip_prefix('(') {
            Some(target) => target.split_once(')').expect("a target ends").1,
            None => after,
        };
        write!(text, "{before}`{name}`").expect("a string takes all");
        rest = after;
    }
    text + rest
}

fn table(page: &mut String, rows: impl Iterator<Item = &'static SettingRow>, original: bool) {
    let of_original = SettingsBuilder::original();
    page.push_str(if original {
        "| setting | default | original | valid | |\n|---|---|---|---|---|\n"
    } else {
        "| setting | default | valid | |\n|---|---|---|---|\n"
    });
    for row in rows {
        write!(page, "| `{}` | {} |", row.name, row.default).expect("a string takes all");
        if original {
            let value = of_original.value(row.name);
            let differs = Settings::builder()
                .build()
                .map(|s| s.to_builder().value(row.name))
                != Ok(value);
            let text = match value {
                Some(SettingValue::Time(time)) if differs => format!("{} ms", time.as_millis()),
                Some(value) if differs => value.to_string(),
                Some(_) | None => String::new(),
            };
            write!(page, " {text} |").expect("a string takes all");
        }
        writeln!(
            page,
            " {} | {} |",
            row.range.replace('|', "\\|"),
            prose(row.doc)
        )
        .expect("a string takes all");
    }
    page.push('\n');
}

/// Headings and rows of the proxy's and the stores' settings.
const SERVERS: &[(&str, &str, &[SettingRow])] = &[
    (
        "Write proxy",
        "`distributedlog_proxy::Settings`; the flags: `dlog proxy --help`.",
        distributedlog_proxy::Settings::ROWS,
    ),
    (
        "Store in a folder",
        "`distributedlog_store::embedded::EmbeddedSettings`; the flags: `dlog local --help`.",
        EmbeddedSettings::ROWS,
    ),
    (
        "Store server",
        "`distributedlog_store::remote::ServerSettings`; the flags: `dlog local --help`.",
        ServerSettings::ROWS,
    ),
    (
        "Store client",
        "`distributedlog_store::remote::ClientSettings`; commands use the defaults.",
        ClientSettings::ROWS,
    ),
    (
        "Store on BookKeeper",
        "`distributedlog_store::bookkeeper::BookKeeperSettings`; the flags: `dlog proxy --help`.",
        BookKeeperSettings::ROWS,
    ),
];

#[test]
fn the_page_of_settings_is_what_the_tables_say() {
    let mut page = "\
# Settings

Made from the tables of the settings; do not edit. To make it anew:
`UPDATE_SNAPSHOTS=1 cargo test -p distributedlog-tests --test settings`. Durations are `Duration` in
Rust, `2ms` or `10s` in flags, and milliseconds in npm. A value that is not valid is refused with
the setting, the value and the valid values.

## Writer

`distributedlog::writer::Settings`, and the methods of its builder. npm has the same names in camel
case (`requestTimeout`), the command as flags (`--request-timeout`). *original* is the value of
Apache DistributedLog's writer where it differs: `Settings::original()`. Exceptions: npm's
`inFlightSets` is two less than its `connections` unless given; the tokio writer and npm draw
`seed` and `identity` at random; `dlog console-multi-writer` starts from the tutorial's settings
(`Settings::tutorial()`), from which `dlog quickstart` takes the request timeout and that each
record is a set; their help shows the values.

"
    .to_owned();
    table(&mut page, Settings::rows(), true);
    page.push_str(
        "## Client: choice of proxies\n\n`distributedlog::client::routing::Settings`.\n\n",
    );
    table(&mut page, routing::Settings::ROWS.iter(), false);
    page.push_str("## Client: connections\n\n`distributedlog::client::session::Settings`.\n\n");
    table(&mut page, session::Settings::ROWS.iter(), false);
    for (heading, intro, rows) in SERVERS {
        write!(page, "## {heading}\n\n{intro}\n\n").expect("a string takes all");
        table(&mut page, rows.iter(), false);
    }
    page.pop();
    check("docs/settings.md", &page);
}

/// Every row's default is the value that the builder has, and rows can be read and set by name.
#[test]
fn rows_values_and_names_agree() {
    let text = |value: SettingValue| match value {
        // As the rows write it: 500 ms, 16 KiB.
        SettingValue::Time(time) if time.as_millis() % 1000 == 0 => format!("{} s", time.as_secs()),
        SettingValue::Time(time) => format!("{} ms", time.as_millis()),
        SettingValue::Count(n) if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        SettingValue::Count(n) if n == 16 << 10 => "16 KiB".to_owned(),
        SettingValue::Factor(factor) => format!("{factor:?}"),
        SettingValue::Count(_)
        | SettingValue::Switch(_)
        | SettingValue::Word(_)
        | SettingValue::Number(_) => value.to_string(),
    };
    let mut names = Vec::new();
    for row in Settings::rows() {
        names.push(row.name);
        let Some(value) = Settings::builder().value(row.name) else {
            assert_eq!(row.name, "rounds", "only this group has no switch");
            continue;
        };
        let default = if row.default == "16384" {
            "16 KiB"
        } else {
            row.default
        };
        assert_eq!(text(value), default, "{}", row.name);
        let mut builder = SettingsBuilder::original();
        builder
            .set(row.name, value)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(builder.value(row.name), Some(value), "{}", row.name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.extend(part.chars().take(1).flat_map(char::to_uppercase));
        text.push_str(&part[1..]);
    }
    text
}

/// Names of settings within a text, as npm writes them.
fn camel_names(text: &str) -> String {
    let words: Vec<String> = text
        .split(' ')
        .map(|word| {
            if word.contains('_') && word.contains(char::is_lowercase) {
                camel(word)
            } else {
                word.to_owned()
            }
        })
        .collect();
    words.join(" ")
}

/// Settings that npm does not have: it does not compress, counts attempts in any case, and leaves
/// out the choice by load and the order of records for their size.
const NOT_IN_NPM: &[&str] = &["codec", "attempt_reports", "choice", "order"];

fn npm_rows() -> impl Iterator<Item = &'static SettingRow> {
    Settings::rows().filter(|row| !NOT_IN_NPM.contains(&row.name) && !row.name.contains('.'))
}

fn fields(group: &str) -> Vec<&'static SettingRow> {
    Settings::rows()
        .filter(|row| {
            row.name
                .split_once('.')
                .is_some_and(|(name, _)| name == group)
        })
        .collect()
}

fn field_of(row: &SettingRow) -> String {
    camel(row.name.split_once('.').expect("a field of a group").1)
}

/// A default as JavaScript has it.
fn npm_default(row: &SettingRow) -> String {
    match (row.name, Settings::builder().value(row.name)) {
        ("in_flight_sets", _) => "two less than `connections`, which leaves two for hedges".into(),
        ("identity", _) => "true, with 16 random bytes".into(),
        ("window", _) => "true".into(),
        (_, Some(SettingValue::Time(time))) => time.as_millis().to_string(),
        (_, Some(SettingValue::Switch(on))) => on.to_string(),
        (_, Some(value)) => value.to_string(),
        (name, None) => {
            let fields: Vec<String> = fields(name)
                .into_iter()
                .filter(|row| row.default != "none")
                .map(|row| format!("{}: {}", field_of(row), npm_default(row)))
                .collect();
            format!("`{{ {} }}`", fields.join(", "))
        }
    }
}

fn npm_type(row: &SettingRow) -> String {
    let fields: Vec<String> = fields(row.name)
        .into_iter()
        .map(|field| {
            format!(
                "{}{}: number",
                field_of(field),
                if row.name == "rounds" { "?" } else { "" }
            )
        })
        .collect();
    match (row.name, row.unit) {
        ("rounds", _) => format!("{{ {} }}", fields.join("; ")),
        ("window", _) => "boolean | number".into(),
        (_, "group") => format!("boolean | {{ {} }}", fields.join("; ")),
        (_, "switch") => "boolean".into(),
        _ => "number".into(),
    }
}

#[test]
fn the_types_of_npm_are_what_the_table_says() {
    let file = "wasm/npm/types/index.d.ts";
    let kept = fs::read_to_string(path(file)).expect("the types are there");
    let (begin, end) = (
        "  // Made from the settings' table.\n",
        "  // Settings of this package alone.\n",
    );
    let (before, rest) = kept.split_once(begin).expect("the mark before");
    let (_, after) = rest.split_once(end).expect("the mark after");
    let mut types = String::new();
    for row in npm_rows() {
        // Rules are numbered in Rust's documentation; JavaScript has `true` for a window's word.
        let doc = camel_names(&prose(row.doc)).replace("`share`", "`true`");
        let rule = |(text, rule): (&str, &str)| {
            rule.starts_with(|c: char| c.is_ascii_digit())
                .then(|| text.to_owned())
        };
        let doc = doc.rsplit_once(" R").and_then(rule).unwrap_or(doc);
        let others = match row.unit {
            "group" if row.name != "rounds" => " `true`: with the recommended values.",
            _ => "",
        };
        writeln!(
            types,
            "  /** {doc}{others} Default: {}. */",
            npm_default(row)
        )
        .expect("a string takes all");
        writeln!(types, "  {}?: {};", camel(row.name), npm_type(row)).expect("a string takes all");
    }
    check(file, &format!("{before}{begin}{types}{end}{after}"));
}

#[test]
fn what_the_package_checks_is_what_the_table_says() {
    let mut text = "\
// Made from the settings' table; do not edit. To make it anew:
// UPDATE_SNAPSHOTS=1 cargo test -p distributedlog-tests --test settings

/** The valid values of each setting. */
export const VALID: Record<string, string> = {
"
    .to_owned();
    for row in npm_rows() {
        let valid = match &fields(row.name)[..] {
            [] if row.unit == "switch" => "true or false".to_owned(),
            [] => camel_names(row.range),
            fields => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|row| format!("{} {}", field_of(row), camel_names(row.range)))
                    .collect();
                fields.join(", ")
            }
        };
        writeln!(text, "  {}: {valid:?},", camel(row.name)).expect("a string takes all");
    }
    let list = |units: &[&str]| -> String {
        let names: Vec<String> = npm_rows()
            .filter(|row| units.contains(&row.unit) && row.name != "identity")
            .map(|row| format!("{:?}", camel(row.name)))
            .collect();
        names.join(", ")
    };
    let (numbers, switches) = (
        list(&["time", "bytes", "count", "factor"]),
        list(&["switch"]),
    );
    write!(
        text,
        "}};\n\nexport const NUMBERS = [{numbers}] as const;\n\n\
         export const SWITCHES = [{switches}] as const;\n\n\
         /** Groups of settings with their fields; `window` is a number. */\n\
         export const GROUPS = {{\n"
    )
    .expect("a string takes all");
    for row in npm_rows().filter(|row| row.unit == "group" || row.unit == "word") {
        let fields: Vec<String> = fields(row.name)
            .into_iter()
            .map(|row| format!("{:?}", field_of(row)))
            .collect();
        writeln!(text, "  {}: [{}],", camel(row.name), fields.join(", "))
            .expect("a string takes all");
    }
    text.push_str("} as const;\n");
    check("wasm/npm/src/settings-table.ts", &text);
}
