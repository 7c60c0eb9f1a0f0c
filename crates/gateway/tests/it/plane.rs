//! A gateway behind a real listener, with a route table that the test writes, and a client that sees bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::ListenerExt as _;
use dedi_domain::keys::{KeyRecord, KeyText};
use dedi_domain::model_rights::Holders;
use dedi_domain::route::Prospect;
use dedi_domain::{
    Address, Clock, EndpointId, EndpointName, EndpointState, KeyTable, LoadReport, ModelName, Owner,
    ReplicaId, Role, Route, RouteReplica, RouteTable, Scope, Timestamp,
};
use dedi_gateway::{Gateway, GatewayConfig};
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::{BOUND, Engine};

/// The endpoint most tests use.
pub(crate) const NAME: &str = "team/dedi/demo-0000000a";

pub(crate) struct Plane {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    routes: watch::Sender<RouteTable>,
    loads: watch::Receiver<LoadReport>,
    _tasks: JoinSet<()>,
}

pub(crate) fn key(seed: u8) -> String {
    KeyText::from_random(&[seed; 53]).reveal().to_owned()
}

pub(crate) fn owner() -> Owner {
    Owner::parse("team").unwrap()
}

fn keys() -> KeyTable {
    let of = |seed: u8, owner: &str, role| {
        let text = KeyText::parse(&key(seed)).unwrap();
        let owner = Owner::parse(owner).unwrap();
        (text.id(), KeyRecord { hash: text.hash(), owner, role, expires_at: None, scope: Scope::default() })
    };
    [
        of(1, "team", Role::Developer),
        of(2, "team", Role::Viewer),
        of(3, "others", Role::Inference),
        of(4, "team", Role::Inference),
    ]
    .into_iter()
    .collect()
}

fn clock() -> Clock {
    Clock::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_millis()).unwrap())
    })
}

pub(crate) fn endpoint_id(n: u128) -> EndpointId {
    EndpointId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn replica_id(n: u128) -> ReplicaId {
    ReplicaId::from_uuid(Uuid::from_u128(n))
}

/// A started endpoint with a replica for each address.
pub(crate) fn route(addresses: &[Address]) -> Route {
    let replicas = addresses.iter().zip(1..).map(|(address, n)| RouteReplica {
        id: replica_id(n),
        address: address.clone(),
        engine_model: "engine-model".to_owned(),
    });
    Route {
        endpoint: endpoint_id(10),
        name: EndpointName::parse(NAME).unwrap(),
        owner: owner(),
        model: ModelName::parse("dedi/demo").unwrap(),
        state: EndpointState::Started,
        reason: String::new(),
        wakes_on_request: false,
        prospect: Prospect::Coming { by: None },
        replicas: replicas.collect(),
        slots_per_replica: 4,
        context_tokens: 4_096,
    }
}

pub(crate) fn table(version: u64, routes: Vec<Route>) -> RouteTable {
    RouteTable {
        version,
        routes: routes.into_iter().map(Arc::new).collect(),
        models: [(ModelName::parse("dedi/demo").unwrap(), Holders::Everyone)].into(),
        keys: Arc::new(keys()),
        ending: std::collections::BTreeMap::new(),
    }
}

impl Plane {
    pub(crate) async fn start(config: GatewayConfig, routes: Vec<Route>) -> Self {
        let (routes, routes_seen) = watch::channel(table(1, routes));
        let (loads_made, loads) = watch::channel(LoadReport::default());
        let gateway = Gateway::new(config, routes_seen, loads_made, clock());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // As the server does: an event does not wait for the client to acknowledge the one before.
        let listener = listener.tap_io(|it| it.set_nodelay(true).unwrap());
        // And as the server does: the layer around all that is answered.
        let app = gateway.router().layer(axum::middleware::from_fn(dedi_http::assign_request_id));
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let running = gateway.clone();
        tasks.spawn(async move { running.run(CancellationToken::new()).await });
        Self { gateway, address, routes, loads, _tasks: tasks }
    }

    /// One endpoint, with those replicas.
    pub(crate) async fn with(engines: &[&Engine]) -> Self {
        Self::configured(GatewayConfig::default(), engines).await
    }

    pub(crate) async fn configured(config: GatewayConfig, engines: &[&Engine]) -> Self {
        let addresses: Vec<_> = engines.iter().map(|it| it.address()).collect();
        Self::start(config, vec![route(&addresses)]).await
    }

    /// What a scrape reads.
    pub(crate) fn metrics(&self) -> String {
        let mut registry = Registry::default();
        self.gateway.register_metrics(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    pub(crate) fn publish(&self, table: RouteTable) {
        self.routes.send_replace(table);
    }

    /// The first load report that fits.
    pub(crate) async fn until_load(&self, fits: impl Fn(&LoadReport) -> bool) -> LoadReport {
        let mut loads = self.loads.clone();
        let seen = loads.wait_for(fits);
        tokio::time::timeout(BOUND, seen).await.expect("such a load report").unwrap().clone()
    }

    /// Opens a connection and sends a request with the team's key.
    pub(crate) async fn send(&self, path: &str, body: &str) -> Client {
        self.send_as(&key(1), path, body).await
    }

    pub(crate) async fn send_as(&self, key: &str, path: &str, body: &str) -> Client {
        let head = format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\n");
        self.send_raw(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\n{head}content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    pub(crate) async fn send_raw(&self, request: &str) -> Client {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        Client { stream, bytes: Vec::new() }
    }

    pub(crate) async fn chat(&self, body: &str) -> Client {
        self.send("/v1/chat/completions", body).await
    }

    /// A short chat with the endpoint.
    pub(crate) async fn ask(&self, stream: bool) -> Client {
        self.chat(&chat_body(NAME, stream)).await
    }
}

pub(crate) fn chat_body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}],"stream":{stream}}}"#)
}

/// A client's end of a connection.
pub(crate) struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// What came, down to whether the body had its proper end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert!(self.complete, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|it| {
            let (key, value) = it.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The body with its request id replaced.
    pub(crate) fn body_without_id(&self) -> String {
        self.body.replace(self.header("x-request-id").unwrap(), "ID")
    }
}

impl Client {
    /// Reads until the answer is there or the connection ends.
    pub(crate) async fn answer(mut self) -> Answer {
        tokio::time::timeout(BOUND, async {
            loop {
                if let Some(answer) = parse(&self.bytes, false) {
                    return answer;
                }
                match self.stream.read_buf(&mut self.bytes).await {
                    Ok(n) if n > 0 => {}
                    Ok(_) | Err(_) => return parse(&self.bytes, true).expect("a head of an answer"),
                }
            }
        })
        .await
        .expect("an answer")
    }

    /// Reads an answer in chunks to its end, a little at a time; what came, as it came.
    pub(crate) async fn slowly(mut self) -> String {
        let mut some = [0; 8 * 1024];
        tokio::time::timeout(BOUND, async {
            while !self.bytes.ends_with(b"\r\n0\r\n\r\n") {
                let n = self.stream.read(&mut some).await.unwrap();
                assert!(n > 0, "ended after {} bytes", self.bytes.len());
                self.bytes.extend_from_slice(&some[..n]);
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("a whole answer");
        String::from_utf8(self.bytes).unwrap()
    }

    /// Reads until the text has come.
    pub(crate) async fn until(&mut self, text: &str) {
        let came = async {
            while !String::from_utf8_lossy(&self.bytes).contains(text) {
                assert!(self.stream.read_buf(&mut self.bytes).await.unwrap() > 0, "ended before `{text}`");
            }
        };
        tokio::time::timeout(BOUND, came).await.unwrap_or_else(|_| panic!("`{text}` in {:?}", self.bytes));
    }
}

fn parse(bytes: &[u8], ended: bool) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, head: head.to_owned(), body: String::new(), complete: false };
    if let Some(length) = answer.header("content-length").and_then(|it| it.parse::<usize>().ok()) {
        answer.body = rest.to_owned();
        answer.complete = rest.len() >= length;
    } else {
        let mut rest = rest.as_bytes();
        while let Some(at) = rest.windows(2).position(|it| it == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
            rest = &rest[at + 2..];
            if size == 0 {
                answer.complete = true;
                break;
            }
            let Some(data) = rest.get(..size) else { break };
            answer.body.push_str(&String::from_utf8_lossy(data));
            rest = rest.get(size + 2..).unwrap_or_default();
        }
    }
    (ended || answer.complete).then_some(answer)
}
