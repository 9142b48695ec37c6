//! Owners of streams, as members of DistributedLog's write locks name them.

use crate::Owner;

impl Owner {
    /// Returns the client id by which DistributedLog's locks and redirects name a write proxy:
    /// `1;{shard};{host}:{port}`.
    #[must_use]
    pub fn client_id(&self) -> String {
        format!("1;{};{}", self.shard, self.address)
    }

    /// Returns the write proxy with this client id, or `None` if it names something else, as
    /// programs do that write without a proxy.
    #[must_use]
    pub fn of_client_id(client_id: &str) -> Option<Self> {
        let mut parts = client_id.split(';');
        let (Some("1"), Some(shard), Some(address), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let (host, port) = address.rsplit_once(':')?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return None;
        }
        Some(Self {
            shard: shard.parse().ok()?,
            address: address.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_names_a_proxy_or_something_else() {
        let owner = Owner {
            shard: -1,
            address: "proxy-1.example:8000".to_owned(),
        };
        assert_eq!(owner.client_id(), "1;-1;proxy-1.example:8000");
        assert_eq!(Owner::of_client_id(&owner.client_id()), Some(owner));
        for other in [
            "proxy-1",
            "",
            "2;0;host:1",
            "1;x;host:1",
            "1;0;host",
            "1;0;:1",
            "1;0;h:1;2",
        ] {
            assert_eq!(Owner::of_client_id(other), None, "{other}");
        }
    }
}
