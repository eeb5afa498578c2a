use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;

fn header(shard_count: u32) -> Header {
    Header {
        id: 0x1122_3344_5566_7788,
        cluster: 7,
        epoch: 3,
        started_ms: 1_000,
        shard_count,
        software: "evenkeel 0.1.0".to_string(),
    }
}

fn part_of(shard: u32, keys: &[&str]) -> bytes::Bytes {
    let mut part = PartBuilder::new(shard);
    for (index, key) in (0..).zip(keys) {
        let value = format!("value of {key}");
        let (key, value) = (key.as_bytes(), value.as_bytes());
        part.push(&Entry { key, value, expires_at_ms: index * 5 });
    }
    part.finish()
}

/// Each frame of a backup of three shards, the second of them empty.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = vec![Vec::new()];
    let mut writer = Writer::begin(&header(3), &mut frames[0]);
    let mut frame = |write: &mut dyn FnMut(&mut Vec<u8>)| {
        let mut target = Vec::new();
        write(&mut target);
        frames.push(target);
    };
    frame(&mut |target| assert!(writer.part(&part_of(0, &["a", "b"]), target)));
    frame(&mut |target| assert!(writer.part(&part_of(0, &["c"]), target)));
    frame(&mut |target| {
        writer.end_shard(11, 1_001, target);
    });
    frame(&mut |target| {
        writer.end_shard(0, 1_002, target);
    });
    frame(&mut |target| assert!(writer.part(&part_of(2, &["", "e"]), target)));
    frame(&mut |target| {
        writer.end_shard(22, 1_003, target);
    });
    frame(&mut |target| {
        writer.clone().end(1_004, target);
    });
    frames
}

/// Reads a whole file; the keys in it, and where the shards were.
fn read(mut bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Vec<ShardEnd>), Damage> {
    let (mut reader, mut keys, mut shards) = (Reader::new(), Vec::new(), Vec::new());
    while let Some((frame, size)) = reader.next(bytes)? {
        assert!(size <= reader.needs(bytes), "what is needed is enough");
        match frame {
            Frame::Part(_, entries) => keys.extend(entries.iter().map(|entry| entry.key.to_vec())),
            Frame::ShardEnd(end) => shards.push(end),
            Frame::Header(read) => assert_eq!(read, header(3)),
            Frame::End(end) => assert_eq!(end.finished_ms, 1_004),
        }
        bytes = &bytes[size..];
    }
    reader.at_end(bytes.len())?;
    Ok((keys, shards))
}

#[test]
fn what_is_written_is_read() {
    let (keys, shards) = read(&frames().concat()).unwrap();
    assert_eq!(keys, [&b"a"[..], b"b", b"c", b"", b"e"]);
    let positions: Vec<u64> = shards.iter().map(|end| end.position).collect();
    let counts: Vec<u64> = shards.iter().map(|end| end.size.key_count).collect();
    assert_eq!((positions, counts), (vec![11, 0, 22], vec![3, 0, 2]));
}

#[test]
fn every_truncation_is_found() {
    let whole = frames().concat();
    for size in 0..whole.len() {
        let damage = read(&whole[..size]).unwrap_err();
        let expected = if size == 0 { Fault::NotABackup } else { Fault::CutOff };
        assert_eq!(damage.fault, expected, "{size} bytes");
        assert!(damage.offset <= size as u64);
    }
    let mut longer = whole.clone();
    longer.push(0);
    let damage = Damage { offset: whole.len() as u64, fault: Fault::Trailing };
    assert_eq!(read(&longer), Err(damage));
}

#[test]
fn every_flipped_bit_is_found_in_the_frame_where_it_is() {
    let frames = frames();
    let whole = frames.concat();
    let mut start = 0;
    for frame in &frames {
        for bit in 0..frame.len() * 8 {
            let mut damaged = whole.clone();
            damaged[start + bit / 8] ^= 1 << (bit % 8);
            let damage = read(&damaged).expect_err("a bit is wrong");
            // A size may have become so large that the file seems to end.
            assert_eq!(damage.offset, start as u64, "bit {bit} of the frame at {start}: {damage}");
        }
        start += frame.len();
    }
}

#[test]
fn a_frame_that_is_missing_or_doubled_or_out_of_order_is_found() {
    let frames = frames();
    for index in 0..frames.len() {
        let mut missing = frames.clone();
        missing.remove(index);
        assert!(read(&missing.concat()).is_err(), "frame {index} is missing");
        let mut doubled = frames.clone();
        doubled.insert(index, frames[index].clone());
        assert!(read(&doubled.concat()).is_err(), "frame {index} is there twice");
        for other in 0..index {
            let mut swapped = frames.clone();
            swapped.swap(index, other);
            assert!(read(&swapped.concat()).is_err(), "frames {index} and {other} are swapped");
        }
    }
}

/// Goal: a good frame of another backup is found out. Method: the same backup under another id, with one
/// of its frames in the place where this one has the same.
#[test]
fn a_frame_of_another_backup_is_found() {
    let ours = frames();
    let mut target = Vec::new();
    let mut writer = Writer::begin(&Header { id: 99, ..header(3) }, &mut target);
    let mut theirs = Vec::new();
    assert!(writer.part(&part_of(0, &["a", "b"]), &mut theirs));
    assert_eq!(theirs.len(), ours[1].len());
    let mut mixed = ours.clone();
    mixed[1] = theirs;
    let damage = Damage { offset: ours[0].len() as u64, fault: Fault::Head };
    assert_eq!(read(&mixed.concat()), Err(damage));
}

/// Goal: what was begun and given up leaves no trace. Method: a shard that is begun twice, the file cut
/// back in between.
#[test]
fn a_shard_can_be_taken_back_and_begun_again() {
    let mut file = Vec::new();
    let mut writer = Writer::begin(&header(3), &mut file);
    let before = writer.progress().clone();
    assert!(writer.part(&part_of(0, &["x", "y", "z"]), &mut file));
    file.truncate(before.offset as usize);
    writer.back_to(before);
    assert!(writer.part(&part_of(0, &["a", "b"]), &mut file));
    assert!(writer.part(&part_of(0, &["c"]), &mut file));
    writer.end_shard(11, 1_001, &mut file);
    writer.end_shard(0, 1_002, &mut file);
    assert!(writer.part(&part_of(2, &["", "e"]), &mut file));
    writer.end_shard(22, 1_003, &mut file);
    writer.end(1_004, &mut file);
    assert_eq!(file, frames().concat());
}

#[test]
fn what_is_no_part_of_the_shard_is_not_written() {
    let mut file = Vec::new();
    let mut writer = Writer::begin(&header(3), &mut file);
    let size = file.len();
    let good = part_of(0, &["a"]);
    assert!(!writer.part(&part_of(1, &["a"]), &mut file), "another shard's");
    assert!(!writer.part(&part_of(0, &[]), &mut file), "an empty one");
    assert!(!writer.part(&good[..good.len() - 1], &mut file), "one that is cut off");
    assert!(!writer.part(&[&good[..], b"x"].concat(), &mut file), "one that goes on");
    assert_eq!(file.len(), size);
}

#[test]
fn the_first_entry_always_has_room_and_the_next_only_within_the_size_of_a_part() {
    let value = vec![7; 1024 * 1024];
    let key = vec![1; 4096];
    let mut part = PartBuilder::new(0);
    part.push(&Entry { key: &key, value: &value, expires_at_ms: 0 });
    assert!(!part.has_room(0, 0));
    let finished = part.finish();
    assert!(finished.len() <= BODY_SIZE_MAX);
    let (_, entries) = super::part(&finished).unwrap();
    assert_eq!(entries.iter().next().unwrap().value, value);

    let mut part = PartBuilder::new(0);
    while part.has_room(10, 1_000) {
        part.push(&Entry { key: &key[..10], value: &value[..1_000], expires_at_ms: 0 });
    }
    let count = part.count();
    let size = part.finish().len();
    assert!(size <= PART_SIZE && PART_SIZE < size + 1_026, "{count} entries are {size} bytes");
}

#[test]
fn a_newer_format_is_named_and_not_called_damaged() {
    let mut file = frames().concat();
    file[4] = VERSION + 1;
    let checksum = head_checksum(0, 0, &file[..24]);
    file[24..28].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(read(&file).unwrap_err().fault, Fault::Newer(VERSION + 1));
}
