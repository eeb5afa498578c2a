//! The production disks on a real folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use std::{future::Future, pin::pin, sync::Arc, task::Poll, task::Wake};

use crate::model::{Replayed, identity};
use evenkeel_engine::disk::{
    Backend, DirectoryState, Disk, directory_state, open_disk, open_disk_with,
};
use evenkeel_engine::inspect::{Finding, inspect};
use evenkeel_engine::{Engine, EngineError, Event, Options, Record, RecordKind, Sequence};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        // In the target folder, not in /tmp: that may be a memory file system.
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _missing = fs::remove_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _missing = fs::remove_dir_all(&self.0);
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

async fn next(engine: &mut Engine) -> Vec<Event> {
    let mut events = Vec::new();
    std::future::poll_fn(|context| engine.poll(context, &mut events)).await.expect("a sound disk");
    events
}

/// The backend, unless the system denies it: then a line says so.
fn disk(path: &Path, backend: Backend) -> Option<Box<dyn Disk>> {
    match open_disk_with(path, backend) {
        Ok(disk) => Some(disk),
        Err(EngineError::Folder { source, .. }) if backend == Backend::IoUring => {
            println!("SKIPPED: io_uring cannot be used here: {source}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn options() -> Options {
    Options { segment_size: 4 * 1024 * 1024, ..Options::default() }
}

fn record(position: u64, payload: &[u8]) -> Record<'_> {
    let (kind, stream, stamp) = (RecordKind::Entry, 1, [1, 2]);
    Record { kind, stream, position, stamp, commit: 0, payload }
}

/// Values of all sizes, over several segments, read back after a crash and after a clean stop.
fn check_backend(backend: Backend, name: &str) {
    let folder = Folder::new(name);
    let Some(first) = disk(&folder.0, backend) else { return };
    println!("{}", first.name());
    let payloads: Vec<Vec<u8>> =
        (0..60_u64).map(|i| vec![i as u8 + 1; (i * i * i * 5 % 1_000_000) as usize]).collect();
    block_on(async {
        let mut engine = Engine::create(first, options(), identity()).await.expect("a new folder");
        let mut last = Sequence(0);
        for (position, payload) in payloads.iter().enumerate() {
            let (sequence, location) =
                engine.append(&record(position as u64, payload)).expect("room");
            let early = engine.read(location);
            let events = next(&mut engine).await;
            assert!(
                events.contains(&Event::Read { ticket: early, result: Ok(payload.clone().into()) })
            );
            last = sequence;
        }
        while engine.durable() < last {
            next(&mut engine).await;
        }
        // Dropped without a clean stop: a crash, as far as the log can tell.
    });
    for clean in [false, true] {
        let again = disk(&folder.0, backend).expect("it was there before");
        let mut replayed = Replayed::default();
        block_on(async {
            let (mut engine, opened) =
                Engine::open(again, options(), &mut replayed).await.expect("a sound log");
            assert_eq!(opened.clean, clean);
            assert!(!opened.torn);
            for ((_, payload, location), expected) in replayed.0.iter().zip(&payloads) {
                assert_eq!(payload, expected);
                let ticket = engine.read(*location);
                let events = next(&mut engine).await;
                let result = Ok(expected.clone().into());
                assert_eq!(events, [Event::Read { ticket, result }]);
            }
            assert_eq!(engine.status().device_reads, payloads.len() as u64);
            engine.close().await.expect("a sound disk");
        });
        assert_eq!(replayed.0.len(), payloads.len());
    }
}

#[test]
fn io_uring_keeps_what_it_is_given() {
    check_backend(Backend::IoUring, "uring");
}

#[test]
fn the_thread_pool_keeps_what_it_is_given() {
    check_backend(Backend::ThreadPool, "pool");
}

#[test]
fn a_folder_has_one_process_at_a_time() {
    let folder = Folder::new("busy");
    let first = open_disk(&folder.0).expect("a new folder");
    let error = open_disk(&folder.0).err().expect("it is taken");
    assert!(matches!(error, EngineError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&*folder.0.to_string_lossy()) && text.contains("in use"), "{text}");
    drop(first);
    open_disk(&folder.0).expect("it is free again");
}

#[test]
fn a_folder_of_other_things_is_told_from_ours() {
    let folder = Folder::new("states");
    let state = || directory_state(&folder.0).expect("it can be listed");
    assert_eq!(state(), DirectoryState::Empty);
    fs::create_dir_all(folder.0.join("lost+found")).expect("a folder");
    assert_eq!(state(), DirectoryState::Empty);
    fs::write(folder.0.join("thesis.tex"), "precious").expect("a file");
    fs::write(folder.0.join("segment-1.log"), "not our spelling").expect("a file");
    assert_eq!(state(), DirectoryState::Foreign);
    let engine =
        block_on(Engine::create(open_disk(&folder.0).expect("free"), options(), identity()));
    drop(engine.expect("whoever insists"));
    assert_eq!(state(), DirectoryState::Evenkeel);
    let kept = fs::read_to_string(folder.0.join("thesis.tex")).expect("left alone");
    assert_eq!(kept, "precious");
}

#[test]
fn a_file_where_the_folder_should_be_is_a_clear_error() {
    let folder = Folder::new("file");
    fs::write(&folder.0, "a file").expect("a file");
    let error = open_disk(&folder.0).err().expect("not a folder");
    assert!(error.to_string().contains(&*folder.0.to_string_lossy()), "{error}");
    fs::remove_file(&folder.0).expect("there");
}

#[test]
fn a_half_made_segment_is_removed() {
    let folder = Folder::new("half");
    let disk = open_disk(&folder.0).expect("a new folder");
    drop(block_on(Engine::create(disk, options(), identity())).expect("a new folder"));
    let half_made = folder.0.join("segment-00000002.log.creating");
    fs::write(&half_made, "zeros, some").expect("a file");
    let disk = open_disk(&folder.0).expect("free");
    let mut replayed = Replayed::default();
    block_on(Engine::open(disk, options(), &mut replayed)).expect("a sound log");
    assert!(!half_made.exists());
}

#[test]
fn inspection_shows_what_is_there_and_what_is_damaged() {
    let folder = Folder::new("inspect");
    let disk = open_disk(&folder.0).expect("a new folder");
    block_on(async {
        let mut engine = Engine::create(disk, options(), identity()).await.expect("a new folder");
        for position in 1..=3 {
            engine.append(&record(position, b"value")).expect("room");
            while engine.durable() < Sequence(position) {
                next(&mut engine).await;
            }
        }
        engine.close().await.expect("a sound disk");
    });
    let look = || {
        let mut findings = Vec::new();
        inspect(&folder.0, &mut |finding| findings.push(finding)).expect("it can be read");
        findings
    };
    let sound = look();
    let [
        Finding::Superblock { content: Ok(first), .. },
        Finding::Superblock { content: Ok(second), .. },
        Finding::Segment { segment: 1, size: 4_194_304 },
        rest @ ..,
    ] = &sound[..]
    else {
        panic!("{sound:?}")
    };
    assert!(first.clean && second.clean && first.identity == identity());
    let records: Vec<u64> = rest
        .iter()
        .filter_map(|finding| match finding {
            Finding::Record(record) => Some(record.position),
            _ => None,
        })
        .collect();
    assert_eq!(records, [1, 2, 3]);
    let unused = Finding::Unused { segment: 1, offset: 12_288, size: 4_194_304 - 12_288 };
    assert_eq!(rest.last(), Some(&unused));
    assert!(!sound.iter().any(|finding| matches!(finding, Finding::Damage { .. })));

    let path = folder.0.join("segment-00000001.log");
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[4096] ^= 1;
    fs::write(&path, bytes).expect("it can be written");
    let damage = Finding::Damage { segment: 1, offset: 4096, size: 4096, torn: false };
    assert!(look().contains(&damage), "{:?}", look());
}
