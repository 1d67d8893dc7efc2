//! Lines and pieces on the wire, the same in both directions. It must not know exchanges.

use bytes::Bytes;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Code, Denial, Inflow, LocalFuture, code};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

/// Longest line, in bytes.
const MAX_LINE: u64 = 4096;
/// Largest piece, in bytes.
const MAX_PIECE: usize = 64 << 10;

/// What comes from the other side of a connection.
pub type Reader = BufReader<OwnedReadHalf>;

/// The next line, without its end. `None` where the connection ended instead, or the line is too long or no text.
pub async fn line(reader: &mut Reader) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut bytes).await?;
    let whole = bytes.pop() == Some(b'\n');
    Ok(String::from_utf8(bytes).ok().filter(|_| whole))
}

/// The next piece of a body; `None` at its end.
async fn piece(reader: &mut Reader) -> io::Result<Option<Bytes>> {
    let line = line(reader).await?.unwrap_or_default();
    if line == "." {
        return Ok(None);
    }
    let length = line.strip_prefix('+').and_then(|length| length.parse().ok());
    let Some(length) = length.filter(|length| *length <= MAX_PIECE) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await?;
    Ok(Some(bytes.into()))
}

/// Writes one piece of a body; an empty one is none.
pub async fn write_piece(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(MAX_PIECE) {
        to.write_all(format!("+{}\n", piece.len()).as_bytes()).await?;
        to.write_all(piece).await?;
    }
    Ok(())
}

/// Ends a body.
pub async fn write_end(to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to.write_all(b".\n").await?;
    to.flush().await
}

/// Writes a body as it comes; `passed` is told of each piece.
///
/// # Errors
/// Why the body broke off, or that it cannot be written: `None`.
pub async fn write_body(
    to: &mut (impl AsyncWrite + Unpin),
    mut body: Box<dyn Inflow>,
    mut passed: impl FnMut(u64) -> Result<(), Box<Denial>>,
) -> Result<(), Option<Box<Denial>>> {
    while let Some(piece) = std::future::poll_fn(|context| body.poll_next(context)).await {
        let piece = piece.map_err(Some)?;
        passed(length(&piece)).map_err(Some)?;
        write_piece(to, &piece).await.map_err(|_| None)?;
    }
    write_end(to).await.map_err(|_| None)
}

/// How many bytes these are.
pub fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The reader once a piece was read, and what came.
type Coming = LocalFuture<'static, (Reader, Result<Option<Bytes>, Box<Denial>>)>;

/// A body on its way in, and what is said where it breaks off or pauses for too long.
pub struct Pieces {
    reader: Option<Reader>,
    coming: Option<Coming>,
    pause: Duration,
    broken: &'static Code,
    late: &'static Code,
}

impl Pieces {
    /// A caller's.
    pub fn of_caller(reader: Reader, pause: Duration) -> Pieces {
        let (broken, late) = (&code::BODY_INCOMPLETE, &code::REQUEST_TIMEOUT);
        Pieces { reader: Some(reader), coming: None, pause, broken, late }
    }

    /// A target's.
    pub fn of_target(reader: Reader, pause: Duration) -> Pieces {
        let (broken, late) = (&code::TARGET_BROKE_OFF, &code::TARGET_TIMEOUT);
        Pieces { reader: Some(reader), coming: None, pause, broken, late }
    }

    /// All of it, at most `limit` bytes; `large` is said of more.
    pub async fn whole(
        mut self,
        limit: u64,
        charge: &mut Charge,
        large: &'static Code,
    ) -> Result<Bytes, Box<Denial>> {
        let mut whole = Vec::new();
        while let Some(piece) = std::future::poll_fn(|context| self.poll_next(context)).await {
            let piece = piece?;
            if length(&whole).saturating_add(length(&piece)) > limit {
                return Err(large.into());
            }
            charge.grow_to(whole.len() + piece.len()).map_err(|full| full.denial(large))?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }
}

impl Inflow for Pieces {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Box<Denial>>>> {
        if let Some(mut reader) = self.reader.take() {
            let (pause, broken, late) = (self.pause, self.broken, self.late);
            self.coming = Some(Box::pin(async move {
                let piece = match timeout(pause, piece(&mut reader)).await {
                    Ok(piece) => piece.map_err(|_| broken.into()),
                    Err(_) => Err(late.into()),
                };
                (reader, piece)
            }));
        }
        let Some(coming) = &mut self.coming else { return Poll::Ready(None) };
        let Poll::Ready((reader, piece)) = coming.as_mut().poll(context) else { return Poll::Pending };
        self.coming = None;
        if let Ok(Some(_)) = &piece {
            self.reader = Some(reader);
        }
        Poll::Ready(piece.transpose())
    }

    fn length(&self) -> Option<u64> {
        None
    }
}
