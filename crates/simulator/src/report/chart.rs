//! The adoption curve in characters.

use super::Report;

const ROWS: usize = 10;

/// A column's height in eighths, from nothing to all.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of devices that run the build; a dot where one was offered it and does not run it (yet).
pub(super) fn draw(report: &Report) -> String {
    let devices = report.devices.max(1);
    let mut chart = String::new();
    for row in (0..ROWS).rev() {
        let label = if row == ROWS - 1 {
            "100 %"
        } else if row == ROWS / 2 {
            " 50 %"
        } else {
            "     "
        };
        chart.push_str(&format!("  {label} ┤"));
        for point in &report.adoption {
            let eighths = |count: usize| (count * ROWS * 8 / devices).saturating_sub(row * 8).min(8);
            let (installed, offered) = (eighths(point.installed), eighths(point.offered));
            chart.push(if installed == 0 && offered > 0 {
                '·'
            } else {
                EIGHTHS[installed]
            });
        }
        chart.push('\n');
    }
    let width = report.adoption.len();
    let end = format!("{:.0} h", report.hours);
    chart.push_str(&format!("    0 % └{}\n", "─".repeat(width)));
    chart.push_str(&format!(
        "         0 h{end:>gap$}\n",
        gap = width.saturating_sub(3)
    ));
    chart
}
