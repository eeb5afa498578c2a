//! Talking to a gateway in the words of a story: what is said, what is heard.
//!
//! Line ends are written as `|`, so that a reply fits in a string: `$1|a|`.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use evenkeel_gateway::gateway::{Gateway, GatewayConfig};
use evenkeel_gateway::limits::Limits;
use evenkeel_runtime::net::{TcpReader, TcpStream, TcpWriter};
use evenkeel_runtime::{block_on, timeout};

use crate::fake::Fake;

/// Nothing in these tests takes as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway with the fake behind it.
pub(crate) struct House {
    pub(crate) fake: Rc<Fake>,
    pub(crate) gateway: Rc<Gateway<Fake>>,
}

/// Runs a test against a new gateway.
pub(crate) fn in_house(limits: Limits, test: impl AsyncFnOnce(House)) {
    block_on(async {
        let fake = Rc::new(Fake::default());
        let listen = ([127, 0, 0, 1], 0).into();
        let config = GatewayConfig { listen, limits };
        let gateway = Gateway::start(Rc::clone(&fake), config).await.expect("a free port");
        test(House { fake, gateway: Rc::new(gateway) }).await;
    });
}

impl House {
    pub(crate) async fn visit(&self) -> Talk {
        let stream = TcpStream::connect(self.gateway.local_addr()).await.expect("it listens");
        let (reader, writer) = stream.into_split();
        Talk { reader, writer: Some(writer), heard: BytesMut::new() }
    }

    /// Waits for something that is about to happen.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&House) -> bool) {
        let waiting = async {
            while !condition(self) {
                evenkeel_runtime::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
    }
}

/// One connection.
pub(crate) struct Talk {
    reader: TcpReader,
    writer: Option<TcpWriter>,
    heard: BytesMut,
}

impl Talk {
    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.writer.as_mut().expect("still open").write_all(bytes).await.expect("it reads");
    }

    /// Sends bytes to somebody who may have hung up.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        let _may_fail = self.writer.as_mut().expect("still open").write_all(bytes).await;
    }

    /// Hears anything up to and including this.
    pub(crate) async fn skip(&mut self, last: &str) {
        let last = last.replace('|', "\r\n");
        loop {
            let found = self.heard.windows(last.len()).position(|bytes| bytes == last.as_bytes());
            if let Some(position) = found {
                self.heard.advance(position + last.len());
                return;
            }
            assert!(self.more().await, "never heard: {last}");
        }
    }

    /// Says a command, its words separated by spaces, as an array of bulk strings.
    pub(crate) async fn say(&mut self, command: &str) {
        self.send(&encode(command)).await;
    }

    /// Hears exactly this next.
    pub(crate) async fn hear(&mut self, expected: &str) {
        self.hear_after("", expected).await;
    }

    async fn hear_after(&mut self, said: &str, expected: &str) {
        let size = expected.replace('|', "\r\n").len();
        while self.heard.len() < size && self.more().await {}
        let heard = self.heard.split_to(size.min(self.heard.len()));
        assert_eq!(shown(&heard), expected, "{said}");
    }

    /// Says a command and hears exactly this.
    pub(crate) async fn ask(&mut self, command: &str, expected: &str) {
        self.say(command).await;
        self.hear_after(command, expected).await;
    }

    /// Says a command and returns the bulk string that is heard.
    pub(crate) async fn ask_bulk(&mut self, command: &str) -> String {
        self.say(command).await;
        loop {
            let text = String::from_utf8_lossy(&self.heard).into_owned();
            if let Some((header, rest)) = text.split_once("\r\n") {
                let size: usize =
                    header.trim_start_matches(['$', '=']).parse().expect("a bulk string");
                if size + 2 <= rest.len() {
                    self.heard.advance(header.len() + 2 + size + 2);
                    return rest[..size].to_owned();
                }
            }
            assert!(self.more().await, "cut short: {text}");
        }
    }

    /// Hears that the other side has hung up, and nothing before that.
    pub(crate) async fn hear_end(&mut self) {
        while self.more().await {}
        assert_eq!(shown(&self.heard), "");
    }

    /// Hears the rest, up to the end.
    pub(crate) async fn rest(&mut self) -> usize {
        while self.more().await {}
        self.heard.len()
    }

    /// Will say no more, and still listens.
    pub(crate) fn fall_silent(&mut self) {
        self.writer = None;
    }

    async fn more(&mut self) -> bool {
        self.heard.reserve(64 * 1024);
        let read = timeout(PATIENCE, self.reader.read(&mut self.heard)).await;
        matches!(read.expect("a reply within the time allowed"), Ok(1..))
    }
}

pub(crate) fn encode(command: &str) -> Vec<u8> {
    let words: Vec<&str> = command.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "|")
}
