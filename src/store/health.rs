//! Reports on the servers of a store.

/// The state of the servers of a store.
#[derive(Clone, Debug, Default)]
pub struct StoreHealth {
    /// Each server that is in use.
    pub servers: Vec<ServerHealth>,
    /// The last changes, the latest last.
    pub changes: Vec<StateChange>,
}

/// The state of one server.
#[derive(Clone, Debug)]
pub struct ServerHealth {
    /// The server's name.
    pub server: String,
    /// Why the server is unavailable. None: it is available.
    pub error: Option<String>,
    /// The beginning of this state, in seconds of Unix time.
    pub since_unix_seconds: f64,
}

/// A server became unavailable, or available again.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The server's name.
    pub server: String,
    /// Why the server became unavailable. None: it became available again.
    pub error: Option<String>,
    /// The time of the change, in seconds of Unix time.
    pub at_unix_seconds: f64,
}
