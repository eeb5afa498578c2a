//! A backup file from anywhere: reading it must not panic, what is read to the end is written again byte
//! for byte, and of a file that was written no bit may change unnoticed.
#![no_main]

use evenkeel_wire::backup::{self, Damage, Entry, Frame, Header, PartBuilder, Reader, Writer};
use libfuzzer_sys::fuzz_target;

/// Reads all of a file, and writes what it says.
fn again(mut bytes: &[u8]) -> Result<Vec<u8>, Damage> {
    let (mut reader, mut writer, mut target) = (Reader::new(), None::<Writer>, Vec::new());
    while let Some((frame, size)) = reader.next(bytes)? {
        assert!(size <= reader.needs(bytes) && size <= bytes.len());
        match (frame, &mut writer) {
            (Frame::Header(header), _) => writer = Some(Writer::begin(&header, &mut target)),
            (Frame::Part(shard, entries), Some(writer)) => {
                let mut part = PartBuilder::new(shard);
                for entry in entries.iter() {
                    if !part.has_room(entry.key.len(), entry.value.len()) {
                        return Ok(Vec::new()); // Larger than ours, and none of ours.
                    }
                    part.push(&entry);
                }
                assert_eq!(part.count(), entries.count());
                if !writer.part(&part.finish(), &mut target) {
                    return Ok(Vec::new()); // Without any key.
                }
            }
            (Frame::ShardEnd(end), Some(writer)) => {
                assert_eq!(writer.end_shard(end.position, end.taken_ms, &mut target), end);
            }
            (Frame::End(end), _) => {
                let writer = writer.take().expect("a file begins with its header");
                assert_eq!(writer.end(end.finished_ms, &mut target), end);
            }
            (_, None) => unreachable!("a file begins with its header"),
        }
        bytes = &bytes[size..];
    }
    reader.at_end(bytes.len())?;
    Ok(target)
}

/// A small file with keys from these bytes.
fn file(bytes: &[u8]) -> Vec<u8> {
    let header = Header {
        id: 1 + bytes.len() as u64,
        cluster: 2,
        epoch: 3,
        started_ms: 4,
        shard_count: 2,
        software: "fuzz".to_string(),
    };
    let mut target = Vec::new();
    let mut writer = Writer::begin(&header, &mut target);
    for (shard, bytes) in (0..).zip([&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]]) {
        let mut part = PartBuilder::new(shard);
        for key in bytes.chunks(7) {
            if part.has_room(key.len(), bytes.len().min(32)) {
                let value = &bytes[..bytes.len().min(32)];
                part.push(&Entry { key, value, expires_at_ms: u64::from(key[0]) });
            }
        }
        if part.count() != 0 {
            assert!(writer.part(&part.finish(), &mut target));
        }
        writer.end_shard(5, 6, &mut target);
    }
    writer.end(7, &mut target);
    target
}

fuzz_target!(|bytes: &[u8]| {
    if let Some((shard, entries)) = backup::part(bytes) {
        let size: usize =
            entries.iter().map(|entry| 16 + entry.key.len() + entry.value.len()).sum();
        assert_eq!((size, entries.iter().count()), (entries.size(), entries.count() as usize));
        let _any = shard;
    }
    if let Ok(written) = again(bytes) {
        assert!(written.is_empty() || written == bytes);
    }
    let Some((places, keys)) = bytes.split_first_chunk::<4>() else { return };
    let whole = file(keys);
    assert_eq!(again(&whole).as_ref(), Ok(&whole));
    let place = u32::from_le_bytes(*places) as usize;
    let mut flipped = whole.clone();
    flipped[place / 8 % whole.len()] ^= 1 << (place % 8);
    assert!(again(&flipped).is_err());
    assert!(again(&whole[..place % whole.len()]).is_err());
});
