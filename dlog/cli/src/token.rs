use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use clap::Subcommand;

use super::output::note;
use super::{CliError, Output};
use distributedlog_proxy::HttpTokens;

/// Make tokens for clients of a proxy's HTTP port.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Example:
  dlog token new alice --file tokens
  dlog proxy --data /var/lib/dlog --http-port 8002 --http-tokens tokens"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    New(NewArgs),
}

/// Make a token, print it, and add its hash to a file.
///
/// The token is printed once and stored nowhere: the file has its SHA-256, from which it cannot be
/// found again. Without --file the line for the file is printed as well. Revoke a token by removing
/// its line.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog token new alice --file tokens
  dlog token new alice")]
struct NewArgs {
    /// The client's name in rules and in the audit log; several tokens may have one name
    name: String,

    /// Add the line with the token's hash to this file, the proxy's --http-tokens; it is created if
    /// it does not exist
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Args {
    /// Makes the token.
    ///
    /// # Errors
    /// The name is invalid, or the file cannot be written.
    pub(crate) fn run(self, output: &Output) -> Result<(), CliError> {
        let TokenCommand::New(args) = self.command;
        args.run(output)
    }
}

impl NewArgs {
    fn run(&self, output: &Output) -> Result<(), CliError> {
        let name = &self.name;
        let (token, line) = HttpTokens::generate(name)
            .map_err(|why| CliError::usage(format!("\"{name}\" is no name: {why}")))?;
        let Some(file) = &self.file else {
            output.line(&token)?;
            note("the line for the file of --http-tokens:");
            return output.line(line);
        };
        // Before the token is shown: one that was printed must be in the file.
        let mut options = OpenOptions::new();
        options.read(true).create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(file).and_then(|mut file| {
            // A last line that an editor left without its end must not become part of this one.
            let end = if ends_line(&mut file)? { "" } else { "\n" };
            let line = format!("{end}{line}\n");
            file.write_all(line.as_bytes())
        });
        written.map_err(|error| {
            CliError::failure(format!("cannot write to {}: {error}", file.display()))
        })?;
        output.line(&token)
    }
}

/// Returns true if a file is empty or ends with a line feed.
fn ends_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_without_its_end_stays_a_line_of_its_own() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tokens");
        std::fs::write(&file, "# ours").expect("the folder can be written");
        let output = Output::to(io::sink());
        for name in ["alice", "bob"] {
            let args = NewArgs {
                name: name.to_owned(),
                file: Some(file.clone()),
            };
            args.run(&output).expect("it is a name");
        }
        let text = std::fs::read_to_string(&file).expect("it is there");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "# ours"), "{text}");
        assert!(lines[1].starts_with("alice") && lines[2].starts_with("bob"));
        assert!(text.ends_with('\n'));
    }
}
