//! The page of a desktop, asked by hand as a browser would, or as one should not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::home::TestHome;
use crate::http::http;

/// The page that shows a desktop, by its address in its parts.
pub struct DesktopPage {
    /// The whole address.
    pub url: String,
    port: u16,
    place: String,
    /// The ticket in it.
    pub ticket: String,
}

impl DesktopPage {
    /// Asks for the desktop of a workspace.
    #[track_caller]
    pub fn of(home: &TestHome, workspace: &str) -> Self {
        let url = home.dwell(["vnc", workspace, "--print"]).ok().to_owned();
        let rest = url.strip_prefix("http://127.0.0.1:").expect("an address of a desktop");
        let (port, rest) = rest.split_once('/').expect("an address of a desktop");
        let (place, ticket) = rest.split_once('#').expect("an address of a desktop");
        let (port, place) = (port.parse().expect("an address of a desktop"), format!("/{place}"));
        Self { port, place, ticket: ticket.to_owned(), url: url.clone() }
    }

    /// Asks for a file of it; further lines of the head end with a line break.
    pub fn ask(&self, method: &str, name: &str, more: &str, body: &str) -> (u16, String) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("an address of a desktop");
        let host = if more.contains("host:") { String::new() } else { self.host() };
        let head = format!("{method} {}{name} HTTP/1.1\n{host}{more}", self.place);
        let (code, answer) = http(stream, head.replace('\r', "").trim_end(), body);
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (code, body.unwrap_or_default())
    }

    fn host(&self) -> String {
        format!("host: 127.0.0.1:{}\r\n", self.port)
    }

    /// The line of a head that says that a request is from this page.
    pub fn origin(&self) -> String {
        format!("origin: http://127.0.0.1:{}\r\n", self.port)
    }

    /// Asks for the WebSocket; gives what comes first.
    pub fn socket(&self, origin: &str, key: &str) -> String {
        let mut stream =
            TcpStream::connect(("127.0.0.1", self.port)).expect("an address of a desktop");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("an address of a desktop");
        let head = format!(
            "GET {}socket HTTP/1.1\r\n{}{origin}connection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: binary, dwell.{key}\r\n\r\n",
            self.place,
            self.host()
        );
        stream.write_all(head.as_bytes()).expect("an address of a desktop");
        let mut said = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = stream.read(&mut buffer) {
            said.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let text = String::from_utf8_lossy(&said);
            if length == 0 || text.contains("RFB 003") || text.contains(" 403 ") {
                break;
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    }
}
