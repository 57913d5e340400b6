//! Starting what the operator lets this guest start, on the streams of WASI 0.3: as
//! [`process`](crate::process), but that waiting is `async`.
//!
//! ```no_run
//! use pipehost_guest::stream::{output, process::Command};
//!
//! # async fn run() -> std::io::Result<()> {
//! let sorted = Command::new("sort").arg("-u").output().await?;
//! println!("{}", sorted.status);
//! let mut output = output()?;
//! output.write_all(sorted.stdout).await?;
//! output.close().await
//! # }
//! ```

use std::io;

use futures::future::try_join;

use super::{Reader, Writer, pipe};
use crate::bindings::p3::spawn;
pub use crate::process::{ExitStatus, Output};

/// Returns the names that [`Command::new`] knows, in the order in which the operator granted them.
///
/// See the example of [`process::granted`](crate::process::granted).
pub fn granted() -> Vec<String> {
    spawn::list()
}

crate::process::command!(spawn);

impl Command {
    /// Starts it, and waits until it has ended.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub async fn status(self) -> io::Result<ExitStatus> {
        Ok(self.spawn()?.wait().await)
    }

    /// Starts it with nothing to read and its stdout and stderr piped, and gives all that it wrote.
    ///
    /// # Errors
    /// As [`Command::spawn`], and those of reading.
    pub async fn output(self) -> io::Result<Output> {
        let piped =
            Self { stdin: Stdio::null(), stdout: Stdio::piped(), stderr: Stdio::piped(), ..self };
        piped.spawn()?.wait_with_output().await
    }
}

impl Child {
    /// Closes its stdin, if that is piped, and waits until it has ended. Cancel safe.
    ///
    /// A child whose stdout is piped, and not read, waits for this guest: see
    /// [`Child::wait_with_output`].
    pub async fn wait(&mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().await.into()
    }

    /// Waits as [`Child::wait`] does, and reads all that it writes to its piped streams.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let read = async |reader: Option<Reader>| {
            let mut bytes = Vec::new();
            if let Some(mut reader) = reader {
                reader.read_to_end(&mut bytes).await?;
            }
            io::Result::Ok(bytes)
        };
        let (stdout, stderr) = try_join(read(self.stdout.take()), read(self.stderr.take())).await?;
        Ok(Output { status: self.wait().await, stdout, stderr })
    }
}
