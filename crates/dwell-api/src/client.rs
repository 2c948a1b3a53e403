//! A typed client over any byte stream: one connection, HTTP/1.1, answers decoded into types,
//! problems into errors.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::IDEMPOTENCY_KEY;
use crate::event::{Event, Outcome};
use crate::problem::{Code, ErrorBody, Problem};

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node answered with a problem.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The connection failed.
    #[error("the connection to the node failed: {0}")]
    Connection(String),
    /// The answer was not what the API says.
    #[error("the node's answer was not understood: {0}")]
    Answer(String),
}

impl From<hyper::Error> for ClientError {
    fn from(error: hyper::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

impl ClientError {
    /// The problem to show and to take the exit code from.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Problem(problem) => problem,
            Self::Connection(_) => Problem::new(Code::NodeUnreachable, self.to_string())
                .hint("look at `dwell node status` and `dwell node logs`"),
            Self::Answer(_) => Problem::new(Code::Internal, self.to_string())
                .hint("the daemon may be of another version: `dwell node stop` and try again"),
        }
    }
}

/// Makes a connection anew, `None` where that is no use any more.
pub type Again = Box<dyn FnMut() -> BoxFuture<Option<Result<Client, Problem>>> + Send>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a connection is after an upgrade.
pub type ByteStream = TokioIo<Upgraded>;

/// A connection to a node.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    again: Option<Again>,
}

impl Client {
    /// Speaks to the node at the other end of a stream.
    pub async fn connect<S>(stream: S) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(Self { sender, again: None })
    }

    /// With a way to connect anew where a call that may be repeated got no answer at all, as from
    /// a daemon that is just ending.
    #[must_use]
    pub fn or_again(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, "node")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            let value =
                HeaderValue::from_str(key).map_err(|e| ClientError::Answer(e.to_string()))?;
            request = request.header(IDEMPOTENCY_KEY, value);
        }
        let request =
            request.body(Full::new(body)).map_err(|e| ClientError::Answer(e.to_string()))?;
        let repeats = method == Method::GET || key.is_some();
        let response = loop {
            let error = match self.once(request.clone()).await {
                Ok(response) => break response,
                Err(error) => error,
            };
            match self.again.as_mut().filter(|_| repeats) {
                Some(again) => match again().await {
                    Some(client) => self.sender = client?.sender,
                    None => return Err(error.into()),
                },
                None => return Err(error.into()),
            }
        };
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(body.error.into()),
            Err(_) => {
                let text = String::from_utf8_lossy(&bytes);
                Err(ClientError::Answer(format!("{status}: {}", text.trim())))
            }
        }
    }

    async fn once(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    async fn decode<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
        let bytes = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|e| ClientError::Answer(e.to_string()))
    }

    /// Reads an object.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        Self::decode(self.send(Method::GET, path, None, Bytes::new()).await?).await
    }

    /// Changes something at once and reads the answer.
    pub async fn post<B: Serialize, T: DeserializeOwned>(
        &mut self,
        path: &str,
        key: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        Self::decode(self.send(Method::POST, path, Some(key), encode(body)?).await?).await
    }

    /// Begins a long operation and gives its events.
    pub async fn operate<B: Serialize>(
        &mut self,
        path: &str,
        key: &str,
        body: &B,
    ) -> Result<Lines, ClientError> {
        let response = self.send(Method::POST, path, Some(key), encode(body)?).await?;
        Ok(Lines::new(response.into_body()))
    }

    /// Reads a stream of JSON lines.
    pub async fn lines(&mut self, path: &str) -> Result<Lines, ClientError> {
        let response = self.send(Method::GET, path, None, Bytes::new()).await?;
        Ok(Lines::new(response.into_body()))
    }

    /// Reads a stream of bytes, such as a transcript.
    pub async fn bytes(&mut self, path: &str) -> Result<Incoming, ClientError> {
        Ok(self.send(Method::GET, path, None, Bytes::new()).await?.into_body())
    }

    /// Turns the connection into a byte stream of another protocol.
    pub async fn upgrade<B: Serialize>(
        mut self,
        path: &str,
        protocol: &'static str,
        body: &B,
    ) -> Result<ByteStream, ClientError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, "node")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, protocol)
            .body(Full::new(encode(body)?))
            .map_err(|e| ClientError::Answer(e.to_string()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let bytes = response.into_body().collect().await?.to_bytes();
            return match serde_json::from_slice::<ErrorBody>(&bytes) {
                Ok(body) => Err(body.error.into()),
                Err(e) => Err(ClientError::Answer(e.to_string())),
            };
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await?))
    }
}

fn encode<B: Serialize>(body: &B) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|e| ClientError::Answer(e.to_string()))
}

/// A stream of JSON lines.
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
}

impl Lines {
    fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new() }
    }

    /// The next line as a value; `None` at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let value = serde_json::from_slice(&line);
                return value.map(Some).map_err(|e| ClientError::Answer(e.to_string()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// Follows an operation to its end, handing every event to `show`.
    pub async fn outcome(&mut self, mut show: impl FnMut(&Event)) -> Result<Outcome, ClientError> {
        while let Some(event) = self.next::<Event>().await? {
            show(&event);
            match event {
                Event::Done { result } => return Ok(result),
                Event::Failed { problem } => return Err(problem.into()),
                _ => {}
            }
        }
        Err(ClientError::Connection("the stream ended before the operation did".to_owned()))
    }
}
