//! As much of etcd's gRPC as a load needs: `Put` and linearizable `Range`, over HTTP/2.
//!
//! Messages are those of etcd's `rpc.proto` (v3.4), with only the fields that are used here. Each
//! connection carries as many requests at a time as the clients on it, as etcd's own benchmark does.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::clock;
use crate::error::BenchError;
use crate::load::{self, Operation, PaceArguments, Place, Source, Verb, Window};
use crate::report::{Report, Tally};
use crate::resp::Outcome;
use crate::workload::{self, Fill, Workload, WorkloadArguments};

/// How many clients share a connection.
const CLIENTS_PER_CONNECTION: usize = 10;
/// The size of a gRPC message's head: a flag and the length.
const HEAD_SIZE: usize = 5;

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    found: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

/// One HTTP/2 connection, shared by several clients.
#[derive(Clone)]
struct Channel {
    requests: SendRequest<Bytes>,
    authority: Rc<str>,
}

type Failed = Box<dyn std::error::Error>;

impl Channel {
    async fn open(address: SocketAddr) -> Result<Channel, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        tokio::task::spawn_local(connection);
        Ok(Channel { requests, authority: address.to_string().into() })
    }

    /// A unary call: its answer, or what went wrong.
    async fn call(&self, method: &str, message: &impl Message) -> Result<Bytes, Failed> {
        let request = http::Request::builder()
            .method("POST")
            .uri(format!("http://{}/etcdserverpb.KV/{method}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut body) = requests.send_request(request, false)?;
        let size = message.encoded_len();
        let mut frame = BytesMut::with_capacity(HEAD_SIZE + size);
        frame.put_u8(0);
        // gRPC's own format: this one integer is big-endian.
        frame.put_u32(u32::try_from(size)?);
        message.encode(&mut frame)?;
        body.send_data(frame.freeze(), true)?;

        let mut response = response.await?.into_body();
        let mut answer = BytesMut::new();
        while let Some(data) = response.data().await {
            let data = data?;
            response.flow_control().release_capacity(data.len())?;
            answer.extend_from_slice(&data);
        }
        let trailers = response.trailers().await?.ok_or("no trailers")?;
        let text = |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        if text("grpc-status") != "0" {
            return Err(format!("status {}: {}", text("grpc-status"), text("grpc-message")).into());
        }
        if answer.len() < HEAD_SIZE {
            return Err("an answer without a message".into());
        }
        Ok(answer.split_off(HEAD_SIZE).freeze())
    }

    async fn put(&self, key: &[u8], value: &Bytes) -> Result<(), Failed> {
        let key = Bytes::copy_from_slice(key);
        self.call("Put", &PutRequest { key, value: value.clone() }).await.map(drop)
    }

    /// Whether the key is there, as of now (linearizable, etcd's default).
    async fn get(&self, key: &[u8]) -> Result<bool, Failed> {
        let request = RangeRequest { key: Bytes::copy_from_slice(key) };
        let answer = RangeResponse::decode(self.call("Range", &request).await?)?;
        Ok(!answer.found.is_empty())
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BenchError::server("cannot start a runtime", error))?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

/// Whether a server takes writes.
pub(crate) fn probe(address: SocketAddr) -> Result<(), BenchError> {
    let put =
        async { Channel::open(address).await?.put(b"probe", &Bytes::from_static(b"1")).await };
    let put = block_on(async { tokio::time::timeout(Duration::from_secs(2), put).await })?;
    let failed = |reason: String| BenchError::server(format!("etcd at {address}"), reason);
    put.map_err(|elapsed| failed(elapsed.to_string()))?.map_err(|error| failed(error.to_string()))
}

/// Puts every key once.
pub(crate) fn fill(place: &Place, workload: &WorkloadArguments) -> Result<(), BenchError> {
    let window = Window { begin_ns: 0, end_ns: u64::MAX };
    let value = workload::value(workload.value_size).into();
    let sources = vec![std::cell::RefCell::new(Fill::new(workload))];
    block_on(run(place, 100, sources, value, window)).and_then(|tally| tally).map(drop)
}

/// What `load::measure` does, with gRPC. One thread; a closed loop of `connections` clients.
pub(crate) fn measure(
    place: &Place,
    workload: &WorkloadArguments,
    pace: &PaceArguments,
) -> Result<Report, BenchError> {
    if pace.rate.is_some() || 1 < pace.pipeline {
        return Err(BenchError::Usage(
            "etcd is measured without --rate and --pipeline: a client has one request at a time"
                .to_owned(),
        ));
    }
    let window = load::window(pace);
    let value: Bytes = workload::value(workload.value_size).into();
    let sources = (0..u64::from(pace.threads))
        .map(|stream| std::cell::RefCell::new(Workload::new(workload, stream)))
        .collect();
    let (tally, cpu_us) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| load::watch(&place.processes, window));
        let clients = usize::from(pace.connections);
        let tally = block_on(run(place, clients, sources, value, window)).and_then(|tally| tally);
        (tally, watch.join().expect("watching does not panic"))
    });
    let seconds = (window.end_ns - window.begin_ns) as f64 / 1e9;
    Ok(Report { tally: tally?, seconds, cpu_us, open_loop: false })
}

/// Runs so many clients until the window or their source ends.
async fn run<S: Source + 'static>(
    place: &Place,
    clients: usize,
    sources: Vec<std::cell::RefCell<S>>,
    value: Bytes,
    window: Window,
) -> Result<Tally, BenchError> {
    let tally = Rc::new(std::cell::RefCell::new(Tally::new()));
    let sources = Rc::new(sources);
    let mut channels = Vec::new();
    let addresses = place.addresses.iter().cycle();
    for &address in addresses.take(clients.div_ceil(CLIENTS_PER_CONNECTION)) {
        let failed = |error: Failed| {
            BenchError::server(format!("cannot connect to etcd at {address}"), error)
        };
        channels.push(Channel::open(address).await.map_err(failed)?);
    }
    let clients: Vec<_> = (0..clients)
        .map(|index| {
            let channel = channels[index % channels.len()].clone();
            let (tally, sources, value) = (tally.clone(), sources.clone(), value.clone());
            tokio::task::spawn_local(async move {
                let source = &sources[index % sources.len()];
                client(&channel, source, &value, window, &tally).await;
            })
        })
        .collect();
    for client in clients {
        client.await.map_err(|error| BenchError::server("a client of etcd ended", error))?;
    }
    Ok(Rc::into_inner(tally).expect("all clients have ended").into_inner())
}

/// One client: one request at a time.
async fn client<S: Source>(
    channel: &Channel,
    source: &std::cell::RefCell<S>,
    value: &Bytes,
    window: Window,
    tally: &std::cell::RefCell<Tally>,
) {
    loop {
        let since_ns = clock::now_ns();
        if window.end_ns <= since_ns {
            return;
        }
        let Some(operation) = source.borrow_mut().next(0) else { return };
        let outcome = ask(channel, operation, value).await;
        let now = clock::now_ns();
        let mut tally = tally.borrow_mut();
        if (window.begin_ns..window.end_ns).contains(&now) {
            let known = *outcome.as_ref().unwrap_or(&Outcome::Refused);
            tally.landed(&operation, known, now - since_ns, now);
        }
        if let Err(error) = outcome {
            tally.refusal.get_or_insert(error.to_string());
            if window.end_ns == u64::MAX {
                return;
            }
        }
    }
}

async fn ask(channel: &Channel, operation: Operation, value: &Bytes) -> Result<Outcome, Failed> {
    let key = workload::key(operation.verb, operation.key);
    match operation.verb {
        Verb::Set => channel.put(&key, value).await.map(|()| Outcome::Done),
        Verb::Get => {
            let found = channel.get(&key).await?;
            Ok(if found { Outcome::Done } else { Outcome::Miss })
        }
        Verb::Increment => Err("etcd has no INCR".into()),
    }
}
