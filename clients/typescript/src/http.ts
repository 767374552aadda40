/** Requests that are repeated while that is safe, and streams that go on where they were. */
import { ConnectionError, ProblemError } from "./errors.js";
import { SseParser, type ServerSentEvent } from "./sse.js";
import type { Problem } from "./types.js";

export interface Settings {
  url: string;
  token: string | undefined;
  fetch: typeof fetch;
  /** How often a request is repeated. */
  retries: number;
}

export interface Request {
  method: string;
  path: string;
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string | undefined>;
  body?: unknown;
  /** Whether it can be repeated although it may have been carried out. */
  isRepeatable: boolean;
  signal: AbortSignal | undefined;
}

const FIRST_WAIT_MS = 250;
const MAX_WAIT_MS = 10_000;
/** A `Retry-After` beyond this is an error at once. */
const MAX_RETRY_AFTER_MS = 120_000;

/** What `read` makes of the answer of a request, which is below 400. */
export async function call<T>(
  settings: Settings,
  request: Request,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    const tried = await tryOnce(settings, request, read);
    if ("value" in tried) return tried.value;
    const failed = tried;
    const wait = failed.waitMs ?? backoff(attempt);
    if (attempt >= settings.retries || !failed.isWorthIt || wait > MAX_RETRY_AFTER_MS) {
      throw failed.error;
    }
    await sleep(wait, request.signal);
  }
}

interface Failure {
  error: Error;
  isWorthIt: boolean;
  waitMs?: number | undefined;
}

async function tryOnce<T>(
  settings: Settings,
  request: Request,
  read: (response: Response) => Promise<T>,
): Promise<{ value: T } | Failure> {
  const url = new URL(settings.url.replace(/\/+$/, "") + request.path);
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const headers = new Headers({ accept: "application/json" });
  if (settings.token !== undefined) headers.set("authorization", `Bearer ${settings.token}`);
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (value !== undefined) headers.set(name, value);
  }
  const init: RequestInit = { method: request.method, headers, redirect: "error" };
  if (request.body !== undefined) {
    headers.set("content-type", "application/json");
    init.body = JSON.stringify(request.body);
  }
  if (request.signal) init.signal = request.signal;
  try {
    const response = await settings.fetch(url, init);
    return response.ok ? { value: await read(response) } : await refused(response, request);
  } catch (cause) {
    request.signal?.throwIfAborted();
    const error = new ConnectionError(`${request.method} ${url.pathname} failed`, { cause });
    return { error, isWorthIt: request.isRepeatable };
  }
}

async function refused(response: Response, request: Request): Promise<Failure> {
  const { status } = response;
  const retryAfter = response.headers.get("retry-after");
  const waitMs = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : undefined;
  const text = await response.text().catch(() => "");
  const error = new ProblemError(status, problem(status, text), response.headers.get("x-request-id"));
  // With Retry-After nothing was taken in.
  const isFault = [408, 500, 502, 503, 504].includes(status) && request.isRepeatable;
  return { error, isWorthIt: waitMs !== undefined || isFault, waitMs };
}

/** The problem that a body tells of; a proxy between may have answered something else. */
function problem(status: number, text: string): Problem {
  try {
    const read = JSON.parse(text) as Problem;
    if (typeof read.title === "string" && typeof read.type === "string") return read;
  } catch {
    // It is not JSON.
  }
  return { type: "about:blank" as Problem["type"], title: `the answer was ${status}`, status };
}

function backoff(attempt: number): number {
  return Math.min(FIRST_WAIT_MS * 2 ** attempt, MAX_WAIT_MS) * (0.5 + Math.random() / 2);
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * The events of a stream, over as many connections as it takes. It begins after `lastEventId`. It ends
 * when the gateway says that nothing follows (204); a lost connection is taken up again. The first
 * connection is tried like any request; later ones until they succeed or the caller has enough.
 */
export async function* stream(
  settings: Settings,
  request: Omit<Request, "method" | "isRepeatable">,
  lastEventId: string | undefined,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  let reached = settings;
  let resumeMs: number | undefined;
  for (let last = lastEventId; ; ) {
    const headers = { accept: "text/event-stream", "last-event-id": last };
    const get: Request = { ...request, method: "GET", headers, isRepeatable: true };
    const response = await call(reached, get, async (response) => response);
    if (response.status === 204 || response.body === null) return;
    reached = { ...settings, retries: Number.POSITIVE_INFINITY };
    const parser = new SseParser();
    const reader = response.body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        yield* parser.push(value);
      }
    } catch (error) {
      request.signal?.throwIfAborted();
      if (error instanceof RangeError) throw error;
      // The connection was lost: the next one goes on after the last event.
    } finally {
      await reader.cancel().catch(() => undefined);
    }
    last = parser.lastEventId ?? last;
    resumeMs = parser.retry ?? resumeMs;
    // A stream that was cut before its first event is not taken up in a tight loop.
    await sleep(parser.lastEventId === undefined ? (resumeMs ?? FIRST_WAIT_MS) : FIRST_WAIT_MS, request.signal);
  }
}
