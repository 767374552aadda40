//! Appending receipts to the events of their messages.
//!
//! The transaction holds the row of the log before [`INSERT`] begins, as every transaction does
//! that moves a message on or reports of one. So the statement sees the newest event of each
//! message, and every receipt that was there.

use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::memory::OwnMessages;
use super::session;
use crate::message::{Contents, Event, MessageId, Receipt};
use crate::store::receipts::{KnownReceipts, Reportable};
use crate::store::session::{SqlRow as _, strange};
use crate::store::{Logged, Reported, StoreError, codes, messages};

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 3] = [LOOK, KNOWN, INSERT];

const LOOK: &str = "SELECT s.id, m.uri, coalesce(e.account, m.account), m.contents, m.trace, \
     m.priority \
     FROM unnest($1::uuid[]) AS u (id) JOIN states s ON s.id = u.id JOIN messages m ON m.id = u.id \
     LEFT JOIN events e ON e.seq = s.last_event";
const KNOWN: &str =
    "SELECT message_id, recipient, kind FROM receipts WHERE message_id = ANY($1::uuid[])";
/// Of several receipts of one message each hangs on the one before.
const INSERT: &str = "WITH given AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::int2[], \
     $4::int8[], $5::text[], $6::text[], $7::text[], $8::bytea[]) WITH ORDINALITY \
     AS u (message_id, recipient, kind, at, uri, account, webhook, members, place)), \
     fresh AS (SELECT g.*, s.last_event, row_number() OVER (ORDER BY g.place) AS number \
     FROM given g JOIN states s ON s.id = g.message_id WHERE NOT EXISTS (SELECT 1 FROM receipts r \
     WHERE r.message_id = g.message_id AND r.recipient = g.recipient AND r.kind = g.kind)), \
     taken AS (UPDATE log SET last = last + (SELECT count(*) FROM fresh) \
     RETURNING last - (SELECT count(*) FROM fresh) AS base), \
     placed AS (SELECT f.*, t.base + f.number AS seq, lag(t.base + f.number) \
     OVER (PARTITION BY f.message_id ORDER BY f.number) AS before FROM fresh f, taken t), \
     added AS (INSERT INTO events \
     (seq, previous, kind, message_id, uri, account, webhook, members) \
     SELECT seq, coalesce(before, last_event), kind, message_id, uri, account, webhook, members \
     FROM placed), \
     kept AS (INSERT INTO receipts (message_id, recipient, kind, seq, at) \
     SELECT message_id, recipient, kind, seq, at FROM placed), \
     moved AS (UPDATE states s SET last_event = n.seq, result = CASE WHEN s.completed_at \
     IS NOT NULL THEN coalesce(s.result, s.last_event) END \
     FROM (SELECT message_id, max(seq) AS seq FROM placed GROUP BY message_id) n \
     WHERE s.id = n.message_id) \
     SELECT place, seq FROM placed ORDER BY place";

/// Messages that receipts are of, and what was reported of them.
#[derive(Default)]
pub(super) struct ReportedMessages {
    messages: HashMap<MessageId, Reportable>,
    known: HashMap<MessageId, KnownReceipts>,
}

/// Looks at the messages of these receipts.
pub(super) async fn look(
    connection: &Connection,
    receipts: &[&Receipt],
) -> Result<ReportedMessages, StoreError> {
    if receipts.is_empty() {
        return Ok(ReportedMessages::default());
    }
    let ids = receipts.iter().map(|one| session::uuid(one.message_id));
    let mut ids: Vec<Uuid> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let (look, known) = (
        connection.prepare(LOOK).await?,
        connection.prepare(KNOWN).await?,
    );
    let params: [&(dyn ToSql + Sync); 1] = [&ids];
    let (messages, receipts) = futures_util::future::join(
        connection.client().query(&look, &params),
        connection.client().query(&known, &params),
    )
    .await;
    let mut known: HashMap<MessageId, KnownReceipts> = HashMap::new();
    for row in receipts? {
        let of_message = known.entry(row.message_id(0)?).or_default();
        of_message.add(row.shared(1)?, row.try_get(2)?);
    }
    Ok(ReportedMessages {
        messages: messages?.iter().map(reportable).collect::<Result<_, _>>()?,
        known,
    })
}

fn reportable(row: &Row) -> Result<(MessageId, Reportable), StoreError> {
    let message = Reportable {
        uri: row.shared(1)?,
        account: row.optional_shared(2)?,
        contents: Contents {
            priority: messages::priority(row, 5)?,
            ..codes::contents(row.text(3)?).ok_or_else(|| strange("contents"))?
        },
        trace: codes::trace(row.optional_text(4)?),
    };
    Ok((row.message_id(0)?, message))
}

/// Receipts on their way into the log.
#[derive(Default)]
pub(super) struct Reporting<'r> {
    /// What became of each, as far as that is known; those of `kept` count as repeated until then.
    reported: Vec<Reported>,
    /// Those that are new, and where they are among all.
    kept: Vec<(&'r Receipt, Event)>,
    places: Vec<usize>,
    /// The JSON of each event after its id.
    members: Vec<Bytes>,
}

impl<'r> Reporting<'r> {
    /// The messages have newer events now.
    pub(super) fn teach(&self, own: &mut OwnMessages) {
        for (receipt, _) in &self.kept {
            own.forget(receipt.message_id);
        }
    }

    pub(super) fn new(receipts: &[&'r Receipt], looked: ReportedMessages) -> Self {
        let ReportedMessages {
            messages,
            mut known,
        } = looked;
        let mut this = Self::default();
        for (place, &receipt) in receipts.iter().enumerate() {
            let message = messages.get(&receipt.message_id);
            let Some(message) = message.filter(|message| message.is_of(receipt)) else {
                this.reported.push(Reported::Unknown);
                continue;
            };
            let known = known.entry(receipt.message_id).or_default();
            let refusal = known.refusal(receipt);
            this.reported.push(refusal.unwrap_or(Reported::Repeated));
            if refusal.is_none() {
                let event = message.event(receipt);
                let mut members = Vec::with_capacity(256);
                event.write_members(&mut members);
                this.kept.push((receipt, event));
                this.places.push(place);
                this.members.push(members.into());
            }
        }
        this
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Appends those that no other replica reported meanwhile; their numbers in the log, by their
    /// places among those that were kept.
    pub(super) async fn insert(
        &self,
        connection: &Connection,
    ) -> Result<Vec<(usize, u64)>, StoreError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let statement = connection.prepare(INSERT).await?;
        let events = || self.kept.iter().map(|(_, event)| event);
        let receipts = || self.kept.iter().map(|(receipt, _)| receipt);
        let columns: [&(dyn ToSql + Sync); 8] = [
            &receipts()
                .map(|r| session::uuid(r.message_id))
                .collect::<Vec<_>>(),
            &receipts().map(|r| &*r.recipient).collect::<Vec<_>>(),
            &events()
                .map(|e| codes::kind_number(e.kind()))
                .collect::<Vec<_>>(),
            &receipts().map(|r| r.time.as_millis()).collect::<Vec<_>>(),
            &events().map(|e| &*e.uri).collect::<Vec<_>>(),
            &events().map(|e| e.account.as_deref()).collect::<Vec<_>>(),
            &events().map(|e| e.webhook.as_deref()).collect::<Vec<_>>(),
            &self
                .members
                .iter()
                .map(|bytes| &**bytes)
                .collect::<Vec<&[u8]>>(),
        ];
        let found = connection.client().query(&statement, &columns).await?;
        found.iter().map(session::numbered).collect()
    }

    /// What became of each, and what the log shows when they are durable.
    pub(super) fn finish(
        mut self,
        epoch: u64,
        numbered: &[(usize, u64)],
    ) -> (Vec<Reported>, Vec<Logged>) {
        let mut logged = Vec::with_capacity(numbered.len());
        for &(at, seq) in numbered {
            let place = self.places.get(at);
            let place = place.and_then(|place| self.reported.get_mut(*place));
            let (Some(place), Some((_, event)), Some(members)) =
                (place, self.kept.get(at), self.members.get(at))
            else {
                continue;
            };
            *place = Reported::Appended(seq);
            let mut json = Vec::with_capacity(session::EVENT_ID + members.len());
            Event::write_id(epoch, seq, &mut json);
            json.extend_from_slice(members);
            logged.push(Logged {
                seq,
                message_id: event.message_id,
                kind: event.kind(),
                uri: event.uri.clone(),
                account: event.account.clone(),
                webhook: event.webhook.clone(),
                json: json.into(),
            });
        }
        (self.reported, logged)
    }
}
