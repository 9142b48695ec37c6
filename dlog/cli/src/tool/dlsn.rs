use distributedlog::Dlsn;

use super::super::record_text::hex;
use super::super::{CliError, Output};
use distributedlog_store::dlsn_text::parse_dlsn;

/// Convert a position to base64, as it is sent on the wire.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog tool serialize-dlsn 1,0,0
  dlog tool serialize_dlsn -dlsn 1,0,0 --hex")]
pub(crate) struct SerializeArgs {
    /// The position: three numbers as in 1,0,0, or as a command printed it
    #[arg(value_name = "DLSN", value_parser = parse_dlsn, required_unless_present = "dlsn")]
    position: Option<Dlsn>,

    /// The same as a flag, as in the original
    #[arg(long, value_name = "DLSN", value_parser = parse_dlsn, conflicts_with = "position")]
    dlsn: Option<Dlsn>,

    /// Print hexadecimal digits instead of base64
    #[arg(short = 'x', long)]
    hex: bool,
}

impl SerializeArgs {
    /// Prints the position's bytes.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn run(self, output: &Output) -> Result<(), CliError> {
        let dlsn = self
            .position
            .or(self.dlsn)
            .expect("clap demands one of them");
        if self.hex {
            output.line(hex(&dlsn.to_bytes()))
        } else {
            output.line(dlsn.to_text().as_str())
        }
    }
}

/// Convert base64 to a position.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog tool deserialize-dlsn AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==
  dlog tool deserialize_dlsn -b64 AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==")]
pub(crate) struct DeserializeArgs {
    /// The base64 text
    #[arg(value_name = "BASE64", value_parser = parse_dlsn, required_unless_present = "base64")]
    text: Option<Dlsn>,

    /// The same as a flag, as in the original
    #[arg(long, value_name = "BASE64", value_parser = parse_dlsn, conflicts_with = "text")]
    base64: Option<Dlsn>,
}

impl DeserializeArgs {
    /// Prints the position's three numbers.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn run(self, output: &Output) -> Result<(), CliError> {
        output.line(self.text.or(self.base64).expect("clap demands one of them"))
    }
}
