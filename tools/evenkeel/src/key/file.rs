//! A root key in a file: 32 bytes, as 64 hexadecimal digits or as base64, with white space around them.
//!
//! Invariant: a key that others can read is not used.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use evenkeel_engine::keys::{KEY_SIZE, RootKey};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// Larger files hold something else, in bytes.
const FILE_SIZE_MAX: usize = 1024;
/// What others may not do, and what the group may not: write. (The group may read: where secrets are
/// mounted, it often has to.)
const FORBIDDEN: u32 = 0o027;

/// Reads the key.
///
/// # Errors
/// There is no such file, others can read it, or it holds no key.
pub(crate) fn read(path: &Path) -> Result<RootKey, Failure> {
    let name = path.display();
    let cannot = |error: io::Error| {
        let failure = Failure::new(Exit::Usage, format!("cannot read the key file `{name}`"));
        failure.because(&error).next(format!("`evenkeel key new {name}` makes one."))
    };
    let mut file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(Failure::new(Exit::Usage, format!("the key file `{name}` is no file")));
    }
    let mode = metadata.mode() & 0o777;
    if mode & FORBIDDEN != 0 {
        let what = format!("the key file `{name}` is open to others (its mode is {mode:03o})");
        return Err(Failure::new(Exit::Usage, what).next(format!("`chmod 600 {name}` closes it.")));
    }
    let mut text = Zeroizing::new([0; FILE_SIZE_MAX + 1]);
    let mut size = 0;
    while size < text.len() {
        match file.read(&mut text[size..]).map_err(cannot)? {
            0 => break,
            count => size += count,
        }
    }
    parse(&text[..size]).map_err(|why| {
        Failure::new(Exit::Usage, format!("the key file `{name}` holds no key: {why}")).next(
            "It should hold 32 random bytes as 64 hexadecimal digits or as base64; \
             `evenkeel key new FILE` makes one.",
        )
    })
}

/// Writes a key into a new file that only its owner can read, and makes it durable.
///
/// # Errors
/// The file is there already, or cannot be written.
pub(crate) fn make(path: &Path, key: &[u8; KEY_SIZE]) -> Result<RootKey, Failure> {
    let name = path.display();
    let cannot = |error: io::Error| {
        let failure = Failure::new(Exit::Usage, format!("cannot make the key file `{name}`"));
        let failure = failure.because(&error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failure.next("Choose another name: a key that is lost takes the data with it.")
            }
            _ => failure,
        }
    };
    let mut text = Zeroizing::new(Vec::with_capacity(2 * KEY_SIZE + 1));
    for byte in key {
        text.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
    text.push(b'\n');
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(cannot)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(cannot)?;
    parent.sync_all().map_err(cannot)?;
    Ok(RootKey::new(*key))
}

fn parse(text: &[u8]) -> Result<RootKey, String> {
    if FILE_SIZE_MAX < text.len() {
        return Err(format!("it is larger than {FILE_SIZE_MAX} bytes"));
    }
    let text = text.trim_ascii();
    let mut key = Zeroizing::new([0; KEY_SIZE]);
    let is_read = match text.len() {
        64 => read_hex(text, &mut key),
        43 | 44 => read_base64(text, &mut key),
        size => return Err(format!("it has {size} characters, not 64 or 44")),
    };
    if !is_read {
        return Err("it is neither hexadecimal nor base64".to_owned());
    }
    if key.iter().all(|byte| *byte == key[0]) {
        return Err("all its bytes are the same, so it is not random".to_owned());
    }
    Ok(RootKey::new(*key))
}

fn read_hex(text: &[u8], key: &mut [u8; KEY_SIZE]) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = (high << 4 | low) as u8;
    }
    true
}

/// RFC 4648, of either alphabet, with or without padding; 43 digits are 32 bytes and two bits of zero.
fn read_base64(text: &[u8], key: &mut [u8; KEY_SIZE]) -> bool {
    let digits = match text.strip_suffix(b"=") {
        Some(digits) if digits.len() == 43 => digits,
        None if text.len() == 43 => text,
        _ => return false,
    };
    let (mut bits, mut count, mut size) = (0_u32, 0, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if 8 <= count {
            count -= 8;
            key[size] = (bits >> count) as u8;
            size += 1;
        }
    }
    size == KEY_SIZE && bits & 3 == 0
}

#[cfg(test)]
mod tests;
