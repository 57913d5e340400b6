//! The keys `frame` and `frame-error`, which an end has by whichever option it is granted.

use super::Parsed;
use crate::limits::size;
use crate::pipe::{DEFAULT_MAX_RECORD, Directions, Frame, FrameError, MOST_MAX_RECORD, Records};

/// What the keys say of a guest's records.
#[derive(Default)]
pub(super) struct FrameKeys {
    frame: Option<Frame>,
    error: Option<FrameError>,
}

impl FrameKeys {
    /// Takes `key`, if it is one about records. Returns whether it is.
    pub(super) fn take(&mut self, key: &str) -> Parsed<bool> {
        match key.split_once('=').unwrap_or((key, "")) {
            ("frame", value) => self.frame = Some(frame(value)?),
            ("frame-error", "drop") => self.error = Some(FrameError::Drop),
            ("frame-error", "end") => self.error = Some(FrameError::End),
            ("frame-error", _) => return Err("write frame-error=drop or frame-error=end".into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether any was given.
    pub(super) fn any(&self) -> bool {
        self.frame.is_some() || self.error.is_some()
    }

    pub(super) fn frame(self) -> Parsed<Option<Frame>> {
        match (self.frame, self.error) {
            (None, Some(_)) => {
                Err("frame-error needs a frame; add frame=lines, frame=nul or frame=json".into())
            }
            (Some(frame), Some(error)) => Ok(Some(Frame { error, ..frame })),
            (frame, None) => Ok(frame),
        }
    }

    /// The frame of an end that a guest opens in these directions.
    pub(super) fn frame_for(self, directions: Option<Directions>) -> Parsed<Option<Frame>> {
        match directions {
            Some(ways) if !ways.write && self.any() => {
                Err("a frame is for what a guest writes; add the key w, or drop the frame".into())
            }
            _ => self.frame(),
        }
    }
}

/// Parses what follows `frame=`.
fn frame(text: &str) -> Parsed<Frame> {
    let (records, max) = match text.split_once(':') {
        Some((records, max)) => (records, Some(max)),
        None => (text, None),
    };
    let records = match records {
        "lines" => Records::Lines,
        "nul" => Records::Nul,
        "json" => Records::Json,
        _ => {
            return Err(format!(
                "`{text}` is no frame; write frame=lines, frame=nul or frame=json, and behind it how \
                 long a record may be, if that is not 1M: frame=json:64K"
            ));
        }
    };
    let most = MOST_MAX_RECORD as u64;
    let max = match max.map(size).transpose()? {
        None => DEFAULT_MAX_RECORD as u64,
        Some(max) if (1..=most).contains(&max) => max,
        Some(_) => return Err("a record has from 1 byte to 64M; write frame=json:64K".into()),
    };
    Ok(Frame { max: usize::try_from(max).unwrap_or(MOST_MAX_RECORD), ..Frame::new(records) })
}
