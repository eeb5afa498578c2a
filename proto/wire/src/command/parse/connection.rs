//! `HELLO`, `AUTH`, `CLIENT` and what else is about the client itself.

use super::{ECHO_SIZE_MAX, Words, check_name, help, is, switch};
use crate::command::{
    ClientAttribute, ClientCommand, Command, CommandError, Hello, KillFilter, ReplyMode,
};
use crate::number::parse_integer;
use crate::reply::Protocol;
use crate::table::{self, Name};

const CLIENT_NAME_ERROR: &str =
    "ERR Client names cannot contain spaces, newlines or special characters.";

pub(super) fn parse<'a>(words: Words<'a>) -> Result<Command<'a>, CommandError> {
    Ok(match words.info.id {
        Name::Ping if 2 < words.count() => return Err(words.wrong_count()),
        Name::Ping => Command::Ping { message: words.list(1).get(0) },
        Name::Echo => Command::Echo { message: words.word(1)? },
        Name::Hello => Command::Hello(hello(words)?),
        Name::Auth => match words.count() {
            2 => Command::Auth { user: b"default", password: words.word(1)? },
            3 => Command::Auth { user: words.word(1)?, password: words.word(2)? },
            _ => return Err(CommandError::Syntax),
        },
        Name::Select => Command::Select { index: words.integer(1)? },
        Name::Quit => Command::Quit,
        Name::Reset => Command::Reset,
        Name::ClientHelp => help(words.info),
        _ => Command::Client(client(words)?),
    })
}

fn client<'a>(words: Words<'a>) -> Result<ClientCommand<'a>, CommandError> {
    Ok(match words.info.id {
        Name::ClientId => ClientCommand::Id,
        Name::ClientInfo => ClientCommand::Info,
        Name::ClientList => client_list(words)?,
        Name::ClientGetName => ClientCommand::GetName,
        Name::ClientSetName => {
            let name = words.word(2)?;
            check_name(name, CLIENT_NAME_ERROR)?;
            ClientCommand::SetName { name }
        }
        Name::ClientSetInfo => client_info(words)?,
        Name::ClientKill => ClientCommand::Kill { filter: kill_filter(words)? },
        Name::ClientNoEvict => ClientCommand::NoEvict { on: switch(words.word(2)?)? },
        Name::ClientNoTouch => ClientCommand::NoTouch { on: switch(words.word(2)?)? },
        Name::ClientReply => ClientCommand::Reply(match words.word(2)? {
            word if is(word, "on") => ReplyMode::On,
            word if is(word, "off") => ReplyMode::Off,
            word if is(word, "skip") => ReplyMode::Skip,
            _ => return Err(CommandError::Syntax),
        }),
        // The command without a subcommand.
        _ => return Err(words.wrong_count()),
    })
}

/// Every connection is a normal one: that filter changes nothing, others are not known.
fn client_list<'a>(words: Words<'a>) -> Result<ClientCommand<'a>, CommandError> {
    match (words.count(), words.list(2).get(0), words.list(3).get(0)) {
        (2, _, _) => Ok(ClientCommand::List),
        (4, Some(option), Some(kind)) if is(option, "type") && is(kind, "normal") => {
            Ok(ClientCommand::List)
        }
        _ => Err(CommandError::Syntax),
    }
}

fn client_info<'a>(words: Words<'a>) -> Result<ClientCommand<'a>, CommandError> {
    let (attribute, error) = match words.word(2)? {
        word if is(word, "lib-name") => (
            ClientAttribute::LibraryName,
            "ERR lib-name cannot contain spaces, newlines or special characters.",
        ),
        word if is(word, "lib-ver") => (
            ClientAttribute::LibraryVersion,
            "ERR lib-ver cannot contain spaces, newlines or special characters.",
        ),
        word => {
            let option = table::printable(word, ECHO_SIZE_MAX);
            return Err(CommandError::UnrecognizedOption { option });
        }
    };
    let value = words.word(3)?;
    check_name(value, error)?;
    Ok(ClientCommand::SetInfo { attribute, value })
}

fn kill_filter<'a>(words: Words<'a>) -> Result<KillFilter<'a>, CommandError> {
    if words.count() == 3 {
        return Ok(KillFilter::AddressOnly(words.word(2)?));
    }
    let (mut id, mut address, mut local_address, mut user) = (None, None, None, None);
    let mut skip_me = true;
    let mut index = 2;
    while index < words.count() {
        let value = words.value(index + 1)?;
        match words.word(index)? {
            word if is(word, "id") => id = Some(client_id(value)?),
            word if is(word, "addr") => address = Some(value),
            word if is(word, "laddr") => local_address = Some(value),
            word if is(word, "user") => user = Some(value),
            word if is(word, "skipme") && is(value, "yes") => skip_me = true,
            word if is(word, "skipme") && is(value, "no") => skip_me = false,
            word if is(word, "type") && is(value, "normal") => (),
            _ => return Err(CommandError::Syntax),
        }
        index += 2;
    }
    Ok(KillFilter::All { id, address, local_address, user, skip_me })
}

fn client_id(word: &[u8]) -> Result<u64, CommandError> {
    let id = parse_integer(word).and_then(|id| u64::try_from(id).ok()).filter(|&id| 0 < id);
    id.ok_or(CommandError::Other("ERR client-id should be greater than 0"))
}

fn hello<'a>(words: Words<'a>) -> Result<Hello<'a>, CommandError> {
    let mut hello = Hello::default();
    let Some(version) = words.list(1).get(0) else { return Ok(hello) };
    hello.protocol = match parse_integer(version) {
        Some(2) => Some(Protocol::Resp2),
        Some(3) => Some(Protocol::Resp3),
        Some(_) => return Err(CommandError::ProtocolVersion),
        None => {
            let error = "ERR Protocol version is not an integer or out of range";
            return Err(CommandError::Other(error));
        }
    };
    let mut index = 2;
    while index < words.count() {
        let rest = words.list(index);
        match (rest.get(0), rest.get(1), rest.get(2)) {
            (Some(option), Some(user), Some(password)) if is(option, "auth") => {
                hello.auth = Some((user, password));
                index += 3;
            }
            (Some(option), Some(name), _) if is(option, "setname") => {
                check_name(name, CLIENT_NAME_ERROR)?;
                hello.name = Some(name);
                index += 2;
            }
            (option, _, _) => {
                let option = table::printable(option.unwrap_or_default(), ECHO_SIZE_MAX);
                return Err(CommandError::HelloOption { option });
            }
        }
    }
    Ok(hello)
}
