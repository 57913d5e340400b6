//! Sequences of calls that an interpreting guest makes, and a model of pipes that its report is held
//! against: bytes in order, none lost, none twice; the end of file once, and only after the last
//! writer; EPIPE only after the reader; limits kept.
//!
//! The guests (`calls2`, `calls3`) know only [`program`] and [`report`]; the [`Model`] only those and
//! what pipe(7), fifo(7) and the WIT package say.

mod model;
mod pipes;
pub mod program;
pub mod report;

pub use model::{Model, Version};
