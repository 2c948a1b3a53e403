//! What crosses the wire when sources travel. A transfer is a line of JSON that says what is
//! sent, then parts: a line for the part, its bytes in chunks (length as four bytes, most
//! significant first, then the bytes), and a chunk of length 0. A peer is not trusted to be well
//! behaved: lines and chunks have a largest size.

use std::collections::BTreeMap;
use std::io;

use dwell_core::tree::TreePath;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};

use super::error::TravelError;
use crate::git::stream::{Give, Take};
use crate::git::{Git, ObjectFormat, ObjectName};

/// The form of transfers that is spoken here.
pub(crate) const VERSION: u32 = 1;
pub(crate) const LONGEST_LINE: u64 = 16 * 1024 * 1024;
const LONGEST_CHUNK: u32 = 1024 * 1024;

/// A source as it is at one moment, for another node. Equal sources give equal offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// How its repository names objects.
    pub format: ObjectFormat,
    /// The commit that is checked out; `None` before the first one.
    pub head: Option<ObjectName>,
    /// A commit on top of `head` that holds the work tree as it is: uncommitted work, and files
    /// that are neither tracked nor ignored.
    pub snapshot: ObjectName,
    /// The tree of `snapshot`.
    pub tree: ObjectName,
    /// The project's directory in the work tree.
    pub directory: TreePath,
    /// Commits whose parents the source does not have.
    #[serde(default)]
    pub shallow: Vec<ObjectName>,
    /// Tags of commits that `head` has, by name.
    #[serde(default)]
    pub tags: BTreeMap<String, ObjectName>,
    /// Who commits in the source.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// What an environment made of the source, where its whole tree travels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Own>,
}

/// What an environment made of its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// Its commit; `None` before the first one.
    pub head: Option<ObjectName>,
    /// A commit on top of `head` that holds its tree as it is.
    pub content: ObjectName,
    /// The tree of `content`.
    pub tree: ObjectName,
}

impl Own {
    /// Whether the commit with the content is what it is said to be.
    pub(crate) async fn verify(&self, git: &Git) -> Result<(), TravelError> {
        let content = self.content.as_str();
        let format = ["show", "--no-patch", "--format=%T %P", content, "--"];
        let text = git.line(format).await?;
        let head = self.head.as_ref().map(ObjectName::as_str).unwrap_or_default();
        if text.trim() == format!("{} {head}", self.tree).trim() {
            return Ok(());
        }
        Err(TravelError::Rejected { why: format!("commit {content} is not what was offered") })
    }
}

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The person's name.
    pub name: String,
    /// The person's address.
    pub email: String,
}

impl Identity {
    /// An identity that git can write into a commit and a configuration.
    pub fn new(name: &str, email: &str) -> Option<Self> {
        let identity = Self { name: name.trim().to_owned(), email: email.trim().to_owned() };
        identity.is_plain().then_some(identity)
    }

    /// Whether both parts are there and free of what would break the lines they stand in.
    pub(crate) fn is_plain(&self) -> bool {
        [&self.name, &self.email].iter().all(|text| {
            !text.is_empty()
                && text.len() <= 200
                && !text.contains(|c: char| c.is_control() || matches!(c, '<' | '>'))
        })
    }
}

/// What one side has, so that the other sends only what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Haves {
    /// Commits with all that belongs to them.
    pub commits: Vec<ObjectName>,
    /// Stages of a transfer that did not come to its end.
    #[serde(default)]
    pub stages: Vec<ObjectName>,
    /// Whether the environment already is what was offered.
    #[serde(default)]
    pub nothing_to_do: bool,
}

/// The first line of a transfer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head<T> {
    pub(crate) version: u32,
    pub(crate) what: T,
}

/// The line before a part's bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The commit that is there when the part has come.
    pub(crate) commit: ObjectName,
    /// Whether nothing follows.
    pub(crate) last: bool,
}

/// The sending end of a transfer.
#[derive(Debug)]
pub(crate) struct Outgoing<'a, W>(pub(crate) &'a mut W);

impl<W: AsyncWrite + Unpin + Send> Outgoing<'_, W> {
    /// Sends a line.
    pub(crate) async fn line(&mut self, value: &(impl Serialize + Sync)) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }

    /// Ends a part.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.0.write_all(&[0; 4]).await?;
        self.0.flush().await
    }
}

impl<W: AsyncWrite + Unpin + Send> Take for Outgoing<'_, W> {
    async fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(LONGEST_CHUNK as usize) {
            let length = u32::try_from(chunk.len()).unwrap_or_default();
            self.0.write_all(&length.to_be_bytes()).await?;
            self.0.write_all(chunk).await?;
        }
        Ok(())
    }
}

/// The receiving end of a transfer.
#[derive(Debug)]
pub(crate) struct Incoming<R> {
    from: BufReader<R>,
    left: u32,
    ended: bool,
}

impl<R: AsyncRead + Unpin + Send> Incoming<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from: BufReader::with_capacity(256 * 1024, from), left: 0, ended: true }
    }

    /// Reads the first line.
    pub(crate) async fn head<T: DeserializeOwned>(&mut self) -> Result<T, TravelError> {
        let head: Head<serde_json::Value> = self.line().await?;
        if head.version != VERSION {
            return Err(TravelError::Version { theirs: head.version, ours: VERSION });
        }
        serde_json::from_value(head.what).map_err(|error| TravelError::wire(&error))
    }

    /// Reads a line.
    pub(crate) async fn line<T: DeserializeOwned>(&mut self) -> Result<T, TravelError> {
        let line = line(&mut self.from).await.map_err(TravelError::Cut)?;
        serde_json::from_slice(&line).map_err(|error| TravelError::wire(&error))
    }

    /// Reads the line before a part.
    pub(crate) async fn part(&mut self) -> Result<Part, TravelError> {
        let part = self.line().await?;
        self.begin();
        Ok(part)
    }

    /// Begins to read chunks.
    pub(crate) fn begin(&mut self) {
        self.ended = false;
    }

    /// Reads what is left of a part, whatever it is.
    pub(crate) async fn skip(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        while self.give(&mut buffer).await? > 0 {}
        Ok(())
    }
}

impl<R: AsyncRead + Unpin + Send> Give for Incoming<R> {
    async fn give(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.left == 0 {
            self.left = self.from.read_u32().await?;
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
            if self.left > LONGEST_CHUNK {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is too long"));
            }
        }
        let most = buffer.len().min(self.left as usize);
        let length = self.from.read(buffer.get_mut(..most).unwrap_or_default()).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= u32::try_from(length).unwrap_or(self.left);
        Ok(length)
    }
}

async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() as u64 + 1 >= LONGEST_LINE => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Vec<u8>, io::Error> {
        let mut incoming = Incoming::new(bytes);
        incoming.ended = false;
        let (mut all, mut buffer) = (Vec::new(), [0; 3]);
        loop {
            match incoming.give(&mut buffer).await? {
                0 => return Ok(all),
                length => all.extend_from_slice(&buffer[..length]),
            }
        }
    }

    #[tokio::test]
    async fn chunks_come_as_they_were_sent() {
        let mut bytes = Vec::new();
        let mut outgoing = Outgoing(&mut bytes);
        outgoing.take(b"abcd").await.unwrap();
        outgoing.take(b"").await.unwrap();
        outgoing.take(b"e").await.unwrap();
        outgoing.end().await.unwrap();
        assert_eq!(read(&bytes).await.unwrap(), b"abcde");
    }

    #[tokio::test]
    async fn a_part_that_is_cut_or_too_long_is_no_part() {
        for cut in [&b""[..], &[0, 0], &[0, 0, 0, 2, 7], &[0, 0, 0, 1, 7]] {
            let error = read(cut).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(read(&[255; 8]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_line_that_is_cut_or_of_another_version_is_refused() {
        let head = |text: &'static str| async move {
            Incoming::new(text.as_bytes()).head::<Haves>().await
        };
        assert!(matches!(head("{\"version\":1,").await, Err(TravelError::Cut(_))));
        assert!(matches!(head("{}\n").await, Err(TravelError::Wire { .. })));
        let other = "{\"version\":9,\"what\":1}\n";
        assert!(matches!(head(other).await, Err(TravelError::Version { theirs: 9, .. })));
        assert!(head("{\"version\":1,\"what\":{\"commits\":[]}}\n").await.is_ok());
        let bad = "{\"version\":1,\"what\":{\"commits\":[\"--all\"]}}\n";
        assert!(matches!(head(bad).await, Err(TravelError::Wire { .. })));
    }

    #[test]
    fn an_identity_cannot_break_out_of_its_line() {
        assert!(Identity::new(" A B ", "a@b").is_some());
        for bad in ["", "a\nb", "a<b", "a>"] {
            assert!(Identity::new(bad, "a@b").is_none() && Identity::new("A", bad).is_none());
        }
    }
}
