use std::collections::BTreeMap;

use super::*;

fn show(sections: &[&str]) -> String {
    let keyspace = |name: &str, keys| KeyspaceStatus {
        name: name.to_owned(),
        keys,
        volatile_keys: 1,
        bytes_used: 1000,
        bytes_max: 1 << 20,
        hits: 3,
        ..KeyspaceStatus::default()
    };
    let status = NodeStatus {
        name: "node-1".to_owned(),
        id: "a".repeat(40),
        keyspaces: vec![keyspace("default", 7), keyspace("cache", 0)],
        ..NodeStatus::default()
    };
    let topology = Topology {
        epoch: 1,
        generation: 1,
        me: 0,
        members: Vec::new(),
        shards: Vec::new(),
        redirect: false,
    };
    let metrics = Metrics::new(2);
    metrics.commands[1].calls.add(4);
    metrics.commands[1].duration_us.add(10);
    metrics.count_error("WRONGTYPE text");
    let facts = Facts {
        status: &status,
        topology: &topology,
        metrics: &metrics,
        command_names: &["get", "client|setname"],
        usage: Usage { cpu_user_us: 1_500_000, ..Usage::default() },
        listen: ([127, 0, 0, 1], 7001).into(),
        connection_count_max: 100,
        wall_ms: 1_700_000_000_000,
        uptime_us: 61_000_000,
        client_output_max: 0,
        client_query_max: 0,
    };
    info(&facts, sections.iter().map(|section| section.as_bytes()))
}

fn fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(':')).collect()
}

#[test]
fn what_clients_and_exporters_need_is_there() {
    let text = show(&[]);
    let fields = fields(&text);
    for (name, value) in [
        ("redis_version", REDIS_VERSION),
        ("redis_mode", "standalone"),
        ("loading", "0"),
        ("cluster_enabled", "0"),
        ("role", "master"),
        ("uptime_in_seconds", "61"),
        ("used_memory", "2000"),
        ("maxmemory", "2097152"),
        ("keyspace_hits", "6"),
        ("used_cpu_user", "1.500000"),
        ("db0", "keys=7,expires=1,avg_ttl=0"),
        ("errorstat_WRONGTYPE", "count=1"),
        ("evenkeel_version", EVENKEEL_VERSION),
    ] {
        assert_eq!(fields.get(name), Some(&value), "{name}");
    }
    for name in ["connected_clients", "master_repl_offset", "evicted_keys", "expired_keys"] {
        assert!(fields.contains_key(name), "{name}");
    }
    assert!(!fields.contains_key("db1"), "an empty keyspace is left out, as in Redis");
    assert!(!text.contains("cmdstat_"), "command statistics are asked for by name");
}

#[test]
fn sections_are_chosen_by_name_in_any_case() {
    let text = show(&["SERVER", "cpu"]);
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(headings, ["# Server", "# CPU"]);
    assert_eq!(show(&["nonsense"]), "");
    assert!(show(&["default", "commandstats"]).contains("# Commandstats"));
}

#[test]
fn all_shows_every_section_and_only_commands_that_were_called() {
    let text = show(&["all"]);
    assert_eq!(text.lines().filter(|line| line.starts_with('#')).count(), SECTIONS.len());
    assert!(text.contains(
        "cmdstat_client|setname:calls=4,usec=10,usec_per_call=2.50,rejected_calls=0,failed_calls=0"
    ));
    assert!(!text.contains("cmdstat_get"));
}

#[test]
fn sizes_for_people_are_as_in_redis() {
    assert_eq!(human(512), "512B");
    assert_eq!(human(1536), "1.50K");
    assert_eq!(human(3 << 30), "3.00G");
}
