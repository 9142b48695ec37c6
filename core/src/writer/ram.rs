//! The RAM that a writer takes, as a constant.

use super::slots::{RecordSlot, ReportSlot, SetSlot, StreamSlot};
use super::{Fixed, Writer};
use crate::tables::TimerSlot;

/// Returns the bytes of RAM of a [`Writer`](super::Writer) over [`Fixed`] tables of these
/// capacities, on the target that it is compiled for. A writer never uses more. The compiler rounds
/// up, so the value may be up to 128 bytes too large.
///
/// ```
/// use distributedlog::writer::{Fixed, Writer, ram_bytes};
///
/// const RAM: usize = ram_bytes(4, 3, 16, 1024, 0);
/// assert!(size_of::<Writer<Fixed<4, 3, 16, 1024>>>() <= RAM);
/// ```
#[must_use]
pub const fn ram_bytes(
    streams: usize,
    sets: usize,
    records: usize,
    set_bytes: usize,
    reports: usize,
) -> usize {
    let set = size_of::<SetSlot>() + size_of::<TimerSlot>() + set_bytes;
    let rows = streams * size_of::<StreamSlot>()
        + records * size_of::<RecordSlot>()
        + reports * size_of::<ReportSlot>();
    // With the `lz4` feature a writer begins at a multiple of 64 bytes, and so ends at one.
    let alignment = align_of::<Writer<Fixed<0, 0, 0, 0>>>();
    (size_of::<Writer<Fixed<0, 0, 0, 0>>>() + sets * set + rows + PADDING)
        .next_multiple_of(alignment)
}

/// Padding between six tables whose rows are aligned to at most eight bytes.
const PADDING: usize = 6 * 8;

#[cfg(test)]
mod tests {
    use super::{Fixed, Writer, ram_bytes};

    #[test]
    fn the_computed_bytes_are_those_that_a_writer_takes() {
        let pairs = [
            (
                size_of::<Writer<Fixed<4, 3, 16, 1024>>>(),
                ram_bytes(4, 3, 16, 1024, 0),
            ),
            (
                size_of::<Writer<Fixed<1, 2, 1, 64>>>(),
                ram_bytes(1, 2, 1, 64, 0),
            ),
            (
                size_of::<Writer<Fixed<5, 9, 33, 1001, 3>>>(),
                ram_bytes(5, 9, 33, 1001, 3),
            ),
        ];
        for (taken, computed) in pairs {
            assert!(
                taken <= computed && computed <= taken + 128,
                "{taken} taken, {computed} computed"
            );
        }
    }
}
