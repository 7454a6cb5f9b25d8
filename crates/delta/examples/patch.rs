//! Makes or applies one patch, for `just bench-patches`: a process of its own, so that its memory can be measured.
//!
//!     patch make BASE RESULT PATCH
//!     patch apply BASE PATCH RESULT

#![expect(clippy::print_stdout, reason = "a tool's answer")]

use std::error::Error;
use std::fs::File;

use tidegate_delta::{Limits, Patch, Settings, make, unwatched};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, base, second, output] = arguments.as_slice() else {
        return Err("four arguments: make BASE RESULT PATCH, or apply BASE PATCH RESULT".into());
    };
    let (base, second, mut output) = (File::open(base)?, File::open(second)?, File::create(output)?);
    if what == "make" {
        let made = make(&base, &second, &mut output, Settings::default(), &mut unwatched)?;
        let entries = made.entries;
        println!("{} {} {}", entries.unchanged, entries.reproduced, entries.raw);
    } else {
        let mut scratch = tempfile::tempfile()?;
        Patch::open(second, Limits::default())?.apply(&base, &mut scratch, &mut output, &mut unwatched)?;
    }
    Ok(())
}
