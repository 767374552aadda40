//! Appending receipts to the events of their messages.

use rusqlite::{CachedStatement, OptionalExtension as _, params};

use super::log::{INSERT_EVENT, LogEntry};
use super::transaction::WriteTransaction;
use crate::message::{Contents, MessageId, Receipt};
use crate::store::receipts::{KnownReceipts, Reportable};
use crate::store::session::strange;
use crate::store::{Reported, StoreError, codes};

pub(super) fn report(
    transaction: &mut WriteTransaction<'_>,
    receipts: &[Receipt],
) -> Result<Vec<Reported>, StoreError> {
    let mut statements = ReportStatements::prepare(transaction)?;
    let mut reported = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        let appended =
            transaction.part(|transaction| append(transaction, &mut statements, receipt))?;
        reported.push(appended.unwrap_or_else(|error| {
            tracing::error!(message.id = %receipt.message_id, error, "a receipt is rejected");
            Reported::Rejected
        }));
    }
    Ok(reported)
}

fn append(
    transaction: &mut WriteTransaction<'_>,
    statements: &mut ReportStatements<'_>,
    receipt: &Receipt,
) -> Result<Reported, StoreError> {
    let id = receipt.message_id;
    let Some((message, previous)) = statements.message(id)? else {
        return Ok(Reported::Unknown);
    };
    if !message.is_of(receipt) {
        return Ok(Reported::Unknown);
    }
    if let Some(refusal) = statements.known(id)?.refusal(receipt) {
        return Ok(refusal);
    }
    let event = message.event(receipt);
    let kind = codes::kind_number(event.kind());
    let entry = LogEntry {
        previous,
        kind: event.kind(),
        message_id: id,
        uri: event.uri.clone(),
        account: event.account.clone(),
        webhook: event.webhook.clone(),
    };
    let seq = transaction.append(&mut statements.event, entry, |json| {
        event.write_members(json);
    })?;
    let at = receipt.time.as_millis();
    let row = params![id.as_bytes(), &*receipt.recipient, kind, seq, at];
    statements.receipt.execute(row)?;
    statements.moved.execute(params![id.as_bytes(), seq])?;
    Ok(Reported::Appended(seq))
}

struct ReportStatements<'c> {
    message: CachedStatement<'c>,
    known: CachedStatement<'c>,
    event: CachedStatement<'c>,
    receipt: CachedStatement<'c>,
    moved: CachedStatement<'c>,
}

impl<'c> ReportStatements<'c> {
    fn prepare(transaction: &WriteTransaction<'c>) -> Result<Self, StoreError> {
        Ok(Self {
            message: transaction.prepare(
                "SELECT s.last_event, m.uri, m.contents, m.trace, coalesce(e.account, m.account), \
                 m.priority \
                 FROM states s CROSS JOIN messages m LEFT JOIN events e ON e.seq = s.last_event \
                 WHERE s.id = ?1 AND m.number = s.number",
            )?,
            known: transaction
                .prepare("SELECT recipient, kind FROM receipts WHERE message_id = ?1")?,
            event: transaction.prepare(INSERT_EVENT)?,
            receipt: transaction.prepare(
                "INSERT INTO receipts (message_id, recipient, kind, seq, at) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            // The terminal event stays where it can be found.
            moved: transaction.prepare(
                "UPDATE states SET last_event = ?2, result = CASE WHEN completed_at IS NOT NULL \
                 THEN coalesce(result, last_event) END WHERE id = ?1",
            )?,
        })
    }

    /// A message, and its newest event.
    fn message(&mut self, id: MessageId) -> Result<Option<(Reportable, Option<u64>)>, StoreError> {
        let found = self.message.query_row([id.as_bytes()], |row| {
            let priority: Option<i64> = row.get(5)?;
            let contents = codes::contents(row.get_ref(2)?.as_str()?).map(|contents| Contents {
                priority: priority.and_then(codes::priority),
                ..contents
            });
            let trace = codes::trace(row.get_ref(3)?.as_str_or_null()?);
            Ok((contents, trace, row.get(0)?, row.get(1)?, row.get(4)?))
        });
        let Some((contents, trace, previous, uri, account)) = found.optional()? else {
            return Ok(None);
        };
        let message = Reportable {
            uri,
            account,
            contents: contents.ok_or_else(|| strange("contents"))?,
            trace,
        };
        Ok(Some((message, previous)))
    }

    /// What has been reported of a message.
    fn known(&mut self, id: MessageId) -> Result<KnownReceipts, StoreError> {
        let mut known = KnownReceipts::default();
        let mut rows = self.known.query([id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            known.add(row.get(0)?, row.get(1)?);
        }
        Ok(known)
    }
}
