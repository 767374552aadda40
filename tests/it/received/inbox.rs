//! The API, the feed and the webhooks over a real store, into which the test puts what comes in.
//! Nothing is sent: the dispatcher takes messages in, and that is all.

use std::sync::Arc;
use std::time::Duration;

use sha2::Digest as _;
use sha2::Sha256;
use sipost::agent::Accounts;
use sipost::agent::SenderAccount;
use sipost::api::Access;
use sipost::api::AccessParts;
use sipost::api::Api;
use sipost::api::ApiService;
use sipost::api::Hosts;
use sipost::api::Parts;
use sipost::api::Rights;
use sipost::api::Token;
use sipost::clock::Clock;
use sipost::config::Config;
use sipost::dispatch;
use sipost::dispatch::AcceptRequest;
use sipost::dispatch::Admission;
use sipost::dispatch::Command;
use sipost::dispatch::QueueCounts;
use sipost::dispatch::SipTraces;
use sipost::events::Feed;
use sipost::message::AgentError;
use sipost::message::AgentList;
use sipost::message::AgentStatus;
use sipost::message::Agents;
use sipost::message::ByMessage;
use sipost::message::Disposition;
use sipost::message::Event;
use sipost::message::MessageId;
use sipost::message::Receipt;
use sipost::message::Received;
use sipost::message::RequestView;
use sipost::message::ResponseView;
use sipost::message::Sender;
use sipost::message::Status;
use sipost::message::Timestamp;
use sipost::message::What;
use sipost::sip::uri::Uri;
use sipost::store;
use sipost::store::Arrived;
use sipost::store::Record;
use sipost::store::Recorded;
use sipost::store::Reported;
use sipost::store::Store;
use sipost::store::Submission;
use sipost::store::Verdict;
use sipost::trace::Recorder;
use sipost::webhook;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::Client;

pub(crate) const ALICE: &str = "sip:alice@example.com";
pub(crate) const CAROL: &str = "sip:carol@example.com";
pub(crate) const BOB: &str = "sip:bob@example.com";

pub(crate) struct Inbox {
    pub(crate) client: Client,
    pub(crate) store: Arc<dyn Store>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Inbox {
    pub(crate) async fn open() -> Self {
        Self::guarded(None).await
    }

    /// With a token of each of these names, for the account beside it.
    pub(crate) async fn with_tokens(tokens: &[(&str, &str)]) -> Self {
        let token = |(name, account): &(&str, &str)| Token {
            name: (*name).into(),
            sha256: Sha256::digest(name).into(),
            accounts: Some([Arc::from(*account)].into()),
            rights: Rights::Full,
            rate: None,
            share: None,
            signs_webhooks: false,
        };
        Self::guarded(Some(tokens.iter().map(token).collect())).await
    }

    async fn guarded(tokens: Option<Vec<Token>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let options = store::sqlite::Options::new(folder.path().join("inbox.db"));
        let store = store::sqlite::open(options, clock.now()).unwrap();
        let config = Config::from_toml("").unwrap();
        let stop = CancellationToken::new();
        let feed = Feed::new(store.clone());
        tokio::spawn(feed.clone().run(stop.clone()));
        let webhooks = webhooks(&store, &clock);
        tokio::spawn(webhooks.clone().run(stop.clone()));
        let account = |uri: &str| SenderAccount {
            uri: Uri::parse(uri).unwrap(),
            max_message: 16_384,
            setting: "sip.max_message",
            reserved: 1_500,
            from_len: 30,
        };
        let access = Access::new(AccessParts {
            tokens,
            open_metrics: false,
            refused_rate: 1_000,
            hosts: Hosts::default(),
        });
        let service = ApiService::new(Api::new(Parts {
            store: store.clone(),
            dispatch: dispatcher(store.clone()),
            feed,
            webhooks,
            accounts: Arc::new(Accounts::new([account(ALICE), account(CAROL)])),
            agents: Arc::new(Nobody),
            traces: SipTraces::new(Arc::new(Recorder::off()), store.clone()),
            observer: Arc::new(()),
            clock,
            access: watch::channel(Arc::new(access)).1,
            limits: watch::channel(config.delivery.limits).1,
            settings: config.http.settings,
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
        }));
        let router = axum::Router::new().fallback_service(service);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            client: Client::new(base),
            store,
            stop,
            _folder: folder,
        }
    }

    /// Takes a message in, and gives its id.
    pub(crate) async fn receive(&self, received: Received) -> String {
        let id = received.id.to_string();
        let arrived = self.store.receive(vec![received]).await.unwrap();
        assert!(matches!(arrived[..], [Arrived::Appended(_)]), "{arrived:?}");
        id
    }

    /// A message as Alice's agent sends it: what is to happen to it is said in words.
    pub(crate) async fn tell(&self, id: &str, words: &[&str]) {
        let message_id: MessageId = id.parse().unwrap();
        for word in words {
            let what = match *word {
                "sending" => What::Sending {
                    request: RequestView::cut(BOB.into(), id.to_owned(), 1, &[]),
                },
                "succeeded" => What::Succeeded {
                    response: Some(ResponseView::cut(200, "OK".to_owned(), &[])),
                    receipt: None,
                },
                "delivered" => {
                    self.report(message_id, Disposition::Delivered).await;
                    continue;
                }
                "displayed" => {
                    self.report(message_id, Disposition::Displayed).await;
                    continue;
                }
                other => panic!("{other} does not happen here"),
            };
            let status = match what {
                What::Sending { .. } => Status::Sending,
                _ => Status::Succeeded,
            };
            let event = Event {
                message_id,
                time: now(),
                attempt: 1,
                agent: Some("alice-1".into()),
                uri: BOB.into(),
                account: Some(ALICE.into()),
                webhook: None,
                trace: None,
                priority: None,
                metadata: [("order".to_owned(), "42".to_owned())].into(),
                what,
            };
            let record = Record {
                event,
                status,
                not_before: None,
            };
            let recorded = self.store.record(vec![record].into()).await.unwrap();
            assert!(matches!(recorded[..], [Recorded::Appended(_)]));
        }
    }

    async fn report(&self, message_id: MessageId, disposition: Disposition) {
        let receipt = Receipt {
            message_id,
            time: now(),
            account: ALICE.into(),
            agent: "alice-1".into(),
            recipient: BOB.into(),
            disposition,
        };
        let reported = self.store.report(vec![receipt]).await.unwrap();
        assert!(
            matches!(reported[..], [Reported::Appended(_)]),
            "{reported:?}"
        );
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

/// A message from Bob to this account.
pub(crate) fn from_bob(account: &str, body: &str) -> Received {
    let id = MessageId::new(uuid::Uuid::now_v7());
    let call_id = format!("{id}@192.0.2.20");
    Received {
        id,
        time: now(),
        account: account.into(),
        agent: "alice-1".into(),
        from: Sender {
            uri: BOB.to_owned(),
            display_name: Some("Bob".to_owned()),
            asserted: None,
        },
        to: account.to_owned(),
        content_type: "text/plain".to_owned(),
        body: body.into(),
        request: RequestView::cut(account.into(), call_id, 1, &[]),
        from_tag: "49583".to_owned(),
        answers: Vec::new(),
        in_reply_to: None,
        envelope: None,
        expired: false,
    }
}

/// Posts to this machine, and again soon.
fn webhooks(store: &Arc<dyn Store>, clock: &Clock) -> webhook::Webhooks {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let guard = webhook::AddressGuard::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let timeout = Duration::from_secs(30);
    let client = webhook::Client::new(guard, webhook::SystemResolver, &tls, timeout, 1);
    webhook::Webhooks::new(webhook::Dependencies {
        store: store.clone(),
        client: watch::channel(client.unwrap()).1,
        vault: webhook::Vault::plain(),
        own_secret: None,
        schedule: webhook::Schedule {
            waits: vec![Duration::from_millis(1); 3],
            disable_after: timeout,
        },
        concurrency: 4,
        clock: clock.clone(),
        observer: Arc::new(()),
    })
}

/// Takes messages in.
fn dispatcher(store: Arc<dyn Store>) -> dispatch::Handle {
    let (handle, mut commands) = dispatch::Handle::new(16);
    tokio::spawn(async move {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Accept(AcceptRequest {
                    messages,
                    key,
                    reply,
                    ..
                }) => {
                    let submission = Submission {
                        messages: messages.clone(),
                        key,
                    };
                    let mut verdicts = store.accept(vec![submission]).await.unwrap();
                    let admission = match verdicts.remove(0) {
                        Verdict::Replayed(ids) => Admission::Replayed(ids),
                        verdict => {
                            assert_eq!(verdict, Verdict::Accepted);
                            Admission::Accepted(messages)
                        }
                    };
                    reply.send(Ok(admission));
                }
                Command::Cancel { reply, .. } => drop(reply.send(Ok(()))),
                Command::Rates(_) | Command::Settle(_) | Command::Flush { .. } => {}
                Command::WaitingFor { reply, .. } => drop(reply.send(ByMessage::default())),
                Command::Counts { reply } => drop(reply.send(QueueCounts::default())),
            }
        }
    });
    handle
}

/// No agents at all.
struct Nobody;

impl Agents for Nobody {
    fn list(&self) -> AgentList {
        Box::new(std::iter::empty())
    }

    fn get(&self, _: &str) -> Option<AgentStatus> {
        None
    }

    fn drain(&self, _: &str) -> Result<(), AgentError> {
        Err(AgentError::NotFound)
    }

    fn resume(&self, _: &str) -> Result<(), AgentError> {
        Err(AgentError::NotFound)
    }

    fn reregister(&self, _: &str) -> Result<(), AgentError> {
        Err(AgentError::NotFound)
    }
}
