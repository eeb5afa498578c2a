//! An operator who takes a backup while the weather lasts, with the client that the command line uses.
//!
//! What the backup has of a shard is what one read of all its keys would have answered between the
//! request that began it and its reply, however long the parts take after that. So it goes into the
//! ledger as just that, and the checker knows what to think of a write that is missing, of one that
//! came later, and of a value that nobody wrote.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_client::Options;
use evenkeel_client::snapshot::{SnapshotClient, Step};
use evenkeel_node::api::slots;
use evenkeel_runtime as runtime;
use evenkeel_runtime::simulated;
use evenkeel_wire::backup;
use evenkeel_wire::reply::Protocol;

use super::operator::{address, next_number};
use super::{World, world};
use crate::coverage::Kind;
use crate::ledger::{EntryId, Moment, Outcome};
use crate::model::{Action, Answer};
use crate::workload::{KEY_COUNT, key_name};

/// A backup is given up when no node answers for so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// And when a shard had to be begun so often.
const TRIES_MAX: u32 = 4;
/// It takes up to so long to put a part away, in milliseconds.
const LEISURE_MS_MAX: u64 = 1_500;
/// Clients in the ledger that are backups are numbered from here.
const FIRST_CLIENT: u32 = 1_000;

/// Keys and values, as they came.
type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn start(world: &Rc<World>) {
    let number = next_number(world);
    let operator = simulated::create_node(&format!("operator-{number}"), address(number), {
        move || back_up(number)
    });
    world.operators.borrow_mut().push(operator);
}

async fn back_up(number: u32) {
    let world = world();
    let mut nodes: Vec<_> = (0..world.hosts.len()).map(World::client_address).collect();
    nodes.rotate_left(number as usize % world.hosts.len());
    let options = Options {
        connect_timeout: Duration::from_secs(1),
        reply_timeout: Duration::from_secs(4),
        protocol: Protocol::Resp2,
    };
    let mut client = SnapshotClient::new(nodes, options, PATIENCE);
    // Some go away in the middle, and say nothing.
    let is_rude = runtime::random_u64().is_multiple_of(4);
    for shard in 0..world.plan.knobs.shard_count as u16 {
        let mut tries = 0;
        if is_rude && client.begin(shard).await.is_ok() {
            return world.note(&format!("backup {number} is left alone"));
        }
        while let Err(reason) = fetch(&world, &mut client, number, shard).await {
            tries += 1;
            world.note(&format!("backup {number} of shard {shard}: {reason}"));
            if tries == TRIES_MAX {
                return;
            }
        }
    }
    world.note(&format!("backup {number} is complete"));
    world.feel(Kind::Backup, 1);
}

/// Fetches one shard and enters what it is.
async fn fetch(
    world: &World,
    client: &mut SnapshotClient,
    number: u32,
    shard: u16,
) -> Result<(), String> {
    let objects = world.objects().into_iter().filter(|object| shard_of(world, *object) == shard);
    let reads: Vec<(usize, EntryId)> = objects
        .map(|object| {
            let steps = (0..KEY_COUNT).map(|key| (key, Action::Get)).collect();
            let mut ledger = world.ledger.borrow_mut();
            let now_ns = simulated::now_ns();
            (object, ledger.invoke(now_ns, FIRST_CLIENT + number, object, steps))
        })
        .collect();
    let fetched = fetch_contents(world, client, shard).await;
    let mut ledger = world.ledger.borrow_mut();
    let now_ns = simulated::now_ns();
    match fetched {
        Ok((contents, moment)) => {
            for (object, entry) in reads {
                let outcome = Outcome::Answered(answers(&contents, object));
                ledger.end_as_of(now_ns, entry, moment, outcome);
            }
            Ok(())
        }
        Err(reason) => {
            for (_, entry) in reads {
                ledger.end(now_ns, entry, Outcome::Refused(reason.clone()));
            }
            Err(reason)
        }
    }
}

async fn fetch_contents(
    world: &World,
    client: &mut SnapshotClient,
    shard: u16,
) -> Result<(Contents, Moment), String> {
    let begun = client.begin(shard).await.map_err(|error| error.to_string())?;
    let moment = world.ledger.borrow_mut().moment();
    let mut contents = Contents::new();
    for index in 0.. {
        dawdle().await;
        match client.next(&begun, index).await.map_err(|error| error.to_string())? {
            Step::Part(part) => note_part(world, shard, &part, &mut contents),
            Step::Done => break,
            Step::Gone(why) => return Err(why),
        }
    }
    client.end(&begun).await;
    Ok((contents, moment))
}

/// Half of them are quick.
async fn dawdle() {
    let random = runtime::random_u64();
    if random & 1 == 0 {
        runtime::sleep(Duration::from_millis((random >> 1) % LEISURE_MS_MAX)).await;
    }
}

fn note_part(world: &World, shard: u16, part: &[u8], contents: &mut Contents) {
    let Some((of, entries)) = backup::part(part) else {
        return world.fail("backup", format!("shard {shard}: a part is none"), Vec::new());
    };
    for entry in entries.iter() {
        let name = entry.key.escape_ascii();
        let is_known = (0..world.plan.objects.len())
            .any(|object| (0..KEY_COUNT).any(|key| key_name(object, key).as_bytes() == entry.key));
        let is_here = of == u32::from(shard) && shard_of_key(world, entry.key) == shard;
        if !is_known || !is_here {
            let claim = format!("the backup of shard {shard} has the key `{name}`");
            return world.fail("backup", claim, Vec::new());
        }
        if contents.insert(entry.key.to_vec(), entry.value.to_vec()).is_some() {
            let claim = format!("the backup of shard {shard} has the key `{name}` twice");
            return world.fail("backup", claim, Vec::new());
        }
    }
}

fn answers(contents: &Contents, object: usize) -> Vec<Answer> {
    let value = |key| contents.get(key_name(object, key).as_bytes());
    let text = |value: &Vec<u8>| String::from_utf8_lossy(value).as_ref().into();
    (0..KEY_COUNT).map(|key| Answer::Holds(value(key).map(text))).collect()
}

fn shard_of(world: &World, object: usize) -> u16 {
    shard_of_key(world, key_name(object, 0).as_bytes())
}

fn shard_of_key(world: &World, key: &[u8]) -> u16 {
    let slot = u32::from(slots::slot(key));
    (slot * world.plan.knobs.shard_count / u32::from(slots::SLOT_COUNT)) as u16
}
