//! Makes agents from the configuration.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent;
use crate::agent::{
    AgentHandle, AgentIndex, Arrival, Dialing, Identity, Pace, RegistrationChanges, Report,
    StatusCell,
};
use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::dispatch;
use crate::sip;
use crate::sip::registration::Policy;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::trace::Recorder;

/// The ways from agents to the dispatcher.
#[derive(Clone)]
pub(super) struct AgentChannels {
    /// How they and their messages fare.
    reports: mpsc::UnboundedSender<Report>,
    /// What comes in.
    arrivals: mpsc::Sender<Arrival>,
    /// Their frames.
    recorder: Arc<Recorder>,
    /// When they are registered, and when no longer.
    changes: RegistrationChanges,
}

impl AgentChannels {
    pub(super) fn new(
        reports: mpsc::UnboundedSender<Report>,
        arrivals: mpsc::Sender<Arrival>,
        recorder: Arc<Recorder>,
        changes: RegistrationChanges,
    ) -> Self {
        Self {
            reports,
            arrivals,
            recorder,
            changes,
        }
    }
}

/// Makes agents. Holds what all of them share.
pub(super) struct AgentFactory {
    /// The number of the store's log, part of what an agent calls itself.
    epoch: u64,
    dialing: Arc<Dialing>,
    tls: watch::Sender<Arc<ClientConfig>>,
    pace: Arc<Pace>,
    channels: AgentChannels,
    observer: Arc<dyn agent::AgentObserver>,
    clock: Clock,
}

impl AgentFactory {
    pub(super) fn new(
        config: &Config,
        epoch: u64,
        clock: &Clock,
        channels: AgentChannels,
        metrics: &Metrics,
    ) -> Result<Self, agent::TlsError> {
        let (tls, trusted) = watch::channel(tls(config)?);
        let sip = &config.sip;
        let dialing = Dialing {
            connect_timeout: sip.connect_timeout,
            tls: trusted,
            headers: sip.upgrade_headers.clone(),
            max_frame: sip.max_frame,
        };
        Ok(Self {
            epoch,
            dialing: Arc::new(dialing),
            tls,
            pace: Arc::new(Pace::new(sip.register_rate)),
            channels,
            observer: Arc::new(metrics.clone()),
            clock: clock.clone(),
        })
    }

    /// Sets what the next connections trust and show.
    pub(super) fn trust(&self, tls: Arc<ClientConfig>) {
        self.tls.send_replace(tls);
    }

    /// The way from agents to the dispatcher.
    pub(super) fn reports(&self) -> mpsc::UnboundedSender<Report> {
        self.channels.reports.clone()
    }

    /// An agent that is ready to run, and the way in to it.
    pub(super) fn agent(
        &self,
        config: &Config,
        account: &Account,
        number: u32,
        index: AgentIndex,
    ) -> (AgentHandle, agent::AgentParts) {
        let identity = Arc::new(identity(config, account, number));
        let (handle, commands) = AgentHandle::new(index, identity.clone(), account.in_flight);
        let url = account.servers.first();
        let url = url.map_or_else(|| "".into(), |server| server.shown.clone());
        let parts = agent::AgentParts {
            index,
            settings: Arc::new(settings(config, account, &identity, number, self.epoch)),
            servers: account.servers.clone(),
            dialing: self.dialing.clone(),
            keepalive: config.sip.keepalive,
            recovery: config.sip.recovery,
            pace: self.pace.clone(),
            commands,
            reports: self.channels.reports.clone(),
            arrivals: handle.arrivals(self.channels.arrivals.clone()),
            shown: Arc::new(StatusCell::new(
                identity,
                url,
                self.channels.changes.clone(),
                self.clock.now(),
            )),
            observer: self.observer.clone(),
            recorder: self.channels.recorder.clone(),
            clock: self.clock.clone(),
            seed: rand::random(),
        };
        (handle, parts)
    }
}

/// The TLS configuration of connections to servers.
pub(super) fn tls(config: &Config) -> Result<Arc<ClientConfig>, agent::TlsError> {
    let sip = &config.sip;
    let own = sip.client_certificate.as_ref();
    let own = own.map(|own| (own.0.clone(), own.1.clone_key()));
    agent::client_config(&sip.authorities, own)
}

/// `alice-1`: the user of the account, made safe for a path, and a number. Accounts of the same
/// user at several domains carry the domain too.
fn identity(config: &Config, account: &Account, number: u32) -> Identity {
    let safe = |text: &str| -> String {
        let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~');
        text.chars()
            .map(|c| if keep(c) { c } else { '_' })
            .collect()
    };
    let user = safe(&account.user());
    let namesakes = config
        .accounts
        .iter()
        .filter(|other| safe(&other.user()) == user)
        .count();
    let id = match namesakes {
        0 | 1 => format!("{user}-{number}"),
        _ => format!("{user}@{}-{number}", safe(account.uri.host_and_port())),
    };
    let address = format!("<{}>", account.uri.as_str());
    let from = match &account.display_name {
        Some(name) => format!("{} {address}", sip::headers::quote(name)),
        None => address,
    };
    Identity {
        id: id.into(),
        account: account.uri.as_str().into(),
        from,
        user_agent: config.sip.user_agent.clone(),
        extra_headers: account
            .extra_headers
            .iter()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
        receives: account.receive,
    }
}

fn settings(
    config: &Config,
    account: &Account,
    identity: &Identity,
    number: u32,
    epoch: u64,
) -> sip::Settings {
    sip::Settings {
        aor: account.uri.clone(),
        from: identity.from.clone(),
        registrar: account.registrar.as_str().to_owned(),
        contact_user: format!("{:016x}", rand::random::<u64>()),
        via_host: format!("{:012x}.invalid", rand::random::<u64>() >> 16),
        instance_id: agent::instance_id(epoch, &identity.account, number),
        reg_id: 1,
        outbound: account.outbound,
        registration: Policy {
            expires: account.register_expires,
            retry_min: config.sip.recovery.min,
            retry_max: config.sip.recovery.max,
        },
        user_agent: identity.user_agent.clone(),
        extra_headers: identity.extra_headers.clone(),
        receive: account.receive.then(|| config.receive.agents.clone()),
        credentials: account.credentials.clone(),
        timer_f: config.sip.timer_f,
        max_message: max_message(config, account).0 - agent::FRAME_HEADER,
        limits: sip::parse::ParseLimits {
            frame: config.sip.max_frame,
            ..Default::default()
        },
    }
}

/// The accounts that a message can be sent as.
pub(super) fn senders(config: &Config) -> impl Iterator<Item = agent::SenderAccount> {
    config.accounts.iter().map(|account| {
        let (max_message, setting) = max_message(config, account);
        let identity = identity(config, account, 1);
        agent::SenderAccount {
            uri: account.uri.clone(),
            max_message,
            setting,
            reserved: agent::reserved(&identity),
            from_len: identity.from.len(),
        }
    })
}

/// How large a SIP message of this account may be, and which setting says so.
fn max_message(config: &Config, account: &Account) -> (usize, &'static str) {
    match account.max_message {
        Some(max) => (max, "max_message of the account"),
        None => (config.sip.max_message, "sip.max_message"),
    }
}

/// Where agents tell that they are registered, or no longer, and the task that writes it down.
pub(super) fn write_log(
    store: &Arc<dyn Store>,
    end: &CancellationToken,
) -> (RegistrationChanges, JoinHandle<()>) {
    let changes = RegistrationChanges::default();
    let log = dispatch::write_agent_log(store.clone(), changes.clone(), end.clone());
    (changes, tokio::spawn(log))
}
