//! The calls.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use reqwest::{Method, RequestBuilder, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::http::{Call, is_repeatable};
use crate::stream;
use crate::types::{
    Agent, AgentList, Batch, Event, EventType, Gap, Message, MessageStatus, NewBatch, NewMessage,
    NewWebhook, ReceiptEventType, ReceiptKind, ReceivedEvent, WebhookWithSecret,
};

const DEFAULT_RETRIES: u32 = 4;
/// `Prefer: wait` waits for 30 seconds at most.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sipost {
    url: String,
    token: Option<String>,
    retries: u32,
    http: reqwest::Client,
}

/// How a message is sent.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// Waits for the end of the message, for so many seconds at most (30).
    pub wait: Option<u32>,
    /// Two calls with the same key send once. Made up when it is left out.
    pub idempotency_key: Option<String>,
}

/// Which messages are listed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListQuery {
    /// Of this status only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<MessageStatus>,
    /// To this target only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Of this account only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How many are asked for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which received messages are listed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReceivedQuery {
    /// Received by this account only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// From this sender only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How many are asked for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which events are followed.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Of these types only; all when there are none.
    pub types: Vec<EventType>,
    /// Of this message only.
    pub message_id: Option<String>,
    /// Of messages to this target only.
    pub target: Option<String>,
    /// Of this account only.
    pub from: Option<String>,
    /// Begins after this event, or with the oldest one that is kept: `earliest`.
    pub last_event_id: Option<String>,
}

/// The events of one message. A stream, which can be told more before it is polled.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Follow {
    client: Sipost,
    id: String,
    until: Option<ReceiptKind>,
    last_event_id: Option<String>,
    events: Option<BoxStream<'static, Result<Event, Error>>>,
    is_over: bool,
}

impl Sipost {
    /// A client of the gateway at this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into().trim_end_matches('/').to_owned(),
            token: None,
            retries: DEFAULT_RETRIES,
            http: reqwest::Client::new(),
        }
    }

    /// Shows this token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Repeats a request that failed so many times at most, in place of 4.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Makes its requests with this client, which has proxies and certificates of your own.
    #[must_use]
    pub fn with_http(mut self, http: reqwest::Client) -> Self {
        self.http = http;
        self
    }

    /// Sends a message. It is accepted when it is durable.
    ///
    /// # Errors
    ///
    /// When the gateway refuses it, or is not reached.
    pub async fn send(&self, message: &NewMessage) -> Result<Message, Error> {
        self.send_with(message, &SendOptions::default()).await
    }

    /// Sends a message, and waits for its end if the options say so.
    ///
    /// # Errors
    ///
    /// When the gateway refuses it, or is not reached.
    pub async fn send_with(
        &self,
        message: &NewMessage,
        options: &SendOptions,
    ) -> Result<Message, Error> {
        let mut request = self.request(Method::POST, &["messages"]).json(message);
        if let Some(seconds) = options.wait {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        self.json_once(request, options.idempotency_key.as_deref())
            .await
    }

    /// Sends up to a thousand messages: all are accepted, or none.
    ///
    /// # Errors
    ///
    /// When the gateway refuses them, or is not reached.
    pub async fn send_batch(
        &self,
        messages: Vec<NewMessage>,
        idempotency_key: Option<&str>,
    ) -> Result<Vec<Message>, Error> {
        let batch = NewBatch { messages };
        let request = self
            .request(Method::POST, &["messages", "batch"])
            .json(&batch);
        let batch: Batch = self.json_once(request, idempotency_key).await?;
        Ok(batch.data)
    }

    /// A message as it stands.
    ///
    /// # Errors
    ///
    /// When there is none, or the gateway is not reached.
    pub async fn get(&self, id: &str) -> Result<Message, Error> {
        self.json(Method::GET, &["messages", id]).await
    }

    /// Cancels a message that is not being sent yet.
    ///
    /// # Errors
    ///
    /// When it is too late, or the gateway is not reached.
    pub async fn cancel(&self, id: &str) -> Result<Message, Error> {
        self.json(Method::DELETE, &["messages", id]).await
    }

    /// Messages, newest first.
    pub fn list(&self, query: ListQuery) -> impl Stream<Item = Result<Message, Error>> + Send {
        self.pages("messages", query)
    }

    /// The events of a message as they come, to the one that ends it. A lost connection is taken up
    /// where it was, so each event comes once.
    pub fn follow(&self, id: &str) -> Follow {
        Follow {
            client: self.clone(),
            id: id.to_owned(),
            until: None,
            last_event_id: None,
            events: None,
            is_over: false,
        }
    }

    /// Every event of the gateway as it comes, for ever. Events that were removed before they were
    /// read are [`Error::Gap`].
    pub fn events(&self, query: EventQuery) -> BoxStream<'static, Result<Event, Error>> {
        let types: Vec<String> = query.types.iter().filter_map(word).collect();
        let parameters = [
            ("type", (!types.is_empty()).then(|| types.join(","))),
            ("messageId", query.message_id),
            ("target", query.target),
            ("from", query.from),
        ];
        let given = parameters
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let given: Vec<_> = given.collect();
        let request = self.stream_request(&["events"]).query(&given);
        let events = stream::events(request, query.last_event_id, self.retries);
        let events = events.and_then(|sent| {
            future::ready(if sent.event == "gap" {
                let gap = serde_json::from_str::<Gap>(&sent.data);
                Err(gap.map_or_else(Error::Answer, |gap| Error::Gap(Box::new(gap))))
            } else {
                event(&sent.data)
            })
        });
        events.boxed()
    }

    /// The messages that come in, as they come, for ever. What was erased is left out.
    pub fn receive(
        &self,
        account: Option<&str>,
        last_event_id: Option<&str>,
    ) -> BoxStream<'static, Result<ReceivedEvent, Error>> {
        let events = self.events(EventQuery {
            types: vec![EventType::Received],
            from: account.map(str::to_owned),
            last_event_id: last_event_id.map(str::to_owned),
            ..EventQuery::default()
        });
        let received = events.try_filter_map(|event| {
            future::ready(Ok(match event {
                Event::Received(received) => Some(*received),
                _ => None,
            }))
        });
        received.boxed()
    }

    /// The messages that came in, newest first.
    pub fn list_received(
        &self,
        query: ReceivedQuery,
    ) -> impl Stream<Item = Result<ReceivedEvent, Error>> + Send {
        self.pages("received", query)
    }

    /// A message that came in.
    ///
    /// # Errors
    ///
    /// When there is none, or the gateway is not reached.
    pub async fn get_received(&self, id: &str) -> Result<ReceivedEvent, Error> {
        self.json(Method::GET, &["received", id]).await
    }

    /// Erases what a received message says.
    ///
    /// # Errors
    ///
    /// When there is none, or the gateway is not reached.
    pub async fn erase_received(&self, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &["received", id]).await
    }

    /// The user agents of the gateway.
    ///
    /// # Errors
    ///
    /// When the gateway is not reached.
    pub async fn agents(&self) -> Result<Vec<Agent>, Error> {
        let list: AgentList = self.json(Method::GET, &["agents"]).await?;
        Ok(list.data)
    }

    /// Creates a webhook. Its secret is in this answer, and in no other.
    ///
    /// # Errors
    ///
    /// When the gateway refuses it, or is not reached.
    pub async fn create_webhook(&self, webhook: &NewWebhook) -> Result<WebhookWithSecret, Error> {
        let request = self.request(Method::POST, &["webhooks"]).json(webhook);
        Ok(serde_json::from_slice(
            &self.once(request, false).body().await?,
        )?)
    }

    /// Deletes a webhook.
    ///
    /// # Errors
    ///
    /// When there is none, or the gateway is not reached.
    pub async fn delete_webhook(&self, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &["webhooks", id]).await
    }

    fn pages<T, Q>(
        &self,
        path: &'static str,
        query: Q,
    ) -> impl Stream<Item = Result<T, Error>> + Send + use<T, Q>
    where
        T: DeserializeOwned + Send + 'static,
        Q: Serialize + Send + Sync + 'static,
    {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<T> {
            data: Vec<T>,
            next_cursor: Option<String>,
        }
        let client = self.clone();
        // `None` for the first page; then the cursor of the next one, as long as there is one.
        let pages = try_unfold(Some(None::<String>), move |cursor| {
            let (client, cursor) = (client.clone(), cursor);
            let request = client.request(Method::GET, &[path]).query(&query);
            async move {
                let Some(cursor) = cursor else {
                    return Ok(None);
                };
                let cursor: Vec<_> = cursor.iter().map(|cursor| ("cursor", cursor)).collect();
                let call = client.once(request.query(&cursor), true);
                let page: Page<T> = serde_json::from_slice(&call.body().await?)?;
                let items = futures_util::stream::iter(page.data.into_iter().map(Ok::<T, Error>));
                Ok::<_, Error>(Some((items, page.next_cursor.map(Some))))
            }
        });
        pages.try_flatten()
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &[&str]) -> Result<T, Error> {
        let is_repeatable = is_repeatable(&method);
        let call = self.once(self.request(method, path), is_repeatable);
        Ok(serde_json::from_slice(&call.body().await?)?)
    }

    /// A request that carries a key, so that it can be repeated without doing it twice.
    async fn json_once<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        key: Option<&str>,
    ) -> Result<T, Error> {
        let made_up = || uuid::Uuid::new_v4().to_string();
        let key = key.map_or_else(made_up, str::to_owned);
        let call = self.once(request.header("idempotency-key", key), true);
        Ok(serde_json::from_slice(&call.body().await?)?)
    }

    async fn call(&self, method: Method, path: &[&str]) -> Result<(), Error> {
        let is_repeatable = is_repeatable(&method);
        let call = self.once(self.request(method, path), is_repeatable);
        call.answer().await.map(drop)
    }

    fn once(&self, request: RequestBuilder, is_repeatable: bool) -> Call {
        Call {
            request: request
                .header("accept", "application/json")
                .timeout(CALL_TIMEOUT),
            is_repeatable,
            retries: Some(self.retries),
        }
    }

    fn stream_request(&self, path: &[&str]) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = match Url::parse(&self.url) {
            Ok(mut url) => {
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.pop_if_empty().extend(path);
                }
                self.http.request(method, url)
            }
            // The request fails, and says why.
            Err(_) => self.http.request(method, &self.url),
        };
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Follow {
    /// Goes on after the end of the message to this receipt.
    pub fn until(mut self, receipt: ReceiptKind) -> Self {
        self.until = Some(receipt);
        self
    }

    /// Begins after this event.
    pub fn after(mut self, last_event_id: impl Into<String>) -> Self {
        self.last_event_id = Some(last_event_id.into());
        self
    }

    fn open(&mut self) -> BoxStream<'static, Result<Event, Error>> {
        let mut request = self
            .client
            .stream_request(&["messages", &self.id, "events"]);
        if let Some(until) = self.until.as_ref().and_then(word) {
            request = request.query(&[("until", until)]);
        }
        let last_event_id = self.last_event_id.take();
        let events = stream::events(request, last_event_id, self.client.retries);
        let events = events.and_then(|sent| future::ready(event(&sent.data)));
        events.boxed()
    }
}

impl Stream for Follow {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut events = match self.events.take() {
            Some(events) => events,
            None => self.open(),
        };
        let next = events.poll_next_unpin(context);
        self.is_over = match &next {
            Poll::Ready(Some(Ok(event))) => ends(event, self.until),
            Poll::Ready(Some(Err(_)) | None) => true,
            Poll::Pending => false,
        };
        self.events = Some(events);
        next
    }
}

fn event(json: &str) -> Result<Event, Error> {
    Ok(serde_json::from_str(json)?)
}

/// Whether nothing that was asked for follows this event.
fn ends(event: &Event, until: Option<ReceiptKind>) -> bool {
    match event {
        Event::Failed(_) => true,
        Event::Succeeded(_) => until.is_none(),
        Event::Receipt(receipt) => match receipt.kind {
            ReceiptEventType::Delivered => until == Some(ReceiptKind::Delivered),
            ReceiptEventType::Displayed => until == Some(ReceiptKind::Displayed),
        },
        _ => false,
    }
}

/// The word of an enumeration of the contract.
fn word(value: &impl Serialize) -> Option<String> {
    let value = serde_json::to_value(value).ok()?;
    value.as_str().map(str::to_owned)
}
