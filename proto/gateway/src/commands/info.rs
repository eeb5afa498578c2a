//! `INFO`: text in sections, with the names that Redis' clients and exporters read.
//!
//! Pure: everything it tells is in `Facts`.

use std::fmt::Write;
use std::net::SocketAddr;

use evenkeel_node::api::{KeyspaceStatus, NodeStatus, Topology};

use crate::commands::operate;
use crate::metrics::Metrics;
use crate::process::Usage;
use crate::settings;

/// The version of Redis whose command set and reply shapes this server follows.
pub(crate) const REDIS_VERSION: &str = "7.2.4";
/// This server's own version.
pub(crate) const EVENKEEL_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What INFO is made of.
pub(crate) struct Facts<'a> {
    pub(crate) status: &'a NodeStatus,
    pub(crate) topology: &'a Topology,
    pub(crate) metrics: &'a Metrics,
    /// The name of each command in `metrics.commands`.
    pub(crate) command_names: &'a [&'static str],
    pub(crate) usage: Usage,
    pub(crate) listen: SocketAddr,
    pub(crate) connection_count_max: usize,
    pub(crate) wall_ms: u64,
    pub(crate) uptime_us: u64,
    /// The longest unread output and unparsed input of any client, in bytes.
    pub(crate) client_output_max: usize,
    pub(crate) client_query_max: usize,
}

type Section = fn(&mut Text, &Facts<'_>);

/// Every section, in Redis' order; the flag says whether a bare `INFO` shows it.
static SECTIONS: &[(&str, bool, Section)] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replication),
    ("CPU", true, cpu),
    ("Modules", true, |_, _| ()),
    ("Commandstats", false, command_stats),
    ("Errorstats", true, error_stats),
    ("Cluster", true, cluster),
    ("Keyspace", true, keyspace),
    ("Evenkeel", true, evenkeel),
];

/// The text for these sections: the usual ones if none is named; names in any case.
pub(crate) fn info<'a>(
    facts: &Facts<'_>,
    wanted: impl Iterator<Item = &'a [u8]> + Clone,
) -> String {
    let usual = wanted.clone().next().is_none()
        || wanted.clone().any(|name| name.eq_ignore_ascii_case(b"default"));
    let all = wanted
        .clone()
        .any(|name| name.eq_ignore_ascii_case(b"all") || name.eq_ignore_ascii_case(b"everything"));
    let mut text = Text(String::with_capacity(4096));
    for (name, in_usual, section) in SECTIONS {
        let named = wanted.clone().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        if all || named || (usual && *in_usual) {
            text.heading(name);
            section(&mut text, facts);
        }
    }
    text.0
}

/// Lines of `name:value`.
struct Text(String);

impl Text {
    fn heading(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        let _infallible = write!(self.0, "# {name}\r\n");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _infallible = write!(self.0, "{name}:{value}\r\n");
    }
}

fn server(text: &mut Text, facts: &Facts<'_>) {
    let uptime_s = facts.uptime_us / 1_000_000;
    text.line("redis_version", REDIS_VERSION);
    text.line("evenkeel_version", EVENKEEL_VERSION);
    text.line("server_name", "evenkeel");
    text.line("redis_mode", if facts.topology.redirect { "cluster" } else { "standalone" });
    text.line("os", std::env::consts::OS);
    text.line("arch_bits", usize::BITS);
    text.line("process_id", facts.usage.process_id);
    text.line("run_id", &facts.status.id);
    text.line("tcp_port", facts.listen.port());
    text.line("server_time_usec", facts.wall_ms * 1000);
    text.line("uptime_in_seconds", uptime_s);
    text.line("uptime_in_days", uptime_s / 86_400);
    text.line("hz", 10);
    text.line("executable", "evenkeel");
    text.line("config_file", "");
}

fn clients(text: &mut Text, facts: &Facts<'_>) {
    text.line("connected_clients", facts.metrics.connections_open.get());
    text.line("cluster_connections", facts.topology.members.len().saturating_sub(1));
    text.line("maxclients", facts.connection_count_max);
    text.line("client_recent_max_input_buffer", facts.client_query_max);
    text.line("client_recent_max_output_buffer", facts.client_output_max);
    text.line("blocked_clients", 0);
    text.line("tracking_clients", 0);
    text.line("pending_commands", facts.metrics.commands_pending.get());
}

fn memory(text: &mut Text, facts: &Facts<'_>) {
    let sum = |field: fn(&KeyspaceStatus) -> u64| facts.status.keyspaces.iter().map(field).sum();
    let data_bytes: u64 = sum(|keyspace| keyspace.bytes_used);
    let data_bytes_max: u64 = sum(|keyspace| keyspace.bytes_max);
    let buffers = facts.metrics.query_bytes.get() + facts.metrics.output_bytes.get();
    let used = data_bytes + buffers;
    let resident = facts.usage.resident_bytes;
    text.line("used_memory", used);
    text.line("used_memory_human", human(used));
    text.line("used_memory_rss", resident);
    text.line("used_memory_rss_human", human(resident));
    text.line("used_memory_peak", used);
    text.line("used_memory_dataset", data_bytes);
    text.line("used_memory_overhead", buffers);
    text.line("used_memory_lua", 0);
    text.line("used_memory_scripts", 0);
    text.line("maxmemory", data_bytes_max);
    text.line("maxmemory_human", human(data_bytes_max));
    text.line("maxmemory_policy", settings::policy_name(facts.status));
    let ratio = if used == 0 { 0.0 } else { resident as f64 / used as f64 };
    text.line("mem_fragmentation_ratio", format_args!("{ratio:.2}"));
    text.line("mem_clients_normal", buffers);
    text.line("mem_allocator", "system");
    text.line("lazyfree_pending_objects", 0);
}

fn persistence(text: &mut Text, facts: &Facts<'_>) {
    text.line("loading", 0);
    text.line("async_loading", 0);
    text.line("rdb_changes_since_last_save", 0);
    text.line("rdb_bgsave_in_progress", 0);
    text.line("rdb_last_save_time", started_s(facts));
    text.line("rdb_last_bgsave_status", "ok");
    text.line("rdb_last_bgsave_time_sec", -1);
    text.line("rdb_current_bgsave_time_sec", -1);
    text.line("aof_enabled", 1);
    text.line("aof_rewrite_in_progress", 0);
    text.line("aof_rewrite_scheduled", 0);
    text.line("aof_last_rewrite_time_sec", -1);
    text.line("aof_current_rewrite_time_sec", -1);
    text.line("aof_last_bgrewrite_status", "ok");
    text.line("aof_last_write_status", "ok");
    text.line("aof_current_size", facts.status.log_bytes);
}

fn stats(text: &mut Text, facts: &Facts<'_>) {
    let metrics = facts.metrics;
    let sum = |field: fn(&KeyspaceStatus) -> u64| -> u64 {
        facts.status.keyspaces.iter().map(field).sum()
    };
    let (in_bytes_per_s, out_bytes_per_s) = metrics.bytes_per_s();
    let kib = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    text.line("total_connections_received", metrics.connections_accepted.get());
    text.line("total_commands_processed", metrics.commands_processed.get());
    text.line("instantaneous_ops_per_sec", metrics.commands_per_s());
    text.line("total_net_input_bytes", metrics.network_in_bytes.get());
    text.line("total_net_output_bytes", metrics.network_out_bytes.get());
    text.line("instantaneous_input_kbps", kib(in_bytes_per_s));
    text.line("instantaneous_output_kbps", kib(out_bytes_per_s));
    text.line("rejected_connections", metrics.connections_rejected.get());
    text.line("expired_keys", sum(|keyspace| keyspace.expired));
    text.line("evicted_keys", sum(|keyspace| keyspace.evicted));
    text.line("keyspace_hits", sum(|keyspace| keyspace.hits));
    text.line("keyspace_misses", sum(|keyspace| keyspace.misses));
    text.line("pubsub_channels", 0);
    text.line("pubsub_patterns", 0);
    text.line("latest_fork_usec", 0);
    text.line("total_error_replies", metrics.error_replies.get());
    text.line("total_protocol_errors", metrics.protocol_errors.get());
    text.line("idle_connections_closed", metrics.connections_idle_closed.get());
    text.line("client_output_buffer_limit_disconnections", metrics.connections_cut_off.get());
}

fn replication(text: &mut Text, facts: &Facts<'_>) {
    text.line("role", "master");
    text.line("connected_slaves", 0);
    text.line("master_failover_state", "no-failover");
    text.line("master_replid", &facts.status.id);
    text.line("master_repl_offset", facts.status.proposals);
    text.line("second_repl_offset", -1);
    text.line("repl_backlog_active", 0);
}

fn cpu(text: &mut Text, facts: &Facts<'_>) {
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.line("used_cpu_sys", seconds(facts.usage.cpu_system_us));
    text.line("used_cpu_user", seconds(facts.usage.cpu_user_us));
    text.line("used_cpu_sys_children", seconds(0));
    text.line("used_cpu_user_children", seconds(0));
}

fn command_stats(text: &mut Text, facts: &Facts<'_>) {
    for (name, counters) in facts.command_names.iter().zip(&facts.metrics.commands) {
        let (calls, rejected) = (counters.calls.get(), counters.rejected.get());
        if calls == 0 && rejected == 0 {
            continue;
        }
        let usec = counters.duration_us.get();
        let usec_per_call = if calls == 0 { 0.0 } else { usec as f64 / calls as f64 };
        let failed = counters.failed.get();
        text.line(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={calls},usec={usec},usec_per_call={usec_per_call:.2},\
                 rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

fn error_stats(text: &mut Text, facts: &Facts<'_>) {
    for (kind, count) in facts.metrics.errors() {
        text.line(&format!("errorstat_{kind}"), format_args!("count={count}"));
    }
}

fn cluster(text: &mut Text, facts: &Facts<'_>) {
    text.line("cluster_enabled", u8::from(facts.topology.redirect));
}

fn keyspace(text: &mut Text, facts: &Facts<'_>) {
    for (number, keyspace) in facts.status.keyspaces.iter().enumerate() {
        if keyspace.keys > 0 {
            text.line(
                &format!("db{number}"),
                format_args!("keys={},expires={},avg_ttl=0", keyspace.keys, keyspace.volatile_keys),
            );
        }
    }
}

fn evenkeel(text: &mut Text, facts: &Facts<'_>) {
    let status = facts.status;
    text.line("node_name", &status.name);
    text.line("node_id", &status.id);
    text.line("cluster_mode", if facts.topology.redirect { "redirect" } else { "proxy" });
    text.line("map_epoch", facts.topology.epoch);
    text.line("members", facts.topology.members.len());
    let connected = facts.topology.members.iter().filter(|member| member.connected).count();
    text.line("members_connected", connected);
    text.line("shards", status.shard_count);
    text.line("shards_led", status.shards_led);
    text.line("shards_with_leader", status.shards_with_leader);
    text.line("lag_max", status.lag_max);
    text.line("leader_changes", status.leader_changes);
    text.line("proposals", status.proposals);
    text.line("forwarded", status.forwarded);
    text.line("writes_awaited", status.writes_awaited);
    text.line("snapshots_held", status.snapshots_held);
    text.line("log_bytes", status.log_bytes);
    text.line("log_segments", status.log_segments);
    text.line("log_segments_free", status.log_segments_free);
    text.line("log_live_bytes", status.log_live_bytes);
    if status.log_room_bytes != u64::MAX {
        text.line("log_room_bytes", status.log_room_bytes);
    }
    text.line("compaction_bytes", status.compaction_bytes);
    text.line("checkpoints", status.checkpoints);
    text.line("checkpoint_bytes", status.checkpoint_bytes);
    text.line("full_refusals", status.full_refusals);
    text.line("flushes", status.flushes);
    text.line("device_reads", status.device_reads);
    text.line("log_payload_bytes", status.log_payload_bytes);
    text.line("log_stored_bytes", status.log_stored_bytes);
    text.line("log_compressed", status.log_compressed);
    text.line("log_compressed_in_vain", status.log_compressed_in_vain);
    text.line("log_encrypted", u8::from(!status.log_encryption_key.is_empty()));
    if !status.log_encryption_key.is_empty() {
        text.line("log_encryption_key", &status.log_encryption_key);
    }
    text.line("disk_backend", &status.disk_backend);
    text.line("damaged_reads", status.damaged_reads);
    for (name, value) in operate::scrub_fields(&status.scrub) {
        text.line(name, value);
    }
    for (number, keyspace) in status.keyspaces.iter().enumerate() {
        let [p50, p99, max] = keyspace.expiry_lag_ms;
        text.line(
            &format!("keyspace{number}"),
            format_args!(
                "name={},keys={},bytes_used={},bytes_max={},hits={},misses={},evicted={},\
                 expired={},eviction={},expiry_lag_ms_p50={p50},expiry_lag_ms_p99={p99},\
                 expiry_lag_ms_max={max}",
                keyspace.name,
                keyspace.keys,
                keyspace.bytes_used,
                keyspace.bytes_max,
                keyspace.hits,
                keyspace.misses,
                keyspace.evicted,
                keyspace.expired,
                keyspace.eviction,
            ),
        );
    }
}

fn started_s(facts: &Facts<'_>) -> u64 {
    (facts.wall_ms / 1000).saturating_sub(facts.uptime_us / 1_000_000)
}

/// As Redis writes sizes for people: `1.50M`.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match UNITS.iter().find(|(unit, _)| *unit <= bytes) {
        Some((unit, suffix)) => format!("{:.2}{suffix}", bytes as f64 / *unit as f64),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests;
