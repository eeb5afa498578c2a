//! Subcommands that exist only so that clients and tools carry on, and a few that are refused with a
//! text that says what to do instead. Found by their words, not by type.

use evenkeel_wire::arguments::Arguments;
use evenkeel_wire::reply::Reply;

use super::{Outcome, Scene};
use crate::service::Service;

/// Bits of a password unless asked otherwise, and at most: Redis' numbers.
const PASSWORD_BITS_DEFAULT: usize = 256;
/// See `PASSWORD_BITS_DEFAULT`.
const PASSWORD_BITS_MAX: usize = 4096;

/// The answer, if the words mean something here.
pub(super) fn answer<S: Service>(scene: &Scene<'_, S>) -> Option<Outcome> {
    let word = |index: usize| -> String {
        let bytes = scene.arguments.get(index).unwrap_or_default();
        String::from_utf8_lossy(&bytes[..bytes.len().min(32)]).to_ascii_uppercase()
    };
    if (word(0), word(1)) == ("ACL".to_owned(), "GENPASS".to_owned()) {
        return Some(Outcome::Reply(password(scene.arguments)));
    }
    reply(&word(0), &word(1), &word(2), scene.arguments.count()).map(Outcome::Reply)
}

/// `ACL GENPASS [bits]`: so many random bits, in hexadecimal digits of four each.
fn password(arguments: &Arguments<'_>) -> Reply {
    let bits = match (arguments.count(), arguments.get(2)) {
        (2, _) => Some(PASSWORD_BITS_DEFAULT),
        (3, Some(bits)) => std::str::from_utf8(bits).ok().and_then(|bits| bits.parse().ok()),
        _ => return Reply::error("ERR wrong number of arguments for 'acl|genpass' command"),
    };
    let Some(bits @ 1..=PASSWORD_BITS_MAX) = bits else {
        return Reply::error(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a \
             positive number up to {PASSWORD_BITS_MAX}"
        ));
    };
    let mut digits = String::new();
    while digits.len() < bits.div_ceil(4) {
        digits += &format!("{:016x}", evenkeel_runtime::random_u64());
    }
    digits.truncate(bits.div_ceil(4));
    Reply::bulk(digits)
}

fn reply(command: &str, subcommand: &str, option: &str, count: usize) -> Option<Reply> {
    Some(match (command, subcommand, option) {
        ("CLIENT", "TRACKING", "OFF") => Reply::OK,
        ("CLIENT", "TRACKING", "ON") => Reply::error(
            "ERR client-side caching is not supported: CLIENT TRACKING can only be OFF",
        ),
        ("CLIENT", "TRACKINGINFO", "") => Reply::Map(vec![
            (Reply::text("flags"), Reply::Array(vec![Reply::text("off")])),
            (Reply::text("redirect"), Reply::Integer(-1)),
            (Reply::text("prefixes"), Reply::Array(Vec::new())),
        ]),
        ("CLIENT", "GETREDIR", "") => Reply::Integer(-1),
        ("CLIENT", "CACHING", _) => Reply::error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode",
        ),
        ("CLIENT", "UNPAUSE", "") => Reply::OK,
        ("CLIENT", "PAUSE", _) => {
            Reply::error("ERR CLIENT PAUSE is not supported: one node cannot pause a cluster")
        }
        ("CLIENT", "UNBLOCK", _) if count >= 3 => Reply::Integer(0),
        ("CONFIG", "REWRITE", "") => Reply::error(
            "ERR CONFIG REWRITE is not supported: change the node's configuration file instead",
        ),
        ("DEBUG", "SET-ACTIVE-EXPIRE", "0" | "1") => Reply::OK,
        ("LATENCY", "DOCTOR" | "GRAPH", _) => Reply::text(
            "The latency monitor is off. Latencies are in INFO commandstats and in SLOWLOG GET.",
        ),
        ("MEMORY", "DOCTOR", "") => {
            Reply::text("Memory in use and its budget are in INFO memory and INFO evenkeel.")
        }
        ("MEMORY", "PURGE", "") => Reply::OK,
        ("ACL", "GETUSER", "DEFAULT") => Reply::Map(vec![
            (Reply::text("flags"), Reply::Array(vec![Reply::text("on"), Reply::text("nopass")])),
            (Reply::text("passwords"), Reply::Array(Vec::new())),
            (Reply::text("commands"), Reply::text("+@all")),
            (Reply::text("keys"), Reply::text("~*")),
            (Reply::text("channels"), Reply::text("&*")),
            (Reply::text("selectors"), Reply::Array(Vec::new())),
        ]),
        ("ACL", "GETUSER", _) if count == 3 => Reply::Null,
        ("ACL", "SETUSER" | "DELUSER" | "SAVE" | "LOAD", _) => Reply::error(
            "ERR there are no accounts: everybody is the user 'default', who may do everything",
        ),
        // Test suites and tools clean up with these; there are no scripts, so nothing is left of them.
        ("FUNCTION" | "SCRIPT", "FLUSH", "" | "SYNC" | "ASYNC") => Reply::OK,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_can_be_switched_off_and_says_why_not_on() {
        assert_eq!(reply("CLIENT", "TRACKING", "OFF", 3), Some(Reply::OK));
        let Some(Reply::Error(text)) = reply("CLIENT", "TRACKING", "ON", 3) else {
            panic!("an error")
        };
        assert!(text.contains("not supported"), "{text}");
    }

    #[test]
    fn a_password_has_as_many_digits_as_its_bits_need() {
        let of = |words: &[&[u8]]| password(&Arguments::from_slices(words));
        for (bits, digits) in [("1", 1), ("4", 1), ("5", 2), ("256", 64), ("4096", 1024)] {
            let Reply::Bulk(password) = of(&[b"ACL", b"GENPASS", bits.as_bytes()]) else {
                panic!("a password of {bits} bits")
            };
            assert_eq!(password.len(), digits);
            assert!(password.iter().all(u8::is_ascii_hexdigit));
        }
        assert_ne!(of(&[b"ACL", b"GENPASS"]), of(&[b"ACL", b"GENPASS"]));
        for bits in ["0", "4097", "-1", "x", ""] {
            assert!(of(&[b"ACL", b"GENPASS", bits.as_bytes()]).is_error(), "{bits}");
        }
        assert!(of(&[b"ACL", b"GENPASS", b"1", b"2"]).is_error());
    }

    #[test]
    fn there_are_no_scripts_to_forget() {
        assert_eq!(reply("FUNCTION", "FLUSH", "", 2), Some(Reply::OK));
        assert_eq!(reply("SCRIPT", "FLUSH", "SYNC", 3), Some(Reply::OK));
        assert_eq!(reply("FUNCTION", "LOAD", "X", 3), None);
    }

    #[test]
    fn unknown_words_are_left_to_the_parser() {
        assert_eq!(reply("CLIENT", "MAINT_NOTIFICATIONS", "ON", 3), None);
        assert_eq!(reply("GET", "", "", 1), None);
    }
}
