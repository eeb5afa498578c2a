use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use evenkeel_gateway::limits::Limits;
use evenkeel_node::config::SHARD_COUNT_DEFAULT;

use super::{ByteSize, Config, DEFAULT_TEXT, Mode, Override, keys};

fn load(text: &str, flags: &[&str]) -> Result<Config, String> {
    let flags: Result<Vec<_>, _> = flags.iter().map(|flag| Override::from_flag(flag)).collect();
    let loaded = flags.and_then(|flags| Config::load(Some(("node.yaml", text)), &flags));
    loaded.map_err(|error| error.to_string())
}

fn from_environment(name: &str, value: &str) -> Result<Config, String> {
    let variables = [(name.to_owned(), value.to_owned())];
    let overrides = Override::from_environment(variables.into_iter());
    let loaded = overrides.and_then(|overrides| Config::load(None, &overrides));
    loaded.map_err(|error| error.to_string())
}

/// Where clients reach the configured node itself.
fn client_of(config: &Config) -> SocketAddr {
    let nodes = &config.cluster.nodes;
    nodes.iter().find(|member| member.name == config.node.name).unwrap().client
}

fn check_refused(text: &str, flags: &[&str], expected: &str) {
    assert_eq!(load(text, flags).unwrap_err(), expected);
}

#[test]
fn the_printed_default_file_is_the_defaults() {
    let printed = load(DEFAULT_TEXT, &[]).unwrap();
    assert_eq!(printed, load("", &[]).unwrap());
    assert_eq!(printed, Config::load(None, &[]).unwrap());
    assert_eq!(printed.cluster.shards, SHARD_COUNT_DEFAULT);
    let (limits, highest) = (&printed.limits, Limits::default());
    assert_eq!(limits.connection_count_max, highest.connection_count_max);
    assert_eq!(limits.argument_count_max, highest.argument_count_max);
    assert_eq!(limits.bulk_max.in_memory(), highest.bulk_size_max);
    assert_eq!(limits.query_max.in_memory(), highest.query_size_max);
    assert_eq!(limits.output_max.in_memory(), highest.output_size_max);
    assert_eq!(client_of(&printed), printed.listen.resp);
}

#[test]
fn every_key_of_the_default_file_has_a_comment() {
    let mut commented = false;
    for line in DEFAULT_TEXT.lines() {
        let line = line.trim();
        let section = line.ends_with(':');
        assert!(commented || section || line.is_empty() || line.starts_with('#'), "{line}");
        commented = line.starts_with('#');
    }
}

#[test]
fn nothing_is_encrypted_unless_a_key_file_is_named() {
    for text in
        ["", "storage: { encryption_key_file: null }", "storage: { encryption_key_file: '' }"]
    {
        assert_eq!(load(text, &[]).unwrap().storage.key_file(), None, "{text}");
    }
    assert_eq!(load("", &["storage.encryption_key_file="]).unwrap().storage.key_file(), None);
    let named = load("storage: { encryption_key_file: root.key }", &[]).unwrap();
    assert_eq!(named.storage.key_file(), Some(Path::new("root.key")));
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let text = "log: { level: error }\ncluster: { shards: 8 }\nnode: { name: a }";
    let variables = [("EVENKEEL_LOG_LEVEL", "warn"), ("EVENKEEL_CLUSTER_SHARDS", "16")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut overrides = Override::from_environment(variables.into_iter()).unwrap();
    overrides.push(Override::from_flag("log.level=debug").unwrap());
    let config = Config::load(Some(("node.yaml", text)), &overrides).unwrap();
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.cluster.shards, 16);
    assert_eq!(config.node.name, "a");
}

#[test]
fn every_key_can_be_set_by_its_own_variable() {
    let names: BTreeSet<_> =
        keys::paths().iter().map(|path| keys::environment_name(path)).collect();
    assert_eq!(names.len(), keys::paths().len());
    let config = from_environment("EVENKEEL_KEYSPACES_CACHE_MEMORY_MAX", "2 GiB").unwrap();
    assert_eq!(config.keyspaces.cache.memory_max, ByteSize(2 << 30));
    let nodes = r#"[{ name: node-1, peer: "[::1]:9", client: "[::1]:8" }]"#;
    let config = from_environment("EVENKEEL_CLUSTER_NODES", nodes).unwrap();
    assert_eq!(client_of(&config).to_string(), "[::1]:8");
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    check_refused(
        "cluster: { shard: 8 }",
        &[],
        "node.yaml has an unknown key `cluster.shard`; did you mean `cluster.shards`?",
    );
    check_refused(
        "",
        &["log.shards=3"],
        "--set has an unknown key `log.shards`; did you mean `cluster.shards`?",
    );
    check_refused(
        "colour: blue",
        &[],
        "node.yaml has an unknown key `colour`; `evenkeel config default` prints every key",
    );
    assert_eq!(
        from_environment("EVENKEEL_LOG_LEVLE", "debug").unwrap_err(),
        "the environment has an unknown key `EVENKEEL_LOG_LEVLE`; did you mean `EVENKEEL_LOG_LEVEL`?"
    );
}

#[test]
fn variables_that_a_container_platform_injects_are_left_alone() {
    let config = from_environment("EVENKEEL_SERVICE_HOST", "10.0.0.1").unwrap();
    assert_eq!(config, load("", &[]).unwrap());
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    let error = load("cluster: { mode: both }", &[]).unwrap_err();
    assert!(error.starts_with("`cluster.mode` in node.yaml cannot be `both`: "), "{error}");
    let error = load("", &["listen.resp=7001"]).unwrap_err();
    assert!(error.starts_with("`listen.resp` in --set cannot be `7001`: "), "{error}");
    let error = load("keyspaces: { cache: { ttl_jitter_percent: 51 } }", &[]).unwrap_err();
    assert_eq!(error.to_string(), "`keyspaces.cache.ttl_jitter_percent` is 51, must be 0 to 50");
    let config = load("keyspaces: { default: { ttl_jitter_percent: 10 } }", &[]).unwrap();
    assert_eq!(config.keyspaces.default.ttl_jitter_percent, 10);
    let error = load("keyspaces: { cache: { eviction: random } }", &[]).unwrap_err();
    assert!(error.to_string().contains("s3-fifo"), "{error}");
    let error = load("keyspaces: { default: { memory_max: lots } }", &[]).unwrap_err();
    assert!(error.contains("`lots`: expected a size such as 256 MiB"), "{error}");
    let error = load("keyspaces: 5", &[]).unwrap_err();
    assert!(error.contains("it is a section"), "{error}");
    let error = load("- 1", &[]).unwrap_err();
    assert_eq!(error, "node.yaml is not a YAML mapping: it holds `[1]`");
}

#[test]
fn contradictions_are_refused() {
    check_refused("cluster: { shards: 0 }", &[], "`cluster.shards` is 0, must be 1 to 4096");
    check_refused(
        "limits: { bulk_max: 9 MiB }",
        &[],
        "`limits.bulk_max` is 9437184, must be 1 to 8388608",
    );
    check_refused("cluster: { id: 0 }", &[], "`cluster.id` is 0, must be at least 1");
    let two = r#"
cluster:
  nodes:
    - { name: a, peer: "127.0.0.1:1", client: "127.0.0.1:2" }
    - { name: b, peer: "127.0.0.1:3", client: "127.0.0.1:4" }
"#;
    check_refused(two, &[], "`node.name` is `node-1`, not one of `cluster.nodes`: a, b");
    assert_eq!(client_of(&load(two, &["node.name=b"]).unwrap()).port(), 4);
    check_refused(
        &two.replace("name: b", "name: a"),
        &["node.name=a"],
        "`cluster.nodes` names `a` twice",
    );
    check_refused(
        &two.replace(":3", ":2"),
        &["node.name=a"],
        "an address of `b` in `cluster.nodes` is used twice",
    );
}

#[test]
fn an_address_that_others_can_reach_must_be_asked_for() {
    let error = load("listen: { resp: \"0.0.0.0:7001\" }", &[]).unwrap_err();
    assert!(error.contains("other machines can reach"), "{error}");
    let config = load("listen: { resp: \"0.0.0.0:7001\", exposed: true }", &[]).unwrap();
    assert_eq!(config.cluster.mode, Mode::Proxy);
}

#[test]
fn sizes_are_read_as_people_write_them() {
    let sizes =
        ["7", "64MiB", "64 mib", "2 GiB", " 5 B ", "", "MiB", "-1", "1 TiB", "99999999999 GiB"];
    let read = sizes.map(|size| ByteSize::parse(size).map(|ByteSize(bytes)| bytes));
    let mib = 64 << 20;
    assert_eq!(
        read,
        [Some(7), Some(mib), Some(mib), Some(2 << 30), Some(5), None, None, None, None, None]
    );
}
