//! The agents in the order in which they are listed: by account, as the configuration has them,
//! and those of one account by number. It does not depend on when each was started, so a reload
//! keeps it.
//!
//! A roll is made when a client asks for the first time after an agent came or went, and is shared
//! by all clients until the next one does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::agent::StatusCell;
use crate::message::{AgentList, AgentStatus};

/// One agent of a list.
#[derive(Clone, Debug)]
pub(super) enum Listed {
    /// Of this replica: read when its turn comes.
    Here(Arc<StatusCell>),
    /// Of another one, as that one has shown it.
    Elsewhere(Arc<AgentStatus>),
}

/// Agents in their order.
#[derive(Clone, Debug)]
pub(super) struct Roll(Arc<[Listed]>);

impl Roll {
    /// Of the agents of this replica and of others. An agent that moves is shown by both replicas
    /// for a moment: it is listed once.
    pub(super) fn new<'a>(
        here: impl Iterator<Item = &'a Arc<StatusCell>>,
        elsewhere: &[Arc<AgentStatus>],
        accounts: &[Arc<str>],
    ) -> Self {
        let mut all: Vec<_> = here.cloned().map(Listed::Here).collect();
        let ids: HashSet<Arc<str>> = match elsewhere {
            [] => HashSet::new(),
            [..] => all.iter().map(|one| one.id().clone()).collect(),
        };
        let others = elsewhere.iter().filter(|other| !ids.contains(&other.id));
        all.extend(others.cloned().map(Listed::Elsewhere));
        let ranks: HashMap<&str, usize> = accounts
            .iter()
            .enumerate()
            .map(|(rank, account)| (&**account, rank))
            .collect();
        // An id ends with the number of the agent: the shorter one has the smaller number.
        all.sort_by_cached_key(|one| {
            let rank = ranks.get(one.account()).copied().unwrap_or(usize::MAX);
            (rank, one.id().len(), one.id().clone())
        });
        Self(all.into())
    }

    /// Every agent, each as it is when its turn comes. `replica` is the name of this one.
    pub(super) fn all(self, replica: Option<Arc<str>>) -> AgentList {
        let listed = move |at| match self.0.get(at)? {
            Listed::Here(shown) => Some(status_at(shown, replica.clone())),
            Listed::Elsewhere(status) => Some(AgentStatus::clone(status)),
        };
        Box::new((0..).map_while(listed))
    }

    /// The agents of this replica.
    pub(super) fn here(self, replica: Option<Arc<str>>) -> AgentList {
        let count = self.0.len();
        let listed = move |at| match self.0.get(at)? {
            Listed::Here(shown) => Some(status_at(shown, replica.clone())),
            Listed::Elsewhere(_) => None,
        };
        Box::new((0..count).filter_map(listed))
    }
}

impl Listed {
    fn id(&self) -> &Arc<str> {
        match self {
            Self::Here(shown) => &shown.identity().id,
            Self::Elsewhere(status) => &status.id,
        }
    }

    fn account(&self) -> &str {
        match self {
            Self::Here(shown) => &shown.identity().account,
            Self::Elsewhere(status) => &status.account,
        }
    }
}

/// What an agent of this replica shows of itself.
pub(super) fn status_at(shown: &StatusCell, replica: Option<Arc<str>>) -> AgentStatus {
    AgentStatus {
        replica,
        ..shown.status()
    }
}
