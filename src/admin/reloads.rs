//! What the configuration in force was read from, and what came of reading it again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use crate::clock;

/// How many requests to reload may wait for one that is under way.
const WAITING: usize = 32;
/// How long a request waits for its reload: the file may be on a file system that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the configuration in force was read from.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Configuration {
    /// The file. Absent: the flags are all of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// The BLAKE3 hash of the file's content, in hexadecimal (`b3sum FILE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<String>,
    /// When it was read, in seconds of Unix time.
    pub(crate) read_at: f64,
    /// The last time that it was to be read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_reload: Option<Reload>,
    /// The last time that this failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<Reload>,
}

/// A reload of the configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Reload {
    /// When, in seconds of Unix time.
    pub(crate) at: f64,
    /// Whether what was read is in force.
    pub(crate) ok: bool,
    /// What caused it.
    pub(crate) trigger: Trigger,
    /// Why what was read is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What is wrong with the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) faults: Vec<ConfigFault>,
}

/// What caused a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trigger {
    /// The file, or one that it names, has changed.
    Change,
    /// SIGHUP.
    Signal,
    /// A request to the admin API.
    Api,
}

/// A fault of the configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ConfigFault {
    /// The file, line and column, and the path of the key; or the flag.
    pub(crate) location: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What would be right.
    pub(crate) help: String,
}

/// The state of the configuration, and the way to have it read again.
#[derive(Clone, Debug)]
pub(crate) struct Reloads {
    state: Arc<Mutex<Configuration>>,
    /// None: tidegate was started without a file.
    requests: Option<mpsc::Sender<Wanted>>,
}

/// A reload that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) trigger: Trigger,
    done: Option<oneshot::Sender<Reload>>,
}

impl Wanted {
    /// Reports what came of it.
    pub(crate) fn done(self, reload: &Reload) {
        if let Some(done) = self.done {
            // The request may have ended.
            let _ = done.send(reload.clone());
        }
    }
}

impl Reloads {
    /// The state of a configuration that is read from a file, and the reloads that are wanted.
    pub(crate) fn of_file(configuration: Configuration) -> (Self, mpsc::Receiver<Wanted>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { state: Arc::new(Mutex::new(configuration)), requests: Some(sender) }, receiver)
    }

    /// The state of a configuration that cannot be read again.
    pub(crate) fn of_flags(read_at: f64) -> Self {
        let configuration = Configuration { read_at, ..Configuration::default() };
        Self { state: Arc::new(Mutex::new(configuration)), requests: None }
    }

    /// What the configuration was read from.
    pub(crate) fn configuration(&self) -> Configuration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a reload, and what is in force since then.
    pub(crate) fn note(&self, reload: Reload, hash: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if reload.ok {
            (state.hash, state.read_at) = (hash, reload.at);
        } else {
            state.last_failure = Some(reload.clone());
        }
        state.last_reload = Some(reload);
    }

    /// Has the file read on a signal. False: tidegate was started without a file.
    pub(crate) fn on_signal(&self) -> bool {
        let Some(requests) = &self.requests else { return false };
        // The queue is full: one of the waiting reloads begins after this signal.
        let _ = requests.try_send(Wanted { trigger: Trigger::Signal, done: None });
        true
    }

    /// Has the file read, and waits for what comes of it.
    pub(super) async fn on_request(&self) -> Result<Reload, NotReloaded> {
        let requests = self.requests.as_ref().ok_or(NotReloaded::NoFile)?;
        let (done, waiting) = oneshot::channel();
        let wanted = Wanted { trigger: Trigger::Api, done: Some(done) };
        requests.try_send(wanted).map_err(|_| NotReloaded::Busy)?;
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(reload)) => Ok(reload),
            Ok(Err(_)) | Err(_) => Err(NotReloaded::Busy),
        }
    }
}

/// Why nothing came of a reload that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotReloaded {
    /// tidegate was started without a file.
    NoFile,
    /// The file is still being read.
    Busy,
}

/// A reload that was tried now.
pub(crate) fn reload_now(trigger: Trigger, result: Result<(), (String, Vec<ConfigFault>)>) -> Reload {
    let (error, faults) = result.err().map_or((None, Vec::new()), |(error, faults)| (Some(error), faults));
    Reload { at: clock::unix_seconds(), ok: error.is_none(), trigger, error, faults }
}
