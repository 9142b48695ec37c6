/// A pattern of names: `*` stands for any text, also an empty one, and all else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Box<str>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns true if the pattern matches every text.
    pub(crate) fn is_any(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|byte| byte == b'*')
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns true if the pattern matches the whole text.
    ///
    /// Bounded: each step back goes to the latest `*`, so that the steps are at most the product of
    /// both lengths.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut next) = (0, 0);
        // The latest `*`, and where its match ends.
        let mut star: Option<(usize, usize)> = None;
        while next < text.len() {
            match (pattern.get(at), star) {
                (Some(b'*'), _) => {
                    star = Some((at, next));
                    at += 1;
                }
                (Some(byte), _) if *byte == text[next] => {
                    at += 1;
                    next += 1;
                }
                (_, Some((star_at, end))) => {
                    star = Some((star_at, end + 1));
                    at = star_at + 1;
                    next = end + 1;
                }
                (_, None) => return false,
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_all_else_for_itself() {
        for (pattern, text, matches) in [
            ("orders", "orders", true),
            ("orders", "orders-1", false),
            ("orders-*", "orders-", true),
            ("orders-*", "orders-1", true),
            ("orders-*", "order-1", false),
            ("*-eu", "orders-eu", true),
            ("*-eu", "orders-eu-1", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("größe*", "größer", true),
            ("[a-z]", "a", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text),
                matches,
                "{pattern} {text}"
            );
        }
        assert!(Pattern::new("*").is_any() && Pattern::new("**").is_any());
        assert!(!Pattern::new("").is_any() && !Pattern::new("*a").is_any());
        let slow = Pattern::new(&"a*".repeat(40));
        assert!(!slow.matches(&("a".repeat(1000) + "b")[1..].replace('a', "b")));
    }
}
