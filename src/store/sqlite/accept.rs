//! Taking messages in, and knowing a repeated request when it comes.

use std::sync::Arc;

use rusqlite::params;
use rusqlite::{CachedStatement, OptionalExtension as _};

use super::transaction::{Fresh, MessageState, StateStatements, WriteTransaction};
use crate::message::{Message, MessageId, Timestamp};
use crate::store::{IdempotencyKey, StoreError, Submission, Verdict, codes};

pub(super) fn accept(
    transaction: &mut WriteTransaction<'_>,
    submissions: &[Submission],
) -> Result<Vec<Verdict>, StoreError> {
    let mut insert = InsertMessage::prepare(transaction)?;
    let mut verdicts = Vec::with_capacity(submissions.len());
    for submission in submissions {
        let taken =
            transaction.part(|transaction| take_in(transaction, &mut insert, submission))?;
        verdicts.push(taken.unwrap_or_else(Verdict::Rejected));
    }
    Ok(verdicts)
}

fn take_in(
    transaction: &mut WriteTransaction<'_>,
    insert: &mut InsertMessage<'_>,
    submission: &Submission,
) -> Result<Verdict, StoreError> {
    if let Some(key) = &submission.key {
        if let Some(verdict) = known(transaction, key)? {
            return Ok(verdict);
        }
        remember(transaction, key, &submission.messages)?;
    }
    for message in &submission.messages {
        if let Some(number) = take_number(transaction, &mut insert.states, message)? {
            insert.message(number, message)?;
        }
    }
    Ok(Verdict::Accepted)
}

fn known(
    transaction: &WriteTransaction<'_>,
    key: &IdempotencyKey,
) -> Result<Option<Verdict>, StoreError> {
    let mut statement = transaction.prepare(
        "SELECT fingerprint, message_ids FROM idempotency_keys WHERE owner = ?1 AND key = ?2",
    )?;
    let verdict = statement
        .query_row((&*key.owner, &*key.key), |row| {
            if row.get_ref(0)?.as_blob()? != key.fingerprint {
                return Ok(Verdict::KeyReused);
            }
            let ids = row.get_ref(1)?.as_blob()?.chunks(16);
            Ok(Verdict::Replayed(
                ids.filter_map(MessageId::from_bytes).collect(),
            ))
        })
        .optional()?;
    Ok(verdict)
}

fn remember(
    transaction: &WriteTransaction<'_>,
    key: &IdempotencyKey,
    messages: &[Arc<Message>],
) -> Result<(), StoreError> {
    let ids: Vec<u8> = messages
        .iter()
        .flat_map(|message| *message.id.as_bytes())
        .collect();
    let created_at = messages.first().map_or(0, |m| m.created_at.as_millis());
    transaction
        .prepare(
            "INSERT INTO idempotency_keys (owner, key, fingerprint, message_ids, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            &*key.owner,
            &*key.key,
            key.fingerprint,
            ids,
            created_at
        ])?;
    Ok(())
}

/// Gives a new message its number. One that is handed over twice, because the fate of the first
/// time was unknown, is taken in once.
fn take_number(
    transaction: &mut WriteTransaction<'_>,
    states: &mut StateStatements<'_>,
    message: &Message,
) -> Result<Option<i64>, StoreError> {
    let status = message.first_status();
    let number = transaction.positions.last_message + 1;
    if transaction.positions.highest < Some(message.id) {
        transaction.positions.highest = Some(message.id);
        transaction
            .fresh
            .insert(message.id, Fresh { number, status });
    } else if transaction.fresh.contains_key(&message.id)
        || !states.insert(message.id, number, &MessageState::new(status))?
    {
        return Ok(None);
    }
    transaction.positions.last_message = number;
    Ok(Some(number))
}

struct InsertMessage<'c> {
    states: StateStatements<'c>,
    message: CachedStatement<'c>,
}

impl<'c> InsertMessage<'c> {
    fn prepare(transaction: &WriteTransaction<'c>) -> Result<Self, StoreError> {
        Ok(Self {
            states: StateStatements::prepare(transaction)?,
            message: transaction.prepare(
                "INSERT INTO messages (number, uri, account, send_at, attempts, on_unknown, \
                 contents, created_at, expires_at, trace, body, priority) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?,
        })
    }

    fn message(&mut self, number: i64, message: &Message) -> Result<(), StoreError> {
        let contents = &message.contents;
        self.message.execute(params![
            number,
            &*contents.uri,
            contents.account.as_deref(),
            contents.send_at.map(Timestamp::as_millis),
            contents.attempts,
            codes::on_unknown_number(contents.on_unknown),
            codes::contents_text(contents),
            message.created_at.as_millis(),
            message.expires_at.as_millis(),
            codes::trace_text(message.trace),
            &*contents.body,
            contents.priority.map(codes::priority_number),
        ])?;
        Ok(())
    }
}
