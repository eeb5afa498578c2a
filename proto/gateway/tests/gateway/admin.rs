//! What clients, benchmarks and operators ask besides keys.

use evenkeel_gateway::limits::Limits;

use crate::talk::in_house;

#[test]
fn small_questions_have_the_answers_of_redis() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        for (question, answer) in [
            ("PING", "+PONG|"),
            ("PING hello", "$5|hello|"),
            ("ECHO hello", "$5|hello|"),
            ("CLIENT ID", ":1|"),
            ("CLIENT GETNAME", "$-1|"),
            ("CLIENT SETINFO LIB-NAME test", "+OK|"),
            ("CLIENT NO-EVICT on", "+OK|"),
            ("CLIENT TRACKING OFF", "+OK|"),
            ("READONLY", "+OK|"),
            ("READWRITE", "+OK|"),
            ("ASKING", "+OK|"),
            ("SELECT 0", "+OK|"),
            ("WAIT 1 0", ":2|"),
            ("ROLE", "*3|$6|master|:0|*0|"),
            ("ACL WHOAMI", "$7|default|"),
            ("ACL USERS", "*1|$7|default|"),
            ("MODULE LIST", "*0|"),
            ("SLOWLOG LEN", ":0|"),
            ("SLOWLOG GET", "*0|"),
            ("LATENCY LATEST", "*0|"),
            ("CONFIG GET save", "*2|$4|save|$0||"),
            ("CONFIG GET append*", "*4|$11|appendfsync|$6|always|$10|appendonly|$3|yes|"),
            ("CONFIG RESETSTAT", "+OK|"),
            ("CLUSTER KEYSLOT foo", ":12182|"),
            ("CLUSTER COUNTKEYSINSLOT 3", ":0|"),
            ("AUTH default any", "+OK|"),
            (
                "AUTH any",
                "-ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?|",
            ),
            ("AUTH me any", "-WRONGPASS invalid username-password pair or user is disabled.|"),
            (
                "SELECT 7",
                "-ERR DB index is out of range: 7 is no keyspace, there are 0 (default) and 1 (cache)|",
            ),
            ("LPUSH a b", "-ERR unknown command 'LPUSH', with args beginning with: 'a' 'b' |"),
            ("CLIENT NONSENSE", "-ERR unknown subcommand 'NONSENSE'. Try CLIENT HELP.|"),
        ] {
            talk.ask(question, answer).await;
        }
    });
}

#[test]
fn keyspaces_are_apart() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.ask("SET a 1", "+OK|").await;
        talk.ask("SELECT 1", "+OK|").await;
        talk.ask("GET a", "$-1|").await;
        talk.ask("SET a 2", "+OK|").await;
        talk.ask("GET a", "$1|2|").await;
        talk.ask("SELECT 0", "+OK|").await;
        talk.ask("GET a", "$1|1|").await;
    });
}

#[test]
fn the_topology_is_made_once_however_often_it_is_asked_for() {
    in_house(Limits::default(), async |house| {
        let node =
            |number: u16| format!("*4|$9|127.0.0.1|:{}|$40|{number:040x}|*0|", 7000 + number);
        let slots = format!("*1|*3|:0|:16383|{}", node(1));
        let mut talk = house.visit().await;
        for _ in 0..5 {
            talk.ask("CLUSTER SLOTS", &slots).await;
        }
        assert_eq!(house.fake.topology_count.get(), 1);
        talk.ask("CLUSTER MYID", &format!("$40|{:040x}|", 1)).await;
        let nodes = talk.ask_bulk("CLUSTER NODES").await;
        assert!(nodes.contains("127.0.0.1:7001@8001 myself,master - 0 0 1 connected 0-16383"));
        assert!(talk.ask_bulk("CLUSTER INFO").await.contains("cluster_state:ok\r\n"));
    });
}

#[test]
fn what_an_operator_asks_for_is_answered_when_it_is_known() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        let decided = |epoch: u64, moved: u64, shards: &str, stuck: &str| {
            format!(
                "*10|$5|epoch|:{epoch}|$11|votes_moved|:{moved}|$11|lower_bound|:{moved}|\
                 $6|shards|{shards}$5|stuck|{stuck}"
            )
        };
        talk.ask("EVENKEEL TRANSFER 0", "+OK|").await;
        talk.ask("EVENKEEL TRANSFER 9 b", "-ERR there is no shard 9|").await;
        let shard = "*1|*4|$5|shard|:2|$6|voters|*3|$1|a|$1|b|$1|c|";
        talk.ask("evenkeel move 2 a b c", &decided(7, 1, shard, "*0|")).await;
        talk.ask("EVENKEEL DRAIN abc", &decided(3, 0, "*0|", "*1|:3|")).await;
        talk.ask("EVENKEEL BALANCE", &decided(0, 0, "*0|", "*0|")).await;
        talk.ask("EVENKEEL BALANCE WITHOUT a b", &decided(2, 0, "*0|", "*0|")).await;
        talk.ask("EVENKEEL JOIN abc", ":3|").await;
        talk.ask("EVENKEEL REMOVE b", "-ERR `b` votes|").await;
        let node = |name: char, id: &str, peer: &str, client: &str, connected: u8, votes: u8| {
            format!(
                "*12|$4|name|$1|{name}|$2|id|{id}$4|peer|{peer}$6|client|{client}\
                 $9|connected|:{connected}|$5|votes|:{votes}|"
            )
        };
        let there =
            node('a', "$16|000000000000000a|", "$11|127.0.0.1:9|", "$11|127.0.0.1:8|", 1, 2);
        let expected = node('b', "$-1|", "$-1|", "$-1|", 0, 0);
        talk.ask("EVENKEEL NODES", &format!("*2|{there}{expected}")).await;
        let begun = "*14|$5|token|$5|9.a.b|$5|shard|:9|$8|position|:8|$8|taken_ms|:7|\
                     $7|cluster|$16|0000000000000006|$5|epoch|:5|$6|shards|:4|";
        let fields = [
            ("running", 0),
            ("bytes_read", 0),
            ("bytes", 0),
            ("passes", 0),
            ("ended_ms", 0),
            ("asked", 1),
            ("answered", 0),
            ("damaged", 0),
            ("mended", 0),
            ("left", 3),
            ("detours", 0),
        ];
        let fields = fields.map(|(name, value)| {
            let name = format!("scrub_{name}");
            format!("${}|{name}|:{value}|", name.len())
        });
        talk.ask("EVENKEEL SCRUB", &format!("*22|{}", fields.concat())).await;
        talk.ask("EVENKEEL SNAPSHOT BEGIN 9", begun).await;
        talk.ask("EVENKEEL SNAPSHOT NEXT 9.a.b 1", "$7|9.a.b/1|").await;
        talk.ask("EVENKEEL SNAPSHOT NEXT 9.a.b 2", "$-1|").await;
        talk.ask("EVENKEEL SNAPSHOT END 9.a.b", "-NOSNAPSHOT it is gone|").await;
        let syntax = "-ERR syntax error|";
        talk.ask("EVENKEEL BALANCE a", syntax).await;
        talk.ask("EVENKEEL BALANCE WITHOUT", syntax).await;
        let number = "-ERR a shard is a number: see EVENKEEL SHARDS|";
        talk.ask("EVENKEEL MOVE -1 a", number).await;
        talk.ask("EVENKEEL TRANSFER 65536", number).await;
    });
}

#[test]
fn clients_can_be_silenced() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.say("CLIENT REPLY SKIP").await;
        talk.say("SET slow:a 1").await;
        talk.ask("GET slow:a", "$1|1|").await;
        talk.say("CLIENT REPLY OFF").await;
        talk.say("PING").await;
        talk.say("CLUSTER SLOTS").await;
        talk.say("GET slow:a").await;
        talk.say("NONSENSE").await;
        talk.ask("CLIENT REPLY ON", "+OK|").await;
        talk.ask("PING", "+PONG|").await;
    });
}

#[test]
fn clients_are_listed_and_killed() {
    in_house(Limits::default(), async |house| {
        let (mut first, mut second) = (house.visit().await, house.visit().await);
        first.ask("CLIENT SETNAME first", "+OK|").await;
        second.ask("CLIENT SETNAME second", "+OK|").await;
        let list = first.ask_bulk("CLIENT LIST").await;
        let names: Vec<&str> = list
            .lines()
            .filter_map(|line| line.split(' ').find(|field| field.starts_with("name=")))
            .collect();
        assert_eq!(names, ["name=first", "name=second"]);
        assert!(
            list.lines().next().is_some_and(|line| line.contains("cmd=client|list ")),
            "{list}"
        );

        first.ask("CLIENT KILL ID 2", ":1|").await;
        second.hear_end().await;
        first.ask("CLIENT KILL ID 2", ":0|").await;
        first.ask("CLIENT KILL 127.0.0.1:1", "-ERR No such client|").await;
        first.ask("CLIENT KILL ID 1 SKIPME no", ":1|").await;
        first.hear_end().await;
    });
}

#[test]
fn settings_change_while_clients_are_connected() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.ask("CONFIG SET maxclients 1", "+OK|").await;
        house.visit().await.hear("-ERR max number of clients reached|").await;
        talk.ask("CONFIG SET slowlog-log-slower-than 1000", "+OK|").await;
        talk.ask("SET slow:a 1", "+OK|").await;
        talk.ask("SLOWLOG LEN", ":1|").await;
        talk.ask("CONFIG SET slowlog-max-len 0", "+OK|").await;
        talk.ask("SLOWLOG LEN", ":0|").await;
        talk.ask(
            "CONFIG SET maxmemory 1",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - it cannot be \
             changed while the node runs: change the node's configuration and restart it|",
        )
        .await;
    });
}

#[test]
fn what_happens_is_counted() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.ask("SET a x", "+OK|").await;
        talk.ask("GET a", "$1|x|").await;
        talk.ask("GET slow:b", "$-1|").await;
        talk.ask("INCR a", "-ERR value is not an integer or out of range|").await;
        talk.say("NONSENSE").await;
        talk.skip("beginning with: |").await;
        let info = talk.ask_bulk("INFO all").await;
        for line in [
            "total_commands_processed:6\r\n",
            "total_connections_received:1\r\n",
            "connected_clients:1\r\n",
            "total_error_replies:2\r\n",
            "errorstat_ERR:count=2\r\n",
            "cmdstat_get:calls=2,",
            "cmdstat_set:calls=1,",
            "cmdstat_unknown:calls=1,",
            "db0:keys=1,",
            "pending_commands:0\r\n",
        ] {
            assert!(info.contains(line), "{line} in {info}");
        }
        let incr = info.lines().find(|line| line.starts_with("cmdstat_incr:")).expect("counted");
        assert!(incr.ends_with("rejected_calls=0,failed_calls=1"), "{incr}");
        talk.ask("CONFIG RESETSTAT", "+OK|").await;
        assert!(!talk.ask_bulk("INFO commandstats").await.contains("cmdstat_get:"));
    });
}

#[test]
fn the_command_table_is_told() {
    in_house(Limits::default(), async |house| {
        let mut talk = house.visit().await;
        talk.ask("COMMAND GETKEYS SET a b", "*1|$1|a|").await;
        talk.say("COMMAND INFO get").await;
        talk.hear("*1|*10|$3|get|:2|").await;
    });
}
