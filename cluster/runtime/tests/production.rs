//! The production ground, over real sockets on the loopback.
#![cfg(not(madsim))]
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, also in a helper")]

use std::cell::Cell;
use std::future::pending;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use evenkeel_runtime::net::{TcpListener, TcpReader, TcpStream, TcpWriter};
use evenkeel_runtime::{
    Either, Elapsed, block_on, clock, either, process, random_u64, sleep, spawn, timeout, yield_now,
};

#[test]
fn bytes_come_back_from_an_echo_and_the_end_of_the_stream_too() {
    block_on(async {
        let (address, echo) = start_echo().await;
        let (mut reader, mut writer) = connect(address).await;

        let sent: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
        let expected = sent.clone();
        spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut received = BytesMut::new();
        while reader.read(&mut received).await.unwrap() != 0 {}

        assert_eq!(&received[..], &expected[..]);
        assert_eq!(echo.await, Some(expected.len()));
    });
}

#[test]
fn a_read_takes_no_more_than_the_spare_capacity() {
    block_on(async {
        let (address, _echo) = start_echo().await;
        let (mut reader, mut writer) = connect(address).await;
        writer.write_all(&[7; 100]).await.unwrap();

        let mut buffer = BytesMut::with_capacity(10);
        let room = buffer.capacity();
        let mut count = 0;
        while count < room {
            count += reader.read(&mut buffer).await.unwrap();
        }
        assert_eq!(count, room);
        assert_eq!(buffer.capacity(), room);
    });
}

#[test]
fn an_address_can_be_bound_again_at_once_and_not_twice() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let taken = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        drop((listener, server));
        TcpListener::bind(address).await.unwrap();
    });
}

#[test]
fn nobody_listening_is_refused() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_timeout_ends_what_hangs_and_leaves_alone_what_does_not() {
    block_on(async {
        let before_us = clock::monotonic_us();
        assert_eq!(timeout(Duration::from_millis(20), pending::<()>()).await, Err(Elapsed));
        assert!(20_000 <= clock::monotonic_us() - before_us);
        assert_eq!(timeout(Duration::from_secs(60), async { 1 }).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1), "a tie goes to the future");
    });
}

#[test]
fn either_prefers_the_first() {
    block_on(async {
        for _ in 0..100 {
            assert_eq!(either(async { 1 }, async { 2 }).await, Either::Left(1));
        }
        assert_eq!(either(pending::<u8>(), async { 2 }).await, Either::Right(2));
    });
}

#[test]
fn an_aborted_task_drops_its_future_and_a_dropped_task_runs_on() {
    block_on(async {
        let witness = Rc::new(());
        let held = Rc::clone(&witness);
        let task = spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert_eq!(task.await, None);
        assert_eq!(Rc::strong_count(&witness), 1);

        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        drop(spawn(async move {
            sleep(Duration::from_millis(1)).await;
            flag.set(true);
        }));
        while !done.get() {
            yield_now().await;
        }
    });
}

#[test]
fn a_panic_in_a_task_reaches_whoever_awaits_it() {
    let result = std::panic::catch_unwind(|| {
        block_on(async { spawn(async { panic!("on purpose") }).await });
    });
    assert!(result.is_err());
}

#[test]
fn clocks_and_randomness_are_the_machines() {
    assert!(1_700_000_000_000 < clock::wall_ms());
    assert!(clock::monotonic_us() <= clock::monotonic_us());
    assert_ne!(random_u64(), random_u64());
}

/// Set in a child process, which is there to end.
const CHILD: &str = "EVENKEEL_RUNTIME_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// This very test, run again in a process of its own.
fn start_child(test: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_process_that_fails_ends_with_code_70() {
    if is_child() {
        process::fail_now("the disk is gone".into());
    }
    let status = start_child("a_process_that_fails_ends_with_code_70").wait().unwrap();
    assert_eq!(status.code(), Some(70));
}

#[test]
fn both_polite_signals_are_heard() {
    if is_child() {
        block_on(async {
            // The handlers are in place once it has been polled.
            either(process::terminated(), async {
                println!("ready");
                pending::<()>().await;
            })
            .await;
        });
        std::process::exit(42);
    }
    for signal in ["-TERM", "-INT"] {
        let mut child = start_child("both_polite_signals_are_heard");
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap().contains("ready")));
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(42));
    }
}

async fn start_echo() -> (SocketAddr, evenkeel_runtime::Task<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let mut buffer = BytesMut::with_capacity(8192);
        let mut count = 0;
        loop {
            buffer.clear();
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return count,
                Ok(size) => count += size,
            }
            writer.write_all(&buffer).await.unwrap();
        }
    });
    (address, echo)
}

async fn connect(address: SocketAddr) -> (TcpReader, TcpWriter) {
    let stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(stream.peer_addr(), address);
    stream.into_split()
}
