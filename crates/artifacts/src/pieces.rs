//! A file's bytes in pieces that are as large as their taker is fast.
//!
//! What the system has in memory is read at once: a hop to a thread that may wait costs more than the copy. A piece's memory
//! is used for the next one when nobody holds it any more.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt as _};
use rustix::fs::{Advice, fadvise};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// What a slow taker holds; a thousand of them hold this much each.
const SMALLEST: usize = 16 * 1024;
/// What a processor's cache holds beside other things.
const LARGEST: usize = 256 * 1024;
/// A piece is this part of what was taken without a pause: the system takes the first hundred kilobytes for a slow taker at
/// once.
const PART: u64 = 8;
/// Who comes for the next piece later than this has made a pause.
const PAUSE: Duration = Duration::from_millis(50);

/// The bytes `range` of a file; a file that ends before is an error.
pub(crate) fn pieces(file: File, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
    // A hint; a system that doesn't take it reads ahead less.
    let _ = fadvise(&file, range.start, None, Advice::Sequential);
    let reading = Reading {
        file: Arc::new(file),
        left: range,
        size: SMALLEST,
        taken: 0,
        buffer: Bytes::new(),
        handed_out: None,
    };
    stream::try_unfold(reading, Reading::next).boxed()
}

struct Reading {
    file: Arc<File>,
    left: Range<u64>,
    /// Of the next piece.
    size: usize,
    /// Bytes that were taken since the last pause.
    taken: u64,
    /// That of the last piece.
    buffer: Bytes,
    handed_out: Option<Instant>,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        self.fit();
        let buffer = self.take_buffer();
        let length = self.length();
        let (buffer, read) = match read_cached(&self.file, buffer, length, self.left.start) {
            (buffer, Some(read)) => (buffer, read),
            (buffer, None) => read_from_disk(&self.file, buffer, length, self.left.start).await?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left.start += read as u64;
        self.taken += read as u64;
        self.buffer = buffer.freeze();
        #[allow(clippy::disallowed_methods, reason = "how fast the taker really is")]
        let now = Instant::now();
        self.handed_out = Some(now);
        Ok(Some((self.buffer.slice(..read), self)))
    }

    /// Makes the next piece as large as fits its taker.
    fn fit(&mut self) {
        if self.handed_out.is_some_and(|at| at.elapsed() > PAUSE) {
            self.taken = 0;
        }
        let fitting = usize::try_from(self.taken / PART).unwrap_or(LARGEST);
        // A power of two, so that pieces begin where the system's pages do.
        self.size = 1 << fitting.clamp(SMALLEST, LARGEST).ilog2();
    }

    /// So many bytes that the next piece begins at a multiple of the size.
    fn length(&self) -> usize {
        let into = usize::try_from(self.left.start % self.size as u64).unwrap_or(0);
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        left.min(self.size - into)
    }

    fn take_buffer(&mut self) -> BytesMut {
        match std::mem::take(&mut self.buffer).try_into_mut() {
            Ok(buffer) if buffer.len() == self.size => buffer,
            _ => BytesMut::zeroed(self.size),
        }
    }
}

/// What the system has in memory; `None` where it would have to wait for the disk, or can't tell.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, mut buffer: BytesMut, length: usize, at: u64) -> (BytesMut, Option<usize>) {
    use std::io::IoSliceMut;

    use rustix::io::{ReadWriteFlags, preadv2};

    let mut parts = [IoSliceMut::new(&mut buffer[..length])];
    let read = preadv2(file, &mut parts, at, ReadWriteFlags::NOWAIT).ok();
    (buffer, read)
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, buffer: BytesMut, _: usize, _: u64) -> (BytesMut, Option<usize>) {
    (buffer, None)
}

async fn read_from_disk(
    file: &Arc<File>,
    mut buffer: BytesMut,
    length: usize,
    at: u64,
) -> io::Result<(BytesMut, usize)> {
    let file = Arc::clone(file);
    let reading = spawn_blocking(move || {
        let read = file.read_at(&mut buffer[..length], at)?;
        Ok((buffer, read))
    });
    reading.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures::TryStreamExt as _;

    use super::*;

    /// A file of a megabyte, of which no two pieces are alike.
    fn file() -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..1_000_003_u32 / 4).flat_map(u32::to_le_bytes).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[tokio::test]
    async fn the_pieces_of_a_range_are_its_bytes() {
        let (file, bytes) = file();
        let whole = bytes.len();
        for range in [0..whole, 0..1, whole - 1..whole, 16_383..16_385, 100_001..900_007] {
            let asked = range.start as u64..range.end as u64;
            let got: Vec<Bytes> = pieces(file.try_clone().unwrap(), asked)
                .try_collect()
                .await
                .unwrap();
            assert_eq!(got.concat(), bytes[range]);
        }
    }

    #[tokio::test]
    async fn what_is_read_from_the_disk_is_the_same() {
        let (file, bytes) = file();
        let file = Arc::new(file);
        let (buffer, read) = read_from_disk(&file, BytesMut::zeroed(100), 60, 1_000)
            .await
            .unwrap();
        assert_eq!((read, &buffer[..60]), (60, &bytes[1_000..1_060]));
    }

    #[tokio::test]
    async fn a_file_that_ends_before_the_range_is_an_error() {
        let (file, bytes) = file();
        let beyond = bytes.len() as u64 + 1;
        let error = pieces(file, 0..beyond).try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_is_as_large_as_its_taker_is_fast() {
        let (file, _) = file();
        let mut pieces = pieces(file, 0..1_000_000);
        let (mut taken, mut sizes) = (0, vec![]);
        while taken < 600_000 {
            let piece = pieces.try_next().await.unwrap().unwrap();
            taken += piece.len();
            sizes.push(piece.len() / 1024);
        }
        assert_eq!((sizes[0], sizes[15], *sizes.last().unwrap()), (16, 16, 64));
        tokio::time::sleep(PAUSE * 2).await;
        let piece = pieces.try_next().await.unwrap().unwrap();
        assert_eq!(piece.len() / 1024, 16, "after a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_somebody_still_holds_is_not_written_over() {
        let (file, bytes) = file();
        let held: Vec<Bytes> = pieces(file, 0..500_000).try_collect().await.unwrap();
        assert_eq!(held.concat(), bytes[..500_000]);
    }
}
