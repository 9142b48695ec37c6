use core::fmt;

/// Location of a stream's owner as a proxy reports it: `1;{shard};{host}:{port}`, in a `location`
/// or an ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The owner's shard; negative when it has none.
    pub shard: i32,
    /// Its host name or IP address.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
}

impl<'a> Location<'a> {
    /// The location in this text.
    ///
    /// # Errors
    ///
    /// [`LocationError`] names the part that is wrong.
    pub fn parse(text: &'a str) -> Result<Self, LocationError> {
        let mut parts = text.splitn(3, ';');
        let (Some(version), Some(shard), Some(address)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(LocationError::Parts);
        };
        if version != "1" {
            return Err(LocationError::Version);
        }
        let shard = shard.parse().map_err(|_| LocationError::Shard)?;
        // An IPv6 address contains colons: the port follows the last one.
        let (host, port) = address.rsplit_once(':').ok_or(LocationError::Address)?;
        let port = port.parse().map_err(|_| LocationError::Address)?;
        if host.is_empty() || port == 0 {
            return Err(LocationError::Address);
        }
        Ok(Self { shard, host, port })
    }
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1;{};{}:{}", self.shard, self.host, self.port)
    }
}

/// Error in a location's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocationError {
    /// It has not three parts with semicolons between.
    Parts,
    /// Its version is not 1.
    Version,
    /// Its shard is no number.
    Shard,
    /// Its address is not `{host}:{port}`.
    Address,
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parts => {
                "a location is three parts with semicolons between, 1;{shard};{host}:{port}"
            }
            Self::Version => "a location begins with version 1",
            Self::Shard => "a location's shard is a number",
            Self::Address => "a location's address is {host}:{port}",
        })
    }
}

impl core::error::Error for LocationError {}
