import { GapError } from "./errors.js";
import { call, stream, type Request, type Settings } from "./http.js";
import type {
  Agent,
  Event,
  EventType,
  Gap,
  Message,
  MessageStatus,
  NewMessage,
  NewWebhook,
  ReceiptKind,
  ReceivedEvent,
  WebhookWithSecret,
} from "./types.js";

export interface Options {
  /** Where the gateway is. `SIPOST_URL` of the environment, or `http://127.0.0.1:8080`. */
  url?: string | undefined;
  /** The token of this client. `SIPOST_TOKEN` of the environment where there is one. */
  token?: string | undefined;
  /** How often a request is repeated that failed: 4 times unless said otherwise. */
  retries?: number | undefined;
  /** What makes the requests. */
  fetch?: typeof fetch | undefined;
}

/** What every call can be told. */
export interface Call {
  /** Ends the call. */
  signal?: AbortSignal | undefined;
}

export interface SendOptions extends Call {
  /** Waits for the end of the message, for so many seconds at most (30). */
  wait?: number | undefined;
  /** Two calls with the same key send once. Made up when it is left out. */
  idempotencyKey?: string | undefined;
}

export interface FollowOptions extends Call {
  /** Goes on after the end of the message to this receipt. */
  until?: ReceiptKind | undefined;
  /** Begins after this event. */
  lastEventId?: string | undefined;
}

export interface EventQuery extends Call {
  types?: EventType[] | undefined;
  messageId?: string | undefined;
  target?: string | undefined;
  /** Events of this account only. */
  from?: string | undefined;
  /** Begins after this event, or with the oldest one that is kept: `earliest`. */
  lastEventId?: string | undefined;
  /** Called when events were removed before they were read. Left out, that is a `GapError`. */
  onGap?: ((gap: Gap) => void) | undefined;
}

export interface ReceiveQuery extends Call {
  /** The account that received the message. */
  account?: string | undefined;
  /** Begins after this event, or with the oldest one that is kept: `earliest`. */
  lastEventId?: string | undefined;
  onGap?: ((gap: Gap) => void) | undefined;
}

export interface ListQuery extends Call {
  status?: MessageStatus | undefined;
  target?: string | undefined;
  from?: string | undefined;
  /** How many messages are asked for at once. */
  limit?: number | undefined;
}

type Page<T> = { data: T[]; nextCursor: string | null };

export class Sipost {
  readonly #settings: Settings;

  constructor(options: Options = {}) {
    // Not there in a browser.
    const environment = (globalThis as { process?: { env: Record<string, string | undefined> } })
      .process?.env;
    this.#settings = {
      url: options.url ?? environment?.["SIPOST_URL"] ?? "http://127.0.0.1:8080",
      token: options.token ?? environment?.["SIPOST_TOKEN"],
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      retries: options.retries ?? 4,
    };
  }

  /** Sends a message. It is accepted when it is durable; with `wait` the answer is its end. */
  send(message: NewMessage, options: SendOptions = {}): Promise<Message> {
    const prefer = options.wait === undefined ? undefined : `wait=${options.wait}`;
    return this.#json("POST", "/messages", {
      body: message,
      headers: { prefer, ...key(options.idempotencyKey) },
      signal: options.signal,
    });
  }

  /** Sends up to a thousand messages: all are accepted, or none. */
  async sendBatch(messages: NewMessage[], options: Omit<SendOptions, "wait"> = {}): Promise<Message[]> {
    const batch = await this.#json<{ data: Message[] }>("POST", "/messages/batch", {
      body: { messages },
      headers: key(options.idempotencyKey),
      signal: options.signal,
    });
    return batch.data;
  }

  get(id: string, options: Call = {}): Promise<Message> {
    return this.#json("GET", `/messages/${encodeURIComponent(id)}`, options);
  }

  /** Cancels a message that is not being sent yet. */
  cancel(id: string, options: Call = {}): Promise<Message> {
    return this.#json("DELETE", `/messages/${encodeURIComponent(id)}`, options);
  }

  /** Messages, newest first. */
  list({ signal, ...query }: ListQuery = {}): AsyncGenerator<Message, void, undefined> {
    return this.#pages("/messages", query, signal);
  }

  /**
   * The events of a message as they come, to the one that ends it. A lost connection is taken up
   * where it was, so each event comes once.
   */
  async *follow(
    message: string | Pick<Message, "id">,
    options: FollowOptions = {},
  ): AsyncGenerator<Event, void, undefined> {
    const id = typeof message === "string" ? message : message.id;
    const { until, signal, lastEventId } = options;
    const path = `/messages/${encodeURIComponent(id)}/events`;
    for await (const { data } of stream(this.#settings, { path, query: { until }, signal }, lastEventId)) {
      const event = JSON.parse(data) as Event;
      yield event;
      const isEnd = event.type === "failed" || (event.type === "succeeded" && until === undefined);
      if (isEnd || event.type === until) return;
    }
  }

  /** Every event of the gateway as it comes, for ever. */
  async *events(query: EventQuery = {}): AsyncGenerator<Event, void, undefined> {
    const { types, signal, lastEventId, onGap, ...others } = query;
    const request = { path: "/events", query: { ...others, type: types?.join(",") }, signal };
    for await (const { event, data } of stream(this.#settings, request, lastEventId)) {
      if (event !== "gap") {
        yield JSON.parse(data) as Event;
        continue;
      }
      const gap = JSON.parse(data) as Gap;
      if (onGap === undefined) throw new GapError(gap);
      onGap(gap);
    }
  }

  /** The messages that come in, as they come, for ever. What was erased is left out. */
  async *receive(query: ReceiveQuery = {}): AsyncGenerator<ReceivedEvent, void, undefined> {
    const { account, ...others } = query;
    const from = account === undefined ? {} : { from: account };
    for await (const event of this.events({ ...others, ...from, types: ["received"] })) {
      if (event.type === "received" && !("erased" in event)) yield event;
    }
  }

  /** The messages that came in, newest first. */
  listReceived({
    signal,
    ...query
  }: Call & { account?: string; from?: string; limit?: number } = {}): AsyncGenerator<
    ReceivedEvent,
    void,
    undefined
  > {
    return this.#pages("/received", query, signal);
  }

  getReceived(id: string, options: Call = {}): Promise<ReceivedEvent> {
    return this.#json("GET", `/received/${encodeURIComponent(id)}`, options);
  }

  /** Erases what a received message says. */
  async eraseReceived(id: string, options: Call = {}): Promise<void> {
    await this.#call("DELETE", `/received/${encodeURIComponent(id)}`, options);
  }

  async agents(options: Call = {}): Promise<Agent[]> {
    return (await this.#json<{ data: Agent[] }>("GET", "/agents", options)).data;
  }

  /** Creates a webhook. Its secret is in this answer, and in no other. */
  createWebhook(webhook: NewWebhook, options: Call = {}): Promise<WebhookWithSecret> {
    return this.#json("POST", "/webhooks", { body: webhook, ...options });
  }

  async deleteWebhook(id: string, options: Call = {}): Promise<void> {
    await this.#call("DELETE", `/webhooks/${encodeURIComponent(id)}`, options);
  }

  async *#pages<T>(
    path: string,
    query: Record<string, string | number | undefined>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T, void, undefined> {
    let cursor: string | undefined;
    do {
      const page: Page<T> = await this.#json("GET", path, { query: { ...query, cursor }, signal });
      yield* page.data;
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
  }

  async #json<T>(method: string, path: string, request: Partial<Request>): Promise<T> {
    return JSON.parse(await this.#call(method, path, request)) as T;
  }

  #call(method: string, path: string, request: Partial<Request>): Promise<string> {
    const isRepeatable = method !== "POST" || request.headers?.["idempotency-key"] !== undefined;
    const whole: Request = { signal: undefined, ...request, method, path, isRepeatable };
    return call(this.#settings, whole, (response) => response.text());
  }
}

/** With a key a request can be repeated without sending twice. */
function key(given: string | undefined): Record<string, string> {
  return { "idempotency-key": given ?? crypto.randomUUID() };
}
