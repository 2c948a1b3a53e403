//! A small stub client, for the doctor and for tests.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::Rtype;
use domain::base::name::Name;
use domain::base::{Message, MessageBuilder};
use domain::rdata::AllRecordData;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The types that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Text.
    Txt,
    /// The start of the zone.
    Soa,
    /// The zone's servers.
    Ns,
    /// Everything.
    Any,
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response code as in RFC 1035 and 6891: 0 is no error, 3 that the name does not exist.
    pub rcode: u16,
    /// The addresses, in order.
    pub addresses: Vec<IpAddr>,
    /// The records of the answer as text, of every type.
    pub records: Vec<String>,
    /// How many records the authority section has.
    pub authority: u16,
    /// The text of the extended error (RFC 8914), where there is one.
    pub error: Option<String>,
    /// Whether the server speaks for the zone.
    pub authoritative: bool,
    /// The name of the question as it came back.
    pub question: String,
}

impl Answer {
    /// The response code's usual name.
    pub fn code(&self) -> &'static str {
        match self.rcode {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            _ => "another code",
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Not a name.
    #[error("`{name}` is not a DNS name")]
    Name {
        /// The text given.
        name: String,
    },
    /// Nothing came in time.
    #[error("{server} did not answer within {} ms", limit.as_millis())]
    TimedOut {
        /// The server.
        server: SocketAddr,
        /// How long was waited.
        limit: Duration,
    },
    /// The server cannot be reached.
    #[error("cannot ask {server}: {source}")]
    Io {
        /// The server.
        server: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// What came is not a DNS answer.
    #[error("{server} sent something that is not a DNS answer")]
    Malformed {
        /// The server.
        server: SocketAddr,
    },
}

/// Asks `server` once by UDP, and by TCP when the answer was truncated; `limit` is for all of it.
pub async fn query(
    server: SocketAddr,
    name: &str,
    kind: RecordType,
    limit: Duration,
) -> Result<Answer, QueryError> {
    let question = compose(name, kind).ok_or_else(|| QueryError::Name { name: name.to_owned() })?;
    let exchange = async {
        let reply = by_udp(server, &question).await?;
        let truncated = reply.get(2).is_some_and(|flags| flags & 0x02 != 0);
        if truncated { by_tcp(server, &question).await } else { Ok(reply) }
    };
    let reply = timeout(limit, exchange)
        .await
        .map_err(|_| QueryError::TimedOut { server, limit })?
        .map_err(|source| QueryError::Io { server, source })?;
    parse(&reply).ok_or(QueryError::Malformed { server })
}

fn compose(name: &str, kind: RecordType) -> Option<Vec<u8>> {
    let kind = match kind {
        RecordType::A => Rtype::A,
        RecordType::Aaaa => Rtype::AAAA,
        RecordType::Txt => Rtype::TXT,
        RecordType::Soa => Rtype::SOA,
        RecordType::Ns => Rtype::NS,
        RecordType::Any => Rtype::ANY,
    };
    let name = Name::<Vec<u8>>::from_str(name).ok()?;
    let mut id = [0; 2];
    getrandom::fill(&mut id).ok()?;
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(u16::from_be_bytes(id));
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    question.push((name, kind)).ok()?;
    let mut additional = question.additional();
    additional
        .opt(|opt| {
            opt.set_udp_payload_size(1232);
            Ok(())
        })
        .ok()?;
    Some(additional.finish())
}

async fn by_udp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut reply = vec![0; 4096];
    loop {
        let length = socket.recv(&mut reply).await?;
        if length >= 2 && reply.get(..2) == question.get(..2) {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(u16::try_from(question.len()).unwrap_or_default()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

fn parse(reply: &[u8]) -> Option<Answer> {
    let message = Message::from_slice(reply).ok()?;
    let (mut addresses, mut records) = (Vec::new(), Vec::new());
    // Messages without a question, such as some errors, have nothing more to read.
    let question = message.first_question().map(|q| q.qname().to_string()).unwrap_or_default();
    if let Ok(answer) = message.answer() {
        for record in answer.limit_to::<AllRecordData<_, _>>() {
            let record = record.ok()?;
            match record.data() {
                AllRecordData::A(a) => addresses.push(IpAddr::V4(a.addr())),
                AllRecordData::Aaaa(aaaa) => addresses.push(IpAddr::V6(aaaa.addr())),
                _ => {}
            }
            records.push(format!("{} {}", record.rtype(), record.data()));
        }
    }
    let opt = message.opt();
    let error = opt.as_ref().and_then(|opt| opt.opt().extended_error());
    let text = error.as_ref().and_then(|e| e.text_slice()).map(String::from_utf8_lossy);
    Some(Answer {
        rcode: message.opt_rcode().to_int(),
        addresses,
        records,
        authority: message.header_counts().nscount(),
        error: text.map(|text| text.into_owned()),
        authoritative: message.header().aa(),
        question,
    })
}
