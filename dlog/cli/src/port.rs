/// Parses a port number.
///
/// # Errors
/// `text` is not a number up to 65535.
pub(crate) fn parse(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not a port; write a number up to 65535, such as 8000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_port_is_refused_with_the_valid_range() {
        assert_eq!((parse("0"), parse("65535")), (Ok(0), Ok(65_535)));
        for text in ["", "x", "-1", "65536", "80 "] {
            let error = parse(text).expect_err(text);
            assert!(
                error.contains(&format!("'{text}' is not a port")) && error.contains("65535"),
                "{error}"
            );
        }
    }
}
