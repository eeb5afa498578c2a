//! Who a connection is and how it speaks: `HELLO`, `AUTH`, `SELECT`, `RESET`.

use evenkeel_node::api::KEYSPACE_NAMES;
use evenkeel_wire::command::Hello;
use evenkeel_wire::reply::{Protocol, Reply};

use super::{Outcome, Scene, client, info, keyspace_error};
use crate::service::Service;
use crate::session::Session;

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD_SET: &str = "ERR AUTH <password> called without any password configured for the \
                               default user. Are you sure your configuration is correct?";

/// All of it or nothing: a refused part changes neither protocol nor name.
pub(super) fn hello<S: Service>(scene: &mut Scene<'_, S>, hello: &Hello<'_>) -> Outcome {
    if let Some((user, _)) = hello.auth
        && let Err(text) = check_user(user)
    {
        return Outcome::error(text);
    }
    if let Some(name) = hello.name
        && let Err(text) = client::set_name(scene.client, name)
    {
        return Outcome::error(text);
    }
    if let Some(protocol) = hello.protocol {
        scene.session.protocol = protocol;
        scene.client.protocol_version.set(version(protocol));
    }
    let redirect = scene.door.service.topology().redirect;
    Outcome::Reply(Reply::Map(vec![
        (Reply::text("server"), Reply::text("redis")),
        (Reply::text("version"), Reply::text(info::REDIS_VERSION)),
        (Reply::text("proto"), Reply::Integer(i64::from(version(scene.session.protocol)))),
        (Reply::text("id"), Reply::Integer(scene.client.id as i64)),
        (Reply::text("mode"), Reply::text(if redirect { "cluster" } else { "standalone" })),
        (Reply::text("role"), Reply::text("master")),
        (Reply::text("modules"), Reply::Array(Vec::new())),
    ]))
}

/// There is one user, `default`, and no password: any is accepted with the name, as in Redis, and a
/// password alone is most likely a mistake.
pub(super) fn auth(user: &[u8], password_only: bool) -> Outcome {
    if password_only {
        return Outcome::error(NO_PASSWORD_SET);
    }
    match check_user(user) {
        Ok(()) => Outcome::Reply(Reply::OK),
        Err(text) => Outcome::error(text),
    }
}

fn check_user(user: &[u8]) -> Result<(), &'static str> {
    if user == b"default" { Ok(()) } else { Err(WRONG_PASSWORD) }
}

pub(super) fn select(session: &mut Session, index: i64) -> Outcome {
    match u8::try_from(index) {
        Ok(number) if usize::from(number) < KEYSPACE_NAMES.len() => {
            session.keyspace = number;
            Outcome::Reply(Reply::OK)
        }
        Ok(_) | Err(_) => Outcome::error(keyspace_error(index)),
    }
}

pub(super) fn reset<S: Service>(scene: &mut Scene<'_, S>) -> Outcome {
    scene.session.reset();
    let client = scene.client;
    client.name.borrow_mut().clear();
    client.protocol_version.set(version(Protocol::Resp2));
    client.no_evict.set(false);
    client.no_touch.set(false);
    client.read_only.set(false);
    Outcome::Reply(Reply::simple("RESET"))
}

fn version(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}
