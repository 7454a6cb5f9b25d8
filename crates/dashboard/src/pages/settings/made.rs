//! A secret that was just made: shown once, and known to nobody afterwards.

use std::fmt::Write as _;

use askama::Template;
use axum::response::Response;
use qrcode::{Color, EcLevel, QrCode};

use crate::error::html;
use crate::frame::{Frame, Section};
use crate::session::Visitor;

/// How much is left free around a QR code, in modules. Source: ISO/IEC 18004.
const QUIET: usize = 4;

/// A secret, and what is to be known of it.
pub(super) struct Made {
    pub title: String,
    pub says: Vec<String>,
    pub secret: String,
    /// What the setup of fresh devices reads.
    pub provisioning: Option<String>,
    /// The list that it stands in.
    pub back: &'static str,
}

#[derive(Template)]
#[template(path = "settings_made.html")]
struct Page {
    frame: Frame,
    made: Made,
    code: Option<Drawn>,
}

/// A QR code as a drawing.
struct Drawn {
    /// Its width and height, in modules.
    size: usize,
    path: String,
}

impl Made {
    /// Shown in answer to the form itself: at an address of its own it could be opened again.
    pub(super) fn page(self, visitor: &Visitor) -> Response {
        html(&Page {
            frame: Frame::new(visitor, Section::Settings, self.title.clone()),
            code: self.provisioning.as_deref().and_then(draw),
            made: self,
        })
    }
}

/// The QR code of a text; none where it is too long for one.
fn draw(text: &str) -> Option<Drawn> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let rows = colors.chunks(width).enumerate();
    let path = rows.map(|(y, row)| row_path(row, y + QUIET)).collect();
    Some(Drawn {
        size: width + 2 * QUIET,
        path,
    })
}

/// A row's dark modules, a rectangle for each run of them.
fn row_path(row: &[Color], y: usize) -> String {
    let mut path = String::new();
    let mut x = 0;
    for run in row.chunk_by(|one, next| one == next) {
        if run.first() == Some(&Color::Dark) {
            let (left, long) = (x + QUIET, run.len());
            let _ = write!(path, "M{left} {y}h{long}v1h-{long}z");
        }
        x += run.len();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_drawn_by_its_runs() {
        use Color::{Dark, Light};
        assert_eq!(
            row_path(&[Dark, Dark, Light, Dark], 7),
            "M4 7h2v1h-2zM7 7h1v1h-1z"
        );
        assert_eq!(row_path(&[Light, Light], 7), "");
    }

    #[test]
    fn a_code_has_its_three_finders_within_the_quiet_zone() {
        let drawn = draw("{}").unwrap();
        assert_eq!(drawn.size, 21 + 8);
        assert!(drawn.path.starts_with("M4 4h7v1h-7z"), "{}", drawn.path);
        assert!(drawn.path.contains("M18 4h7v1h-7z"), "{}", drawn.path);
        assert!(draw(&"x".repeat(3_000)).is_none());
    }
}
