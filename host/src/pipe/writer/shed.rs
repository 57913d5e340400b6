//! A writer whose guest never waits: what is too much is dropped, and counted.

use super::super::Fault;
use super::super::events::Event;
use super::Writer;
use super::excess::{Excess, Share, Shedding};
use super::flow::Flow;

impl Writer {
    /// Writes as [`Writer::try_write`] does, and drops what is too much.
    pub(super) fn write_share(&mut self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        let share = self.flow.shedding.as_ref().map_or(Share::All, |it| it.share_of(buf));
        match share {
            Share::All => {
                let written = self.offer(buf)?;
                self.note(|it| it.keep(&buf[..written.unwrap_or(0)]));
                Ok(written)
            }
            Share::WhatFits => {
                let Some(shedding) = &mut self.flow.shedding else { return Ok(None) };
                let given = shedding.resume(buf);
                let feeds = !given.is_empty() && shedding.needs_line_feed();
                let has_room = !feeds || self.offer(b"\n")? == Some(1);
                if feeds && has_room {
                    self.note(Shedding::has_line_feed);
                }
                let mut count = 0;
                while has_room && count < given.len() {
                    match self.offer(&given[count..])? {
                        Some(n) => count += n,
                        None => break,
                    }
                }
                self.note(|it| it.written(given, count));
                Ok(Some(buf.len()))
            }
            Share::Last(kept, line) => {
                if kept > 0 {
                    let written = self.offer(&buf[..kept])?;
                    self.note(|it| it.keep(&buf[..written.unwrap_or(0)]));
                    if written != Some(kept) {
                        return Ok(written);
                    }
                }
                // Without that line, it is as full.
                let _ = self.offer(line);
                self.note(|it| {
                    it.fill();
                    it.shed(buf.len() - kept);
                });
                Ok(Some(buf.len()))
            }
            Share::Nothing => {
                self.flow.is_open()?;
                self.note(|it| it.shed(buf.len()));
                Ok(Some(buf.len()))
            }
        }
    }

    /// Takes `bytes` as [`Writer::accept`] does, and drops what is too much or has no room.
    pub(super) fn accept_share(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.write_share(rest)? {
                Some(n) => rest = &rest[n..],
                None => break,
            }
        }
        self.note(|it| it.shed(rest.len()));
        Ok(true)
    }

    /// Returns whether no write of the guest's waits.
    pub(super) fn never_waits(&self) -> bool {
        self.flow.shedding.as_ref().is_some_and(|it| it.never_waits())
    }

    fn note(&mut self, how: impl FnOnce(&mut Shedding)) {
        if let Some(shedding) = &mut self.flow.shedding {
            how(shedding);
        }
    }
}

impl Flow {
    /// Reports what was dropped. Bytes that still wait for room are dropped, too.
    pub(super) fn finish_shedding(&mut self) {
        let Some(shedding) = &mut self.shedding else { return };
        if shedding.what == Excess::NoRoom {
            shedding.shed(self.outbox.len() + self.deferred.len());
            self.outbox.clear();
            self.deferred.clear();
        }
        let (bytes, what) = (std::mem::take(&mut shedding.dropped), shedding.what);
        if bytes > 0 {
            let label = self.label.clone();
            self.journal.events().tell(&Event::Dropped { label, bytes, what });
        }
    }
}
