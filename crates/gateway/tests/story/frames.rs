//! Frames of HTTP/2, written by hand: no library sends what a hostile peer does.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9113#section-4>, and
//! <https://www.rfc-editor.org/rfc/rfc7541#section-6> for the heads.

#![allow(dead_code, reason = "each of the two test programs that have it uses a part")]

const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// How many bytes of bodies may go out before the server gives leave for more.
pub(crate) const FIRST_WINDOW: usize = 65_535;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u16 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// How a client begins, with so large a window for each answer.
pub(crate) fn opening(window: u32) -> Vec<u8> {
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut settings = INITIAL_WINDOW.to_be_bytes().to_vec();
    settings.extend(window.to_be_bytes());
    opening.extend(frame(SETTINGS, 0, 0, &settings));
    opening
}

/// A whole GET.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    get_with(stream, path, &[])
}

/// The same with more fields.
pub(crate) fn get_with(stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // `:method: GET` and `:scheme: http`, by their numbers in the static table.
    head(0x82, END_STREAM, stream, path, fields)
}

/// The head of a POST, whose body is still to come.
pub(crate) fn post(stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    head(0x83, 0, stream, path, fields)
}

/// The head of a GET, whose body is still to come.
pub(crate) fn get_with_body(stream: u32, path: &str) -> Vec<u8> {
    head(0x82, 0, stream, path, &[])
}

fn head(method: u8, flags: u8, stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut head = vec![method, 0x86];
    head.extend(field(4, path));
    head.extend(field(1, "h"));
    for (name, value) in fields {
        head.extend(named(name, value));
    }
    frame(HEADERS, END_HEADERS | flags, stream, &head)
}

/// The head of a gRPC call, whose message is still to come.
pub(crate) fn call(stream: u32, path: &str) -> Vec<u8> {
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    post(stream, path, &fields)
}

/// A part of a message.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// The end of a body.
pub(crate) fn end(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, &[])
}

/// A head that goes on, and perhaps never ends.
pub(crate) fn half_head(stream: u32, path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x86];
    head.extend(field(4, path));
    frame(HEADERS, 0, stream, &head)
}

/// That the server's settings are followed. Until it hears that, it holds to the protocol's own.
pub(crate) fn settings_followed() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

pub(crate) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[0; 8])
}

/// A frame that came.
pub(crate) struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// For how many more bytes it gives leave, and on which stream; 0 for the connection.
    pub(crate) fn leave(&self) -> Option<(u32, usize)> {
        let window = u32::from_be_bytes(*self.payload.first_chunk().unwrap_or(&[0; 4]));
        (self.kind == WINDOW_UPDATE).then(|| (self.stream, usize::try_from(window).unwrap()))
    }

    /// For how many bytes it gives leave on each stream at first.
    pub(crate) fn first_leave(&self) -> Option<usize> {
        let settings = self.payload.chunks_exact(6).filter(|_| self.kind == SETTINGS);
        let mut windows = settings.filter(|setting| setting[..2] == INITIAL_WINDOW.to_be_bytes());
        let window = windows.next()?.last_chunk()?;
        Some(usize::try_from(u32::from_be_bytes(*window)).unwrap())
    }
}

/// Takes the next frame that is whole in `read`.
pub(crate) fn next(read: &mut Vec<u8>) -> Option<Frame> {
    let head: [u8; 9] = *read.first_chunk()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    if read.len() < 9 + length {
        return None;
    }
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload: read.drain(..9 + length).skip(9).collect(),
    })
}

/// Takes the whole frames that are in `read`, and returns for how many more bytes the server gives leave on the connection.
pub(crate) fn leave(read: &mut Vec<u8>) -> usize {
    let mut more = 0;
    while let Some(frame) = next(read) {
        if let Some((0, window)) = frame.leave() {
            more += window;
        }
    }
    more
}

/// A field whose name stands in the static table, without indexing.
fn field(name: u8, value: &str) -> Vec<u8> {
    let mut field = vec![name];
    field.extend(text(value));
    field
}

fn named(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    field.extend(text(name));
    field.extend(text(value));
    field
}

/// A text of at most 126 bytes.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}
