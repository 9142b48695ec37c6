use core::fmt::Display;
use std::path::Path;

use distributedlog_sim::Report;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::super::Fault;
use super::summary::Compared;

const SIZE: (u32, u32) = (960, 600);

/// One for each policy, told apart also by who does not see red and green (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x00, 0x9e, 0x73),
];

/// What a plot's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Image {
    Svg,
    Png,
}

impl Image {
    /// Which one a file's name asks for.
    ///
    /// # Errors
    /// Neither.
    pub(super) fn of(file: &Path) -> Result<Self, Fault> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some(_) | None => Err(Fault::usage(format!(
                "'{}' ends neither in .svg nor in .png",
                file.display()
            ))),
        }
    }
}

/// Draws, for each policy, how many operations take longer than a latency: both axes in powers of
/// ten, so that tails can be seen.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(compared: &Compared, file: &Path) -> Result<(), Fault> {
    match Image::of(file)? {
        Image::Svg => chart(compared, &SVGBackend::new(file, SIZE).into_drawing_area()),
        Image::Png => chart(
            compared,
            &BitMapBackend::new(file, SIZE).into_drawing_area(),
        ),
    }
    .map_err(|error| Fault::failure(format!("cannot draw to {}: {error}", file.display())))
}

fn chart<B: DrawingBackend>(
    compared: &Compared,
    area: &DrawingArea<B, Shift>,
) -> Result<(), Box<dyn Display>>
where
    B::ErrorType: 'static,
{
    let told = |error: DrawingAreaErrorKind<B::ErrorType>| -> Box<dyn Display> {
        Box::new(error.to_string())
    };
    // Bitmaps have no letters of their own, and this system's fonts may be none.
    let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    let curves: Vec<(&str, Vec<(f64, f64)>)> = compared
        .runs
        .iter()
        .map(|run| (run.kind.name(), curve(&run.report)))
        .collect();
    let operations = compared
        .runs
        .iter()
        .map(|run| run.report.operations())
        .max()
        .unwrap_or(1);
    let points = || curves.iter().flat_map(|(_, curve)| curve);
    let shortest = points()
        .map(|(latency, _)| *latency)
        .fold(f64::INFINITY, f64::min)
        .min(1e6);
    let longest = points()
        .map(|(latency, _)| *latency)
        .fold(shortest * 2.0, f64::max);
    let rarest = 1.0 / operations as f64;

    area.fill(&WHITE).map_err(told)?;
    let caption = format!("({}) {}", compared.name, compared.about);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(
            (shortest..longest * 1.1).log_scale(),
            (rarest..1.0).log_scale(),
        )
        .map_err(told)?;
    chart
        .configure_mesh()
        .x_desc("latency in ms")
        .y_desc("share of operations that take longer, or fail")
        .x_label_formatter(&|latency| format!("{latency}"))
        .y_label_formatter(&|share| format!("{} %", share * 100.0))
        .label_style(("sans-serif", 14))
        .light_line_style(RGBColor(0xee, 0xee, 0xee))
        .draw()
        .map_err(told)?;
    for ((name, curve), colour) in curves.into_iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(curve, style))
            .map_err(told)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(0xcc, 0xcc, 0xcc))
        .label_font(("sans-serif", 14))
        .draw()
        .map_err(told)?;
    area.present().map_err(told)
}

/// Latencies in milliseconds, and the share of the operations that take longer. It ends where only
/// failures are left.
fn curve(report: &Report) -> Vec<(f64, f64)> {
    let operations = report.operations().max(1) as f64;
    let mut done = 0;
    let mut points = Vec::new();
    for (latency, count) in report.latencies() {
        let millis = latency.as_secs_f64() * 1e3;
        points.push((millis, 1.0 - done as f64 / operations));
        done += count;
    }
    points
}
