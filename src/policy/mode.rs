//! What a rule does when it finds no room, and when the store makes no decision. Pure.

/// What a rule does when it finds no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Refuses the request: see [`super::CustomResponse`].
    #[default]
    Enforce,
    /// Forwards all the same, counts it, and marks the forwarded request.
    Shadow,
    /// Still decides which requests are its own, but checks nothing: they pass without a limit.
    Off,
}

impl Mode {
    /// Returns the word for it in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// What a rule does when the store makes no decision in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOutage {
    /// Decides with this instance's part of the limit, in memory.
    #[default]
    Local,
    /// Forwards without a check.
    Open,
    /// Responds with 503 and Retry-After.
    Closed,
}

impl OnOutage {
    /// Returns the word for it in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}
