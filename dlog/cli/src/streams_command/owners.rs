use std::collections::BTreeMap;

use distributedlog::Escaped;
use serde::Serialize;

use super::super::table::{self, Align};
use super::super::target::TargetArgs;
use super::super::{CliError, Format, Output, record_text};
use super::Connected;
use super::rows::{self, Row};

/// List the proxies that own streams, with the number and size of their streams.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog streams owners --to http://127.0.0.1:8002
  dlog streams owners --to http://127.0.0.1:8002 orders- --format json")]
pub(super) struct Args {
    /// Count only streams whose names begin with this prefix
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    at: TargetArgs,
}

/// Streams of an owner.
#[derive(Debug, Default, Serialize)]
struct Owned {
    streams: u64,
    records: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct OwnerJson<'a> {
    /// `None`: streams without an owner.
    owner: Option<&'a str>,
    shard: Option<i32>,
    #[serde(flatten)]
    owned: &'a Owned,
}

/// Address and shard of an owner.
type Key<'a> = Option<(&'a str, i32)>;

impl Args {
    pub(super) async fn run(self, output: &Output) -> Result<(), CliError> {
        let connected = Connected::open(&self.at).await?;
        self.list(&connected, output).await
    }

    pub(super) async fn list(
        &self,
        connected: &Connected,
        output: &Output,
    ) -> Result<(), CliError> {
        let at = connected.administered()?;
        let mut names = Vec::new();
        rows::pages(at, &self.prefix, "", |page| {
            names.extend(page);
            Ok(true)
        })
        .await?;
        let rows = rows::describe(at, &names).await?;
        let owners = owners(&rows);
        match self.format {
            Format::Text => {
                for line in table_lines(&owners) {
                    output.line(line)?;
                }
                Ok(())
            }
            Format::Json => owners.iter().try_for_each(|(key, owned)| {
                let owner = OwnerJson {
                    owner: key.map(|(address, _)| address),
                    shard: key.map(|(_, shard)| shard),
                    owned,
                };
                record_text::json_line(output, &owner)
            }),
        }
    }
}

/// Adds up the streams of each owner.
fn owners(rows: &[Row]) -> BTreeMap<Key<'_>, Owned> {
    let mut owners: BTreeMap<Key<'_>, Owned> = BTreeMap::new();
    for row in rows {
        let key = row
            .owner
            .as_ref()
            .map(|owner| (&*owner.address, owner.shard));
        let owned = owners.entry(key).or_default();
        owned.streams += 1;
        owned.records += row.records;
        owned.bytes += row.bytes;
    }
    owners
}

fn table_lines(owners: &BTreeMap<Key<'_>, Owned>) -> Vec<String> {
    let columns = [
        ("OWNER", Align::Left),
        ("SHARD", Align::Right),
        ("STREAMS", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
    ];
    let cells = |(key, owned): (&Key<'_>, &Owned)| {
        let (address, shard) = match key {
            None => ("none".to_owned(), String::new()),
            Some((address, -1)) => (Escaped(address).to_string(), String::new()),
            Some((address, shard)) => (Escaped(address).to_string(), shard.to_string()),
        };
        vec![
            address,
            shard,
            owned.streams.to_string(),
            owned.records.to_string(),
            table::bytes_text(owned.bytes),
        ]
    };
    let cells: Vec<Vec<String>> = owners.iter().map(cells).collect();
    table::lines(&columns, &cells)
}
