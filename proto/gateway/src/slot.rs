//! The hash slot of a key, as cluster clients compute it: `CLUSTER KEYSLOT` is theirs to check against.
//! (Where a key really lives, the node decides, with its own copy of this rule.)

/// How many slots there are.
const SLOT_COUNT: u16 = 16_384;

/// CRC-16/XMODEM of the key, or of what stands between its first `{` and the next `}` if that is not
/// empty. Redis cluster specification, "Keys hash tags".
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let behind = &key[open + 1..];
        let size = behind.iter().position(|&byte| byte == b'}')?;
        (size > 0).then(|| &behind[..size])
    });
    crc16(tag.unwrap_or(key)) % SLOT_COUNT
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOT_COUNT);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }
}
