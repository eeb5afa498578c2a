//! `CLIENT …`: what a connection says about itself, and what it may know of and do to others.

use std::rc::Rc;

use evenkeel_runtime::clock;
use evenkeel_wire::command::{ClientAttribute, ClientCommand, KillFilter, ReplyMode};
use evenkeel_wire::reply::Reply;

use super::cluster::text;
use super::{Outcome, Scene};
use crate::clients::{Client, Ending, is_name};
use crate::limits::CLIENT_NAME_SIZE_MAX;
use crate::service::Service;
use crate::session::Mute;

pub(super) fn answer<S: Service>(scene: &mut Scene<'_, S>, command: &ClientCommand<'_>) -> Outcome {
    let client = scene.client;
    match command {
        ClientCommand::Id => Outcome::Reply(Reply::Integer(client.id as i64)),
        ClientCommand::Info => Outcome::Reply(text(client.line(clock::monotonic_us()) + "\n")),
        ClientCommand::List => {
            let now_us = clock::monotonic_us();
            let mut lines = String::new();
            scene.door.clients.for_each(|client| {
                lines.push_str(&client.line(now_us));
                lines.push('\n');
            });
            Outcome::Reply(text(lines))
        }
        ClientCommand::GetName => Outcome::Reply(match client.name.borrow().as_str() {
            "" => Reply::Null,
            name => Reply::bulk(name),
        }),
        ClientCommand::SetName { name } => done(set_name(client, name)),
        ClientCommand::SetInfo { attribute, value } => done(set_info(client, *attribute, value)),
        ClientCommand::Kill { filter } => kill(scene, filter),
        ClientCommand::NoEvict { on } => {
            client.no_evict.set(*on);
            Outcome::Reply(Reply::OK)
        }
        ClientCommand::NoTouch { on } => {
            client.no_touch.set(*on);
            Outcome::Reply(Reply::OK)
        }
        ClientCommand::Reply(mode) => {
            scene.session.mute = match mode {
                ReplyMode::On => Mute::Off,
                ReplyMode::Off => Mute::On,
                // Once silenced, always silenced: skipping one more changes nothing.
                ReplyMode::Skip if scene.session.mute == Mute::On => Mute::On,
                ReplyMode::Skip => Mute::Next,
            };
            match mode {
                ReplyMode::On => Outcome::Reply(Reply::OK),
                ReplyMode::Off | ReplyMode::Skip => Outcome::Nothing,
            }
        }
    }
}

fn done(result: Result<(), String>) -> Outcome {
    match result {
        Ok(()) => Outcome::Reply(Reply::OK),
        Err(text) => Outcome::error(text),
    }
}

/// Names the connection; an empty name unsets it.
pub(super) fn set_name(client: &Client, name: &[u8]) -> Result<(), String> {
    let name = checked_name(name, "Client names")?;
    client.name.replace(name);
    Ok(())
}

fn set_info(client: &Client, attribute: ClientAttribute, value: &[u8]) -> Result<(), String> {
    let (field, what) = match attribute {
        ClientAttribute::LibraryName => (&client.library_name, "lib-name"),
        ClientAttribute::LibraryVersion => (&client.library_version, "lib-ver"),
    };
    field.replace(checked_name(value, what)?);
    Ok(())
}

fn checked_name(name: &[u8], what: &str) -> Result<String, String> {
    if CLIENT_NAME_SIZE_MAX < name.len() {
        let size = name.len();
        return Err(format!(
            "ERR {what} is {size} bytes, at most {CLIENT_NAME_SIZE_MAX} are allowed"
        ));
    }
    if !is_name(name) {
        return Err(format!("ERR {what} cannot contain spaces, newlines or special characters."));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn kill<S: Service>(scene: &mut Scene<'_, S>, filter: &KillFilter<'_>) -> Outcome {
    let me = scene.client.id;
    let doomed: Vec<Rc<Client>> =
        scene.door.clients.all().into_iter().filter(|client| matches(filter, client, me)).collect();
    for client in &doomed {
        if client.id == me {
            scene.session.ended = true; // After the reply.
        } else {
            client.end(Ending::Killed);
        }
    }
    match filter {
        KillFilter::AddressOnly(_) if doomed.is_empty() => Outcome::error("ERR No such client"),
        KillFilter::AddressOnly(_) => Outcome::Reply(Reply::OK),
        KillFilter::All { .. } => Outcome::Reply(Reply::Integer(doomed.len() as i64)),
    }
}

fn matches(filter: &KillFilter<'_>, client: &Client, me: u64) -> bool {
    let is =
        |address: std::net::SocketAddr, wanted: &[u8]| address.to_string().as_bytes() == wanted;
    match filter {
        KillFilter::AddressOnly(wanted) => is(client.address, wanted),
        KillFilter::All { id, address, local_address, user, skip_me } => {
            id.is_none_or(|id| id == client.id)
                && address.is_none_or(|wanted| is(client.address, wanted))
                && local_address.is_none_or(|wanted| is(client.local_address, wanted))
                && user.is_none_or(|user| user == b"default")
                && !(*skip_me && client.id == me)
        }
    }
}

#[cfg(test)]
mod tests;
