//! How bytes become replies: pipelines, pieces, protocols, endings.

use evenkeel_gateway::limits::Limits;
use evenkeel_runtime::spawn;

use crate::talk::{encode, in_house};

#[test]
fn replies_come_in_the_order_of_the_commands_though_the_first_is_slow() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let commands = ["SET slow:a 1", "SET b 2", "GET slow:a", "GET b", "PING", "INCR b"];
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        talk.send(&bytes).await;
        talk.hear("+OK|+OK|$1|1|$1|2|+PONG|:3|").await;
        assert_eq!(house.fake.running_max.get(), 2, "slow commands run side by side");
    });
}

/// Goal: where the network cuts a pipeline makes no difference. Method: cut it everywhere.
#[test]
fn commands_may_arrive_in_any_pieces() {
    in_house(Limits::default(), async |house| {
        let bytes: Vec<u8> =
            ["SET key value", "GET key", "SELECT 1", "GET key", "SET key x", "GET key", "SELECT 0"]
                .iter()
                .flat_map(|command| encode(command))
                .collect();
        let mut talk = house.visit().await;
        for cut in 1..bytes.len() {
            talk.send(&bytes[..cut]).await;
            evenkeel_runtime::yield_now().await;
            talk.send(&bytes[cut..]).await;
            talk.hear("+OK|$5|value|+OK|").await;
            talk.hear(if cut == 1 { "$-1|" } else { "$1|x|" }).await;
            talk.hear("+OK|$1|x|+OK|").await;
        }
    });
}

/// Goal: whoever is readable at the same time has its keys fetched in one go. Method: three clients speak
/// before the gateway has its turn; what the house is asked to fetch is counted.
#[test]
fn connections_that_are_ready_together_have_their_keys_fetched_together() {
    in_house(Limits::default(), async |house| {
        let mut talks = [house.visit().await, house.visit().await, house.visit().await];
        for talk in &mut talks {
            talk.ask("GET elsewhere", "$-1|").await; // Greeted, and nothing to fetch.
        }
        assert_eq!(house.fake.warmed.take(), [0; 0]);
        for (talk, command) in talks.iter_mut().zip(["GET a", "SET b 1", "GET elsewhere"]) {
            talk.say(command).await;
        }
        for (talk, reply) in talks.iter_mut().zip(["$-1|", "+OK|", "$-1|"]) {
            talk.hear(reply).await;
        }
        assert_eq!(house.fake.warmed.take(), [2]);
        talks[0].ask("GET a", "$-1|").await;
        assert_eq!(house.fake.warmed.take(), [1]);
    });
}

#[test]
fn a_long_pipeline_has_its_keys_fetched_a_stretch_at_a_time() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let commands: Vec<u8> = (0..40).flat_map(|_| encode("GET a")).collect();
        talk.send(&commands).await;
        talk.hear(&"$-1|".repeat(40)).await;
        assert_eq!(house.fake.warmed.take(), [32, 8]);
    });
}

#[test]
fn people_may_type_commands() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.send(b"ping\r\n").await;
        talk.hear("+PONG|").await;
        talk.send(b"\r\nset key \"a b\"\nget key\r\n").await;
        talk.hear("+OK|$3|a b|").await;
    });
}

#[test]
fn hello_chooses_the_protocol_of_its_own_reply_and_of_those_after_it() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let map = |mark: &str, count: u8, proto: u8| {
            format!(
                "{mark}{count}|$6|server|$5|redis|$7|version|$5|7.2.4|$5|proto|:{proto}|$2|id|:1|\
                 $4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|"
            )
        };
        talk.ask("GET nothing", "$-1|").await;
        talk.ask("HELLO 3 SETNAME me", &map("%", 7, 3)).await;
        talk.ask("GET nothing", "_|").await;
        talk.ask("CLIENT GETNAME", "$2|me|").await;
        talk.ask("HELLO 9", "-NOPROTO unsupported protocol version|").await;
        talk.ask("HELLO", &map("%", 7, 3)).await;
        talk.ask("HELLO 2 AUTH default any", &map("*", 14, 2)).await;
        talk.ask(
            "HELLO 3 AUTH somebody x",
            "-WRONGPASS invalid username-password pair or user is disabled.|",
        )
        .await;
        talk.ask("GET nothing", "$-1|").await;
    });
}

#[test]
fn a_reply_that_comes_late_is_in_the_protocol_of_its_command() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let bytes = [encode("GET slow:nothing"), encode("HELLO 3"), encode("GET nothing")].concat();
        talk.send(&bytes).await;
        talk.hear("$-1|%7|").await;
    });
}

#[test]
fn reset_makes_a_connection_as_new() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.ask("SELECT 1", "+OK|").await;
        talk.ask("CLIENT SETNAME me", "+OK|").await;
        talk.ask("MULTI", "+OK|").await;
        talk.ask("RESET", "+RESET|").await;
        talk.ask("CLIENT GETNAME", "$-1|").await;
        talk.ask("EXEC", "-ERR EXEC without MULTI|").await;
        let line = talk.ask_bulk("CLIENT INFO").await;
        assert!(line.contains(" db=0 ") && line.contains(" resp=2 "), "{line}");
    });
}

#[test]
fn bytes_that_are_no_command_are_answered_and_end_the_connection() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.send(b"*1\r\n$4\r\nPING\r\n*1\r\n+PING\r\n").await;
        talk.hear("+PONG|-ERR Protocol error: expected '$', got '+'|").await;
        talk.hear_end().await;
        house
            .until("the connection is forgotten", |house| house.gateway.connection_count() == 0)
            .await;
    });
}

#[test]
fn quit_answers_everything_before_it_and_nothing_after() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let bytes = [encode("SET slow:a 1"), encode("QUIT"), encode("PING")].concat();
        talk.send(&bytes).await;
        talk.hear("+OK|+OK|").await;
        talk.hear_end().await;
    });
}

#[test]
fn who_has_stopped_talking_still_gets_answers() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.send(&[encode("SET slow:a 1"), encode("GET slow:a")].concat()).await;
        talk.fall_silent();
        talk.hear("+OK|$1|1|").await;
        talk.hear_end().await;
    });
}

#[test]
fn a_stop_finishes_what_is_in_flight_and_accepts_nobody() {
    in_house(Limits::default(), async |house| {
        let mut busy = house.visit().await;
        let mut idle = house.visit().await;
        idle.ask("PING", "+PONG|").await;
        busy.say("SET slow:gate 1").await;
        house.until("the command runs", |house| house.fake.running.get() == 1).await;
        let gateway = std::rc::Rc::clone(&house.gateway);
        let stopping = spawn(async move { gateway.stop().await });
        idle.hear_end().await;
        let refused = evenkeel_runtime::net::TcpStream::connect(house.gateway.local_addr()).await;
        assert!(refused.is_err(), "the listener is gone");
        house.fake.gate_open.set(true);
        busy.hear("+OK|").await;
        busy.hear_end().await;
        assert_eq!(stopping.await, Some(()));
        assert_eq!(house.gateway.connection_count(), 0);
    });
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let limits =
        Limits { stop_wait_max: std::time::Duration::from_millis(30), ..Limits::default() };
    in_house(limits, async |house| {
        let mut busy = house.visit().await;
        busy.say("SET slow:gate 1").await;
        house.until("the command runs", |house| house.fake.running.get() == 1).await;
        house.gateway.stop().await;
        busy.hear_end().await;
    });
}
