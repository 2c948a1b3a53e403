//! Pieces of known length on the streams that carry files.

use dwell_drivers::tree::travel::TravelError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Writes a piece after its length in four bytes.
pub(super) async fn write_frame(
    to: &mut (impl AsyncWrite + Unpin + Send),
    bytes: &[u8],
) -> Result<(), TravelError> {
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other);
    let length = length.map_err(TravelError::Cut)?;
    to.write_all(&length.to_be_bytes()).await.map_err(TravelError::Cut)?;
    to.write_all(bytes).await.map_err(TravelError::Cut)?;
    to.flush().await.map_err(TravelError::Cut)
}

/// Reads a piece that is at most so long, in bytes.
pub(super) async fn read_frame(
    from: &mut (impl AsyncRead + Unpin + Send),
    most: usize,
) -> Result<Vec<u8>, TravelError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.map_err(TravelError::Cut)?;
    let length = u32::from_be_bytes(length);
    if usize::try_from(length).map_or(true, |length| length > most) {
        let why = std::io::Error::other("the other side sends more than it may");
        return Err(TravelError::Cut(why));
    }
    let mut bytes = Vec::new();
    let read = from.take(u64::from(length)).read_to_end(&mut bytes).await;
    match read.map_err(TravelError::Cut)? {
        got if got as u64 == u64::from(length) => Ok(bytes),
        _ => Err(TravelError::Cut(std::io::ErrorKind::UnexpectedEof.into())),
    }
}
