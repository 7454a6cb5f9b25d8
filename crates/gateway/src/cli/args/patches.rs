use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Patch {
    /// Make the patch from one build to another.
    #[command(
        after_help = "Exit codes: 0 made, 1 not within the memory, 2 wrong usage or unreadable file.
The same files give the same patch. OUT appears when it is whole.

Example:
  tidegate patch make app-1.2.apk app-1.3.apk 1.2-1.3.tgp"
    )]
    Make {
        /// The build that devices have.
        base: PathBuf,
        /// The build that they shall have.
        result: PathBuf,
        /// The patch to write; what is there is replaced.
        out: PathBuf,
        /// The most memory to take, in MiB. With less, blocks are compared instead of everything with everything.
        #[arg(long, value_name = "MIB", default_value_t = tidegate_delta::DEFAULT_MEMORY >> 20,
            value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
        memory: u64,
    },
    /// Make the new build from the old one and a patch, as a device does.
    #[command(
        after_help = "Exit codes: 0 made, 1 wrong base or damaged patch, 2 wrong usage or unreadable file.
OUT appears when it is whole and has the SHA-256 that the patch promises; until then, a scratch file lies beside it.

Example:
  tidegate patch apply app-1.2.apk 1.2-1.3.tgp app-1.3.apk"
    )]
    Apply {
        /// The build that the patch was made from.
        base: PathBuf,
        /// The patch.
        patch: PathBuf,
        /// The build to write; what is there is replaced.
        out: PathBuf,
    },
    /// Print what a patch says about itself: from which file to which, how large, what applying takes.
    #[command(
        after_help = "Exit codes: 0 printed, 1 not a patch or damaged, 2 wrong usage or unreadable file."
    )]
    Info {
        /// The patch.
        patch: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
