//! A reader's bytes as the pieces of a body.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use futures_core::Stream;
use tokio::io::{AsyncRead, ReadBuf};

const PIECE_BYTES: usize = 64 << 10;

/// What a reader gives, piece by piece.
pub(crate) struct Pieces {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    buffer: Vec<u8>,
}

impl Pieces {
    pub(crate) fn new(reader: Pin<Box<dyn AsyncRead + Send>>) -> Self {
        Self {
            reader,
            buffer: vec![0; PIECE_BYTES],
        }
    }
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut room = ReadBuf::new(&mut this.buffer);
        Poll::Ready(match ready!(this.reader.as_mut().poll_read(context, &mut room)) {
            Err(error) => Some(Err(error)),
            Ok(()) if room.filled().is_empty() => None,
            Ok(()) => Some(Ok(Bytes::copy_from_slice(room.filled()))),
        })
    }
}
