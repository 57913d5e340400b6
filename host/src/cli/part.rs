//! Which part of a pipeline a process is: the argument that `pipe --isolate` starts the processes of its stages with.

use std::fs::File;
use std::io::Read as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys;

/// How long the file of a pipeline may be.
pub(crate) const MOST_PIPELINE_BYTES: u64 = 1024 * 1024;

/// Which stage a process is, and under which numbers it has inherited that stage's ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) stage: usize,
    /// Where its report goes.
    pub(crate) report: i32,
    /// The text of `-f FILE`, as it was when the pipeline was started.
    pub(crate) file: Option<i32>,
    /// stdin, stdout and stderr, but for those that are FIFOs with a path; and whether it is the only
    /// one to hold them.
    pub(crate) streams: [Option<(i32, bool)>; 3],
    /// Its pipes to other stages: a name, what is read under it, what is written to.
    pub(crate) pipes: Vec<(String, Option<i32>, Option<i32>)>,
}

impl FromStr for Part {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

impl Part {
    /// The text of the pipeline's file, if there is one.
    pub(crate) fn file(&self) -> Option<std::io::Result<String>> {
        let number = self.file?;
        let read = || {
            let mut text = String::new();
            let file = File::from(sys::take_given(number)?);
            file.take(MOST_PIPELINE_BYTES).read_to_string(&mut text)?;
            Ok(text)
        };
        Some(read())
    }
}
