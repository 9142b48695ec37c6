//! `dlog doctor`: finds out what is wrong between here and the streams.

mod findings;
mod http;
mod namespace;
mod proxies;

use core::time::Duration;
use std::time::Instant;

use distributedlog_store::StreamName;

use super::clock::unix_ms;
use super::place::Place;
use super::target::{ClientSecurity, TargetArgs};
use super::{CliError, Format, Output, output};
use findings::{Findings, since};

/// Difference of clocks above which there is a warning.
const MAX_SKEW: Duration = Duration::from_secs(1);

/// Find out what is wrong between here and the streams.
///
/// Checks each place that is named, or all ports of the context: names are resolved, connections
/// and handshakes are made, and a record is written to a stream of its own, `dlog-doctor-…`, read
/// back, and deleted with its stream. Each line says ok, warn or fail, and what to do about it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog doctor distributedlog://127.0.0.1:7000/messaging/distributedlog
  dlog doctor 'inet!127.0.0.1:8000' http://127.0.0.1:8002
  dlog doctor --no-write 127.0.0.1:8000
  dlog doctor --context prod

Exit status: 0 if nothing fails, also with warnings; 1 if something does.")]
pub(crate) struct Args {
    #[cfg_attr(
        feature = "zookeeper",
        doc = "Places to check: a namespace (distributedlog://HOST:PORT/NAMESPACE), proxies \
               (inet!HOST:PORT, or zk!HOST:PORT!/PATH), or the HTTP port of a proxy \
               (http://HOST:PORT)"
    )]
    #[cfg_attr(
        not(feature = "zookeeper"),
        doc = "Places to check: a namespace (distributedlog://HOST:PORT/NAMESPACE), proxies \
               (inet!HOST:PORT), or the HTTP port of a proxy (http://HOST:PORT)"
    )]
    #[arg(value_name = "PLACE")]
    places: Vec<Place>,

    /// Write nothing
    #[arg(long)]
    no_write: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    target: TargetArgs,
}

/// What a check may do.
struct Probe {
    writes: bool,
    /// The stream that is written to. Only this command has it.
    stream: StreamName,
    security: ClientSecurity,
}

impl Args {
    /// Returns the places to check, all ports of a context among them, and what is shown there.
    fn places(&self) -> Result<(Vec<Place>, ClientSecurity), CliError> {
        let Some(first) = self.places.first() else {
            let target = self.target.resolve()?;
            return Ok((target.ports(), target.security));
        };
        let target = self.target.resolve_at(Some(first))?;
        Ok((self.places.clone(), target.security))
    }

    /// Checks the places in turn.
    ///
    /// # Errors
    /// A check failed; it was printed.
    pub(crate) async fn run(self, output: &Output) -> Result<(), CliError> {
        let (places, security) = self.places()?;
        let stream = format!("dlog-doctor-{}-{}", std::process::id(), unix_ms());
        let probe = Probe {
            writes: !self.no_write,
            stream: stream.parse().expect("letters, digits and hyphens"),
            security,
        };
        let mut found = Findings::new(output, self.format);
        found.ok(&format!(
            "dlog {} with {}",
            env!("CARGO_PKG_VERSION"),
            features()
        ))?;
        for place in &places {
            match place {
                Place::Namespace(uri) => namespace::check(uri, &probe, &mut found).await?,
                Place::Proxies(name) => proxies::check(name, &probe, &mut found).await?,
                Place::Http(url) => http::check(url, &probe, &mut found).await?,
            }
        }
        let Findings {
            warnings, failures, ..
        } = found;
        if self.format == Format::Text {
            output.line(format!(
                "{}, {}",
                output::counted(failures, "failure"),
                output::counted(warnings, "warning")
            ))?;
        }
        if failures > 0 {
            return Err(CliError::already_reported());
        }
        Ok(())
    }
}

/// Lists the features of this binary.
fn features() -> String {
    let all = [
        ("bookkeeper", cfg!(feature = "bookkeeper")),
        ("page", cfg!(feature = "page")),
        ("plots", cfg!(feature = "plots")),
        ("zookeeper", cfg!(feature = "zookeeper")),
    ];
    let on: Vec<&str> = all
        .iter()
        .filter(|(_, on)| *on)
        .map(|(it, _)| *it)
        .collect();
    if on.is_empty() {
        "no optional features".to_owned()
    } else {
        on.join(", ")
    }
}

/// Resolves a host's name, and prints its addresses.
async fn resolve(host: &str, port: u16, found: &mut Findings<'_>) -> Result<(), CliError> {
    if host.parse::<core::net::IpAddr>().is_ok() {
        return Ok(());
    }
    let began = Instant::now();
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => {
            let mut addresses: Vec<String> =
                addresses.map(|address| address.ip().to_string()).collect();
            addresses.dedup();
            let addresses = addresses.join(", ");
            found.ok(&format!("{host} is {addresses} ({})", since(began)))
        }
        Err(error) => found.fail(
            &format!("the name {host} cannot be resolved: {error}"),
            Some("check the name, and this machine's DNS"),
        ),
    }
}
