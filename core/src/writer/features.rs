//! What a writer contains: chosen by type, so that a linker leaves out the rest.

/// Which of the rules that settings can switch on are compiled into a writer at all.
///
/// On a host there is nothing to choose: [`Writer::new`](super::Writer::new) makes a writer with
/// all of them, [`AllFeatures`], and the [`Settings`](super::Settings) say which are on. What a setting
/// may switch on at run time no linker can leave out, though; where flash counts, give the writer
/// another policy ([`Writer::with_features`](super::Writer::with_features)): [`OriginalFeatures`], or a type of
/// your own.
///
/// ```
/// use distributedlog::writer::{Fixed, WriterFeatures, Settings, StreamCount, Writer};
///
/// /// A writer that remembers which streams are ill, without anything else that the original does not have.
/// struct HealthOnly;
///
/// impl WriterFeatures for HealthOnly {
///     const BUDGET: bool = false;
///     const ADAPTIVE: bool = false;
///     const IDENTITY: bool = false;
/// }
///
/// let storage = Fixed::<2, 3, 32, 1024>::new();
/// let writer = Writer::<_, HealthOnly>::with_features(Settings::default(), StreamCount::new(2)?, storage)?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait WriterFeatures {
    /// Budgets of extra attempts (R8), and leaving streams alone that asked for it.
    const BUDGET: bool = true;
    /// Probation, probes and return of streams (R9). Windows are always there.
    const HEALTH: bool = true;
    /// Speculative timeouts that follow the latency (R10).
    const ADAPTIVE: bool = true;
    /// Identities of sets (R12).
    const IDENTITY: bool = true;
}

/// Everything: what a host takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllFeatures;

impl WriterFeatures for AllFeatures {}

/// What the original does, and R1 to R7: no budget, no health, fixed speculative timeouts, no
/// identities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginalFeatures;

impl WriterFeatures for OriginalFeatures {
    const BUDGET: bool = false;
    const HEALTH: bool = false;
    const ADAPTIVE: bool = false;
    const IDENTITY: bool = false;
}
