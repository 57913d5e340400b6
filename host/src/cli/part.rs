//! The argument with which `pipe --isolate` starts the process of a stage. It names the process's part
//! of the pipeline.

use std::fs::File;
use std::io::Read as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys;

/// How many bytes the file of a pipeline may have.
pub(crate) const MOST_PIPELINE_BYTES: u64 = 1024 * 1024;

/// The stage that a process runs, and the numbers under which it has inherited that stage's ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) stage: usize,
    /// The process of the pipeline, by which `pipehost ps` knows that this one belongs to it.
    pub(crate) pipeline: u32,
    /// The descriptor for its report.
    pub(crate) report: i32,
    /// The descriptor with the text of `-f FILE`, as it was when the pipeline was started.
    pub(crate) file: Option<i32>,
    /// stdin, stdout and stderr, except those that are FIFOs with a path. The flag says whether no
    /// other process holds the stream.
    pub(crate) streams: [Option<(i32, bool)>; 3],
    /// Its pipes to other stages: the name, the reading end, the writing end.
    pub(crate) pipes: Vec<(String, Option<i32>, Option<i32>)>,
}

impl FromStr for Part {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

impl Part {
    /// Reads the text of the pipeline's file, if there is one.
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
