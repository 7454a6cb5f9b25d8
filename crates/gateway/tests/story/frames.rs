//! Frames of HTTP/2, written by hand: no library sends what a hostile peer does.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9113#section-4>, and
//! <https://www.rfc-editor.org/rfc/rfc7541#section-6> for the heads.

#![allow(dead_code, reason = "each of the two test programs that have it uses a part")]

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

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
    // `:method: GET` and `:scheme: http`, by their numbers in the static table.
    let mut head = vec![0x82, 0x86];
    head.extend(field(4, path));
    head.extend(field(1, "h"));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)
}

/// The head of a gRPC call, whose message is still to come.
pub(crate) fn call(stream: u32, path: &str) -> Vec<u8> {
    let mut head = vec![0x83, 0x86];
    head.extend(field(4, path));
    head.extend(field(1, "h"));
    head.extend(named("content-type", "application/grpc"));
    head.extend(named("te", "trailers"));
    frame(HEADERS, END_HEADERS, stream, &head)
}

/// A part of a message.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// A head that goes on, and perhaps never ends.
pub(crate) fn half_head(stream: u32, path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x86];
    head.extend(field(4, path));
    frame(HEADERS, 0, stream, &head)
}

pub(crate) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[0; 8])
}

/// Takes the whole frames that are in `read`, and returns for how many more bytes the server gives leave on the connection.
pub(crate) fn leave(read: &mut Vec<u8>) -> usize {
    let mut more = 0;
    while read.len() >= 9 {
        let length = usize::from(read[0]) << 16 | usize::from(read[1]) << 8 | usize::from(read[2]);
        if read.len() < 9 + length {
            break;
        }
        let frame: Vec<u8> = read.drain(..9 + length).collect();
        let is_of_connection = frame[5..9] == [0; 4];
        if frame[3] == WINDOW_UPDATE && is_of_connection {
            let window = [frame[9], frame[10], frame[11], frame[12]];
            more += usize::try_from(u32::from_be_bytes(window)).unwrap();
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
