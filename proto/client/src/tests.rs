//! Both clients against the same scripts: a node that says these bytes, whatever it hears.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use evenkeel_runtime::{block_on, timeout};
use evenkeel_wire::reply::{Protocol, Reply};

use crate::blocking::BlockingClient;
use crate::client::{Client, Options};
use crate::cluster::ClusterClient;
use crate::error::ClientError;
use crate::snapshot::{Begun, SnapshotClient, Step};

/// What a node does after it has heard `hears` bytes.
struct Turn {
    hears: usize,
    says: &'static [u8],
}

const PING: usize = b"*1\r\n$4\r\nPING\r\n".len();

fn options(protocol: Protocol) -> Options {
    let connect_timeout = Duration::from_secs(5);
    Options { connect_timeout, reply_timeout: Duration::from_millis(300), protocol }
}

/// A node with this script for its one connection, then it hangs up; returns all it heard.
fn node(script: Vec<Turn>) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let node = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the test connects");
        let mut heard = Vec::new();
        for turn in script {
            let start = heard.len();
            heard.resize(start + turn.hears, 0);
            stream.read_exact(&mut heard[start..]).expect("the client says as much");
            // In pieces: a reply may come as it likes.
            for piece in turn.says.chunks(3) {
                if stream.write_all(piece).is_err() {
                    break; // The client has heard enough, and hung up.
                }
            }
        }
        heard
    });
    (address, node)
}

/// Runs the same commands on both clients, each with a fresh node, and shows what became of them.
fn check(protocol: Protocol, script: &[(usize, &'static [u8])], expected: &[&str]) {
    let turns = || script.iter().map(|&(hears, says)| Turn { hears, says }).collect();
    let show = |result: Result<Reply, ClientError>| match result {
        Ok(reply) => format!("{reply:?}"),
        Err(error) => format!("{} ({})", error_name(&error), error.is_outcome_unknown()),
    };

    let (address, node_of_async) = node(turns());
    let shown: Vec<_> = block_on(async {
        let mut client = match Client::connect_with(address, options(protocol)).await {
            Ok(client) => client,
            Err(error) => return vec![show(Err(error))],
        };
        let mut shown = Vec::new();
        for _ in expected {
            shown.push(show(client.command(&[b"PING"]).await));
        }
        client.close().await;
        shown
    });
    assert_eq!(shown, expected, "async");

    let (address, node_of_blocking) = node(turns());
    let shown: Vec<_> = match BlockingClient::connect_with(address, options(protocol)) {
        Ok(mut client) => expected.iter().map(|_| show(client.command(&[b"PING"]))).collect(),
        Err(error) => vec![show(Err(error))],
    };
    assert_eq!(shown, expected, "blocking");
    let heard = node_of_async.join().expect("no panic");
    assert_eq!(heard, node_of_blocking.join().expect("no panic"), "both say the same");
}

fn error_name(error: &ClientError) -> &'static str {
    match error {
        ClientError::Refused { .. } => "refused",
        ClientError::Disconnected { .. } => "disconnected",
        ClientError::TimedOut { .. } => "timed out",
        ClientError::Server(_) => "server",
        ClientError::Protocol { .. } => "protocol",
    }
}

#[test]
fn replies_come_in_order_and_errors_are_replies() {
    check(
        Protocol::Resp2,
        &[(PING, b"+PONG\r\n"), (PING, b"-ERR no\r\n"), (PING, b"*2\r\n:1\r\n$-1\r\n")],
        &[r#"Simple("PONG")"#, r#"Error("ERR no")"#, "Array([Integer(1), Null])"],
    );
}

#[test]
fn resp3_starts_with_hello_and_pushes_answer_nothing() {
    let hello = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n".len();
    check(
        Protocol::Resp3,
        &[(hello, b"%1\r\n+proto\r\n:3\r\n"), (PING, b">1\r\n+news\r\n#t\r\n")],
        &["Boolean(true)"],
    );
    check(Protocol::Resp3, &[(hello, b"-NOPROTO no\r\n")], &["server (false)"]);
}

#[test]
fn every_failure_says_what_may_have_happened() {
    let again = "disconnected (true)";
    check(Protocol::Resp2, &[(PING, b"+PO")], &["disconnected (true)", again]);
    check(Protocol::Resp2, &[(PING, b"HTTP/1.1 400\r\n")], &["protocol (true)", again]);
    // The node waits for bytes that never come, so it neither answers nor hangs up.
    let (address, _node) = node(vec![Turn { hears: usize::from(u16::MAX), says: b"" }]);
    let mut client = BlockingClient::connect_with(address, options(Protocol::Resp2));
    let result = client.as_mut().expect("it listens").command(&[b"PING"]);
    assert!(matches!(result, Err(ClientError::TimedOut { .. })), "{result:?}");
    let (address, _node) = node(vec![Turn { hears: usize::from(u16::MAX), says: b"" }]);
    block_on(async {
        let client = Client::connect_with(address, options(Protocol::Resp2)).await;
        let result = client.expect("it listens").command(&[b"PING"]).await;
        assert!(matches!(result, Err(ClientError::TimedOut { .. })), "{result:?}");
    });
}

#[test]
fn nobody_there_means_that_nothing_was_done() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = BlockingClient::connect(address).expect_err("nobody listens");
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    let error = block_on(Client::connect(address)).expect_err("nobody listens");
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    assert!(!error.is_outcome_unknown());
}

#[test]
fn a_pipeline_is_answered_as_a_whole() {
    let (address, node) = node(vec![Turn { hears: 3 * PING, says: b":1\r\n:2\r\n:3\r\n" }]);
    let replies = block_on(async {
        let mut client = Client::connect(address).await.expect("it listens");
        client.pipeline(&[&[b"PING"], &[b"PING"], &[b"PING"]]).await.expect("it answers")
    });
    assert_eq!(replies, [1, 2, 3].map(Reply::Integer));
    assert_eq!(node.join().expect("no panic"), b"*1\r\n$4\r\nPING\r\n".repeat(3));
}

#[test]
fn a_reply_that_came_too_late_is_nobody_elses() {
    let (address, node) = node(vec![Turn { hears: 2 * PING, says: b"+LATE\r\n+PONG\r\n" }]);
    block_on(async {
        let mut client = Client::connect(address).await.expect("it listens");
        let impatient = timeout(Duration::from_millis(20), client.command(&[b"PING"])).await;
        assert!(impatient.is_err(), "the node waits for a second command");
        let reply = client.command(&[b"PING"]).await.expect("it answers");
        assert_eq!(reply, Reply::simple("PONG"));
    });
    node.join().expect("no panic");
}

#[test]
fn the_cluster_client_goes_where_it_is_sent() {
    let (leader, leader_node) = node(vec![
        Turn { hears: PING, says: b"+PONG\r\n" },
        Turn { hears: PING, says: b"+PONG\r\n" },
    ]);
    let moved: &'static [u8] = format!("-MOVED 1 {leader}\r\n").leak().as_bytes();
    let (seed, seed_node) = node(vec![Turn { hears: PING, says: moved }]);
    let unused = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound")
    };
    block_on(async {
        let seeds = vec![unused, seed];
        let mut client = ClusterClient::new(seeds, options(Protocol::Resp2));
        for _ in 0..2 {
            let reply = client.command(&[b"PING"]).await.expect("the leader answers");
            assert_eq!(reply, Reply::simple("PONG"));
        }
        let mut client = ClusterClient::new(vec![unused], options(Protocol::Resp2));
        let error = client.command(&[b"PING"]).await.expect_err("nobody listens");
        assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    });
    seed_node.join().expect("no panic");
    leader_node.join().expect("no panic");
}

/// Goal: whoever fetches a snapshot is told what became of it, and asks the next node when one is gone.
/// Method: the first node is not there; the second says each thing that there is to say.
#[test]
fn a_snapshot_is_fetched_from_whoever_answers_until_it_is_gone() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let begin = b"*4\r\n$8\r\nEVENKEEL\r\n$8\r\nSNAPSHOT\r\n$5\r\nBEGIN\r\n$1\r\n7\r\n".len();
    let next =
        b"*5\r\n$8\r\nEVENKEEL\r\n$8\r\nSNAPSHOT\r\n$4\r\nNEXT\r\n$1\r\nt\r\n$1\r\n0\r\n".len();
    let begun: &[u8] = b"*14\r\n$5\r\ntoken\r\n$1\r\nt\r\n$5\r\nshard\r\n:7\r\n$8\r\nposition\r\n:9\r\n\
        $8\r\ntaken_ms\r\n:5\r\n$7\r\ncluster\r\n$2\r\nff\r\n$5\r\nepoch\r\n:3\r\n$6\r\nshards\r\n:8\r\n";
    let script = [
        (begin, begun),
        (next, b"$3\r\nabc\r\n"),
        (next, b"$-1\r\n"),
        (next, b"-NOSNAPSHOT it is not held: begin again\r\n"),
        (next, b"-ERR no\r\n"),
        (begin, b"*2\r\n$5\r\ntoken\r\n$1\r\nt\r\n"),
    ];
    let (address, node) = node(script.map(|(hears, says)| Turn { hears, says }).into());
    block_on(async {
        let patience = Duration::from_secs(5);
        let mut client =
            SnapshotClient::new(vec![gone, address], options(Protocol::Resp2), patience);
        let begun = client.begin(7).await.expect("the second node answers");
        let expected = Begun {
            token: "t".into(),
            shard: 7,
            position: 9,
            taken_ms: 5,
            cluster: 255,
            epoch: 3,
            shard_count: 8,
        };
        assert_eq!(begun, expected);
        assert_eq!(client.next(&begun, 0).await.expect("a part"), Step::Part("abc".into()));
        assert_eq!(client.next(&begun, 1).await.expect("the end"), Step::Done);
        let why = "it is not held: begin again".to_string();
        assert_eq!(client.next(&begun, 2).await.expect("word of it"), Step::Gone(why));
        assert_eq!(error_name(&client.next(&begun, 2).await.expect_err("refused")), "server");
        assert_eq!(error_name(&client.begin(7).await.expect_err("strange")), "server");
    });
    node.join().expect("all was said");
}
