use std::rc::Rc;

use proptest::prelude::*;

use super::chunk::{self, Extent, Header};
use super::pack::Packer;
use super::record::{OpenError, RecordError};
use super::superblock::{self, Start, Superblock, SuperblockError, Tail};
use super::{Place, record, varint};
use crate::Identity;
use crate::disk::{BLOCK_SIZE, Buffer};
use crate::keys::{DirectoryKey, KEY_SIZE, KeyId, SALT_SIZE, Seed, Wrap};
use crate::limits::CHUNK_HEADER_SIZE;
use crate::record::{Record, RecordKind};

const PLACE: Place = Place { incarnation: 2, segment: 3, offset: 4096 };

fn sample() -> Record<'static> {
    let (kind, stream, stamp) = (RecordKind::Entry, 300, [7, 1]);
    Record { kind, stream, position: 9, stamp, commit: 8, payload: b"payload" }
}

fn header(payload: &[u8]) -> Header {
    Header {
        place: PLACE,
        recycled: true,
        aside: false,
        incarnation_start: 4,
        number: 5,
        first_sequence: 6,
        last_sequence: 6,
        durable_upto: 5,
        cluster: 10,
        node: 11,
        previous_checksum: 0x0403_0201,
        payload_size: payload.len() as u32,
        salt: None,
    }
}

fn plain() -> Packer {
    Packer::new(false, None)
}

fn encrypting(compress: bool) -> Packer {
    let key = DirectoryKey::draw(&Seed::new([1; KEY_SIZE])).data_key(2, &[3; SALT_SIZE]);
    Packer::new(compress, Some(Rc::new(key)))
}

/// For ever: a directory written today opens with any later release.
#[test]
fn a_record_is_the_bytes_of_the_table() {
    let mut bytes = Vec::new();
    record::encode(&sample(), 0, PLACE, &mut plain(), &mut bytes);
    assert_eq!(bytes[4..], *b"\x01\x00\xac\x02\x09\x07\x01\x08\x07payload");
    let mut covered = vec![2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 16, 0, 0];
    covered.extend_from_slice(&bytes[4..]);
    assert_eq!(bytes[..4], crc32fast::hash(&covered).to_le_bytes());
}

#[test]
fn a_chunk_is_the_bytes_of_the_table() {
    let (bytes, checksum) =
        chunk::encode(&header(b"records"), b"records", Buffer::zeroed(BLOCK_SIZE));
    let mut expected = b"EKCH\x03\x00\x01\x00\x07\x00\x00\x00".to_vec();
    expected.extend_from_slice(&crc32fast::hash(b"records").to_le_bytes());
    expected.extend_from_slice(&[1, 2, 3, 4, 3, 0, 0, 0, 0, 16, 0, 0]);
    for field in [2_u64, 4, 5, 6, 6, 5, 10, 11] {
        expected.extend_from_slice(&field.to_le_bytes());
    }
    expected.resize(CHUNK_HEADER_SIZE - 4, 0);
    assert_eq!(bytes[4..CHUNK_HEADER_SIZE], expected);
    assert_eq!(bytes[..4], crc32fast::hash(&expected).to_le_bytes());
    assert_eq!(bytes[..4], checksum.to_le_bytes());
    assert_eq!(bytes[CHUNK_HEADER_SIZE..][..7], *b"records");
    assert_eq!(bytes.len(), 4096);
}

#[test]
fn a_superblock_is_the_bytes_of_the_table() {
    let superblock = Superblock {
        generation: 3,
        identity: Identity { cluster: 1, node: 2, name: "oslo".to_owned() },
        incarnation: 4,
        incarnation_start: 5,
        durable_upto: 6,
        tail: Some(Tail { segment: 7, offset: 4096, number: 8, checksum: 9 }),
        start: Some(Start { segment: 5, offset: 8192, sequence: 4 }),
        wrap: None,
    };
    let copy = superblock.encode();
    let mut expected = b"EVENKEEL\x03\x00\x01\x04".to_vec();
    for field in [3_u64, 1, 2, 4, 5, 6] {
        expected.extend_from_slice(&field.to_le_bytes());
    }
    expected.extend_from_slice(&[7, 0, 0, 0, 0, 16, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
    expected.extend_from_slice(b"\0\0\0\0oslo");
    expected.resize(152 - 4, 0);
    expected.extend_from_slice(&[5, 0, 0, 0, 0, 32, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    expected.resize(4092, 0);
    assert_eq!(copy[4..], expected);
    assert_eq!(copy[..4], crc32fast::hash(&expected).to_le_bytes());
    assert_eq!(superblock.offset(), 4096);
    assert_eq!(Superblock::decode(&copy), Ok(superblock.clone()));

    let older = Superblock { generation: 2, ..superblock.clone() };
    let mut file = [older.encode().to_vec(), copy.to_vec()].concat();
    assert_eq!(superblock::choose(&file), Ok((superblock, 2)));
    file[5000] ^= 1;
    assert_eq!(superblock::choose(&file), Ok((older, 1)));
    file[0] ^= 1;
    assert_eq!(superblock::choose(&file), Err(SuperblockError::Damaged));
}

#[test]
fn a_record_is_itself_only_where_it_was_written() {
    let mut bytes = Vec::new();
    let size = record::encode(&sample(), 1, PLACE, &mut plain(), &mut bytes);
    let frame = record::decode(&bytes, PLACE).expect("it was written here");
    assert_eq!((frame.sequence_delta, frame.size), (1, size));
    assert_eq!(frame.open(None).expect("it is not encrypted").record(), sample());
    for elsewhere in [
        Place { incarnation: 3, ..PLACE },
        Place { segment: 4, ..PLACE },
        Place { offset: 0, ..PLACE },
    ] {
        let error = record::decode(&bytes, elsewhere).expect_err("it was not written there");
        assert_eq!(error, RecordError::Checksum { size });
    }
}

/// Goal: nothing of what a buffer held before gets to the disk. Method: the same chunk in a new buffer and
/// in a used, larger one.
#[test]
fn a_chunk_in_a_used_buffer_is_the_same_bytes() {
    let (fresh, sum) = chunk::encode(&header(b"records"), b"records", Buffer::zeroed(BLOCK_SIZE));
    let mut used = Buffer::zeroed(3 * BLOCK_SIZE);
    used.fill(0xff);
    let used = used.resized(BLOCK_SIZE).unwrap();
    let (again, sum_again) = chunk::encode(&header(b"records"), b"records", used);
    assert_eq!(sum, sum_again);
    assert!(*fresh == *again);
    assert!(again.resized(4 * BLOCK_SIZE).is_none(), "it cannot grow");
}

#[test]
fn an_encrypted_chunk_has_its_salt_in_its_header() {
    let salt = Some(std::array::from_fn(|index| index as u8 + 1));
    let header = Header { salt, aside: true, ..header(b"records") };
    let (bytes, _) = chunk::encode(&header, b"records", Buffer::zeroed(BLOCK_SIZE));
    assert_eq!(bytes[10..12], [7, 0]);
    assert_eq!(bytes[96..112], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    assert_eq!(bytes[112..128], [0; 16]);
    let read = chunk::header(&bytes, 3, 4096).expect("it was written here");
    assert_eq!(read.0, header);
}

#[test]
fn the_superblock_has_the_wrap_of_a_directory_key() {
    let superblock = Superblock {
        generation: 3,
        identity: Identity { cluster: 1, node: 2, name: "oslo".to_owned() },
        incarnation: 4,
        incarnation_start: 5,
        durable_upto: 6,
        tail: None,
        start: None,
        wrap: Some(Wrap {
            root: KeyId([1; 8]),
            nonce: [2; 12],
            sealed: [3; KEY_SIZE],
            tag: [4; 16],
        }),
    };
    let mut copy = superblock.encode().to_vec();
    let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0];
    for (byte, count) in [(1, 8), (2, 12), (3, 32), (4, 16), (0, 12)] {
        expected.extend_from_slice(&vec![byte; count]);
    }
    assert_eq!(copy[168..256], expected);
    assert_eq!(Superblock::decode(&copy), Ok(superblock.clone()));
    // A cipher that no release knows.
    copy[168] = 2;
    let checksum = crc32fast::hash(&copy[4..]);
    copy[..4].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(Superblock::decode(&copy), Err(SuperblockError::Damaged));
}

#[test]
fn a_compressed_and_encrypted_record_is_the_bytes_of_the_table() {
    let record = Record { payload: &[7; 300], ..sample() };
    let mut bytes = Vec::new();
    record::encode(&record, 0, PLACE, &mut Packer::new(true, None), &mut bytes);
    assert_eq!(bytes[4..15], *b"\x41\x00\xac\x02\x09\x07\x01\x08\x0d\xac\x02");
    // Fifteen and more literals: one; a match of fifteen and more, one byte back; five literals.
    assert_eq!(bytes[15..], *b"\x1f\x07\x01\x00\xff\x13\x60\x07\x07\x07\x07\x07\x07");
    let (size, mut sealed) = (bytes.len(), Vec::new());
    record::encode(&record, 0, PLACE, &mut encrypting(true), &mut sealed);
    assert_eq!(sealed.len(), size + 16);
    assert_eq!(sealed[4..15], *b"\xc1\x00\xac\x02\x09\x07\x01\x08\x0d\xac\x02");
    assert_ne!(sealed[15..28], bytes[15..28]);
    let frame = record::decode(&sealed, PLACE).expect("it was written here");
    let opened = frame.open(encrypting(true).key()).expect("it was encrypted here");
    assert_eq!(opened.record(), record);
}

#[test]
fn a_record_is_encrypted_in_an_encrypted_folder_and_nowhere_else() {
    for (mut packer, other, error) in [
        (plain(), encrypting(false), OpenError::Mixed),
        (encrypting(false), plain(), OpenError::Mixed),
    ] {
        let mut bytes = Vec::new();
        record::encode(&sample(), 0, PLACE, &mut packer, &mut bytes);
        let frame = record::decode(&bytes, PLACE).expect("it was written here");
        assert_eq!(frame.open(other.key()), Err(error));
        assert_eq!(frame.open(packer.key()).map(|opened| opened.record() == sample()), Ok(true));
    }
}

/// Whoever can write to the disk can make checksums match.
fn forge(bytes: &mut [u8], place: Place) {
    let mut covered = place.incarnation.to_le_bytes().to_vec();
    covered.extend_from_slice(&place.segment.to_le_bytes());
    covered.extend_from_slice(&place.offset.to_le_bytes());
    covered.extend_from_slice(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc32fast::hash(&covered).to_le_bytes());
}

#[test]
fn every_flipped_bit_of_an_encrypted_record_is_noticed_though_its_checksum_matches() {
    let mut packer = encrypting(true);
    let mut bytes = Vec::new();
    record::encode(&Record { payload: &[7; 300], ..sample() }, 0, PLACE, &mut packer, &mut bytes);
    for bit in 4 * 8..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        forge(&mut bytes, PLACE);
        let opened = record::decode(&bytes, PLACE).map(|frame| frame.open(packer.key()));
        assert!(!matches!(opened, Ok(Ok(_))), "bit {bit} was flipped");
    }
    let elsewhere = Place { offset: 8192, ..PLACE };
    forge(&mut bytes, elsewhere);
    let frame = record::decode(&bytes, elsewhere).expect("its checksum matches");
    assert_eq!(frame.open(packer.key()), Err(OpenError::Sealed));
}

/// Goal: a size that was made up costs no memory. Method: every size, with a checksum that matches.
#[test]
fn a_compressed_record_that_claims_too_much_is_refused_before_memory_is_taken() {
    let mut bytes = Vec::new();
    let record = Record { payload: &[7; 300], ..sample() };
    record::encode(&record, 0, PLACE, &mut Packer::new(true, None), &mut bytes);
    for plain_size in (0..20).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]) {
        let mut forged = bytes[..13].to_vec();
        varint::write(plain_size, &mut forged);
        forged.extend_from_slice(&bytes[15..]);
        forge(&mut forged, PLACE);
        match record::decode(&forged, PLACE) {
            Ok(frame) => {
                assert!(plain_size <= 255 * 13);
                assert_eq!(frame.open(None), Err(OpenError::Compressed), "{plain_size} bytes");
            }
            Err(error) => {
                assert!(plain_size <= 13 || 255 * 13 < plain_size, "{plain_size} bytes");
                assert_eq!(error, RecordError::Field("plain_size"));
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_noticed() {
    let mut payload = Vec::new();
    record::encode(&sample(), 0, PLACE, &mut plain(), &mut payload);
    let (chunk, _) = chunk::encode(&header(&payload), &payload, Buffer::zeroed(BLOCK_SIZE));
    let mut bytes = chunk.to_vec();
    assert!(matches!(chunk::examine(&bytes, 3, 4096), Extent::Chunk { .. }));
    for bit in 0..(CHUNK_HEADER_SIZE + payload.len()) * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        match chunk::examine(&bytes, 3, 4096) {
            Extent::BadBlock { torn: false } => assert!(bit < CHUNK_HEADER_SIZE * 8),
            Extent::BadPayload { torn: false, .. } => assert!(CHUNK_HEADER_SIZE * 8 <= bit),
            other => panic!("bit {bit} flipped: {other:?}"),
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for bit in 0..payload.len() * 8 {
        payload[bit / 8] ^= 1 << (bit % 8);
        record::decode(&payload, PLACE).expect_err("one bit is enough");
        payload[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn only_the_shortest_varint_is_read() {
    for (mut bytes, value) in [
        (&b"\x00"[..], Some(0)),
        (b"\x7f", Some(127)),
        (b"\x80\x01", Some(128)),
        (b"\x80\x00", None),
        (b"\x80", None),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Some(u64::MAX)),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", None),
    ] {
        assert_eq!(varint::read(&mut bytes), value);
    }
}

proptest! {
    #[test]
    fn varints_come_back(value: u64) {
        let mut bytes = Vec::new();
        varint::write(value, &mut bytes);
        let mut rest = &bytes[..];
        prop_assert_eq!(varint::read(&mut rest), Some(value));
        prop_assert!(rest.is_empty() && bytes.len() <= varint::VARINT_SIZE_MAX);
    }

    #[test]
    fn hostile_records_with_a_checksum_that_matches_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 14..300),
        kind in 1_u8..6,
        flags in 0_u8..4,
        size in 0_u8..120,
        plain_size in 0_u8..120,
    ) {
        bytes[4..11].copy_from_slice(&[kind | flags << 6, 0, 1, 2, 3, 4, 5]);
        bytes[11..13].copy_from_slice(&[size, plain_size]);
        let length = 12 + usize::from(size) + usize::from(flags & 1) + 16 * usize::from(flags >> 1);
        bytes.resize(length.max(14), 1);
        forge(&mut bytes, PLACE);
        if let Ok(frame) = record::decode(&bytes, PLACE) {
            prop_assert!(frame.open(encrypting(false).key()).is_err(), "nobody encrypted this");
            if let Ok(opened) = frame.open(None) {
                prop_assert!(opened.record().payload.len() <= 120);
            }
        }
    }

    #[test]
    fn hostile_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(record::decode(&bytes, PLACE).is_err());
        bytes.resize(4096, 0);
        let extent = chunk::examine(&bytes, 3, 4096);
        let nothing = matches!(extent, Extent::Blank | Extent::BadBlock { .. });
        prop_assert!(nothing, "{:?}", extent);
        prop_assert!(Superblock::decode(&bytes).is_err());
    }
}
