//! Taking messages in, and knowing a repeated request when it comes.
//!
//! A lane that has open messages stays with the replica that has them; an empty one begins here.
//! [`Accepted::insert`] goes together with what follows it; keys are a trip of their own.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::agent_leases::AgentHolders;
use super::append::NewStates;
use super::connection::Connection;
use super::lanes::{LaneOwner, OpenLanes};
use super::memory::OwnMessages;
use super::record::{KnownMessage, KnownMessages};
use super::session;
use crate::message::{Message, MessageId, Timestamp};
use crate::store::session::strange;
use crate::store::{IdempotencyKey, StoreError, Submission, Verdict, codes};

/// The verdicts on submissions, and which replicas to notify.
#[derive(Debug, Default)]
pub(super) struct Accepted<'s> {
    pub(super) verdicts: Vec<Verdict>,
    /// Replicas, this one among them, that have messages to pick up.
    pub(super) to_wake: BTreeSet<i64>,
    /// New messages, and where each goes.
    messages: Vec<&'s Message>,
    places: Vec<LaneOwner>,
}

/// Decides about submissions whose lanes were looked at.
pub(super) async fn decide<'s>(
    connection: &Connection,
    agent_holders: &AgentHolders,
    taken: OpenLanes,
    submissions: &[&'s Submission],
) -> Result<Accepted<'s>, StoreError> {
    let mut verdicts = keys(connection, submissions).await?;
    let new = submissions
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| **verdict == Verdict::Accepted);
    let messages: Vec<_> = new
        .flat_map(|(submission, _)| submission.messages.iter().map(|message| &**message))
        .collect();
    let places = places(agent_holders, taken, &messages);
    let mut to_wake = BTreeSet::new();
    let mut elsewhere = places.iter().zip(&messages);
    for (submission, verdict) in submissions.iter().zip(&mut verdicts) {
        if *verdict != Verdict::Accepted {
            continue;
        }
        let mut handed: Vec<MessageId> = Vec::new();
        for (place, message) in elsewhere.by_ref().take(submission.messages.len()) {
            if !place.claimed {
                to_wake.insert(place.owner);
                handed.push(message.id);
            }
        }
        if !handed.is_empty() {
            *verdict = Verdict::Elsewhere(handed);
        }
    }
    Ok(Accepted {
        verdicts,
        to_wake,
        messages,
        places,
    })
}

/// Remembers the keys that are new, and says of every submission what its key means.
async fn keys(
    connection: &Connection,
    submissions: &[&Submission],
) -> Result<Vec<Verdict>, StoreError> {
    let mut first: HashMap<(&str, &str), &Submission> = HashMap::new();
    for submission in submissions {
        if let Some(key) = &submission.key {
            first.entry((&key.owner, &key.key)).or_insert(submission);
        }
    }
    if first.is_empty() {
        return Ok(vec![Verdict::Accepted; submissions.len()]);
    }
    let new = remember(connection, &first).await?;
    let known = if new.len() == first.len() {
        HashMap::new()
    } else {
        recall(connection, &first).await?
    };
    let verdict = |submission: &&Submission| {
        let Some(key) = &submission.key else {
            return Verdict::Accepted;
        };
        let name = (&*key.owner, &*key.key);
        let leader = first.get(&name).copied();
        let is_new = new.contains(&(key.owner.to_string(), key.key.to_string()));
        match (
            leader,
            known.get(&(key.owner.to_string(), key.key.to_string())),
        ) {
            (Some(leader), _) if is_new => follow(leader, submission, key),
            (_, Some((fingerprint, ids))) if *fingerprint == key.fingerprint => {
                Verdict::Replayed(ids.clone())
            }
            (_, Some(_)) => Verdict::KeyReused,
            // Forgotten between the two looks: as good as new, but not remembered.
            (_, None) => Verdict::Accepted,
        }
    };
    Ok(submissions.iter().map(verdict).collect())
}

/// What a key means that another submission of the same batch brought first.
fn follow(leader: &Submission, submission: &Submission, key: &IdempotencyKey) -> Verdict {
    if std::ptr::eq(leader, submission) {
        return Verdict::Accepted;
    }
    let same = leader
        .key
        .as_ref()
        .is_some_and(|other| other.fingerprint == key.fingerprint);
    if same {
        Verdict::Replayed(leader.messages.iter().map(|message| message.id).collect())
    } else {
        Verdict::KeyReused
    }
}

async fn remember(
    connection: &Connection,
    first: &HashMap<(&str, &str), &Submission>,
) -> Result<BTreeSet<(String, String)>, StoreError> {
    // In the same order at every replica, so that two that wait for each other's keys cannot be.
    let sorted: std::collections::BTreeMap<_, _> = first.iter().collect();
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((owner, key), submission) in sorted {
        let ids = submission.messages.iter().flat_map(|m| *m.id.as_bytes());
        let created_at = submission.messages.first().map(|m| m.created_at);
        let fingerprint = submission.key.as_ref().map(|key| key.fingerprint);
        columns.0.push(*owner);
        columns.1.push(*key);
        columns.2.push(fingerprint.unwrap_or_default().to_vec());
        columns.3.push(ids.collect::<Vec<u8>>());
        columns.4.push(created_at.map_or(0, Timestamp::as_millis));
    }
    let statement = connection
        .prepare(
            "INSERT INTO idempotency_keys (owner, key, fingerprint, message_ids, created_at) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::int8[]) \
             ON CONFLICT (owner, key) DO NOTHING RETURNING owner, key",
        )
        .await?;
    let new = connection
        .client()
        .query(
            &statement,
            &[&columns.0, &columns.1, &columns.2, &columns.3, &columns.4],
        )
        .await?;
    new.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

type Remembered = HashMap<(String, String), ([u8; 32], Vec<MessageId>)>;

async fn recall(
    connection: &Connection,
    first: &HashMap<(&str, &str), &Submission>,
) -> Result<Remembered, StoreError> {
    let (owners, keys): (Vec<_>, Vec<_>) = first.keys().copied().unzip();
    let statement = connection
        .prepare(
            "SELECT k.owner, k.key, k.fingerprint, k.message_ids \
             FROM unnest($1::text[], $2::text[]) AS u (owner, key) \
             JOIN idempotency_keys k ON k.owner = u.owner AND k.key = u.key",
        )
        .await?;
    let rows = connection
        .client()
        .query(&statement, &[&owners, &keys])
        .await?;
    let mut known = Remembered::new();
    for row in rows {
        let fingerprint: &[u8] = row.try_get(2)?;
        let ids: &[u8] = row.try_get(3)?;
        let fingerprint = fingerprint.try_into().map_err(|_| strange("fingerprint"))?;
        let ids = ids.chunks(16).filter_map(MessageId::from_bytes).collect();
        known.insert((row.try_get(0)?, row.try_get(1)?), (fingerprint, ids));
    }
    Ok(known)
}

/// Where each message goes: to the replica that has its lane, or to one that has an agent for it.
fn places(
    agent_holders: &AgentHolders,
    mut taken: OpenLanes,
    messages: &[&Message],
) -> Vec<LaneOwner> {
    let me = agent_holders.me();
    let place = |message: &&Message| {
        *taken
            .entry(session::lane(&message.contents.uri))
            .or_insert_with(|| {
                let owner = agent_holders.owner_for(message.contents.account.as_deref());
                let claimed = owner == me;
                LaneOwner { owner, claimed }
            })
    };
    messages.iter().map(place).collect()
}

type Column<'c> = &'c (dyn ToSql + Sync);

impl Accepted<'_> {
    /// Adds the new messages to those that records may be about: only those that this replica is to
    /// send.
    pub(super) fn make_known(&self, known: &mut KnownMessages) {
        for (message, place) in self.messages.iter().zip(&self.places) {
            known
                .entry(message.id)
                .or_insert_with(|| KnownMessage::new(place.claimed));
        }
    }

    /// The new messages that this replica is to send, none of which has an event.
    pub(super) fn teach(&self, own: &mut OwnMessages) {
        for (message, place) in self.messages.iter().zip(&self.places) {
            if place.claimed {
                own.is_open(message.id, KnownMessage::without_event());
            }
        }
    }

    /// The rows of the new messages in `states`, as they are when nothing is recorded of them.
    pub(super) fn states(&self) -> NewStates {
        let messages = &self.messages;
        NewStates {
            ids: column(messages, |m| session::uuid(m.id)),
            lanes: column(messages, |m| session::lane(&m.contents.uri)),
            owners: self.places.iter().map(|place| place.owner).collect(),
            claimed: self.places.iter().map(|place| place.claimed).collect(),
            statuses: column(messages, |m| codes::status_number(m.first_status())),
            urgent: column(messages, |m| m.contents.class().is_urgent()),
        }
    }

    /// Writes the new messages; their rows in `states` only where records do not. A message that is
    /// handed over twice, because the fate of the first time was unknown, is taken in once.
    pub(super) async fn insert(
        &self,
        connection: &Connection,
        states: &NewStates,
        has_records: bool,
    ) -> Result<(), StoreError> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let (standing, content) = futures_util::future::join(
            insert_states(connection, states, has_records),
            insert_contents(connection, &states.ids, &self.messages),
        )
        .await;
        standing.and(content)
    }
}

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 2] = [INSERT_STATES, INSERT_CONTENTS];

const INSERT_STATES: &str = "INSERT INTO states (id, lane, owner, claimed, status, urgent) \
     SELECT id, lane, owner, claimed, status, urgent FROM (SELECT unnest($1::uuid[]) AS id, \
     unnest($2::int8[]) AS lane, unnest($3::int8[]) AS owner, unnest($4::bool[]) AS claimed, \
     unnest($5::int2[]) AS status, unnest($6::bool[]) AS urgent, \
     generate_series(1, cardinality($1::uuid[])) AS place) u ORDER BY place \
     ON CONFLICT DO NOTHING";
const INSERT_CONTENTS: &str = "INSERT INTO messages (id, uri, account, send_at, attempts, \
     on_unknown, contents, body, trace, created_at, expires_at, priority) \
     SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::text[]), unnest($4::int8[]), \
     unnest($5::int4[]), unnest($6::int2[]), unnest($7::text[]), unnest($8::bytea[]), \
     unnest($9::text[]), unnest($10::int8[]), unnest($11::int8[]), unnest($12::int2[]) \
     ON CONFLICT DO NOTHING";

async fn insert_states(
    connection: &Connection,
    states: &NewStates,
    has_records: bool,
) -> Result<(), StoreError> {
    if has_records {
        return Ok(());
    }
    let statement = connection.prepare(INSERT_STATES).await?;
    let columns: [Column<'_>; 6] = [
        &states.ids,
        &states.lanes,
        &states.owners,
        &states.claimed,
        &states.statuses,
        &states.urgent,
    ];
    connection.client().execute(&statement, &columns).await?;
    Ok(())
}

async fn insert_contents(
    connection: &Connection,
    ids: &[Uuid],
    messages: &[&Message],
) -> Result<(), StoreError> {
    let statement = connection.prepare(INSERT_CONTENTS).await?;
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let attempts = |attempts: u32| i32::try_from(attempts).unwrap_or(i32::MAX);
    let columns: [Column<'_>; 12] = [
        &ids,
        &column(messages, |m| &*m.contents.uri),
        &column(messages, |m| m.contents.account.as_deref()),
        &column(messages, |m| millis(m.contents.send_at)),
        &column(messages, |m| attempts(m.contents.attempts)),
        &column(messages, |m| {
            codes::on_unknown_number(m.contents.on_unknown)
        }),
        &column(messages, |m| codes::contents_text(&m.contents)),
        &column(messages, |m| &*m.contents.body),
        &column(messages, |m| codes::trace_text(m.trace)),
        &column(messages, |m| m.created_at.as_millis()),
        &column(messages, |m| m.expires_at.as_millis()),
        &column(messages, |m| {
            m.contents.priority.map(codes::priority_number)
        }),
    ];
    connection.client().execute(&statement, &columns).await?;
    Ok(())
}

fn column<'m, T>(messages: &[&'m Message], of: impl Fn(&'m Message) -> T) -> Vec<T> {
    messages.iter().map(|message| of(message)).collect()
}
