/// The value of a result that cannot be an error, for `why`; a bug of ours otherwise.
///
/// [`Result::expect`] does the same and links whatever it takes to print the error: several
/// kilobytes of a device's flash, or of a web page, for something that nobody ever sees.
pub(crate) fn expect_no_fmt<T, E>(result: Result<T, E>, why: &'static str) -> T {
    result.ok().expect(why)
}
