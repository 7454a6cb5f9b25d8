//! The adoption curve as SVG.

use super::{Point, Report};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 44.0;
const RIGHT: f64 = 16.0;
const BOTTOM: f64 = 40.0;

pub(super) fn draw(report: &Report) -> String {
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{LEFT}" y="20" font-size="14">Adoption of {} {} by {} devices (seed {})</text>
"##,
        escaped(&report.package),
        escaped(&report.version_name),
        report.devices,
        report.seed,
    );
    axes(report, &mut svg);
    line(report, &mut svg, "#8aa4c8", |point| point.offered);
    line(report, &mut svg, "#0b6e4f", |point| point.installed);
    svg.push_str(&format!(
        "<text x=\"{}\" y=\"36\" fill=\"#8aa4c8\">offered</text><text x=\"{}\" y=\"36\" fill=\"#0b6e4f\">installed</text>\n</svg>\n",
        LEFT, LEFT + 60.0
    ));
    svg
}

fn axes(report: &Report, svg: &mut String) {
    for percent in [0, 25, 50, 75, 100] {
        let y = y(f64::from(percent) / 100.0);
        svg.push_str(&format!(
            "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>\n",
            WIDTH - RIGHT, LEFT - 6.0, y + 4.0
        ));
    }
    for quarter in 0..=4 {
        let hour = report.hours * f64::from(quarter) / 4.0;
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{hour:.0} h</text>\n",
            x(report, hour),
            HEIGHT - BOTTOM + 18.0
        ));
    }
    // What the operator did.
    for stage in report.stages.iter().skip(1) {
        let x = x(report, stage.from_h);
        svg.push_str(&format!(
            "<path d=\"M{x:.1} {TOP}V{}\" stroke=\"#bbb\" stroke-dasharray=\"4 3\"/><text x=\"{:.1}\" y=\"{}\" fill=\"#777\">{} %</text>\n",
            HEIGHT - BOTTOM, x + 4.0, TOP + 10.0, stage.percent
        ));
    }
}

fn line(report: &Report, svg: &mut String, colour: &str, count: impl Fn(&Point) -> usize) {
    let mut points = String::new();
    for point in &report.adoption {
        #[expect(clippy::cast_precision_loss, reason = "device counts stay far below 2^52")]
        let share = count(point) as f64 / report.devices.max(1) as f64;
        points.push_str(&format!("{:.1},{:.1} ", x(report, point.hour), y(share)));
    }
    svg.push_str(&format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
        points.trim_end()
    ));
}

fn x(report: &Report, hour: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * hour / report.hours.max(1.0)
}

fn y(share: f64) -> f64 {
    TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
