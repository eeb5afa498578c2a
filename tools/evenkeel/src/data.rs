//! `get`, `set`, `del`, `ttl`, `scan`: keys and values from the command line, byte for byte.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use evenkeel_node::api::KEYSPACE_DEFAULT;
use evenkeel_runtime::block_on;
use evenkeel_wire::reply::Reply;

use crate::arguments::{
    DelArguments, GetArguments, Place, ScanArguments, SetArguments, TtlArguments,
};
use crate::failure::{Exit, Failure};
use crate::talk::Connection;
use crate::write_out;

/// How many keys one SCAN step looks at.
const SCAN_COUNT: &[u8] = b"1000";

pub(crate) fn get(arguments: &GetArguments) -> Result<(), Failure> {
    let key = arguments.key.as_bytes();
    match one_call(&arguments.place, &[b"GET", key])? {
        Reply::Bulk(value) => {
            write_out(&value)?;
            // A person wants the prompt on its own line; a program wants the bytes.
            if std::io::stdout().is_terminal() { write_out(b"\n") } else { Ok(()) }
        }
        Reply::Null => Err(missing(key)),
        reply => Err(unexpected(&reply)),
    }
}

pub(crate) fn set(arguments: &SetArguments) -> Result<(), Failure> {
    let mut read = Vec::new();
    let value = match &arguments.value {
        Some(value) => value.as_bytes(),
        None => {
            std::io::stdin().lock().read_to_end(&mut read).map_err(|error| {
                Failure::new(Exit::Internal, "cannot read the standard input").because(&error)
            })?;
            &read
        }
    };
    let key = arguments.key.as_bytes();
    let mut command: Vec<&[u8]> = vec![b"SET", key, value];
    let seconds = arguments.ttl.map(|seconds| seconds.to_string());
    if let Some(seconds) = &seconds {
        command.extend([b"EX", seconds.as_bytes()]);
    }
    if arguments.if_absent {
        command.push(b"NX");
    }
    match one_call(&arguments.place, &command)? {
        Reply::Null => {
            let what = format!("the key `{}` exists already", key.escape_ascii());
            Err(Failure::new(Exit::Failed, what))
        }
        _ => Ok(()),
    }
}

pub(crate) fn del(arguments: &DelArguments) -> Result<(), Failure> {
    let mut command: Vec<&[u8]> = vec![b"DEL"];
    command.extend(arguments.keys.iter().map(|key| key.as_bytes()));
    let count = integer(&one_call(&arguments.place, &command)?)?;
    write_out(format!("{count}\n").as_bytes())?;
    if count == 0 { Err(Failure::new(Exit::Failed, "no such key")) } else { Ok(()) }
}

pub(crate) fn ttl(arguments: &TtlArguments) -> Result<(), Failure> {
    let key = arguments.key.as_bytes();
    match integer(&one_call(&arguments.place, &[b"TTL", key])?)? {
        -2 => Err(missing(key)),
        -1 => write_out(b"never\n"),
        seconds => write_out(format!("{seconds}\n").as_bytes()),
    }
}

pub(crate) fn scan(arguments: &ScanArguments) -> Result<(), Failure> {
    block_on(scan_all(arguments))
}

async fn scan_all(arguments: &ScanArguments) -> Result<(), Failure> {
    let Place { target, keyspace } = &arguments.place;
    let number = keyspace.number();
    let mut connection = Connection::open(target.address, target.timeout(), number).await?;
    let mut remaining = arguments.limit.unwrap_or(u64::MAX);
    if number != KEYSPACE_DEFAULT || !redirects(&mut connection).await? {
        return scan_node(&mut connection, arguments, &mut remaining).await;
    }
    for leader in leaders(&mut connection).await? {
        let mut connection = Connection::open(leader, target.timeout(), number).await?;
        scan_node(&mut connection, arguments, &mut remaining).await?;
    }
    Ok(())
}

/// Whether nodes answer only for the shards that they lead.
async fn redirects(connection: &mut Connection) -> Result<bool, Failure> {
    match connection.call(&[b"INFO", b"cluster"]).await? {
        Reply::Bulk(text) => Ok(String::from_utf8_lossy(&text).contains("cluster_enabled:1")),
        other => Err(unexpected(&other)),
    }
}

/// Every node that leads a shard, once.
async fn leaders(connection: &mut Connection) -> Result<BTreeSet<SocketAddr>, Failure> {
    let reply = connection.call(&[b"CLUSTER", b"SLOTS"]).await?;
    let leader = |range: &Reply| {
        let Reply::Array(range) = range else { return None };
        let Reply::Array(node) = range.get(2)? else { return None };
        let [Reply::Bulk(host), Reply::Integer(port), ..] = node.as_slice() else { return None };
        let host = std::str::from_utf8(host).ok()?.parse().ok()?;
        Some(SocketAddr::new(host, u16::try_from(*port).ok()?))
    };
    match &reply {
        Reply::Array(ranges) => {
            ranges.iter().map(leader).collect::<Option<_>>().ok_or_else(|| unexpected(&reply))
        }
        _ => Err(unexpected(&reply)),
    }
}

/// Writes out the keys of which one node knows, at most `remaining`.
async fn scan_node(
    connection: &mut Connection,
    arguments: &ScanArguments,
    remaining: &mut u64,
) -> Result<(), Failure> {
    let end: u8 = if arguments.zero_terminated { 0 } else { b'\n' };
    let mut cursor = b"0".to_vec();
    loop {
        let mut command: Vec<&[u8]> = vec![b"SCAN", &cursor, b"COUNT", SCAN_COUNT];
        if let Some(pattern) = &arguments.pattern {
            command.extend([b"MATCH", pattern.as_bytes()]);
        }
        let (next, keys) = page(connection.call(&command).await?)?;
        let mut lines = Vec::new();
        for key in keys {
            if *remaining == 0 {
                break;
            }
            *remaining -= 1;
            lines.extend_from_slice(&key);
            lines.push(end);
        }
        write_out(&lines)?;
        if next == b"0" || *remaining == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// A reply to SCAN: the next cursor, and keys.
fn page(reply: Reply) -> Result<(Vec<u8>, Vec<Vec<u8>>), Failure> {
    let Reply::Array(parts) = &reply else { return Err(unexpected(&reply)) };
    let [Reply::Bulk(cursor), Reply::Array(keys)] = parts.as_slice() else {
        return Err(unexpected(&reply));
    };
    let keys = keys.iter().map(|key| match key {
        Reply::Bulk(key) => Ok(key.to_vec()),
        other => Err(unexpected(other)),
    });
    Ok((cursor.to_vec(), keys.collect::<Result<_, _>>()?))
}

fn one_call(place: &Place, command: &[&[u8]]) -> Result<Reply, Failure> {
    let Place { target, keyspace } = place;
    block_on(async {
        let number = keyspace.number();
        let mut connection = Connection::open(target.address, target.timeout(), number).await?;
        connection.call(command).await
    })
}

fn integer(reply: &Reply) -> Result<i64, Failure> {
    match reply {
        Reply::Integer(number) => Ok(*number),
        other => Err(unexpected(other)),
    }
}

fn missing(key: &[u8]) -> Failure {
    Failure::new(Exit::Failed, format!("no such key: `{}`", key.escape_ascii()))
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::new(Exit::Failed, format!("the node gave an answer of an unknown kind: {reply:?}"))
        .next("Is it another server, or another release?")
}
