use distributedlog_store::{StoreError, StreamName};
use serde::Serialize;

use super::super::progress_line::ProgressLine;
use super::super::{CliError, Format, Output, record_text, streams};
use super::Administered;

#[derive(Serialize)]
struct CreatedJson<'a> {
    stream: &'a str,
    created: bool,
}

#[derive(Serialize)]
struct DeletedJson<'a> {
    stream: &'a str,
    deleted: bool,
}

/// Creates streams, and prints each that was created.
///
/// # Errors
/// A stream could not be created: it exists already, or the disk is full.
pub(crate) async fn create(
    at: Administered<'_>,
    names: &[StreamName],
    format: Format,
    output: &Output,
) -> Result<(), CliError> {
    // Whether a pipe is read must not decide which streams exist.
    let output = &output.best_effort();
    let mut existing = Vec::new();
    let mut progress = ProgressLine::new();
    for (done, name) in names.iter().enumerate() {
        progress.show(|| format!("created {done} of {} streams", names.len()));
        let created = match at.store.create(name).await {
            Ok(()) => true,
            Err(StoreError::StreamExists(_)) => {
                existing.push(name.clone());
                false
            }
            Err(error) => return Err(at.error(&error)),
        };
        match format {
            Format::Text if created => output.line(format_args!("Created log stream {name}."))?,
            Format::Text => {}
            Format::Json => {
                let stream = name.as_str();
                record_text::json_line(output, &CreatedJson { stream, created })?;
            }
        }
    }
    if existing.is_empty() {
        return output.check();
    }
    Err(CliError::failure(format!(
        "streams exist already, and were not changed: {}",
        streams::bracketed(&existing)
    ))
    .tip(format!("list the streams with: {}", at.list_command())))
}

/// Deletes streams, and prints each that was deleted. Deletes nothing if one does not exist.
///
/// # Errors
/// A stream does not exist, or could not be deleted.
pub(crate) async fn delete(
    at: Administered<'_>,
    names: &[StreamName],
    format: Format,
    output: &Output,
) -> Result<(), CliError> {
    // Whether a pipe is read must not decide which streams remain.
    let output = &output.best_effort();
    for name in names {
        // To create a stream that the user wanted to delete would be wrong advice.
        let described = at.store.describe(name).await.map_err(|error| {
            at.error(&error).tip(format!(
                "nothing was deleted; list the streams with: {}",
                at.list_command()
            ))
        });
        let _ = described?;
    }
    let mut progress = ProgressLine::new();
    for (done, name) in names.iter().enumerate() {
        progress.show(|| format!("deleted {done} of {} streams", names.len()));
        let deleted = at.store.delete(name).await;
        deleted.map_err(|error| at.error(&error))?;
        match format {
            Format::Text => output.line(format_args!("Deleted log stream {name}."))?,
            Format::Json => {
                let (stream, deleted) = (name.as_str(), true);
                record_text::json_line(output, &DeletedJson { stream, deleted })?;
            }
        }
    }
    output.check()
}
