//! Why bytes are not a command, in the words that Redis clients know.

use alloc::string::String;

use crate::limits::KEY_SIZE_MAX;

/// The command was not understood. Nothing was done; `Display` is the reply, its code included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No such command.
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    Unknown {
        /// As the client wrote it, cut and made printable.
        name: String,
        /// `'a' 'b' `, cut.
        arguments: String,
    },
    /// The command is there, this part of it is not.
    #[error("ERR unknown subcommand '{name}'. Try {command} HELP.")]
    UnknownSubcommand {
        /// As the client wrote it, cut and made printable.
        name: String,
        /// In upper case.
        command: String,
    },
    /// Too few arguments, or too many.
    #[error("ERR wrong number of arguments for '{name}' command")]
    ArgumentCount {
        /// In lower case; `client|setname` for a subcommand.
        name: String,
    },
    /// An option that is unknown, or that excludes another one.
    #[error("ERR syntax error")]
    Syntax,
    /// Not a decimal integer of 64 bits.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// Not a finite number.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// Zero, negative, or too far away.
    #[error("ERR invalid expire time in '{command}' command")]
    InvalidExpire {
        /// In lower case.
        command: &'static str,
    },
    /// A key longer than `limits::KEY_SIZE_MAX`.
    #[error("ERR a key is {size} bytes, at most {KEY_SIZE_MAX} are allowed")]
    KeySize {
        /// Of the key.
        size: usize,
    },
    /// `HELLO` with a version we do not speak.
    #[error("NOPROTO unsupported protocol version")]
    ProtocolVersion,
    /// A word that is none of the options.
    #[error("ERR Unsupported option {option}")]
    UnsupportedOption {
        /// As the client wrote it, cut and made printable.
        option: String,
    },
    /// The same, in `HELLO`.
    #[error("ERR Syntax error in HELLO option '{option}'")]
    HelloOption {
        /// As the client wrote it, cut and made printable.
        option: String,
    },
    /// The same, in `CLIENT SETINFO`.
    #[error("ERR Unrecognized option '{option}'")]
    UnrecognizedOption {
        /// As the client wrote it, cut and made printable.
        option: String,
    },
    /// Everything that has a text of its own; the text starts with its code.
    #[error("{0}")]
    Other(&'static str),
}
