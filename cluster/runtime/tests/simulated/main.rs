//! The simulated ground, and the weather it can make.
#![cfg(madsim)]
#![expect(clippy::print_stdout, reason = "a failed run tells its last events")]
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure, also in a helper")]

mod time;

use std::cell::Cell;
use std::future::pending;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use evenkeel_runtime::net::{TcpListener, TcpReader, TcpStream, TcpWriter};
use evenkeel_runtime::simulated::network::{self, Link, Tally};
use evenkeel_runtime::simulated::streams::{Purpose, Stream};
use evenkeel_runtime::simulated::{
    self, Kill, NodeId, Run, clocks, create_node, now_ns, sleep_true, supervisor, this_node,
};
use evenkeel_runtime::{process, random_u64, sleep, spawn, timeout};

const ECHO_PORT: u16 = 7;
const SINK_PORT: u16 = 9;
const ECHO: SocketAddr = SocketAddr::new(ip(1), ECHO_PORT);

const fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

/// Runs `main` as the supervisor of seed 1, beside node 10.0.0.1 that echoes on port 7.
fn with_echo<F: Future<Output = ()>>(main: impl FnOnce(NodeId) -> F + Send + 'static) {
    let run = simulated::run(1, || async move {
        let echo = create_node("echo", ip(1), echo_for_ever);
        sleep_true(Duration::from_millis(1)).await;
        main(echo).await;
    });
    finish(run);
}

fn finish<T>(run: Run<T>) -> T {
    run.outcome.unwrap_or_else(|payload| {
        run.recent.iter().rev().take(20).rev().for_each(|event| println!("{event}"));
        std::panic::resume_unwind(payload)
    })
}

async fn echo_for_ever() {
    let listener = TcpListener::bind(SocketAddr::new(ip(1), ECHO_PORT)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            let mut buffer = BytesMut::with_capacity(4096);
            while reader.read(&mut buffer).await.is_ok_and(|size| size != 0) {
                if writer.write_all(&buffer).await.is_err() {
                    break;
                }
                buffer.clear();
            }
        });
    }
}

async fn connect() -> (TcpReader, TcpWriter) {
    TcpStream::connect(ECHO).await.unwrap().into_split()
}

async fn round_trip((reader, writer): &mut (TcpReader, TcpWriter), bytes: &[u8]) -> Vec<u8> {
    writer.write_all(bytes).await.unwrap();
    let mut buffer = BytesMut::new();
    while buffer.len() < bytes.len() {
        assert_ne!(reader.read(&mut buffer).await.unwrap(), 0);
    }
    buffer.to_vec()
}

#[test]
fn bytes_come_back_and_every_way_takes_its_latency() {
    with_echo(|_| async {
        let before_ns = now_ns();
        let mut stream = connect().await;
        let connect_us = (now_ns() - before_ns) / 1000;
        assert!((400..=620).contains(&connect_us), "a handshake took {connect_us} us");

        for index in 0..200 {
            let before_ns = now_ns();
            assert_eq!(round_trip(&mut stream, &[index; 100]).await, [index; 100]);
            let round_us = (now_ns() - before_ns) / 1000;
            assert!((400..=620).contains(&round_us), "a round trip took {round_us} us");
        }

        let (mut reader, writer) = stream;
        drop(writer);
        assert_eq!(reader.read(&mut BytesMut::new()).await.unwrap(), 0);
        drop(reader);
        sleep_true(Duration::from_secs(1)).await;
        assert_eq!(network::connection_count(), 0);
    });
}

#[test]
fn a_connect_across_a_partition_hangs_and_then_times_out() {
    for direction in 0..2 {
        with_echo(move |echo| async move {
            match direction {
                0 => network::block(supervisor(), echo),
                _ => network::block(echo, supervisor()),
            }
            let minute = Duration::from_secs(60);
            timeout(minute, TcpStream::connect(ECHO)).await.unwrap_err();
            let error = TcpStream::connect(ECHO).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            network::heal();
            connect().await;
        });
    }
}

#[test]
fn connects_hang_at_paused_and_dark_nodes_and_are_refused_where_nobody_listens() {
    with_echo(|echo| async move {
        let minute = Duration::from_secs(60);
        let before_ns = now_ns();
        let error = TcpStream::connect(SocketAddr::new(ip(1), 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!((400_000..700_000).contains(&(now_ns() - before_ns)), "after one round trip");

        simulated::pause(echo);
        timeout(minute, TcpStream::connect(ECHO)).await.unwrap_err();
        simulated::resume(echo);
        connect().await;

        simulated::kill(echo, Kill::Power);
        timeout(minute, TcpStream::connect(ECHO)).await.unwrap_err();
        timeout(minute, TcpStream::connect(SocketAddr::new(ip(99), 1))).await.unwrap_err();

        simulated::restart(echo);
        sleep_true(Duration::from_millis(1)).await;
        connect().await;
        simulated::kill(echo, Kill::Process);
        let error = TcpStream::connect(ECHO).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_reachable_peer_that_is_killed_resets() {
    with_echo(|echo| async move {
        let (mut reader, _writer) = connect().await;
        let before_ns = now_ns();
        simulated::kill(echo, Kill::Process);
        let error = reader.read(&mut BytesMut::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!((200_000..310_000).contains(&(now_ns() - before_ns)), "after one latency");
    });
}

#[test]
fn a_peer_killed_behind_a_partition_is_never_heard_of_again() {
    with_echo(|echo| async move {
        let (mut reader, mut writer) = connect().await;
        network::partition(&[supervisor()], &[echo]);
        simulated::kill(echo, Kill::Process);
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        timeout(minute, reader.read(&mut BytesMut::new())).await.unwrap_err();

        // Healed, but nobody there remembers: what is sent now gets a reset.
        network::heal();
        timeout(hour, reader.read(&mut BytesMut::new())).await.unwrap_err();
        simulated::restart(echo);
        writer.write_all(b"are you there").await.unwrap();
        let error = reader.read(&mut BytesMut::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_is_sent_into_a_partition_arrives_after_it_or_times_out() {
    with_echo(|echo| async move {
        let mut stream = connect().await;
        network::block(supervisor(), echo);
        stream.1.write_all(b"later").await.unwrap();
        let mut buffer = BytesMut::new();
        timeout(Duration::from_secs(30), stream.0.read(&mut buffer)).await.unwrap_err();
        assert!(network::held_up(supervisor(), echo) > 0, "the block was felt");
        assert_eq!(network::held_up(echo, supervisor()), 0, "on the way back there is none");
        network::unblock(supervisor(), echo);
        let before_ns = now_ns();
        assert_eq!(stream.0.read(&mut buffer).await.unwrap(), 5);
        assert!(now_ns() - before_ns < 5_100_000_000, "TCP tries every 5 s at the latest");

        network::block(supervisor(), echo);
        stream.1.write_all(b"never").await.unwrap();
        let before_ns = now_ns();
        let error = stream.0.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(924 <= (now_ns() - before_ns) / 1_000_000_000);
    });
}

#[test]
fn an_asymmetric_partition_lets_one_direction_through() {
    with_echo(|echo| async move {
        let mut stream = connect().await;
        network::block(echo, supervisor());
        stream.1.write_all(b"heard").await.unwrap();
        sleep_true(Duration::from_millis(1)).await;
        let sent = sends_by(echo);
        assert_eq!(sent, 2, "the handshake's answer, and an echo that is stuck");
        let minute = Duration::from_secs(60);
        timeout(minute, stream.0.read(&mut BytesMut::new())).await.unwrap_err();
    });
}

fn sends_by(node: NodeId) -> usize {
    let recent = simulated::record::recent();
    recent.iter().filter(|event| event.node == node && event.kind == "send").count()
}

#[test]
fn destructors_of_a_killed_node_send_nothing() {
    with_echo(|echo| async move {
        let (mut reader, _writer) = connect().await;
        simulated::kill(echo, Kill::Power);
        let sent = sends_by(echo);
        simulated::restart(echo);
        let hour = Duration::from_secs(3600);
        timeout(hour, reader.read(&mut BytesMut::new())).await.unwrap_err();
        assert_eq!(sends_by(echo), sent);
        // Nor has the dead node's listener taken its successor's with it.
        connect().await;
    });
}

/// Starts 10.0.0.2, which accepts on port 9 and hands the reader to `consume`.
fn create_sink<F: Future<Output = ()> + 'static>(
    consume: impl Fn(TcpReader) -> F + Send + Sync + Copy + 'static,
) -> NodeId {
    create_node("sink", ip(2), move || async move {
        let listener = TcpListener::bind(SocketAddr::new(ip(2), SINK_PORT)).await.unwrap();
        loop {
            let (reader, _writer) = listener.accept().await.unwrap().0.into_split();
            consume(reader).await;
        }
    })
}

async fn connect_sink() -> TcpWriter {
    sleep_true(Duration::from_millis(1)).await;
    let sink = SocketAddr::new(ip(2), SINK_PORT);
    let (reader, writer) = TcpStream::connect(sink).await.unwrap().into_split();
    drop(reader);
    writer
}

#[test]
fn a_writer_waits_for_a_reader_that_does_not_read() {
    finish(simulated::run(1, || async {
        network::set_default_link(Link { window_bytes: 10_000, ..Link::default() });
        create_sink(|mut reader| async move {
            sleep(Duration::from_secs(10)).await;
            let mut buffer = BytesMut::new();
            while reader.read(&mut buffer).await.unwrap() != 0 {}
            assert_eq!(buffer.len(), 15_000);
            process::fail("satisfied").await;
        });
        let mut writer = connect_sink().await;
        let second = Duration::from_secs(1);
        timeout(second, writer.write_all(&[1; 10_000])).await.unwrap().unwrap();
        let before_ns = now_ns();
        writer.write_all(&[1; 5_000]).await.unwrap();
        assert!(8_000_000_000 < now_ns() - before_ns, "it waited for the reader");
        drop(writer);
        assert_eq!(simulated::next_failure().await.reason, "satisfied");
    }));
}

#[test]
fn a_slow_link_delivers_at_its_rate() {
    finish(simulated::run(1, || async {
        network::set_default_link(Link { bytes_per_second: 1_000_000, ..Link::default() });
        create_sink(|mut reader| async move {
            let mut buffer = BytesMut::new();
            while reader.read(&mut buffer).await.unwrap() != 0 {}
            process::fail("all read").await;
        });
        let mut writer = connect_sink().await;
        let before_ns = now_ns();
        writer.write_all(&[1; 2_000_000]).await.unwrap();
        drop(writer);
        simulated::next_failure().await;
        let seconds = (now_ns() - before_ns) as f64 / 1e9;
        assert!((1.99..2.1).contains(&seconds), "two megabytes took {seconds} s");
    }));
}

/// Sends the frames "0" to "199" of eight digits each, and returns what arrived.
fn frames_through(link: Link, framed: bool) -> Vec<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Arc::new(std::sync::Mutex::new(sender));
    let run = simulated::run(1, move || async move {
        network::set_default_link(link);
        if framed {
            network::set_framed(SINK_PORT);
        }
        let sink = SocketAddr::new(ip(2), SINK_PORT);
        create_node("sink", ip(2), move || {
            let sender = Arc::clone(&sender);
            async move {
                let listener = TcpListener::bind(sink).await.unwrap();
                let (mut reader, _writer) = listener.accept().await.unwrap().0.into_split();
                let mut buffer = BytesMut::new();
                while reader.read(&mut buffer).await.unwrap() != 0 {}
                sender.lock().unwrap().send(buffer.to_vec()).unwrap();
                process::fail("all read").await;
            }
        });
        let mut writer = connect_sink().await;
        for index in 0..200 {
            writer.write_all(format!("{index:08}").as_bytes()).await.unwrap();
        }
        drop(writer);
        simulated::next_failure().await;
    });
    finish(run);
    let bytes = receiver.recv().unwrap();
    assert_eq!(bytes.len() % 8, 0, "only whole writes are repeated");
    bytes.chunks(8).map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
}

#[test]
fn whole_writes_arrive_twice_on_framed_links_only() {
    let link = Link { duplicate_ppm: 300_000, fragment_ppm: 300_000, ..Link::default() };
    let expected: Vec<String> = (0..200).map(|index| format!("{index:08}")).collect();
    assert_eq!(frames_through(link, false), expected);

    let frames = frames_through(link, true);
    assert!(230 < frames.len(), "{} frames", frames.len());
    let late = frames.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(5 < late, "some of them after a later one");
    let mut distinct = frames;
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct, expected);
}

#[test]
fn bits_flip_on_framed_links_only() {
    let link = Link { corrupt_ppm: 300_000, ..Link::default() };
    let expected: Vec<String> = (0..200).map(|index| format!("{index:08}")).collect();
    assert_eq!(frames_through(link, false), expected);
    let frames = frames_through(link, true);
    let wrong = frames.iter().zip(&expected).filter(|(frame, sent)| frame != sent).count();
    assert!((30..90).contains(&wrong), "{wrong} of 200 at 30 %");
}

#[test]
fn losses_and_tails_delay_and_never_reorder_a_stream() {
    let link = Link {
        loss_ppm: 50_000,
        tail_ppm: 100_000,
        tail_us: 50_000,
        fragment_ppm: 500_000,
        ..Link::default()
    };
    let expected: Vec<String> = (0..200).map(|index| format!("{index:08}")).collect();
    assert_eq!(frames_through(link, false), expected);
}

/// Goal: weather that was felt is counted, and nothing else is. Method: one thing at a time, over a link that
/// does nothing else.
#[test]
fn each_kind_of_trouble_is_counted_where_it_is_made() {
    type Pick = fn(&Tally) -> u64;
    let plain = Link::default();
    let cases: [(Link, Pick); 5] = [
        (Link { tail_ppm: 500_000, tail_us: 1_000, ..plain }, |tally| tally.tails),
        (Link { loss_ppm: 200_000, ..plain }, |tally| tally.losses),
        (Link { bytes_per_second: 1_000, ..plain }, |tally| tally.queued),
        (Link { window_bytes: 16, ..plain }, |tally| tally.short_writes),
        (Link { fragment_ppm: 500_000, ..plain }, |tally| tally.fragments),
    ];
    for (number, (link, pick)) in cases.into_iter().enumerate() {
        with_echo(move |echo| async move {
            let (mut reader, mut writer) = connect().await;
            let before = network::tally();
            network::set_link(supervisor(), echo, Some(link));
            for _ in 0..20 {
                for _ in 0..2 {
                    writer.write_all(&[b'x'; 40]).await.unwrap();
                }
                let mut buffer = BytesMut::with_capacity(80);
                while buffer.len() < 80 {
                    reader.read(&mut buffer).await.unwrap();
                }
            }
            let after = network::tally();
            let counts = cases.map(|(_, pick)| pick(&after) - pick(&before));
            assert!(pick(&after) > pick(&before), "case {number}: {counts:?}");
            assert_eq!(
                counts.iter().filter(|count| **count > 0).count(),
                1,
                "{number}: {counts:?}"
            );
        });
    }
}

#[test]
fn a_connection_can_be_reset_from_outside_and_by_chance() {
    with_echo(|echo| async move {
        let (mut reader, mut writer) = connect().await;
        assert_eq!(network::reset(echo, supervisor()), 1);
        let error = reader.read(&mut BytesMut::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        writer.write_all(b"gone").await.unwrap_err();

        let link = Link { reset_ppm: 100_000, ..Link::default() };
        network::set_link(supervisor(), echo, Some(link));
        let (_reader, mut writer) = connect().await;
        let mut count = 0;
        while writer.write_all(b"again").await.is_ok() {
            count += 1;
        }
        assert!(count < 200, "{count} writes at 10 % resets each");
        assert_eq!(
            network::tally().resets,
            1,
            "the one from outside is counted by whoever made it"
        );
    });
}

#[test]
fn a_node_that_fails_is_dead_at_once_and_the_world_knows_why() {
    static LATE: AtomicU64 = AtomicU64::new(0);
    finish(simulated::run(1, || async {
        let node = create_node("victim", ip(4), || async {
            spawn(async {
                loop {
                    sleep(Duration::from_millis(1)).await;
                    LATE.store(now_ns(), Ordering::Relaxed);
                }
            });
            sleep(Duration::from_millis(100)).await;
            match simulated::incarnation(this_node()) {
                1 => spawn(async { process::fail_now("flush failed".into()) }).await,
                _ => spawn(async { process::fail("again").await }).await,
            };
            unreachable!("a dead node runs no further");
        });
        for (incarnation, reason) in [(1, "flush failed"), (2, "again")] {
            let failure = simulated::next_failure().await;
            assert_eq!((failure.node, failure.incarnation), (node, incarnation));
            assert_eq!(failure.reason, reason);
            assert!(!simulated::is_running(node));
            sleep_true(Duration::from_secs(1)).await;
            assert!(LATE.load(Ordering::Relaxed) <= failure.at_ns);
            simulated::restart(node);
        }
        assert_eq!(simulated::failures().len(), 2);
    }));
}

#[test]
fn a_node_told_to_terminate_may_end_by_itself_and_its_streams_end_well() {
    finish(simulated::run(1, || async {
        let node = create_node("polite", ip(2), || async {
            let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), SINK_PORT);
            let listener = TcpListener::bind(any).await.unwrap();
            let (_stream, _) = listener.accept().await.unwrap();
            process::terminated().await;
        });
        sleep_true(Duration::from_millis(1)).await;
        let sink = SocketAddr::new(ip(2), SINK_PORT);
        let (mut reader, _writer) = TcpStream::connect(sink).await.unwrap().into_split();
        sleep_true(Duration::from_secs(1)).await;
        assert!(simulated::is_running(node));
        simulated::terminate(node);
        assert_eq!(reader.read(&mut BytesMut::new()).await.unwrap(), 0);
        assert!(!simulated::is_running(node));
        simulated::set_address(node, ip(77));
        simulated::restart(node);
        sleep_true(Duration::from_millis(1)).await;
        TcpStream::connect(SocketAddr::new(ip(77), SINK_PORT)).await.unwrap();
    }));
}

#[test]
fn an_aborted_task_is_none_and_a_panic_ends_the_run() {
    with_echo(|_| async {
        let task = spawn(pending::<()>());
        task.abort();
        assert_eq!(task.await, None);
        assert_eq!(spawn(async { 5 }).await, Some(5));
    });
    let run = simulated::run(1, || async {
        create_node("buggy", ip(5), || async { panic!("an invariant is broken") });
        sleep_true(Duration::from_secs(1)).await;
    });
    let payload = run.outcome.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"an invariant is broken"));
    assert_eq!(run.counts["create"], 1);
}

/// Five nodes that ring each other up at random, with bad links, kills and crooked clocks.
fn storm(seed: u64) -> Run<u64> {
    simulated::run(seed, move || async move {
        let rounds = std::rc::Rc::new(Cell::new(0));
        network::set_default_link(Link {
            loss_ppm: 10_000,
            tail_ppm: 20_000,
            tail_us: 10_000,
            duplicate_ppm: 50_000,
            fragment_ppm: 50_000,
            reset_ppm: 1_000,
            ..Link::default()
        });
        network::set_framed(ECHO_PORT);
        create_node("echo", ip(1), echo_for_ever);
        let nodes: Vec<NodeId> =
            (2..7).map(|last| create_node("caller", ip(last), call_for_ever)).collect();
        let mut faults = Stream::new(seed, Purpose::Faults, 0);
        for _ in 0..50 {
            sleep_true(Duration::from_millis(faults.between(1, 400))).await;
            let node = *faults.pick(&nodes);
            clocks::set_drift_ppm(node, faults.below(2_000) as i32 - 1_000);
            simulated::kill(node, *faults.pick(&[Kill::Process, Kill::Power]));
            simulated::restart(node);
            rounds.set(rounds.get() + 1);
        }
        simulated::record::event_count()
    })
}

async fn call_for_ever() {
    loop {
        sleep(Duration::from_micros(random_u64() % 20_000)).await;
        let second = Duration::from_secs(1);
        let Ok(Ok(stream)) = timeout(second, TcpStream::connect(ECHO)).await else { continue };
        let (mut reader, mut writer) = stream.into_split();
        let mut buffer = BytesMut::new();
        while writer.write_all(&[1; 100]).await.is_ok() {
            buffer.clear();
            if !matches!(timeout(second, reader.read(&mut buffer)).await, Ok(Ok(1..))) {
                break;
            }
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_is_another() {
    let first = storm(11);
    let again = storm(11);
    let other = storm(12);
    assert_eq!(first.hash, again.hash);
    assert_eq!(first.counts, again.counts);
    assert_eq!(first.recent, again.recent);
    assert_ne!(first.hash, other.hash);
    let events = finish(first);
    assert!(10_000 < events, "only {events} events");
    for kind in ["send", "deliver", "duplicate", "reset", "kill", "restart", "connect"] {
        assert!(again.counts.contains_key(kind), "no {kind} among {:?}", again.counts);
    }
}
