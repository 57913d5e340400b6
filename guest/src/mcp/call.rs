//! What a tool can do while it runs.

use serde_json::{Value, json};

/// How grave a message is, as in syslog.
///
/// See the example of [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// In the ordinary course.
    Info,
    /// In the ordinary course, and worth to be seen.
    Notice,
    /// May become a fault.
    Warning,
    /// A fault.
    Error,
    /// A part has failed.
    Critical,
    /// To be acted upon now.
    Alert,
    /// Nothing works.
    Emergency,
}

impl Level {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    pub(super) fn of(name: &Value) -> Option<Self> {
        let name = name.as_str()?;
        Self::ALL.into_iter().find(|(_, it)| *it == name).map(|(level, _)| level)
    }

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The client, as a call sees it.
pub(super) trait Peer {
    fn is_cancelled(&mut self) -> bool;
    fn notify(&mut self, method: &str, params: Value);
    fn level(&self) -> Level;
}

/// A call under way: what a tool can ask and tell its client.
///
/// ```
/// use pipehost_guest::mcp::{Call, Level};
///
/// fn search(call: &mut Call<'_>) -> Result<String, &'static str> {
///     for part in 0..10 {
///         if call.is_cancelled() {
///             return Err("cancelled");
///         }
///         call.progress(f64::from(part), Some(10.0), "searching");
///     }
///     call.log(Level::Info, "nothing was found");
///     Ok("nothing".to_owned())
/// }
/// ```
///
/// What is told to a client that no longer reads is dropped. The server ends after the call.
pub struct Call<'a> {
    peer: &'a mut dyn Peer,
    token: Option<Value>,
}

impl<'a> Call<'a> {
    pub(super) fn new(peer: &'a mut dyn Peer, token: Option<Value>) -> Self {
        Self { peer, token }
    }

    /// Returns whether nobody waits for the result any more: the client has cancelled the call, or has
    /// closed its side. Does not wait for the client to send anything. A tool that takes long asks this from time to time.
    ///
    /// It also answers a `ping` that has come.
    pub fn is_cancelled(&mut self) -> bool {
        self.peer.is_cancelled()
    }

    /// Tells how far the call has come, of `total` if that is known, if the client wants to know.
    /// `done` must grow from one to the next.
    pub fn progress(&mut self, done: f64, total: Option<f64>, message: &str) {
        let Some(token) = &self.token else { return };
        let mut params = json!({ "progressToken": token, "progress": done });
        if let Some(total) = total {
            params["total"] = total.into();
        }
        if !message.is_empty() {
            params["message"] = message.into();
        }
        self.peer.notify("notifications/progress", params);
    }

    /// Sends a message for the client's log, if that wants messages of this level: all, unless it has
    /// said otherwise. `data` is text, or any JSON.
    pub fn log(&mut self, level: Level, data: impl Into<Value>) {
        if level >= self.peer.level() {
            let params = json!({ "level": level.name(), "data": data.into() });
            self.peer.notify("notifications/message", params);
        }
    }
}
