use super::*;
use crate::batch::BatchBuilder;
use crate::limits::RECORD_PAYLOAD_SIZE_MAX;

fn record(kind: RecordKind, payload: &[u8]) -> Record<'_> {
    Record { kind, stream: 1, position: 2, stamp: [3, 4], commit: 5, payload }
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let bytes = (0..size).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    bytes.collect()
}

fn pack(packer: &mut Packer, payload: &[u8]) -> Option<Vec<u8>> {
    packer.compress(&record(RecordKind::Entry, payload)).map(<[u8]>::to_vec)
}

#[test]
fn a_payload_is_compressed_from_256_bytes_on_if_that_saves_an_eighth() {
    let mut packer = Packer::new(true, None);
    assert_eq!(pack(&mut packer, &[7; 255]), None);
    for size in [256, 65_534, 65_535, 65_536, RECORD_PAYLOAD_SIZE_MAX] {
        let payload: Vec<u8> = b"name, rank, number; ".iter().copied().cycle().take(size).collect();
        let packed = pack(&mut packer, &payload).expect("it repeats itself");
        assert!(packed.len() <= size - size / 8);
        assert_eq!(expand(&packed, size).as_deref(), Some(&payload[..]));
    }
    // One part repeats, the rest does not: what is saved decides.
    let mut saved = Vec::new();
    for same in 0..16 {
        let mut payload = noise(1024);
        payload[..same * 32].fill(7);
        let mut packer = Packer::new(true, None);
        saved.push(pack(&mut packer, &payload).is_some());
    }
    assert!(!saved[3] && saved[7] && saved.is_sorted(), "{saved:?}");
    assert_eq!(pack(&mut Packer::new(false, None), &[7; 1024]), None);
}

#[test]
fn several_values_in_one_record_are_not_compressed() {
    let mut packer = Packer::new(true, None);
    for count in 1..3 {
        let mut batch = BatchBuilder::new(&[0; 300]);
        (0..count).for_each(|key| batch.put(&[key], &[7; 300], 0));
        let payload = batch.finish();
        for kind in [RecordKind::Entry, RecordKind::Item, RecordKind::Moved] {
            let packed = packer.compress(&record(kind, &payload)).is_some();
            assert_eq!(packed, count == 1, "{kind:?} with {count} values");
        }
        // These are not values.
        assert!(packer.compress(&record(RecordKind::Page, &payload)).is_some());
    }
}

#[test]
fn what_does_not_compress_is_soon_hardly_tried_any_more() {
    let mut packer = Packer::new(true, None);
    let noise = noise(1024);
    for _ in 0..164 {
        assert_eq!(pack(&mut packer, &noise), None);
    }
    assert_eq!(packer.counts.futile, 14);
    let mut tries = 0;
    while pack(&mut packer, &[7; 1024]).is_none() {
        tries += 1;
    }
    assert!(tries < TRIED_ONE_IN, "it looks again after {tries}");
    assert!(pack(&mut packer, &[7; 1024]).is_some(), "and from then on all are tried");
}

#[test]
fn a_stream_that_is_none_expands_to_nothing() {
    let mut packer = Packer::new(true, None);
    let packed = pack(&mut packer, &[7; 1024]).expect("it repeats itself");
    assert_eq!(expand(&packed, 1023), None);
    assert_eq!(expand(&packed, 1025), None);
    assert_eq!(expand(&packed[..packed.len() - 1], 1024), None);
    assert_eq!(expand(&[], 1), None);
    assert_eq!(expand(&noise(64), 4096), None);
}
