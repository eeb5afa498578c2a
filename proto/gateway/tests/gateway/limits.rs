//! What clients cannot make us do.

use std::time::Duration;

use evenkeel_gateway::limits::Limits;

use crate::talk::{encode, in_house};

#[test]
fn one_client_too_many_is_told_so() {
    in_house(Limits { connection_count_max: 2, ..Limits::default() }, async |house| {
        let mut first = house.visit().await;
        let mut second = house.visit().await;
        first.ask("PING", "+PONG|").await;
        second.ask("PING", "+PONG|").await;
        let mut third = house.visit().await;
        third.hear("-ERR max number of clients reached|").await;
        third.hear_end().await;
        let info = first.ask_bulk("INFO stats").await;
        assert!(info.contains("rejected_connections:1\r\n"), "{info}");

        second.ask("QUIT", "+OK|").await;
        second.hear_end().await;
        house.until("there is room again", |house| house.gateway.connection_count() == 1).await;
        house.visit().await.ask("PING", "+PONG|").await;
    });
}

#[test]
fn an_argument_too_large_is_refused_when_it_is_announced() {
    in_house(Limits { bulk_size_max: 1000, ..Limits::default() }, async |house| {
        let mut talk = house.visit().await;
        talk.ask(&format!("SET a {}", "x".repeat(1000)), "+OK|").await;
        talk.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1001\r\n").await;
        talk.hear(
            "-ERR Protocol error: invalid bulk length: 1001 bytes, at most 1000 are allowed|",
        )
        .await;
        talk.hear_end().await;
    });
}

#[test]
fn large_commands_pass_in_many_reads() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let value = "v".repeat(3 * 1024 * 1024);
        for keyspace in 0..2 {
            talk.ask(&format!("SELECT {keyspace}"), "+OK|").await;
            talk.ask(&format!("SET large {value}"), "+OK|").await;
            talk.say("GET large").await;
            talk.hear(&format!("${}|{value}|", value.len())).await;
        }
    });
}

#[test]
fn unfinished_commands_of_all_clients_together_are_bounded() {
    let limits = Limits { query_size_total_max: 512 * 1024, ..Limits::default() };
    in_house(limits, async |house| {
        let mut talk = house.visit().await;
        talk.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4000000\r\n").await;
        for _ in 0..16 {
            // The gateway may hang up at any of these.
            talk.try_send(&[b'x'; 64 * 1024]).await;
        }
        talk.hear("-OOM all clients' unfinished commands together exceed 524288 bytes ").await;
    });
}

#[test]
fn a_pipeline_waits_at_the_door_when_too_much_is_in_flight() {
    in_house(Limits { pipeline_count_max: 3, ..Limits::default() }, async |house| {
        let mut talk = house.visit().await;
        let bytes: Vec<u8> =
            (0..10).flat_map(|number| encode(&format!("INCRBY slow:n {number}"))).collect();
        talk.send(&bytes).await;
        talk.hear(":0|:1|:3|:6|:10|:15|:21|:28|:36|:45|").await;
        assert_eq!(house.fake.running_max.get(), 3);
    });
}

#[test]
fn a_pipeline_is_also_bounded_in_bytes() {
    in_house(Limits { pipeline_size_max: 1000, ..Limits::default() }, async |house| {
        let mut talk = house.visit().await;
        let value = "x".repeat(600);
        let bytes: Vec<u8> = (0..6).flat_map(|_| encode(&format!("SET slow:n {value}"))).collect();
        talk.send(&bytes).await;
        talk.hear("+OK|+OK|+OK|+OK|+OK|+OK|").await;
        assert_eq!(house.fake.running_max.get(), 2);
    });
}

/// Goal: a client that asks and never reads costs a bounded amount, and ends. Method: ask for 100 MB
/// with a limit of 256 KiB and look at what the gateway holds.
#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let limits = Limits {
        output_size_high: 256 * 1024,
        output_stall_max: Duration::from_millis(300),
        ..Limits::default()
    };
    in_house(limits, async |house| {
        let mut deaf = house.visit().await;
        let mut other = house.visit().await;
        deaf.ask(&format!("SET big {}", "v".repeat(100_000)), "+OK|").await;
        let gets: Vec<u8> = (0..1000).flat_map(|_| encode("GET big")).collect();
        deaf.send(&gets).await;
        let mut held_max = 0;
        while house.gateway.connection_count() == 2 {
            let info = other.ask_bulk("INFO clients").await;
            let held = info
                .lines()
                .find_map(|line| line.strip_prefix("client_recent_max_output_buffer:"))
                .and_then(|value| value.parse::<usize>().ok())
                .expect("a number");
            held_max = held_max.max(held);
            evenkeel_runtime::sleep(Duration::from_millis(5)).await;
        }
        assert!(held_max >= 100_000, "the test filled the buffer: {held_max}");
        assert!(held_max <= 256 * 1024 + 100_100, "one reply more than the limit: {held_max}");
        let stats = other.ask_bulk("INFO stats").await;
        assert!(stats.contains("client_output_buffer_limit_disconnections:1\r\n"), "{stats}");
        assert!(deaf.rest().await < 100_000_000);
    });
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let limits = Limits { output_size_high: 64 * 1024, ..Limits::default() };
    in_house(limits, async |house| {
        let mut talk = house.visit().await;
        talk.ask(&format!("SET big {}", "v".repeat(100_000)), "+OK|").await;
        let gets: Vec<u8> = (0..200).flat_map(|_| encode("GET big")).collect();
        talk.send(&gets).await;
        evenkeel_runtime::sleep(Duration::from_millis(50)).await;
        talk.fall_silent();
        assert_eq!(talk.rest().await, 200 * (100_000 + "$100000\r\n\r\n".len()));
    });
}

#[test]
fn a_silent_client_is_disconnected_if_the_operator_wants_so() {
    in_house(
        Limits { idle_max: Some(Duration::from_millis(100)), ..Limits::default() },
        async |house| {
            let mut talk = house.visit().await;
            talk.ask("PING", "+PONG|").await;
            talk.hear_end().await;
            let info = house.visit().await.ask_bulk("INFO stats").await;
            assert!(info.contains("idle_connections_closed:1\r\n"), "{info}");
        },
    );
}

#[test]
fn all_pipelines_together_are_bounded_in_bytes() {
    in_house(Limits { pipeline_size_total_max: 50_000, ..Limits::default() }, async |house| {
        let mut talks = [house.visit().await, house.visit().await];
        let value = "x".repeat(10_000);
        let bytes: Vec<u8> = (0..10).flat_map(|_| encode(&format!("SET slow:n {value}"))).collect();
        for talk in &mut talks {
            talk.send(&bytes).await;
        }
        for talk in &mut talks {
            talk.hear(&"+OK|".repeat(10)).await;
        }
        let most = house.fake.running_max.get();
        assert!((4..=7).contains(&most), "two each whatever the others do, five in all: {most}");
    });
}

#[test]
fn all_transactions_together_are_bounded_in_bytes() {
    in_house(Limits { query_size_total_max: 100_000, ..Limits::default() }, async |house| {
        let (mut first, mut second) = (house.visit().await, house.visit().await);
        let set = format!("SET a {}", "x".repeat(15_000));
        first.ask("MULTI", "+OK|").await;
        second.ask("MULTI", "+OK|").await;
        for _ in 0..5 {
            first.ask(&set, "+QUEUED|").await;
        }
        for _ in 0..3 {
            second.say(&set).await; // The first fits in what everybody may have; the last does not.
        }
        second.skip("OOM all clients' transactions and unfinished commands together exceed").await;
        second.skip("later|").await;
        first.ask("DISCARD", "+OK|").await;
        second.say("DISCARD").await;
        second.skip("+OK|").await;
        second.ask("MULTI", "+OK|").await;
        second.ask(&set, "+QUEUED|").await;
        second.ask(&set, "+QUEUED|").await;
    });
}
