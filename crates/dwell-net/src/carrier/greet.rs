//! The first line of a link: who is there and which protocol it speaks. Before it, a login shell
//! may have printed anything.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::LinkError;
use crate::mesh;

/// The protocol of the frames after the line. One that changes in a way that the other side would
/// misunderstand gets another number.
pub const PROTOCOL: u32 = 1;

/// What no shell prints.
const MAGIC: &[u8] = b"\x01dwell-link\x02";
/// How much may stand before the line, in bytes.
const NOISE: usize = 64 * 1024;
/// The longest line after the magic, in bytes.
const LINE: usize = 16 * 1024;
/// How much of the noise an error quotes, in bytes.
const QUOTED: usize = 400;

/// Sends our line and reads the other side's. Answers with what it says about itself; bytes that
/// came after the line are left in `buffer`.
pub(crate) async fn greet<R, W>(
    read: &mut R,
    write: &mut W,
    hello: &[u8],
    buffer: &mut BytesMut,
) -> Result<Bytes, LinkError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut search = Search::default();
    let result = tokio::try_join!(send(write, hello), receive(read, buffer, &mut search));
    result.map(|((), theirs)| theirs)
}

async fn send<W: AsyncWrite + Unpin>(write: &mut W, hello: &[u8]) -> Result<(), LinkError> {
    let mut line = MAGIC.to_vec();
    line.extend_from_slice(format!("{PROTOCOL} ").as_bytes());
    line.extend(hello.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    line.push(b'\n');
    let sent = async {
        write.write_all(&line).await?;
        write.flush().await
    };
    match sent.await {
        Ok(()) => Ok(()),
        // Why it takes nothing is told by what it says, or by its end.
        Err(_) => std::future::pending().await,
    }
}

async fn receive<R: AsyncRead + Unpin>(
    read: &mut R,
    buffer: &mut BytesMut,
    search: &mut Search,
) -> Result<Bytes, LinkError> {
    loop {
        if let Some((protocol, hello)) = search.next(buffer)? {
            if protocol != PROTOCOL {
                return Err(LinkError::Version { theirs: protocol, hello });
            }
            return Ok(hello);
        }
        match read.read_buf(buffer).await {
            Ok(0) => return Err(LinkError::Ended { said: search.said(buffer) }),
            Ok(_) => {}
            Err(error) if mesh::is_refusal(&error) => {
                return Err(LinkError::Denied { why: "it does not know this node".to_owned() });
            }
            Err(error) => return Err(LinkError::Failed { why: error.to_string() }),
        }
    }
}

/// Looks for the line in what comes.
#[derive(Debug, Default)]
struct Search {
    skipped: usize,
    /// The end of what was skipped.
    noise: Vec<u8>,
    found: bool,
}

impl Search {
    /// The protocol's number and the rest of the line, which is taken out of the buffer.
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<(u32, Bytes)>, LinkError> {
        if !self.found {
            match buffer.windows(MAGIC.len()).position(|part| part == MAGIC) {
                Some(at) => {
                    self.skip(buffer, at)?;
                    buffer.advance(MAGIC.len());
                    self.found = true;
                }
                None => {
                    let noise = buffer.len().saturating_sub(MAGIC.len() - 1);
                    self.skip(buffer, noise)?;
                    return Ok(None);
                }
            }
        }
        let strange =
            || LinkError::Strange { said: "its first line is not as it should be".into() };
        let Some(end) = buffer.iter().take(LINE).position(|byte| *byte == b'\n') else {
            return if buffer.len() >= LINE { Err(strange()) } else { Ok(None) };
        };
        let line = buffer.split_to(end).freeze();
        buffer.advance(1);
        let space = line.iter().position(|byte| *byte == b' ').ok_or_else(strange)?;
        let number = line.get(..space).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = number.and_then(|digits| digits.parse().ok()).ok_or_else(strange)?;
        Ok(Some((number, line.slice(space + 1..))))
    }

    fn skip(&mut self, buffer: &mut BytesMut, length: usize) -> Result<(), LinkError> {
        self.skipped += length;
        self.noise.extend_from_slice(&buffer.split_to(length));
        let old = self.noise.len().saturating_sub(QUOTED);
        self.noise.drain(..old);
        if self.skipped > NOISE {
            return Err(LinkError::Strange { said: self.said(&[]) });
        }
        Ok(())
    }

    /// The end of what the other side said instead of its line.
    fn said(&self, rest: &[u8]) -> String {
        let all = [self.noise.as_slice(), rest].concat();
        let end = all.get(all.len().saturating_sub(QUOTED)..).unwrap_or_default();
        let text = String::from_utf8_lossy(end);
        let shown = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
        shown.collect::<String>().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(protocol: &str, hello: &str) -> Vec<u8> {
        [MAGIC, protocol.as_bytes(), b" ", hello.as_bytes(), b"\n"].concat()
    }

    fn search(all: &[u8], cut: usize) -> Result<Option<(u32, Bytes, Vec<u8>)>, LinkError> {
        let (mut search, mut buffer) = (Search::default(), BytesMut::new());
        let mut found = None;
        for piece in all.chunks(cut) {
            buffer.extend_from_slice(piece);
            if found.is_none() {
                found = search.next(&mut buffer)?;
            }
        }
        Ok(found.map(|(number, hello)| (number, hello, buffer.to_vec())))
    }

    proptest! {
        #[test]
        fn the_line_is_found_after_noise_however_it_is_cut(
            noise in "[ -~\n]{0,300}", hello in "[ -~]{0,200}", rest in "[ -~\n]{0,50}",
            cut in 1..80_usize,
        ) {
            let all = [noise.as_bytes(), &line("7", &hello), rest.as_bytes()].concat();
            let (number, found, left) = search(&all, cut).unwrap().unwrap();
            prop_assert_eq!(number, 7);
            prop_assert_eq!(&found[..], hello.as_bytes());
            prop_assert_eq!(left, rest.as_bytes());
        }

        #[test]
        fn garbage_does_no_harm(
            mut all in proptest::collection::vec(any::<u8>(), 0..500),
            at in any::<prop::sample::Index>(), cut in 1..80_usize,
        ) {
            let place = at.index(all.len() + 1);
            all.splice(place..place, MAGIC.iter().copied());
            let _ = search(&all, cut);
        }
    }

    #[test]
    fn noise_and_lines_have_a_limit() {
        let noise = vec![b'x'; NOISE];
        assert!(search(&[noise.as_slice(), &line("1", "{}")].concat(), 1000).unwrap().is_some());
        let noise = vec![b'y'; NOISE + 1];
        let error = search(&[noise.as_slice(), &line("1", "{}")].concat(), 1000).unwrap_err();
        assert!(matches!(error, LinkError::Strange { said } if said == "y".repeat(QUOTED)));
        let long = line("1", &"x".repeat(LINE));
        assert!(matches!(search(&long, 1000), Err(LinkError::Strange { .. })));
        for bad in ["", "x", "-1", "99999999999"] {
            assert!(
                matches!(search(&line(bad, "{}"), 10), Err(LinkError::Strange { .. })),
                "{bad}"
            );
        }
    }

    #[tokio::test]
    async fn what_was_said_instead_is_told() {
        let mut said: &[u8] = b"This account\x07 is currently not available.\n";
        let error = greet(&mut said, &mut tokio::io::sink(), b"{}", &mut BytesMut::new()).await;
        let said = "This account  is currently not available.".to_owned();
        assert_eq!(error, Err(LinkError::Ended { said }));
    }
}
