//! Quotes of a CSV file that nobody closes: a reader takes all that follows for one value, and
//! rows would be missing without a word.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use datafusion::object_store::{Error, Result};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::sample::BYTE_ORDER_MARK;

/// Where the CSV reader stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value.
    Begin,
    /// In a value without quotes; one inside of it is a character like others.
    Plain,
    Quoted,
    /// After a quote that ends the value, or is the first of two that stand for one.
    MaybeEnd,
}

impl State {
    fn after(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |state, byte| match (state, byte) {
            (State::Quoted, b'"') => State::MaybeEnd,
            (State::Quoted, _) | (State::Begin | State::MaybeEnd, b'"') => State::Quoted,
            (_, b',' | b'\n' | b'\r') => State::Begin,
            _ => State::Plain,
        })
    }
}

/// Returns the bytes of a whole CSV file, and an error at its end if a quote is still open.
pub(super) fn closed(
    mut bytes: BoxStream<'static, Result<Bytes>>,
    unclosed: Error,
) -> BoxStream<'static, Result<Bytes>> {
    let (mut state, mut begins, mut unclosed) = (State::Begin, true, Some(unclosed));
    let next = move |context: &mut Context<'_>| {
        let piece = ready!(bytes.poll_next_unpin(context));
        Poll::Ready(match piece {
            Some(Ok(piece)) => {
                let mark: &[u8] = if std::mem::take(&mut begins) { BYTE_ORDER_MARK } else { &[] };
                state = state.after(piece.strip_prefix(mark).unwrap_or(&piece));
                Some(Ok(piece))
            }
            None if state == State::Quoted => unclosed.take().map(Err),
            other => other,
        })
    };
    stream::poll_fn(next).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_those_that_the_reader_sees() {
        for (text, open) in [
            ("a,b\n1,\"x\ny\"\n", false),
            ("a,b\n1,\"x\n2,y\n", true),
            ("\"q\"\"q\",\"\"\n", false),
            ("\"q\"\"q\n", true),
            ("ab\"cd,e\n", false),
            ("\"x\"y\",\"\r\n", true),
        ] {
            assert_eq!(State::Begin.after(text.as_bytes()) == State::Quoted, open, "{text}");
        }
    }
}
