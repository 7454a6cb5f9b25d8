//! C zlib's stream: the only `unsafe` of the workspace.
//!
//! What has to hold, and holds for the whole life of a [`Stream`]:
//!
//! - `z_stream` lives in memory of its own that is never moved: zlib's state points back to it and compares.
//! - It is reached through one raw pointer that nobody else has. No reference to it is made, so none can be outdated by
//!   what zlib writes through the pointer that it keeps.
//! - zlib reads from no slice and writes to none after the call that it was lent for: both pointers are nulled.

#![expect(unsafe_code, reason = "zlib is C; nothing in safe Rust gives its very bytes")]
#![deny(clippy::undocumented_unsafe_blocks)]

use std::ffi::{CStr, c_int};
use std::mem::size_of;
use std::ptr::{self, NonNull};

use libz_sys::{
    Z_BUF_ERROR, Z_DEFLATED, Z_FINISH, Z_MEM_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, deflate, deflateEnd,
    deflateInit2_, uInt, z_stream, zlibVersion,
};

use super::Settings;
use crate::Error;

/// The version whose bytes the tests have compared. Others (the system's, Chromium's on Android, zlib-ng's) name
/// themselves otherwise, and are not used.
const VERSION: &CStr = c"1.4";

/// How far a call of zlib came.
pub(super) struct Step {
    /// The bytes of the input that it took.
    pub(super) taken: usize,
    /// The bytes of the output that it wrote.
    pub(super) made: usize,
    /// Whether the stream has ended.
    pub(super) ended: bool,
}

/// A deflate stream of C zlib.
#[derive(Debug)]
pub(super) struct Stream(NonNull<z_stream>);

// SAFETY: the pointer is this value's alone, and zlib keeps nothing that belongs to a thread: its memory is malloc's.
unsafe impl Send for Stream {}

impl Stream {
    pub(super) fn new(settings: Settings) -> Result<Stream, Error> {
        if linked() != VERSION {
            return Err(Error::Compressor("another zlib is linked than was tested"));
        }
        let [level, window, memory, strategy] = settings.numbers().map(c_int::from);
        // Zeros are what zlib asks for: with no functions named it allocates by malloc, and names its own here.
        let stream = Box::into_raw(Box::<z_stream>::new_zeroed()).cast::<z_stream>();
        // Negative: no header or trailer around the stream.
        let window = -window;
        // What is still not a z_stream in Rust's eyes (its functions are null) is only pointed to.
        let size = c_int::try_from(size_of::<z_stream>()).unwrap_or(0);
        // SAFETY: `stream` points to a zeroed z_stream, `VERSION` to a text with a zero at its end. zlib compares the size
        // and the settings, and answers with a number if it doesn't like them.
        let code = unsafe {
            deflateInit2_(
                stream,
                level,
                Z_DEFLATED,
                window,
                memory,
                strategy,
                VERSION.as_ptr(),
                size,
            )
        };
        match NonNull::new(stream) {
            Some(stream) if code == Z_OK => Ok(Stream(stream)),
            _ => {
                // SAFETY: it came out of `Box::into_raw` above. zlib gave back what it had taken before it refused.
                drop(unsafe { Box::from_raw(stream.cast::<std::mem::MaybeUninit<z_stream>>()) });
                Err(refused(code))
            }
        }
    }

    /// One call of zlib: takes from `input` and writes to `output` as much as either allows, up to 4 GiB. `last`: nothing comes
    /// after this input.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Step, Error> {
        let stream = self.0.as_ptr();
        let flush = if last { Z_FINISH } else { Z_NO_FLUSH };
        let (given, room) = (length(input.len()), length(output.len()));
        // SAFETY: `new` made and initialised the stream, and `&mut self` says that nobody else is at it. zlib reads at
        // most `given` bytes of `input` (its pointer is `*mut` only because C came before `const`), and writes at most
        // `room` bytes of `output`; both slices live longer than this block, after which zlib knows neither.
        let (code, left, unused) = unsafe {
            (*stream).next_in = input.as_ptr().cast_mut();
            (*stream).avail_in = given;
            (*stream).next_out = output.as_mut_ptr();
            (*stream).avail_out = room;
            let code = deflate(stream, flush);
            let (left, unused) = ((*stream).avail_in, (*stream).avail_out);
            (*stream).next_in = ptr::null_mut();
            (*stream).avail_in = 0;
            (*stream).next_out = ptr::null_mut();
            (*stream).avail_out = 0;
            (code, left, unused)
        };
        // "Buffer error": there was nothing to do, which is no error.
        if ![Z_OK, Z_STREAM_END, Z_BUF_ERROR].contains(&code) {
            return Err(refused(code));
        }
        Ok(Step {
            taken: given.saturating_sub(left) as usize,
            made: room.saturating_sub(unused) as usize,
            ended: code == Z_STREAM_END,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: `new` initialised it, and it is ended only here. That the stream is not whole is no concern of ours.
        unsafe { deflateEnd(self.0.as_ptr()) };
        // SAFETY: the pointer came out of `Box::into_raw` in `new`, and zlib has just let go of it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The version of the zlib that the program runs with.
fn linked() -> &'static CStr {
    // SAFETY: it takes nothing, and gives a text that is a constant of the library and has a zero at its end.
    unsafe { CStr::from_ptr(zlibVersion()) }
}

/// The length that zlib is told: what doesn't fit into 32 bits comes with the next call.
fn length(bytes: usize) -> uInt {
    uInt::try_from(bytes).unwrap_or(uInt::MAX)
}

fn refused(code: c_int) -> Error {
    Error::Compressor(match code {
        Z_MEM_ERROR => "there is no memory for it",
        _ => "zlib refuses to work",
    })
}
