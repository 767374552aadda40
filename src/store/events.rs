//! Reading the log, where it is no longer in memory.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use super::packed::{self, EventRow};
use super::page::Filling;
use super::session::{Session, SqlRow, SqlValue, strange, values};
use super::{EventFilter, Events, Logged, PageSize, StoreError, codes};
use crate::message::{Event, MessageId};

/// Rows a page looks at.
const SCAN: usize = 4_096;

/// The columns that [`logged`] reads, in its order: `e` is the row in `events`.
pub(super) const LOGGED: &str =
    "e.seq, e.kind, e.message_id, e.uri, e.account, e.members, e.webhook";

/// What follows `after` and passes. `last` was durable before the query began, so whatever the
/// query does not find up to there is not there.
pub(super) fn events(
    session: &dyn Session,
    epoch: u64,
    after: u64,
    last: u64,
    filter: &EventFilter,
    size: PageSize,
) -> Result<Events, StoreError> {
    if let Some(id) = filter.message_id {
        let page = events_of(session, epoch, id, after, size)?;
        return Ok(page.filtered(filter, last));
    }
    let (conditions, wanted) = conditions(filter);
    let (reached, is_end) = if holds_much_back(filter) {
        window(session, after)?
    } else {
        (u64::MAX, true)
    };
    let sql = format!(
        "SELECT {LOGGED} FROM events e WHERE e.seq > ?1 AND e.seq <= ?2 {conditions} \
         ORDER BY e.seq LIMIT ?3"
    );
    let rows = size.rows.saturating_add(1);
    let values = values![after, reached, rows].into_iter().chain(wanted);
    let mut page = read(
        session,
        epoch,
        after,
        &sql,
        &values.collect::<Vec<_>>(),
        size,
    )?;
    if !page.is_cut {
        page.scanned_to = if is_end {
            page.scanned_to.max(last)
        } else {
            reached
        };
    }
    Ok(page)
}

/// What comes before `before` and passes, newest first.
pub(super) fn events_before(
    session: &dyn Session,
    epoch: u64,
    before: u64,
    filter: &EventFilter,
    size: PageSize,
) -> Result<Events, StoreError> {
    let (mut conditions, mut wanted) = conditions(filter);
    if let Some(id) = filter.message_id {
        wanted.push(SqlValue::from(id));
        let _ = write!(conditions, "AND e.message_id = ?{} ", wanted.len() + 3);
    }
    let (reached, is_start) = if holds_much_back(filter) {
        window_before(session, before)?
    } else {
        (0, true)
    };
    let sql = format!(
        "SELECT {LOGGED} FROM events e WHERE e.seq < ?1 AND e.seq >= ?2 {conditions} \
         ORDER BY e.seq DESC LIMIT ?3"
    );
    let rows = size.rows.saturating_add(1);
    let values = values![before, reached, rows].into_iter().chain(wanted);
    let values: Vec<_> = values.collect();
    let mut page = read(session, epoch, before, &sql, &values, size)?;
    if !page.is_cut {
        page.scanned_to = if is_start { 0 } else { reached };
    }
    Ok(page)
}

/// Whether a page may have to look at many events; else it is full before that.
fn holds_much_back(filter: &EventFilter) -> bool {
    filter.is_scan() || filter.has_webhook || filter.message_id.is_some()
}

/// What a filter asks of a row of `events`, and the values for it, of which the first is `?4`.
fn conditions(filter: &EventFilter) -> (String, Vec<SqlValue<'_>>) {
    let (mut sql, mut values) = (String::new(), Vec::new());
    if !filter.kinds.is_empty() {
        let kinds: Vec<_> = filter.kinds.iter().map(codes::kind_number).collect();
        let kinds: Vec<_> = kinds.iter().map(i16::to_string).collect();
        let _ = write!(sql, "AND e.kind IN ({}) ", kinds.join(", "));
    }
    if let Some(uri) = &filter.uri {
        values.push(SqlValue::from(&**uri));
        let _ = write!(sql, "AND e.uri = ?{} ", values.len() + 3);
    }
    if let Some(accounts) = &filter.accounts {
        values.push(SqlValue::Texts(
            accounts.iter().map(|account| &**account).collect(),
        ));
        let list = values.len() + 3;
        let _ = write!(
            sql,
            "AND e.account IN (SELECT value FROM json_each(?{list})) "
        );
    }
    if filter.has_webhook {
        sql.push_str("AND e.webhook IS NOT NULL");
    }
    (sql, values)
}

/// How far a page may look, and whether the log ends there.
fn window(session: &dyn Session, after: u64) -> Result<(u64, bool), StoreError> {
    let looked_at = session.first(
        "SELECT count(*), max(seq) FROM (SELECT seq FROM events WHERE seq > ?1 \
         ORDER BY seq LIMIT ?2) w",
        &values![after, SCAN],
        |row| Ok((row.number(0)?, row.optional_integer(1)?)),
    )?;
    let (count, reached) = looked_at.unwrap_or_default();
    let reached = reached.and_then(|seq| u64::try_from(seq).ok());
    Ok((reached.unwrap_or(after), count < SCAN as u64))
}

/// How far back a page may look, and whether the log begins there.
fn window_before(session: &dyn Session, before: u64) -> Result<(u64, bool), StoreError> {
    let looked_at = session.first(
        "SELECT count(*), min(seq) FROM (SELECT seq FROM events WHERE seq < ?1 \
         ORDER BY seq DESC LIMIT ?2) w",
        &values![before, SCAN],
        |row| Ok((row.number(0)?, row.optional_integer(1)?)),
    )?;
    let (count, reached) = looked_at.unwrap_or_default();
    let reached = reached.and_then(|seq| u64::try_from(seq).ok());
    Ok((reached.unwrap_or(0), count < SCAN as u64))
}

/// One message has few events, and its state knows them, or its row among those that came in: the
/// log need not be searched. The chain is followed without what its events say, of which no more is
/// read than a page holds.
pub(super) fn events_of(
    session: &dyn Session,
    epoch: u64,
    id: MessageId,
    after: u64,
    size: PageSize,
) -> Result<Events, StoreError> {
    let sql = format!(
        "WITH RECURSIVE chain AS (SELECT e.seq, e.previous, length(e.members) AS length \
         FROM states s CROSS JOIN events e WHERE s.id = ?1 AND e.seq = s.last_event \
         UNION ALL SELECT e.seq, e.previous, length(e.members) \
         FROM received r CROSS JOIN events e WHERE r.id = ?1 AND e.seq = r.seq \
         UNION ALL SELECT e.seq, e.previous, length(e.members) FROM chain c \
         CROSS JOIN events e WHERE e.seq = c.previous AND c.previous > ?2), \
         sizes AS (SELECT seq, sum(length) OVER w - length AS before, \
         row_number() OVER w AS place FROM chain WHERE seq > ?2 WINDOW w AS (ORDER BY seq)) \
         SELECT {LOGGED} FROM sizes z CROSS JOIN events e \
         WHERE e.seq = z.seq AND (z.before <= ?3 OR z.place <= 2) ORDER BY e.seq LIMIT ?4"
    );
    let values = values![id, after, size.bytes, size.rows.saturating_add(1)];
    read(session, epoch, after, &sql, &values, size)
}

/// Fills a page, row by row, so that no more of them is in memory than it holds.
fn read(
    session: &dyn Session,
    epoch: u64,
    after: u64,
    sql: &str,
    values: &[SqlValue<'_>],
    size: PageSize,
) -> Result<Events, StoreError> {
    let mut page = Events {
        events: Vec::new(),
        scanned_to: after,
        is_cut: false,
    };
    let mut filling = Filling::new(size);
    session.read(sql, values, &mut |row| {
        let event = logged(row, 0, epoch)?;
        if !filling.takes(event.weight()) {
            page.is_cut = true;
            return Ok(ControlFlow::Break(()));
        }
        page.scanned_to = event.seq;
        page.events.push(event);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

/// Reads the columns of [`LOGGED`], from column `from` on.
pub(super) fn logged(row: &dyn SqlRow, from: usize, epoch: u64) -> Result<Logged, StoreError> {
    let seq = row.number(from)?;
    let message_id = row.message_id(from + 2)?;
    let uri = row.shared(from + 3)?;
    let account = row.optional_shared(from + 4)?;
    let event_row = EventRow {
        message_id,
        uri: &uri,
        account: account.as_deref(),
    };
    let members = row.blob(from + 5)?;
    let mut json = Vec::with_capacity(48 + 4 * members.len());
    Event::write_id(epoch, seq, &mut json);
    packed::unpack(members, event_row, &mut json);
    json.shrink_to_fit();
    Ok(Logged {
        seq,
        message_id,
        kind: codes::kind(row.integer(from + 1)?).ok_or_else(|| strange("kind"))?,
        uri,
        account,
        webhook: row.optional_shared(from + 6)?,
        json: json.into(),
    })
}
