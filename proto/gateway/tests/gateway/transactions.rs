//! `MULTI` and its like.

use evenkeel_gateway::limits::Limits;

use crate::talk::{encode, in_house};

#[test]
fn a_transaction_is_queued_and_answered_at_once() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.ask("MULTI", "+OK|").await;
        talk.ask("SET a 1", "+QUEUED|").await;
        talk.ask("PING", "+QUEUED|").await;
        talk.ask("INCR a", "+QUEUED|").await;
        talk.ask("EXEC", "*3|+OK|+PONG|:2|").await;
        talk.ask("EXEC", "-ERR EXEC without MULTI|").await;
        talk.ask("MULTI", "+OK|").await;
        talk.ask("EXEC", "*0|").await;
    });
}

#[test]
fn a_whole_transaction_may_come_in_one_piece() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let commands = ["GET slow:x", "MULTI", "INCR a", "INCR a", "EXEC", "GET a"];
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        talk.send(&bytes).await;
        talk.hear("$-1|+OK|+QUEUED|+QUEUED|*2|:1|:2|$1|2|").await;
    });
}

#[test]
fn a_refused_command_calls_the_transaction_off() {
    in_house(Limits::default(), async |house| {
        let abort = "-EXECABORT Transaction discarded because of previous errors.|";
        let mut talk = house.visit().await;
        talk.ask("MULTI", "+OK|").await;
        talk.ask("SET a 1", "+QUEUED|").await;
        talk.ask("GET", "-ERR wrong number of arguments for 'get' command|").await;
        talk.ask("EXEC", abort).await;
        talk.ask("GET a", "$-1|").await;

        talk.ask("MULTI", "+OK|").await;
        talk.ask("SELECT 1", "-ERR Command not allowed inside a transaction|").await;
        talk.ask("EXEC", abort).await;

        talk.ask("MULTI", "+OK|").await;
        talk.ask("MULTI", "-ERR MULTI calls can not be nested|").await;
        talk.ask("WATCH a", "-ERR WATCH inside MULTI is not allowed|").await;
        talk.ask("DISCARD", "+OK|").await;
        talk.ask("DISCARD", "-ERR DISCARD without MULTI|").await;
    });
}

#[test]
fn a_watched_key_that_changes_calls_the_transaction_off() {
    in_house(Limits::default(), async |house| {
        let (mut talk, mut other) = (house.visit().await, house.visit().await);
        for protocol in [2, 3] {
            talk.say(&format!("HELLO {protocol}")).await;
            talk.hear(if protocol == 2 { "*14|" } else { "%7|" }).await;
            talk.skip("modules|*0|").await;
            talk.ask("WATCH a b", "+OK|").await;
            other.ask("SET b 1", "+OK|").await;
            talk.ask("MULTI", "+OK|").await;
            talk.ask("SET a 1", "+QUEUED|").await;
            talk.ask("EXEC", if protocol == 2 { "*-1|" } else { "_|" }).await;
            talk.ask("MULTI", "+OK|").await;
            talk.ask("SET a 1", "+QUEUED|").await;
            talk.ask("EXEC", "*1|+OK|").await;
        }
    });
}

/// Goal: a watch sees the key as it is when the WATCH is read, though what follows is in the same
/// packet. Method: the fake looks late.
#[test]
fn what_follows_a_watch_waits_for_it() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let commands = ["WATCH a", "SET a 1", "MULTI", "SET a 2", "EXEC", "GET a"];
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        talk.send(&bytes).await;
        talk.hear("+OK|+OK|+OK|+QUEUED|*-1|$1|1|").await;

        let commands = ["WATCH a", "UNWATCH", "SET a 3", "MULTI", "SET a 4", "EXEC"];
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        talk.send(&bytes).await;
        talk.hear("+OK|+OK|+OK|+OK|+QUEUED|*1|+OK|").await;
    });
}

#[test]
fn a_transaction_cannot_grow_without_end() {
    in_house(Limits { transaction_count_max: 2, ..Limits::default() }, async |house| {
        let mut talk = house.visit().await;
        talk.ask("MULTI", "+OK|").await;
        talk.ask("PING", "+QUEUED|").await;
        talk.ask("PING", "+QUEUED|").await;
        talk.ask("PING", "-ERR more than 2 commands in a transaction (`transaction_count_max`)|")
            .await;
        talk.ask("EXEC", "-EXECABORT Transaction discarded because of previous errors.|").await;
    });
    in_house(Limits { transaction_size_max: 100, ..Limits::default() }, async |house| {
        let mut talk = house.visit().await;
        talk.ask("MULTI", "+OK|").await;
        talk.ask(
            &format!("SET a {}", "x".repeat(100)),
            "-ERR a transaction is larger than 100 bytes (`transaction_size_max`)|",
        )
        .await;
        talk.ask("DISCARD", "+OK|").await;
    });
}
