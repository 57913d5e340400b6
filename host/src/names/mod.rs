//! The names of pipes, and the labels of a guest's ends.

mod label;
mod pipe_name;

pub use label::Label;
pub use pipe_name::{InvalidName, PipeName};
