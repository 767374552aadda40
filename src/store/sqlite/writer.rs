//! The one thread that writes.
//!
//! It takes everything that arrived while the last commit ran, applies it in one transaction and
//! commits that with one sync to the disk. Only then is anybody answered, and the events shown.
//! When a group cannot be committed, each of its jobs is tried alone, so that one that cannot be
//! written does not take the others with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::Error;
use rusqlite::OptionalExtension as _;
use rusqlite::params;
use tokio::sync::oneshot;

use super::Shared;
use super::error::store_error;
use super::rows;
use crate::message::Message;
use crate::message::MessageId;
use crate::message::Timestamp;
use crate::store::Claimed;
use crate::store::IdempotencyKey;
use crate::store::Logged;
use crate::store::Record;
use crate::store::Recorded;
use crate::store::StoreError;
use crate::store::Submission;
use crate::store::Verdict;

/// Something to be written, and who waits for it.
pub(super) enum Job {
    Accept(Vec<Submission>, Waiting<Vec<Verdict>>),
    Record(Vec<Record>, Waiting<Vec<Recorded>>),
    Claim(usize, Waiting<Vec<Claimed>>),
    Purge(Timestamp, usize, Waiting<usize>),
    DiscardBodies(usize, Waiting<usize>),
    ForgetKeys(Timestamp, usize, Waiting<usize>),
    Check(Waiting<()>),
    Close(Waiting<()>),
}

/// Who waits for a job.
pub(super) type Waiting<T> = oneshot::Sender<Result<T, StoreError>>;

/// Rows written in one transaction at most.
const MAX_GROUP: usize = 8_192;

pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    /// Of the last event in the log, durable or in this transaction.
    last_seq: u64,
    /// Messages up to this number were there when the store was opened, and up to `claimed` they
    /// were handed out.
    found: i64,
    claimed: i64,
    /// Where the next purge, and the next discarding of bodies, goes on.
    purged: i64,
    discarded: i64,
}

/// What a group leads to once it is durable.
#[derive(Default)]
struct Effects {
    logged: Vec<Logged>,
    forgotten_to: Option<u64>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        shared: Arc<Shared>,
        last_seq: u64,
    ) -> Result<Self, Error> {
        let found =
            connection.query_row("SELECT coalesce(max(number), 0) FROM messages", [], |row| {
                row.get(0)
            })?;
        Ok(Self {
            connection,
            shared,
            last_seq,
            found,
            claimed: 0,
            purged: 0,
            discarded: 0,
        })
    }

    /// Writes until it is told to close, or nobody is left to tell it.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut group = vec![first];
            let mut rows = group[0].rows();
            while rows < MAX_GROUP
                && let Ok(job) = jobs.try_recv()
            {
                rows += job.rows();
                group.push(job);
            }
            self.shared.pending_rows.fetch_sub(rows, Ordering::Relaxed);
            let closing = group.iter().position(|job| matches!(job, Job::Close(_)));
            let after_close = closing.map(|at| group.split_off(at));
            self.write(group);
            if let Some(after_close) = after_close {
                return self.close(after_close);
            }
        }
    }

    fn close(self, rest: Vec<Job>) {
        // Moves the log into the database, so that what is left is one file.
        let _ = self
            .connection
            .pragma_update(None, "wal_checkpoint", "TRUNCATE");
        drop(self.connection);
        for job in rest {
            match job {
                Job::Close(waiting) => drop(waiting.send(Ok(()))),
                other => other.refuse(&StoreError::Closed),
            }
        }
    }

    fn write(&mut self, group: Vec<Job>) {
        if group.is_empty() {
            return;
        }
        let began = now();
        let rows: usize = group.iter().map(Job::rows).sum();
        match self.attempt(&group) {
            Ok(outcomes) => self.publish(group, outcomes, began, rows),
            Err(error) if group.len() == 1 || is_of_the_disk(&error) => {
                let error = store_error(&error);
                group.into_iter().for_each(|job| job.refuse(&error));
            }
            Err(_) => group.into_iter().for_each(|job| self.write(vec![job])),
        }
    }

    /// Applies a group in one transaction.
    fn attempt(&mut self, group: &[Job]) -> Result<(Vec<Outcome>, Effects), Error> {
        let before = (self.last_seq, self.claimed, self.purged, self.discarded);
        let mut effects = Effects::default();
        let result = self.apply(group, &mut effects);
        match result {
            Ok(outcomes) => Ok((outcomes, effects)),
            Err(error) => {
                // Rolled back by SQLite itself when the error was of a kind that does that.
                let _ = self.connection.execute_batch("ROLLBACK");
                (self.last_seq, self.claimed, self.purged, self.discarded) = before;
                Err(error)
            }
        }
    }

    fn apply(&mut self, group: &[Job], effects: &mut Effects) -> Result<Vec<Outcome>, Error> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        let mut outcomes = Vec::with_capacity(group.len());
        for job in group {
            outcomes.push(match job {
                Job::Accept(submissions, _) => Outcome::Verdicts(
                    submissions
                        .iter()
                        .map(|one| self.accept(one))
                        .collect::<Result<_, _>>()?,
                ),
                Job::Record(records, _) => {
                    let record = |one| self.record(one, &mut effects.logged);
                    Outcome::Recorded(records.iter().map(record).collect::<Result<_, _>>()?)
                }
                Job::Claim(limit, _) => Outcome::Claimed(self.claim(*limit)?),
                Job::Purge(before, limit, _) => {
                    Outcome::Count(self.purge(*before, *limit, &mut effects.forgotten_to)?)
                }
                Job::DiscardBodies(limit, _) => Outcome::Count(self.discard_bodies(*limit)?),
                Job::ForgetKeys(before, limit, _) => {
                    Outcome::Count(self.forget_keys(*before, *limit)?)
                }
                Job::Check(_) => Outcome::Done(self.check()?),
                Job::Close(_) => Outcome::Done(()),
            });
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(outcomes)
    }

    /// Shows what is durable now, then answers those who wait.
    fn publish(
        &mut self,
        group: Vec<Job>,
        (outcomes, effects): (Vec<Outcome>, Effects),
        began: Instant,
        rows: usize,
    ) {
        self.shared.committed(effects.logged, effects.forgotten_to);
        self.shared.observer.committed(now() - began, rows);
        for (job, outcome) in group.into_iter().zip(outcomes) {
            job.answer(outcome);
        }
    }

    fn accept(&self, submission: &Submission) -> Result<Verdict, Error> {
        if let Some(key) = &submission.key {
            if let Some(verdict) = self.replay(key)? {
                return Ok(verdict);
            }
            self.remember_key(key, &submission.messages)?;
        }
        for message in &submission.messages {
            self.insert(message)?;
        }
        Ok(Verdict::Accepted)
    }

    fn replay(&self, key: &IdempotencyKey) -> Result<Option<Verdict>, Error> {
        let known: Option<(Vec<u8>, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT fingerprint, message_ids FROM idempotency_keys WHERE owner = ?1 AND key = ?2",
            )?
            .query_row(params![&*key.owner, &*key.key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(known.map(|(fingerprint, ids)| {
            if fingerprint != key.fingerprint {
                return Verdict::KeyReused;
            }
            Verdict::Replayed(ids.chunks(16).filter_map(MessageId::from_bytes).collect())
        }))
    }

    fn remember_key(&self, key: &IdempotencyKey, messages: &[Arc<Message>]) -> Result<(), Error> {
        let ids: Vec<u8> = messages
            .iter()
            .flat_map(|message| *message.id.as_bytes())
            .collect();
        let now = messages
            .first()
            .map_or(0, |message| message.created_at.as_millis());
        self.connection
            .prepare_cached("INSERT INTO idempotency_keys VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![&*key.owner, &*key.key, key.fingerprint, ids, now])?;
        Ok(())
    }

    fn insert(&self, message: &Message) -> Result<(), Error> {
        let status = i64::from(message.send_at.is_none_or(|at| at <= message.created_at));
        self.connection
            .prepare_cached(
                "INSERT INTO messages (id, status, target, uri, account, body, body_encoding, \
                 content_type, extra_headers, ttl, send_at, attempts, on_unknown, webhook, \
                 metadata, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
                 ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            )?
            .execute(params![
                message.id.as_bytes(),
                status,
                message.target,
                &*message.uri,
                message.account.as_deref(),
                &message.body[..],
                rows::encoding_number(message.body_encoding),
                message.content_type,
                rows::write_headers(&message.extra_headers),
                message.ttl.as_secs(),
                message.send_at.map(Timestamp::as_millis),
                message.attempts,
                rows::on_unknown_number(message.on_unknown),
                message.webhook,
                rows::write_metadata(&message.metadata),
                message.created_at.as_millis(),
                message.expires_at.as_millis(),
            ])?;
        Ok(())
    }

    /// Appends an event, unless its message has ended or is gone.
    fn record(&mut self, record: &Record, logged: &mut Vec<Logged>) -> Result<Recorded, Error> {
        let event = &record.event;
        let seq = self.last_seq + 1;
        let ended = record.status.is_final();
        let updated = self
            .connection
            .prepare_cached(
                "UPDATE messages SET status = ?2, attempt = max(attempt, ?3), not_before = ?4, \
                 completed_at = ?5, result = ?6 WHERE id = ?1 AND status < 3",
            )?
            .execute(params![
                event.message_id.as_bytes(),
                rows::status_number(record.status),
                event.attempt,
                record.not_before.map(Timestamp::as_millis),
                ended.then(|| event.time.as_millis()),
                ended.then_some(seq),
            ])?;
        if updated == 0 {
            return Ok(Recorded::Ended);
        }
        let mut members = Vec::with_capacity(1_024);
        event.write_members(&mut members);
        self.connection
            .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                seq,
                event.message_id.as_bytes(),
                rows::kind_number(event.kind()),
                &*event.uri,
                event.account.as_deref(),
                members,
            ])?;
        self.last_seq = seq;
        logged.push(Logged {
            seq,
            message_id: event.message_id,
            kind: event.kind(),
            uri: event.uri.clone(),
            account: event.account.clone(),
            json: rows::json(self.shared.epoch, seq, &members),
        });
        Ok(Recorded::Appended(seq))
    }

    fn claim(&mut self, limit: usize) -> Result<Vec<Claimed>, Error> {
        let sql = format!(
            "SELECT {} FROM messages WHERE status < 3 AND number > ?1 AND number <= ?2 \
             ORDER BY number LIMIT ?3",
            rows::CLAIMED
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement
            .query_map(params![self.claimed, self.found, limit], rows::claimed)?
            .collect::<Result<Vec<_>, _>>()?;
        self.claimed = found.last().map_or(self.found, |(_, number)| *number);
        Ok(found.into_iter().map(|(claimed, _)| claimed).collect())
    }

    /// Goes through the messages from where it stopped last; whoever is too young, or has not
    /// ended, is passed over, and at the end it begins again.
    fn purge(
        &mut self,
        before: Timestamp,
        limit: usize,
        forgotten_to: &mut Option<u64>,
    ) -> Result<usize, Error> {
        let found = {
            let mut statement = self.connection.prepare_cached(
                "SELECT number, id, completed_at, result, created_at FROM messages \
                 WHERE number > ?1 ORDER BY number LIMIT ?2",
            )?;
            let rows = statement.query_map(params![self.purged, limit], |row| {
                let number: i64 = row.get(0)?;
                let completed: Option<i64> = row.get(2)?;
                let result: Option<u64> = row.get(3)?;
                Ok((
                    number,
                    rows::id(row, 1)?,
                    completed,
                    result,
                    row.get::<_, i64>(4)?,
                ))
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        let old = before.as_millis();
        let reached_young = found.iter().any(|(_, _, _, _, created)| *created >= old);
        let wrapped = found.len() < limit || reached_young;
        self.purged = if wrapped {
            0
        } else {
            found.last().map_or(0, |(number, ..)| *number)
        };
        let mut count = 0;
        for (number, id, completed, result, _) in found {
            // The newest event stays, so that numbers go on where they were after a restart.
            let is_over = completed.is_some_and(|at| at < old) && result < Some(self.last_seq);
            if is_over {
                self.forget(number, id)?;
                *forgotten_to = (*forgotten_to).max(result);
                count += 1;
            }
        }
        if let Some(seq) = *forgotten_to {
            self.connection
                .prepare_cached(
                    "UPDATE facts SET value = max(value, ?1) WHERE name = 'forgotten_to'",
                )?
                .execute([seq])?;
        }
        Ok(count)
    }

    fn forget(&self, number: i64, id: MessageId) -> Result<(), Error> {
        self.connection
            .prepare_cached("DELETE FROM events WHERE message_id = ?1")?
            .execute([id.as_bytes()])?;
        self.connection
            .prepare_cached("DELETE FROM messages WHERE number = ?1")?
            .execute([number])?;
        Ok(())
    }

    fn discard_bodies(&mut self, limit: usize) -> Result<usize, Error> {
        let found = {
            let mut statement = self.connection.prepare_cached(
                "SELECT number, status >= 3 AND body <> x'' FROM messages WHERE number > ?1 \
                 ORDER BY number LIMIT ?2",
            )?;
            let rows = statement.query_map(params![self.discarded, limit], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        self.discarded = match found.len() < limit {
            true => 0,
            false => found.last().map_or(0, |(number, _)| *number),
        };
        let mut count = 0;
        for (number, _) in found.into_iter().filter(|(_, discard)| *discard) {
            self.connection
                .prepare_cached("UPDATE messages SET body = x'' WHERE number = ?1")?
                .execute([number])?;
            count += 1;
        }
        Ok(count)
    }

    fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        self.connection
            .prepare_cached(
                "DELETE FROM idempotency_keys WHERE (owner, key) IN (SELECT owner, key FROM \
                 idempotency_keys WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
            )?
            .execute(params![before.as_millis(), limit])
    }

    /// Writes something, so that a disk that takes nothing is noticed.
    fn check(&self) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE facts SET value = value WHERE name = 'epoch'")?
            .execute([])
            .map(drop)
    }
}

/// What a job led to.
enum Outcome {
    Verdicts(Vec<Verdict>),
    Recorded(Vec<Recorded>),
    Claimed(Vec<Claimed>),
    Count(usize),
    Done(()),
}

impl Job {
    /// How many rows it writes, near enough to bound a group.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Accept(submissions, _) => submissions.iter().map(|one| one.messages.len()).sum(),
            Self::Record(records, _) => records.len(),
            Self::Purge(_, limit, _)
            | Self::DiscardBodies(limit, _)
            | Self::ForgetKeys(_, limit, _) => *limit,
            Self::Claim(..) | Self::Check(_) | Self::Close(_) => 1,
        }
    }

    /// Those who asked may be gone; what they asked for is done all the same.
    fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Accept(_, waiting), Outcome::Verdicts(it)) => drop(waiting.send(Ok(it))),
            (Self::Record(_, waiting), Outcome::Recorded(it)) => drop(waiting.send(Ok(it))),
            (Self::Claim(_, waiting), Outcome::Claimed(it)) => drop(waiting.send(Ok(it))),
            (Self::Purge(_, _, waiting), Outcome::Count(it))
            | (Self::DiscardBodies(_, waiting), Outcome::Count(it))
            | (Self::ForgetKeys(_, _, waiting), Outcome::Count(it)) => drop(waiting.send(Ok(it))),
            (Self::Check(waiting) | Self::Close(waiting), Outcome::Done(())) => {
                drop(waiting.send(Ok(())));
            }
            // `apply` gives each job its own kind of outcome; a dropped waiter reads `Closed`.
            _ => {}
        }
    }

    fn refuse(self, error: &StoreError) {
        let error = error.clone();
        match self {
            Self::Accept(_, waiting) => drop(waiting.send(Err(error))),
            Self::Record(_, waiting) => drop(waiting.send(Err(error))),
            Self::Claim(_, waiting) => drop(waiting.send(Err(error))),
            Self::Purge(_, _, waiting)
            | Self::DiscardBodies(_, waiting)
            | Self::ForgetKeys(_, _, waiting) => drop(waiting.send(Err(error))),
            Self::Check(waiting) | Self::Close(waiting) => drop(waiting.send(Err(error))),
        }
    }
}

/// Whether trying the jobs one by one would meet the same error.
fn is_of_the_disk(error: &Error) -> bool {
    match store_error(error) {
        StoreError::Full(_) | StoreError::ReadOnly(_) | StoreError::Locked(_) => true,
        StoreError::Away(_) | StoreError::Overloaded | StoreError::Closed => true,
        StoreError::Damaged(_) => false,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the duration of a commit, which no test pauses"
)]
fn now() -> Instant {
    Instant::now()
}
