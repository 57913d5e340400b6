//! What pipes, and the ends of a guest, are called.

mod label;
mod pipe_name;

pub use label::Label;
pub use pipe_name::{InvalidName, PipeName};
