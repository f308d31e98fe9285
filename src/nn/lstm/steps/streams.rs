//! The streams of a stepper, and the places that they have.

use crate::{Error, Result};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A stream of an [`crate::nn::LstmStepper`] or a [`crate::train::Stepper`]. No other stream of the process ever
/// has the same, of this stepper or another. It prints as `stream 2`, as errors name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    place: usize,
    number: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.number)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The places of a stepper: each is free or has a stream.
pub(super) struct Places(Vec<Option<StreamId>>);

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![None; count])
    }

    pub(super) fn streams(&self) -> &[Option<StreamId>] {
        &self.0
    }

    /// A new stream, and its place.
    pub(super) fn join(&mut self) -> Result<(StreamId, usize)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(place) = self.0.iter().position(Option::is_none) else {
            return Err(Error::TooManyStreams { places: self.0.len() });
        };
        let stream = StreamId { place, number: NEXT.fetch_add(1, Ordering::Relaxed) };
        self.0[place] = Some(stream);
        Ok((stream, place))
    }

    pub(super) fn leave(&mut self, op: &'static str, stream: StreamId) -> Result<()> {
        let place = self.find(op, None, stream)?;
        self.0[place] = None;
        Ok(())
    }

    /// The place of a stream, which is that of the frame `at` of a call.
    pub(super) fn find(
        &self,
        op: &'static str,
        at: Option<usize>,
        stream: StreamId,
    ) -> Result<usize> {
        match self.0.get(stream.place) {
            Some(found) if *found == Some(stream) => Ok(stream.place),
            _ => Err(Error::Stream { op, at, stream: stream.number, twice: false }),
        }
    }

    /// That a stream comes twice in a call.
    pub(super) fn twice(op: &'static str, at: usize, stream: StreamId) -> Error {
        Error::Stream { op, at: Some(at), stream: stream.number, twice: true }
    }
}
