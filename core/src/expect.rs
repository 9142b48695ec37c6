/// Returns the value of a result that cannot be an error for the reason `why`. A panic here is a
/// bug of ours.
///
/// [`Result::expect`] does the same and links the code that formats the error: several kilobytes of
/// a device's flash, or of a web page, for a message that is never shown.
pub(crate) fn expect_no_fmt<T, E>(result: Result<T, E>, why: &'static str) -> T {
    result.ok().expect(why)
}
