//! Plots of latencies, as SVG and PNG.

use core::fmt::Display;
use core::ops::Range;
use core::time::Duration;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::CliError;

/// Size of a plot in pixels.
const SIZE: (u32, u32) = (1_100, 600);

/// Width of the part to the right, for the legend, which covers no curve there.
const LEGEND_WIDTH: u32 = 160;

/// Distance of the legend's lines, and of its first one from the top.
const LEGEND_LINE: i32 = 24;
const LEGEND_TOP: i32 = 60;

/// Colours, one for each policy. Users with red-green colour blindness can distinguish them (Okabe
/// and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x00, 0x9e, 0x73),
];

/// File format of a plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlotFormat {
    Svg,
    Png,
}

impl PlotFormat {
    /// Returns the format of a file by the extension of its name.
    ///
    /// # Errors
    /// The extension is neither `svg` nor `png`.
    pub(crate) fn from_path(file: &Path) -> Result<Self, CliError> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some(_) | None => Err(CliError::usage(format!(
                "'{}' ends neither in .svg nor in .png",
                file.display()
            ))),
        }
    }
}

/// Draws curves: the share of operations that take longer than a latency. Both axes are
/// logarithmic, which shows the tails. `operations`: the number of them, whose reciprocal is the
/// lower end of the axis.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn draw(
    title: &str,
    curves: Vec<Curve>,
    operations: u64,
    file: &Path,
) -> Result<(), CliError> {
    let plot = Plot {
        title,
        curves,
        operations,
    };
    match PlotFormat::from_path(file)? {
        PlotFormat::Svg => plot.draw(&SVGBackend::new(file, SIZE).into_drawing_area()),
        PlotFormat::Png => plot.draw(&BitMapBackend::new(file, SIZE).into_drawing_area()),
    }
    .map_err(|error| {
        CliError::failure(format!("cannot write the plot {}: {error}", file.display()))
    })
}

/// Returns latencies in milliseconds, each with the shares of the operations that take at least as
/// long, and that take longer: a step for each latency, because there are no operations between
/// two of them. The curve ends at the share of failures, or at the axis' lower end, which is one
/// operation. `latencies`: each with its count, shortest first.
pub(crate) fn steps(
    latencies: impl Iterator<Item = (Duration, u64)>,
    operations: u64,
) -> Vec<(f64, f64)> {
    let operations = operations.max(1) as f64;
    let mut done = 0;
    let mut points = Vec::new();
    for (latency, count) in latencies {
        let millis = latency.as_secs_f64() * 1e3;
        points.push((millis, 1.0 - done as f64 / operations));
        done += count;
        let longer = 1.0 - done as f64 / operations;
        points.push((millis, longer.max(1.0 / operations)));
    }
    points
}

/// A curve's name and its points.
pub(crate) type Curve = (String, Vec<(f64, f64)>);

struct Plot<'a> {
    title: &'a str,
    curves: Vec<Curve>,
    operations: u64,
}

/// Converts a backend's error, whose type depends on the backend, to text.
fn text<E: core::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> Box<dyn Display> {
    Box::new(error.to_string())
}

impl Plot<'_> {
    fn draw<B: DrawingBackend>(self, area: &DrawingArea<B, Shift>) -> Result<(), Box<dyn Display>>
    where
        B::ErrorType: 'static,
    {
        // Bitmaps need a font, and this system may have none. An error means that it is registered.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
        let (latencies, shares) = self.ranges();
        area.fill(&WHITE).map_err(text)?;
        let (left, right) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let mut chart = ChartBuilder::on(&left)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(latencies.log_scale(), shares.log_scale())
            .map_err(text)?;
        chart
            .configure_mesh()
            .x_desc("latency in ms")
            .y_desc("share of operations that take longer, or fail")
            .x_label_formatter(&|latency| format!("{latency}"))
            .y_label_formatter(&|share| format!("{} %", share * 100.0))
            .label_style(("sans-serif", 14))
            .light_line_style(RGBColor(0xee, 0xee, 0xee))
            .draw()
            .map_err(text)?;
        let mut y = LEGEND_TOP;
        for ((name, curve), colour) in self.curves.into_iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(curve, style))
                .map_err(text)?;
            right
                .draw(&PathElement::new([(4, y), (24, y)], style))
                .map_err(text)?;
            right
                .draw(&Text::new(name, (32, y - 7), ("sans-serif", 14)))
                .map_err(text)?;
            y += LEGEND_LINE;
        }
        area.present().map_err(text)
    }

    /// Returns the ranges of the axes: latencies in milliseconds, and shares of operations, down to
    /// one operation.
    fn ranges(&self) -> (Range<f64>, Range<f64>) {
        let points = || self.curves.iter().flat_map(|(_, curve)| curve);
        let shortest = points()
            .map(|(latency, _)| *latency)
            .fold(f64::INFINITY, f64::min)
            .min(1e6);
        let longest = points()
            .map(|(latency, _)| *latency)
            .fold(shortest * 2.0, f64::max);
        let least = 1.0 / self.operations.max(2) as f64;
        (shortest..longest * 1.1, least..1.0)
    }
}
