//! `/agents`: the pool, as it stands.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;

use super::access::Caller;
use super::error::ApiError;
use super::params::{Id, Nothing, Query};
use super::{Api, json};
use crate::message::{AgentError, AgentOrder, AgentStatus};

const NO_AGENT: ApiError = ApiError::NotFound("no agent has this id");

/// `GET /agents`.
pub(super) async fn list(State(api): State<Api>, caller: Caller, _: Query<Nothing>) -> Response {
    let room = api.empty_answer_room(&caller);
    let agents = api.agents.list_all();
    json::ok_all(
        agents.filter(move |agent| caller.sees(Some(&agent.account))),
        room,
    )
}

/// `GET /agents/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    Ok(json::ok(&find(&api, &caller, &id)?))
}

/// The agent, if it is there and for this caller to see.
pub(super) fn find(api: &Api, caller: &Caller, id: &str) -> Result<AgentStatus, ApiError> {
    let agent = api.agents.get(id).ok_or(NO_AGENT)?;
    if caller.sees(Some(&agent.account)) {
        Ok(agent)
    } else {
        Err(NO_AGENT)
    }
}

/// `POST /agents/{id}/drain`: no new messages; those in flight go on to their end.
pub(super) async fn drain(
    State(api): State<Api>,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    told(&api, &id, AgentOrder::Drain)
}

/// `POST /agents/{id}/resume`.
pub(super) async fn resume(
    State(api): State<Api>,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    told(&api, &id, AgentOrder::Resume)
}

/// `POST /agents/{id}/reregister`.
pub(super) async fn reregister(
    State(api): State<Api>,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    told(&api, &id, AgentOrder::Reregister)
}

/// 202: the agent is told, and does it in its own time. The answer has the state that follows.
fn told(api: &Api, id: &str, order: AgentOrder) -> Result<Response, ApiError> {
    let before = api.agents.get(id).ok_or(NO_AGENT)?;
    let told = match order {
        AgentOrder::Drain => api.agents.drain(id),
        AgentOrder::Resume => api.agents.resume(id),
        AgentOrder::Reregister => api.agents.reregister(id),
    };
    match told {
        Ok(()) => Ok(json::accepted(&before.after(order, api.clock.now()))),
        Err(AgentError::NotFound) => Err(NO_AGENT),
        Err(AgentError::Stopped) => Err(ApiError::Stopping),
        // They are passed on twice a second.
        Err(AgentError::Overloaded) => Err(ApiError::Overloaded(Duration::from_secs(1))),
    }
}
