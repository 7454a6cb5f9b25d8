//! Which settings of zlib lead to an entry's very bytes.

use crate::Error;
use crate::zlib::{Deflater, Settings, Strategy};

/// How much of an entry is compressed to see whether settings are worth a look at all: some blocks.
const PREFIX: usize = 64 * 1024;
/// After so many entries in a row that nothing reproduces, only what has worked before and the likeliest are tried:
/// the archive comes from a tool that isn't zlib.
const PATIENCE: usize = 12;
/// Levels by how often build tools use them: zip's and Gradle's default, the best, the fastest.
const LEVELS: [u8; 9] = [6, 9, 1, 5, 8, 7, 4, 3, 2];
const WINDOW: u8 = 15;

/// Finds settings, and learns which an archive uses.
#[derive(Debug, Default)]
pub(super) struct Reproducer {
    /// Those that have worked, the last one first.
    known: Vec<Settings>,
    failures: usize,
}

impl Reproducer {
    /// The settings that make `packed` of `plain`, if there are any.
    pub(super) fn find(&mut self, plain: &[u8], packed: &[u8]) -> Result<Option<Settings>, Error> {
        let others = candidates().filter(|settings| !self.known.contains(settings));
        let most = if self.failures < PATIENCE { usize::MAX } else { 3 };
        let mut found = None;
        for settings in self.known.iter().copied().chain(others.take(most)) {
            if reproduces(settings, plain, packed)? {
                found = Some(settings);
                break;
            }
        }
        match found {
            Some(settings) => {
                self.failures = 0;
                self.known.retain(|known| *known != settings);
                self.known.insert(0, settings);
            }
            None => self.failures += 1,
        }
        Ok(found)
    }
}

/// All that is tried, the likeliest first.
fn candidates() -> impl Iterator<Item = Settings> {
    let of = |strategy, memory| {
        LEVELS
            .into_iter()
            .filter_map(move |level| Settings::new(level, WINDOW, memory, strategy))
    };
    let levelled = [
        (Strategy::Default, 8),
        (Strategy::Default, 9),
        (Strategy::Filtered, 8),
        (Strategy::Filtered, 9),
        (Strategy::Fixed, 8),
        (Strategy::Fixed, 9),
    ];
    let flat = [Strategy::HuffmanOnly, Strategy::Rle]
        .into_iter()
        .flat_map(|strategy| [8, 9].map(|memory| (strategy, memory)));
    let levelled = levelled
        .into_iter()
        .flat_map(move |(strategy, memory)| of(strategy, memory));
    levelled.chain(flat.filter_map(|(strategy, memory)| Settings::new(6, WINDOW, memory, strategy)))
}

fn reproduces(settings: Settings, plain: &[u8], packed: &[u8]) -> Result<bool, Error> {
    let mut deflater = Deflater::new(settings)?;
    let mut output = Vec::new();
    for chunk in plain.chunks(PREFIX) {
        deflater.write(chunk, &mut output)?;
        if !packed.starts_with(&output) {
            return Ok(false);
        }
    }
    deflater.finish(&mut output)?;
    Ok(output == packed)
}
