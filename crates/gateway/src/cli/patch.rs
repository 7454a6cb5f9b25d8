//! `tidegate patch`: makes patches between two builds and applies them, without a server. The server and the agents do
//! the same with the same code; here one sees what a patch would weigh, and why one can't be applied.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use tempfile::NamedTempFile;
use tidegate_apk::visible;
use tidegate_delta::{
    Error as Fault, File as Which, Limits, Made, Patch as Open, Progress, Search, Settings, Stage, make,
};

use super::WRONG_USAGE;
use super::args::Patch;
use crate::Error;

/// The exit code of what can't be made or applied.
const REFUSED: u8 = 1;

/// Does what was asked for.
pub(super) fn patch(what: Patch) -> Result<ExitCode, Error> {
    let done = match what {
        Patch::Make {
            base,
            result,
            out,
            memory,
        } => Files {
            base,
            result,
            patch: out.clone(),
        }
        .make(&out, memory),
        Patch::Apply { base, patch, out } => Files {
            base,
            result: out.clone(),
            patch,
        }
        .apply(&out),
        Patch::Info { patch, json } => info(&patch, json),
    };
    match done {
        Ok(words) => {
            writeln!(io::stdout(), "{words}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure { words, code }) => {
            writeln!(io::stderr(), "tidegate: {words}")?;
            Ok(ExitCode::from(code))
        }
    }
}

/// Why it was not done, and with which exit code.
struct Failure {
    words: String,
    code: u8,
}

impl Failure {
    fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
        Failure {
            words: format!("{}: {why}", shown(path)),
            code: WRONG_USAGE,
        }
    }
}

/// The paths that a command names.
struct Files {
    base: PathBuf,
    result: PathBuf,
    patch: PathBuf,
}

impl Files {
    fn make(&self, out: &Path, memory: u64) -> Result<String, Failure> {
        let (base, result) = (open(&self.base)?, open(&self.result)?);
        let mut output = Output::new(out)?;
        let settings = Settings { memory: memory << 20 };
        let mut bar = Bar::default();
        let made = make(
            &base,
            &result,
            output.file.as_file_mut(),
            settings,
            &mut |progress| bar.show(progress),
        );
        bar.end();
        let made = made.map_err(|fault| self.failed(&fault, None))?;
        output.keep()?;
        Ok(told(&made))
    }

    fn apply(&self, out: &Path) -> Result<String, Failure> {
        let base = open(&self.base)?;
        let patch = open(&self.patch)?;
        let patch = Open::open(patch, Limits::default()).map_err(|fault| self.failed(&fault, None))?;
        let mut output = Output::new(out)?;
        let scratch = tempfile::tempfile_in(&output.folder);
        let mut scratch = scratch.map_err(|fault| Failure::unusable(&output.folder, &fault))?;
        let mut bar = Bar::default();
        let applied = patch.apply(&base, &mut scratch, output.file.as_file_mut(), &mut |progress| {
            bar.show(progress)
        });
        bar.end();
        applied.map_err(|fault| self.failed(&fault, Some(patch.base_sha256())))?;
        output.keep()?;
        let sha256 = hex(&patch.result_sha256());
        Ok(format!(
            "{}: {} bytes, SHA-256 {sha256}",
            shown(out),
            patch.result_size()
        ))
    }

    /// In words that name the file, and what to do.
    fn failed(&self, fault: &Fault, wanted: Option<[u8; 32]>) -> Failure {
        let refused = |words| Failure { words, code: REFUSED };
        match fault {
            Fault::Io { file, source } => {
                let path = match file {
                    Which::Base => &self.base,
                    Which::Patch => &self.patch,
                    Which::Result | Which::Scratch => &self.result,
                };
                Failure::unusable(path, source)
            }
            Fault::WrongBase => refused(format!(
                "{} is not the file that this patch was made from, which has SHA-256 {}: take the full file",
                shown(&self.base),
                hex(&wanted.unwrap_or_default())
            )),
            Fault::TooLarge { size, .. } if wanted.is_none() => refused(format!(
                "{fault}: try --memory {} or more",
                size.div_ceil(1 << 20) + 1
            )),
            fault => refused(format!("{}: {fault}", shown(&self.patch))),
        }
    }
}

/// What a patch says about itself.
fn info(path: &Path, as_json: bool) -> Result<String, Failure> {
    let file = open(path)?;
    let size = file
        .metadata()
        .map_err(|fault| Failure::unusable(path, &fault))?
        .len();
    let patch = Open::open(file, Limits::default()).map_err(|fault| match fault {
        Fault::Io { source, .. } => Failure::unusable(path, &source),
        fault => Failure {
            words: format!("{}: {fault}", shown(path)),
            code: REFUSED,
        },
    })?;
    let (base, result) = (hex(&patch.base_sha256()), hex(&patch.result_sha256()));
    let [plan, control, difference, extra] = patch.parts();
    if as_json {
        let value = json!({
            "format": "tgp1",
            "size": size,
            "base": {"sha256": base, "size": patch.base_size(), "inflated_entries": patch.inflated_entries()},
            "result": {"sha256": result, "size": patch.result_size(), "deflated_entries": patch.deflated_entries()},
            "scratch": patch.scratch_bytes(),
            "parts": {"plan": plan, "control": control, "difference": difference, "extra": extra},
        });
        return Ok(format!("{value:#}"));
    }
    Ok(format!(
        "format:      tgp1
size:        {size} bytes, {} of the result
base:        {} bytes, SHA-256 {base}
result:      {} bytes, SHA-256 {result}
scratch:     {} bytes, {} entries of the base inflated
compressed:  {} entries of the result
parts:       plan {plan}, control {control}, difference {difference}, extra {extra} bytes",
        share(size, patch.result_size()),
        patch.base_size(),
        patch.result_size(),
        patch.scratch_bytes(),
        patch.inflated_entries(),
        patch.deflated_entries(),
    ))
}

fn told(made: &Made) -> String {
    let entries = made.entries;
    let search = match made.search {
        Search::Suffixes => "",
        Search::Blocks => "\nsearched by blocks, for want of memory: with more, the patch may become smaller",
    };
    format!(
        "{} bytes, {} of the full file
entries: {} unchanged, {} reproduced, {} compared as they are{search}",
        made.patch_size,
        share(made.patch_size, made.result_size),
        entries.unchanged,
        entries.reproduced,
        entries.raw
    )
}

/// In per cent, with as many digits as a small patch needs.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share(part: u64, whole: u64) -> String {
    format!("{:.2} %", part as f64 * 100.0 / whole.max(1) as f64)
}

/// Opens what can be read at any place.
fn open(path: &Path) -> Result<File, Failure> {
    let unusable = |fault: io::Error| Failure::unusable(path, &fault);
    if !fs::metadata(path).map_err(unusable)?.is_file() {
        return Err(Failure::unusable(
            path,
            &"not a regular file, and it is read at several places",
        ));
    }
    File::open(path).map_err(unusable)
}

/// A file that gets its name when it is whole; until then, nobody sees it.
struct Output {
    file: NamedTempFile,
    folder: PathBuf,
    path: PathBuf,
}

impl Output {
    fn new(path: &Path) -> Result<Output, Failure> {
        refuse_special(path)?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".tidegate-")
            // What the user's mask leaves of it, as with any file.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|fault| Failure::unusable(folder, &fault))?;
        Ok(Output {
            file,
            folder: folder.to_owned(),
            path: path.to_owned(),
        })
    }

    fn keep(self) -> Result<(), Failure> {
        // It takes a while until here.
        refuse_special(&self.path)?;
        let unusable = |fault: io::Error| Failure::unusable(&self.path, &fault);
        self.file.as_file().sync_all().map_err(unusable)?;
        self.file
            .persist(&self.path)
            .map_err(|fault| unusable(fault.error))?;
        Ok(())
    }
}

/// What is there is replaced, so it must be a file: as root, a device or a socket would be one afterwards. A link is
/// replaced as well, and what it leads to stays.
fn refuse_special(path: &Path) -> Result<(), Failure> {
    let kind = match fs::symlink_metadata(path) {
        Ok(known) => known.file_type(),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(fault) => return Err(Failure::unusable(path, &fault)),
    };
    if kind.is_dir() || path.is_dir() {
        return Err(Failure::unusable(path, &"a folder: name the file to write"));
    }
    let leads_to_file = || fs::metadata(path).is_ok_and(|known| known.is_file());
    if kind.is_file() || (kind.is_symlink() && leads_to_file()) {
        return Ok(());
    }
    Err(Failure::unusable(
        path,
        &"no regular file: name another one to write",
    ))
}

/// How far it is, on standard error, if a person looks at it.
#[derive(Default)]
struct Bar {
    shown: Option<(Stage, u64)>,
}

impl Bar {
    fn show(&mut self, progress: Progress) -> ControlFlow<()> {
        let percent = progress.done.saturating_mul(100) / progress.total.max(1);
        let mut terminal = io::stderr();
        if self.shown != Some((progress.stage, percent)) && terminal.is_terminal() {
            self.shown = Some((progress.stage, percent));
            let _ = write!(terminal, "\r{:<10}{percent:>4} %", progress.stage.to_string());
        }
        ControlFlow::Continue(())
    }

    /// Clears its line.
    fn end(&self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r{:<16}\r", "");
        }
    }
}

fn shown(path: &Path) -> String {
    visible(&path.display().to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
