use core::num::NonZeroU32;

use crate::wire::crc;

/// Identifies what fails or stalls together, as the streams of one store do with its disk: the hash
/// of a name that a proxy gives in its handshake. Only equality has a meaning.
///
/// Two of *n* names have the same hash once in 2³³ ÷ *n*² installations. A hedge then takes two
/// domains for one, and goes where it would without domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FailureDomain(NonZeroU32);

impl FailureDomain {
    /// Maximum length of a name, in bytes. A longer one is ignored, as is an empty one.
    pub const MAX_NAME_BYTES: usize = 255;

    /// Returns the domain of this name.
    ///
    /// ```
    /// use distributedlog::FailureDomain;
    ///
    /// assert_eq!(FailureDomain::of("rack-1"), FailureDomain::of("rack-1"));
    /// assert_ne!(FailureDomain::of("rack-1"), FailureDomain::of("rack-2"));
    /// ```
    #[must_use]
    pub fn of(name: &str) -> Self {
        // CRC-32: it is there for requests already, and names that differ in four bytes or fewer in
        // a row, as numbered ones do, never share it.
        Self(NonZeroU32::new(crc::of(name.as_bytes())).unwrap_or(NonZeroU32::MAX))
    }
}
