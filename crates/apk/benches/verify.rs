//! What a full verification costs beside the one thing that cannot be saved: hashing the file once.
//!
//! The target is a 100 MB file signed with v2 and v3, verified in at most 1.5 times the time of a SHA-256 over
//! it, with a peak of memory under 64 MiB. The memory is that of a process which does nothing else.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use tidegate_apk::build::{ApkBuilder, SigningKey};
use tidegate_apk::crypto::{Digest, Hasher};
use tidegate_apk::{SdkRange, verify};

const FILE_BYTES: usize = 100_000_000;
/// What is read at once for the whole-file digest, as `sha256sum` does.
const PIECE_BYTES: usize = 32 << 10;
/// Runs that the ratio is the median of.
const RUNS: usize = 15;
/// Names the file that a child process is to verify, and tell its peak of memory.
const CHILD: &str = "TIDEGATE_BENCH_VERIFY";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    if let Some(path) = std::env::var_os(CHILD) {
        verify_file(Path::new(&path))?;
        writeln!(io::stdout(), "{}", peak_memory_kib()?)?;
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("large.apk");
    let apk = ApkBuilder::new("org.example.large", 1).padding(FILE_BYTES);
    std::fs::write(&path, apk.sign(&SigningKey::generate("Benchmark")?)?)?;

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("100 MB, v2 and v3");
    group
        .throughput(Throughput::Bytes(FILE_BYTES as u64))
        .sample_size(10);
    group.bench_function("SHA-256 of the file", |b| {
        b.iter(|| hash_file(&path).expect("it can be read"));
    });
    group.bench_function("verify", |b| {
        b.iter(|| verify_file(&path).expect("it verifies"));
    });
    group.finish();
    criterion.final_summary();
    compare(&path)
}

/// Prints both times as one ratio, taken in turns so that a busy machine slows both, and the peak of memory.
fn compare(path: &Path) -> Result<()> {
    let (mut hashing, mut verifying, mut tool) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        hashing.push(time(|| hash_file(path))?);
        verifying.push(time(|| verify_file(path))?);
        if let Ok(duration) = time(|| sha256sum(path)) {
            tool.push(duration);
        }
    }
    let verifying = median(verifying);
    let mut out = io::stdout();
    for (name, times) in [("SHA-256 in this process", hashing), ("sha256sum", tool)] {
        if !times.is_empty() {
            let times = median(times);
            let ratio = verifying.as_secs_f64() / times.as_secs_f64();
            writeln!(
                out,
                "verify takes {verifying:.1?}, {name} {times:.1?}: {ratio:.2} times (target 1.5)"
            )?;
        }
    }
    let child = Command::new(std::env::current_exe()?).env(CHILD, path).output()?;
    let peak: u64 = String::from_utf8(child.stdout)?.trim().parse()?;
    writeln!(
        out,
        "verify peaks at {:.1} MiB of memory (target 64)",
        peak as f64 / 1024.0
    )?;
    Ok(())
}

fn verify_file(path: &Path) -> Result<()> {
    black_box(verify(&File::open(path)?, SdkRange::from(24))?);
    Ok(())
}

fn hash_file(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new(Digest::Sha256);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hasher.update(&piece[..read]),
        }
    }
    black_box(hasher.finish());
    Ok(())
}

/// The distribution's tool, start of the process included.
fn sha256sum(path: &Path) -> Result<()> {
    let status = Command::new("sha256sum").arg(path).output()?.status;
    if status.success() {
        Ok(())
    } else {
        Err("sha256sum failed".into())
    }
}

fn time(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The most that this process ever held in memory.
fn peak_memory_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
