//! One server, or whichever is the primary: its connections, and the queue before them.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::Pool;
use bb8_redis::redis::Value;

use super::connection::{LastError, Manager, Server};
use super::queue::Queue;
use super::script::Call;
use super::shared::Shared;
use crate::store::StoreError;

/// How long the pool is waited for at a time. It pauses between two attempts to connect for up to half of this, so it
/// does not grow with the patience of the checks: theirs is the queue's business.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(100);

/// A server.
#[derive(Debug)]
pub(super) struct Node {
    queue: Queue,
    pool: Pool<Manager>,
    connect_error: LastError,
    shared: Arc<Shared>,
}

impl Node {
    /// The first connection is opened beside: the server need not be there.
    pub(super) fn new(server: Server, shared: Arc<Shared>) -> Self {
        let connect_error = LastError::default();
        let manager = Manager::new(server, Arc::clone(&shared), connect_error.clone());
        let pool = Pool::builder()
            .max_size(shared.connections)
            .min_idle(1)
            .max_lifetime(None)
            .connection_timeout(CONNECTION_TIMEOUT)
            .build_unchecked(manager);
        let queue = Queue::start(&pool, &shared);
        Self { queue, pool, connect_error, shared }
    }

    /// Calls a script, and waits until the call's deadline. With `asking`, also in a slot that is only about to become
    /// this server's. Dropping the future takes the call back if it has not been sent.
    pub(super) async fn call(&self, call: Call, asking: bool) -> Result<Value, StoreError> {
        let deadline = tokio::time::Instant::from_std(call.deadline.instant());
        let answer = self.queue.call(call, asking)?;
        let answer = tokio::time::timeout_at(deadline, answer).await;
        match answer {
            Ok(Ok(reply)) => Ok(reply?),
            // It took too long, or the queue has let go of it for that reason.
            Ok(Err(_)) | Err(_) => Err(self.overdue()),
        }
    }

    /// Why there is no answer in time: because no connection can be made, if there is none.
    fn overdue(&self) -> StoreError {
        let reason = self.connect_error.get().filter(|_| self.pool.state().connections == 0);
        reason.map_or(StoreError::Timeout(self.shared.timeout), StoreError::Connect)
    }
}
