//! As much of a PostgreSQL client as tests need: one that holds a connection and tells at once
//! when it ends.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection to the shop's database.
pub(crate) struct Postgres {
    stream: TcpStream,
}

impl Postgres {
    /// Connects and logs in.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut postgres = Self { stream };
        let hello = b"\0\x03\0\0user\0shop\0database\0shop\0\0";
        postgres.send(None, hello)?;
        postgres.answer()?;
        Ok(postgres)
    }

    /// Asks one question and gives the columns of its rows, each in a line.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<String> {
        self.send(Some(b'Q'), format!("{question}\0").as_bytes())?;
        self.answer()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let message: Vec<u8> = kind.into_iter().chain(length).chain(body.iter().copied()).collect();
        self.stream.write_all(&message)
    }

    /// Reads messages until the server is ready for the next question.
    fn answer(&mut self) -> io::Result<String> {
        let mut rows = Vec::new();
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body)?;
            match head[0] {
                b'Z' => return Ok(rows.join("\n")),
                b'D' => columns(&body, &mut rows),
                b'E' => return Err(io::Error::other(String::from_utf8_lossy(&body).into_owned())),
                _ => {}
            }
        }
    }
}

fn columns(mut row: &[u8], rows: &mut Vec<String>) {
    row = &row[2..];
    while row.len() >= 4 {
        let (length, rest) = row.split_at(4);
        let length = i32::from_be_bytes(length.try_into().unwrap());
        let (value, rest) = rest.split_at(usize::try_from(length).unwrap_or(0));
        rows.push(String::from_utf8_lossy(value).into_owned());
        row = rest;
    }
}
