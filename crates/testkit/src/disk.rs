//! A disk that really gets full: a tmpfs of a few megabytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A small disk, unmounted with this value.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of so many bytes. `None` where that is not allowed, which is told: only root may mount.
    ///
    /// # Panics
    /// When there is no temporary folder.
    pub fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("no temporary folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                tell_not_run(&String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(fault) => {
                tell_not_run(&fault.to_string());
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte.
    ///
    /// # Panics
    /// When it fails for another reason than that it is full.
    pub fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.path().join("filler"))
            .expect("no file to fill the disk with");
        for block in [64 * 1024, 4096, 1] {
            let block = vec![1; block];
            let fault = loop {
                if let Err(fault) = file.write_all(&block) {
                    break fault;
                }
            };
            assert_eq!(fault.kind(), ErrorKind::StorageFull, "{fault}");
        }
    }

    /// Takes back what [`SmallDisk::fill`] wrote.
    ///
    /// # Panics
    /// When there is nothing to take back.
    pub fn empty(&self) {
        fs::remove_file(self.path().join("filler")).expect("the disk was not filled");
    }
}

#[allow(clippy::print_stderr, reason = "a test that can't run must say so")]
fn tell_not_run(why: &str) {
    eprintln!("NOT TESTED: no small disk can be mounted (run as root): {why}");
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because something may still be open there.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}
