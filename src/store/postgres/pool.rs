//! Sessions for everything but the writer: each used by one query at a time.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::connection::{Connection, Connector};
use crate::store::{Reply, StoreError};

/// How long a query may wait for its turn. A hundred of them in the queue of a busy pool take
/// less; when they do not, the database is not really there.
const TURN: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct SessionPool {
    inner: Arc<PoolInner>,
}

struct PoolInner {
    connector: Connector,
    permits: Semaphore,
    idle: Mutex<Vec<Arc<Connection>>>,
}

impl SessionPool {
    pub(super) fn new(connector: Connector, size: usize) -> Self {
        Self {
            inner: Arc::new(PoolInner {
                connector,
                permits: Semaphore::new(size.max(1)),
                idle: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Runs a query, or a few.
    pub(super) fn run<T, F>(
        &self,
        query: impl FnOnce(Arc<Connection>) -> F + Send + 'static,
    ) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let inner = self.inner.clone();
        Box::pin(async move {
            let _permit = tokio::time::timeout(TURN, inner.permits.acquire())
                .await
                .map_err(|_| StoreError::Overloaded)?
                .map_err(|_| StoreError::Closed)?;
            let connection = inner.connection().await?;
            // A session that failed is not used again: the next begins with nothing open.
            let found = query(connection.clone()).await?;
            if !inner.permits.is_closed() {
                inner.lock().push(connection);
            }
            Ok(found)
        })
    }

    /// Runs a few queries in one transaction.
    pub(super) fn transact<T, F>(
        &self,
        work: impl FnOnce(Arc<Connection>) -> F + Send + 'static,
    ) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        self.run(|connection| async move {
            connection.client().batch_execute("BEGIN").await?;
            // When it fails the session is dropped, and the transaction with it.
            let done = work(connection.clone()).await?;
            connection.client().batch_execute("COMMIT").await?;
            Ok(done)
        })
    }

    /// The same, and once more when the database rejects a value: then each part of the work has a
    /// savepoint of its own.
    pub(super) fn transact_apart<T, F>(
        &self,
        work: impl Fn(Arc<Connection>, bool) -> F + Clone + Send + 'static,
    ) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let (pool, again) = (self.clone(), work.clone());
        let done = self.transact(move |connection| work(connection, false));
        Box::pin(async move {
            match done.await {
                Err(StoreError::Rejected(_)) => pool.transact(move |c| again(c, true)).await,
                done => done,
            }
        })
    }

    /// Lets go of the database; queries that wait are refused.
    pub(super) fn close(&self) {
        self.inner.permits.close();
        self.inner.lock().clear();
    }
}

impl PoolInner {
    async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        loop {
            let idle = self.lock().pop();
            match idle {
                Some(connection) if connection.is_closed() => {}
                Some(connection) => return Ok(connection),
                None => return Ok(Arc::new(self.connector.connect(None).await?)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
