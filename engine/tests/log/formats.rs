//! What earlier releases wrote, kept as they wrote it.

use evenkeel_engine::disk::Area;
use evenkeel_engine::disk::memory::MemoryDisk;
use evenkeel_engine::{EngineError, Event, Location, Options};

use crate::model::at_rest::encryption;
use crate::model::{Dress, Ledger, Life, Random, open, settle};

/// A crash, then a clean stop, in format 2: records 1 to 3 in the first segment, record 4 in the second,
/// and one aside. Each line is an area and its size, or an offset in it and 32 bytes that are not all zero.
const FORMAT_2: &str = include_str!("../../testdata/format-2.txt");

const ASIDE: Location = Location { segment: 3, offset: 128, size: 17 };

fn options() -> Options {
    Options { segment_size: 16 * 1024, chunk_size: 8 * 1024, ..Options::default() }
}

fn disk(text: &str) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let mut area = Area::Super;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (first, second) = line.split_once(' ').expect("two words a line");
        match first {
            "SUPER" => area = Area::Super,
            _ if first.len() < 6 => area = Area::Segment(first.parse().expect("a number")),
            offset => {
                let offset = usize::from_str_radix(offset, 16).expect("an offset");
                let bytes: Vec<u8> = (0..second.len() / 2)
                    .map(|at| u8::from_str_radix(&second[2 * at..2 * at + 2], 16).expect("hex"))
                    .collect();
                disk.overwrite(area, offset, &bytes);
                continue;
            }
        }
        disk.put(area, second.parse().expect("a size"));
    }
    disk
}

#[test]
fn a_log_of_the_second_format_opens_and_goes_on_compressed() {
    let disk = disk(FORMAT_2);
    let compressing = Options { compress: true, ..options() };
    let opened = open(&disk, compressing.clone()).expect("there is power");
    let (mut engine, opened, replayed) = opened.expect("the previous format is read");
    let opened = opened.expect("it was a log");
    assert_eq!((opened.clean, opened.incarnation, opened.records), (true, 2, 4));
    let payloads: Vec<&[u8]> = replayed.0.iter().map(|(_, payload, _)| &payload[..]).collect();
    assert_eq!(payloads, [&b"the first record"[..], &[7; 300], b"", b"after a crash"]);
    let ticket = engine.read(ASIDE);
    let events = settle(&mut engine).expect("a sound disk");
    assert_eq!(events, [Event::Read { ticket, result: Ok("aside".into()) }]);

    // What comes now has the new format, in the same segment.
    let mut life = Life::new(engine, Ledger::default());
    let random = &mut Random::new(17);
    for _ in 0..6 {
        life.append(random).expect("room");
    }
    let location = life.append_payload(&[7; 1000]).expect("room");
    assert!(location.size < 100, "it is compressed");
    life.settle().expect("a sound disk");
    drop(life);
    let disk = disk.power_cut(|_, _| false);
    let (.., replayed) = open(&disk, compressing).expect("there is power").expect("both are read");
    assert_eq!(replayed.0.len(), 4 + 7);
    assert_eq!(replayed.0.last().expect("it has records").1, [7; 1000]);
}

#[test]
fn a_log_of_the_second_format_takes_no_key() {
    let disk = disk(FORMAT_2);
    let before = disk.bytes(Area::Super);
    let encrypting = Options { encryption: Some(encryption(1, 2)), ..options() };
    let error = open(&disk, encrypting).expect("there is power").err();
    assert!(matches!(error, Some(EngineError::KeyUnexpected)), "{error:?}");
    assert_eq!(disk.bytes(Area::Super), before, "nothing was changed");
}

#[test]
fn a_key_that_is_missing_or_wrong_is_told_and_nothing_is_changed() {
    let disk = MemoryDisk::new();
    let options = |root| Options { encryption: Some(encryption(root, 2)), ..options() };
    let wanted = encryption(1, 2).root.id();
    drop(open(&disk, options(1)).expect("there is power").expect("an empty disk"));
    let before = disk.bytes(Area::Super);
    let plain = crate::model::options(Dress::PLAIN);
    match open(&disk, plain).expect("there is power") {
        Err(error @ EngineError::KeyMissing { wanted: told }) if told == wanted => {
            assert!(error.to_string().contains(&wanted.to_string()), "{error}");
        }
        other => panic!("{:?}", other.map(|(_, opened, _)| opened)),
    }
    match open(&disk, options(3)).expect("there is power") {
        Err(error @ EngineError::KeyWrong { .. }) => {
            let given = encryption(3, 2).root.id();
            let text = error.to_string();
            assert!(
                text.contains(&wanted.to_string()) && text.ends_with(&given.to_string()),
                "{text}"
            );
        }
        other => panic!("{:?}", other.map(|(_, opened, _)| opened)),
    }
    assert_eq!(disk.bytes(Area::Super), before, "nothing was changed");
    open(&disk, options(1)).expect("there is power").expect("the right key");
}
