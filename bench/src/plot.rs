//! Rows as pictures.

use std::path::Path;

use plotters::prelude::*;

use crate::protocol::Failure;
use crate::results::{Contestant, Role, Row};

const WIDTH: u32 = 860;
const BAR: u32 = 26;

/// Bars, one for each who took part, with the spread as a line.
///
/// # Errors
/// When the file cannot be written.
pub fn bars(row: &Row, path: &Path) -> Result<(), Failure> {
    let count = row.contestants.len();
    let height = BAR * u32::try_from(count)? + 80;
    let most = row
        .contestants
        .iter()
        .map(|one| one.spread.high)
        .fold(0.0, f64::max);
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{} ({})", row.what, row.unit), ("sans-serif", 16))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(24)
        .y_label_area_size(210)
        .build_cartesian_2d(0.0..most * 1.05, (0..count).into_segmented())?;
    // The first one on top.
    let names: Vec<&str> = row
        .contestants
        .iter()
        .rev()
        .map(|one| one.name.as_str())
        .collect();
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .y_labels(count)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|at| match at {
            SegmentValue::CenterOf(at) => names.get(*at).copied().unwrap_or_default().to_owned(),
            SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
        })
        .label_style(("sans-serif", 13))
        .draw()?;
    let rows = row.contestants.iter().rev().enumerate();
    chart.draw_series(rows.clone().map(|(at, one)| {
        let corners = [
            (0.0, SegmentValue::Exact(at)),
            (one.spread.median, SegmentValue::Exact(at + 1)),
        ];
        let mut bar = Rectangle::new(corners, colour(one).filled());
        bar.set_margin(5, 5, 0, 0);
        bar
    }))?;
    chart.draw_series(rows.map(|(at, one)| {
        let ends = [one.spread.low, one.spread.high];
        PathElement::new(
            ends.map(|x| (x, SegmentValue::CenterOf(at))).to_vec(),
            BLACK,
        )
    }))?;
    root.present()?;
    Ok(())
}

/// Who, what that is, and its points.
type Line<'a> = (&'a str, Role, Vec<(f64, f64)>);

/// Lines over how many there are: for rows whose contestants are named `who, count`.
///
/// # Errors
/// When the file cannot be written.
pub fn growth(row: &Row, path: &Path) -> Result<(), Failure> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for one in &row.contestants {
        let Some((who, count)) = one.name.rsplit_once(", ") else {
            continue;
        };
        let point = (count.parse::<f64>()?, one.spread.median);
        match lines.iter_mut().find(|line| line.0 == who) {
            Some(line) => line.2.push(point),
            None => lines.push((who, one.role, vec![point])),
        }
    }
    let points = || lines.iter().flat_map(|line| &line.2);
    let widest = points().map(|point| point.0).fold(1.0, f64::max);
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    let root = SVGBackend::new(path, (WIDTH, 320)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{} ({})", row.what, row.unit), ("sans-serif", 16))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d((1.0..widest).log_scale(), 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("connections")
        .x_label_formatter(&|value| short(*value))
        .label_style(("sans-serif", 13))
        .draw()?;
    for (who, role, line) in &lines {
        let colour = of_role(*role);
        chart
            .draw_series(
                LineSeries::new(line.iter().copied(), colour.stroke_width(2)).point_size(3),
            )?
            .label(*who)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .label_font(("sans-serif", 13))
        .draw()?;
    root.present()?;
    Ok(())
}

fn colour(one: &Contestant) -> RGBColor {
    of_role(one.role)
}

fn of_role(role: Role) -> RGBColor {
    match role {
        Role::Ours => RGBColor(31, 119, 180),
        Role::Floor => RGBColor(150, 150, 150),
        Role::Peer => RGBColor(230, 140, 50),
    }
}

fn short(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        value if value == value.trunc() => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}
