use serde::Serialize;

use super::super::{CliError, Format, Output, record_text};

/// Source of a setting that nothing sets.
pub(crate) const DEFAULT: &str = "default";

/// A setting with its value and the source of that, as `config show` and `proxy --print-config`
/// print it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// Name.
    pub(crate) setting: String,
    /// Value, or `none`.
    pub(crate) value: String,
    /// Flag, environment variable, line of a file, or `default`.
    pub(crate) source: String,
}

impl Shown {
    /// Describes a setting with a flag, which may stand in the configuration file.
    pub(crate) fn of(setting: &str, given: Option<String>, flag: &str, default: &str) -> Self {
        let from_flag = || {
            let name = flag.strip_prefix("--");
            name.and_then(super::origin)
                .unwrap_or_else(|| flag.to_owned())
        };
        let source = given
            .as_ref()
            .map_or_else(|| DEFAULT.to_owned(), |_| from_flag());
        Self {
            setting: setting.to_owned(),
            value: given.unwrap_or_else(|| default.to_owned()),
            source,
        }
    }
}

/// Prints a line for each setting.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn print(
    settings: impl IntoIterator<Item = Shown>,
    format: Format,
    output: &Output,
) -> Result<(), CliError> {
    for shown in settings {
        match format {
            Format::Text => {
                let Shown {
                    setting,
                    value,
                    source,
                } = &shown;
                output.line(format_args!("{setting:28} {value:15} {source}"))?;
            }
            Format::Json => record_text::json_line(output, &shown)?,
        }
    }
    Ok(())
}
