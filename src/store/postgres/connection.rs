//! One connection: how it is made, what it has prepared, and whether it still lives.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;
use super::session::translate;
use crate::store::StoreError;
use crate::store::session::Lock;

/// How sessions are opened.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

/// Advisory locks of ours: the first of their two keys. "SIPp".
const LOCKS: i32 = 0x5349_5070;

/// And of those that hold a replica's number. "SIPq".
const FENCE_LOCKS: i32 = 0x5349_5071;

/// The lock that a replica shares with itself while it writes, and that the one that fences it
/// takes alone.
pub(super) fn fence_lock(number: i64) -> (i32, i32) {
    // Two numbers that share one by chance wait for each other, no more.
    let key = number.rem_euclid(i64::from(i32::MAX));
    (FENCE_LOCKS, i32::try_from(key).unwrap_or_default())
}

/// How long a server may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What holds in every session.
///
/// Plans are made once and by the index: a statement that is prepared while a table is empty must
/// not go on reading the whole of it when it is large. A statement that takes longer than the
/// slowest should is cancelled, so that no other waits behind it.
const SESSION: &str = "SET synchronous_commit = on; SET plan_cache_mode = force_generic_plan; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET jit = off; SET statement_timeout = '30s'; SET lock_timeout = '20s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = warning";

/// What a session was told by another one.
#[derive(Debug)]
pub(super) struct Notified {
    pub(super) channel: String,
    pub(super) payload: String,
}

/// A session of its own. Dropping it ends the session.
pub(super) struct Connection {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
}

impl Connector {
    pub(super) fn new(address: Address, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let mut config = address.into_config();
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(Duration::from_secs(15));
        config.keepalives_idle(Duration::from_secs(30));
        config.application_name("sipost");
        config.ssl_mode(match tls {
            Some(_) => SslMode::Require,
            None => SslMode::Disable,
        });
        Self {
            config,
            tls: tls.map(|tls| MakeRustlsConnect::new((*tls).clone())),
        }
    }

    /// Opens a session. What others notify it of goes to `notified`.
    pub(super) async fn connect(
        &self,
        notified: Option<mpsc::Sender<Notified>>,
    ) -> Result<Connection, StoreError> {
        let connecting = async {
            let client = match &self.tls {
                Some(tls) => {
                    let (client, connection) = self.config.connect(tls.clone()).await?;
                    tokio::spawn(drive(connection, notified));
                    client
                }
                None => {
                    let (client, connection) = self.config.connect(NoTls).await?;
                    tokio::spawn(drive(connection, notified));
                    client
                }
            };
            client.batch_execute(SESSION).await?;
            Ok::<_, StoreError>(client)
        };
        let client = tokio::time::timeout(CONNECT_TIMEOUT * 2, connecting)
            .await
            .map_err(|_| StoreError::Away("the database does not answer".to_owned()))??;
        Ok(Connection {
            client,
            statements: Mutex::new(HashMap::new()),
        })
    }
}

/// Moves bytes until the session ends. A query that is under way then fails.
async fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    notified: Option<mpsc::Sender<Notified>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notification(told) = message
            && let Some(notified) = &notified
        {
            // When so many wait that there is no room, everything is looked at.
            let _ = notified.try_send(Notified {
                channel: told.channel().to_owned(),
                payload: told.payload().to_owned(),
            });
        }
    }
}

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// A statement, prepared once in the life of the session. It may be in the words of SQLite.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, StoreError> {
        let known = self.statements().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(&translate(sql)).await?;
        self.statements().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Waits for a lock, and holds it until the transaction ends.
    pub(super) async fn lock(&self, lock: Lock) -> Result<(), StoreError> {
        let statement = self.prepare("SELECT pg_advisory_xact_lock($1, $2)").await?;
        let keys: [&(dyn ToSql + Sync); 2] = [&LOCKS, &(lock as i32)];
        self.client.execute(&statement, &keys).await?;
        Ok(())
    }

    /// Takes a lock until the transaction ends, unless another session holds it.
    pub(super) async fn try_lock(&self, lock: Lock) -> Result<bool, StoreError> {
        let statement = self
            .prepare("SELECT pg_try_advisory_xact_lock($1, $2)")
            .await?;
        let keys: [&(dyn ToSql + Sync); 2] = [&LOCKS, &(lock as i32)];
        let row = self.client.query_one(&statement, &keys).await?;
        Ok(row.try_get(0)?)
    }

    fn statements(&self) -> MutexGuard<'_, HashMap<String, Statement>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
