use core::fmt;

use tokio::time::timeout;
use zookeeper_client::{Acl, Acls, AuthId, Client, Connector, Error, Permission};

use super::SESSION_TIMEOUT;

/// User of ZooKeeper, by its scheme `digest`.
///
/// ZooKeeper does not refuse a wrong password; it grants the rights of an unknown user. Without TLS
/// the password is sent in the clear, as by every client of this scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperLogin {
    /// `user:password`.
    digest: String,
}

/// Rights on a member's node: everyone may read it, and only its own user may change or delete it.
const OF_A_USER: &[Acl] = &[
    Acl::new_const(Permission::ALL, "auth", ""),
    Acl::new_const(Permission::READ, "world", "anyone"),
];

impl ZooKeeperLogin {
    /// The user with this name and password. [`None`] when the name is empty or has a colon, which
    /// ends it.
    #[must_use]
    pub fn digest(user: &str, password: &str) -> Option<Self> {
        (!user.is_empty() && !user.contains(':')).then(|| Self {
            digest: format!("{user}:{password}"),
        })
    }

    /// The user in a text `user:password`. [`None`] when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        Self::digest(user, password)
    }
}

impl fmt::Debug for ZooKeeperLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, _) = self
            .digest
            .split_once(':')
            .expect("both constructors put a colon");
        f.debug_struct("ZooKeeperLogin")
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

/// Begins a session with one of these servers, as this user, within [`SESSION_TIMEOUT`].
pub(super) async fn connect(
    ensemble: &str,
    login: Option<&ZooKeeperLogin>,
) -> Result<Client, Error> {
    let connector: Connector = Client::connector()
        .with_session_timeout(SESSION_TIMEOUT)
        .with_fail_eagerly();
    let connector = match login {
        None => connector,
        Some(login) => connector.with_auth("digest", login.digest.as_bytes()),
    };
    answered(connector.connect(ensemble)).await
}

/// Waits for ZooKeeper's answer no longer than [`SESSION_TIMEOUT`]: the client itself waits for
/// ever for a server that keeps the session alive and leaves a request unanswered.
pub(super) async fn answered<T>(
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(SESSION_TIMEOUT, answer)
        .await
        .unwrap_or(Err(Error::Timeout))
}

/// Returns the rights on a node that this user makes.
pub(super) fn rights(login: Option<&ZooKeeperLogin>) -> Acls<'static> {
    debug_assert_eq!(*OF_A_USER[0].auth_id(), AuthId::authed());
    if login.is_some() {
        Acls::new(OF_A_USER)
    } else {
        Acls::anyone_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_user_and_a_password_and_keeps_the_password_to_itself() {
        let login = ZooKeeperLogin::parse("proxy:a:secret").expect("a login");
        assert_eq!(
            ZooKeeperLogin::digest("proxy", "a:secret").as_ref(),
            Some(&login)
        );
        assert_eq!(
            format!("{login:?}"),
            r#"ZooKeeperLogin { user: "proxy", .. }"#
        );
        for text in ["", "proxy", ":secret"] {
            assert_eq!(ZooKeeperLogin::parse(text), None, "{text}");
        }
        assert_eq!(ZooKeeperLogin::digest("a:b", "c"), None);
    }
}
