//! Connections that only read: a few, each used by one query at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::schema;
use crate::store::{Reply, StoreError};

#[derive(Clone)]
pub(super) struct Readers {
    pool: Arc<ReaderPool>,
}

struct ReaderPool {
    path: PathBuf,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// At most `count` of them, each opened when it is needed.
    pub(super) fn new(path: PathBuf, count: usize) -> Self {
        let pool = ReaderPool {
            path,
            permits: Semaphore::new(count),
            idle: Mutex::new(Vec::new()),
        };
        Self {
            pool: Arc::new(pool),
        }
    }

    /// Runs a query on a thread that may block.
    pub(super) fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let pool = self.pool.clone();
        Box::pin(async move {
            let _permit = pool
                .permits
                .acquire()
                .await
                .map_err(|_| StoreError::Closed)?;
            let reader = pool.clone();
            tokio::task::spawn_blocking(move || reader.run(query))
                .await
                .unwrap_or(Err(StoreError::Closed))
        })
    }

    /// Lets go of the database; queries that wait are refused.
    pub(super) fn close(&self) {
        self.pool.permits.close();
        self.pool.lock().clear();
    }
}

impl ReaderPool {
    fn run<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::reader(&self.path)?,
        };
        // A connection that failed is not used again: the next one opens the file anew.
        let found = query(&connection)?;
        if !self.permits.is_closed() {
            self.lock().push(connection);
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
