//! LEB128: seven bits a byte, lowest first, the high bit says that more follow. Only the shortest
//! form is read, so that equal records are equal bytes.

/// Enough for a `u64`.
pub(crate) const VARINT_SIZE_MAX: usize = 10;

pub(crate) fn write(mut value: u64, target: &mut Vec<u8>) {
    while value >= 0x80 {
        target.push(value as u8 | 0x80);
        value >>= 7;
    }
    target.push(value as u8);
}

/// Takes one varint off the front of `source`; `None` if it is cut short, too long or too large.
pub(crate) fn read(source: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (index, &byte) in source.iter().enumerate().take(VARINT_SIZE_MAX) {
        let bits = u64::from(byte & 0x7f);
        if index == VARINT_SIZE_MAX - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || index == 0;
            *source = &source[index + 1..];
            return shortest.then_some(value);
        }
    }
    None
}
