//! Compile-time features of a writer, chosen by type, so that a linker can leave out the rest.

/// The optional rules that are compiled into a writer.
///
/// On a host there is nothing to choose: [`Writer::new`](super::Writer::new) creates a writer with
/// [`AllFeatures`], and the [`Settings`](super::Settings) enable them. A linker cannot leave out a
/// rule that a setting may enable at run time. Where flash is scarce, create the writer with
/// [`Writer::with_features`](super::Writer::with_features) and a smaller set: [`OriginalFeatures`],
/// or a type of your own.
///
/// ```
/// use distributedlog::writer::{Fixed, Health, WriterFeatures, Settings, StreamCount, Writer};
///
/// /// Stream health, and no other feature that the original lacks.
/// struct HealthOnly;
///
/// impl WriterFeatures for HealthOnly {
///     const BUDGET: bool = false;
///     const ADAPTIVE: bool = false;
///     const IDENTITY: bool = false;
///     const CHANGES: bool = false;
/// }
///
/// let storage = Fixed::<2, 3, 32, 1024>::new();
/// let settings = Settings::builder().original_features().health(Health::RECOMMENDED).build()?;
/// let writer = Writer::<_, HealthOnly>::with_features(settings, StreamCount::new(2)?, storage)?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait WriterFeatures {
    /// Budgets of extra attempts (R8), and pauses for streams that asked for less load. Default:
    /// `true`.
    const BUDGET: bool = true;
    /// Probation, probes and return of streams (R9). Windows are always included. Default: `true`.
    const HEALTH: bool = true;
    /// Speculative timeouts that follow the latency (R10). Default: `true`.
    const ADAPTIVE: bool = true;
    /// Identities of sets (R12). Default: `true`.
    const IDENTITY: bool = true;
    /// Streams and settings that change while the writer runs (R17, R18). Default: `true`.
    const CHANGES: bool = true;
    /// The choice of a set's first stream by load (R19). Default: `true`.
    const CHOICE: bool = true;
    /// Records that keep their order (R20). Default: `true`.
    const ORDER: bool = true;
    /// Hedges that go to no stream that is silent (R21), and to another failure domain first (R22).
    /// Without it `wait_out_stalls` has no effect. Default: `true`.
    const STALLS: bool = true;
}

/// All features. The default of [`Writer`](super::Writer), for hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllFeatures;

impl WriterFeatures for AllFeatures {}

/// All features but those that change what the writer was built with (R17, R18), choose by load
/// (R19), keep records in order (R20), or wait out stalls (R21, R22). For devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoChanges;

impl WriterFeatures for NoChanges {
    const CHANGES: bool = false;
    const CHOICE: bool = false;
    const ORDER: bool = false;
    const STALLS: bool = false;
}

/// The features of the original, R1 to R7: no budget, no health, fixed speculative timeouts, no
/// identities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginalFeatures;

impl WriterFeatures for OriginalFeatures {
    const STALLS: bool = false;
    const CHOICE: bool = false;
    const ORDER: bool = false;
    const BUDGET: bool = false;
    const HEALTH: bool = false;
    const ADAPTIVE: bool = false;
    const IDENTITY: bool = false;
    const CHANGES: bool = false;
}
