//! From a key to its hash slot, as Redis Cluster does it.

/// Hash slots of a cluster.
pub const SLOT_COUNT: u16 = 16_384;

/// The hash slot of a key: CRC16 of what is between the first `{` and the next `}`, if that is
/// anything, else of the whole key.
pub fn slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOT_COUNT
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|&byte| byte == b'}') {
        None | Some(0) => key,
        Some(size) => &rest[..size],
    }
}

/// CRC-16/XMODEM: polynomial 0x1021, from zero, not reflected. Four bytes at a time: they do not wait
/// for each other.
fn crc16(bytes: &[u8]) -> u16 {
    let (fours, rest) = bytes.as_chunks::<4>();
    let crc = fours.iter().fold(0_u16, |crc, &[first, second, third, fourth]| {
        let [high, low] = [(crc >> 8) as u8, crc as u8];
        CRC16[3][usize::from(high ^ first)]
            ^ CRC16[2][usize::from(low ^ second)]
            ^ CRC16[1][usize::from(third)]
            ^ CRC16[0][usize::from(fourth)]
    });
    rest.iter().fold(crc, |crc, &byte| {
        let index = usize::from((crc >> 8) as u8 ^ byte);
        (crc << 8) ^ CRC16[0][index]
    })
}

/// What a byte does to the sum, with none to three more bytes behind it.
static CRC16: [[u16; 256]; 4] = {
    let mut tables = [[0; 256]; 4];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut behind = 0;
        while behind < 4 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
                bit += 1;
            }
            tables[behind][index] = crc;
            behind += 1;
        }
        index += 1;
    }
    tables
};
