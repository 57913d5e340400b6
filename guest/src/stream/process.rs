//! Starting what the operator lets this guest start, on the streams of WASI 0.3: as
//! [`process`](crate::process), but that waiting is `async`.

use std::io;

use futures::future::try_join;

use super::{Reader, Writer, pipe};
use crate::bindings::p3::spawn;
pub use crate::process::{ExitStatus, Output};

/// The names that [`Command::new`] knows, in the order in which the operator granted them.
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

    /// As [`Child::wait`], reading all that it writes to what is piped.
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
