use core::fmt;

/// User of ZooKeeper, by its scheme `digest`.
///
/// ZooKeeper does not refuse a wrong password; it grants the rights of an unknown user. The
/// password is sent in the clear, as by every client of this scheme without TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `user:password`.
    digest: String,
}

impl Login {
    /// Returns the user with this name and password, or `None` if the name is empty or has a colon,
    /// which ends it.
    #[must_use]
    pub fn digest(user: &str, password: &str) -> Option<Self> {
        (!user.is_empty() && !user.contains(':')).then(|| Self {
            digest: format!("{user}:{password}"),
        })
    }

    /// Returns the user in a text `user:password`, or `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        Self::digest(user, password)
    }

    /// Returns the bytes that the scheme sends.
    pub(super) const fn as_bytes(&self) -> &[u8] {
        self.digest.as_bytes()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.digest.split(':').next();
        f.debug_struct("Login")
            .field("user", &user.unwrap_or_default())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_user_and_a_password_and_keeps_the_password_to_itself() {
        let login = Login::parse("proxy:a:secret").expect("a login");
        assert_eq!(Login::digest("proxy", "a:secret").as_ref(), Some(&login));
        assert_eq!(format!("{login:?}"), r#"Login { user: "proxy", .. }"#);
        for text in ["", "proxy", ":secret"] {
            assert_eq!(Login::parse(text), None, "{text}");
        }
        assert_eq!(Login::digest("a:b", "c"), None);
    }
}
