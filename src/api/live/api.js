// Calls of this gateway, with the reader's token. The token lives as long as the tab, and goes
// nowhere but to this gateway.
const KEY = "sipost.token";

// What the other modules listen to: `reach` when the gateway begins or ceases to answer, `token`
// when it wants one or has taken one.
export const signals = new EventTarget();
export const state = { reached: undefined, wantsToken: false };

// The gateway, or something in front of it, gives no answer of its own.
export class NoAnswer extends Error {}

// An answer that says no, as its problem document (RFC 9457) tells it.
export class Refusal extends Error {
  constructor(status, problem, retryAfter) {
    const details = (problem.errors || []).map((error) => `${error.pointer}: ${error.detail}`);
    const reason = details.join("; ") || problem.detail || problem.title || "no reason given";
    super(`${status}: ${reason}`);
    Object.assign(this, { status, reason, retryAfter });
  }
}

export const token = () => sessionStorage.getItem(KEY) || "";

const reach = (reached) => {
  if (state.reached === reached) return;
  state.reached = reached;
  signals.dispatchEvent(new Event("reach"));
};

const call = async (path, { headers, ...options } = {}) => {
  const all = { ...headers };
  if (token()) all.Authorization = `Bearer ${token()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers: all, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reach(false);
    throw new NoAnswer("the gateway does not answer");
  }
  const isProblem = (response.headers.get("Content-Type") || "").startsWith("application/problem+json");
  if (response.ok || isProblem) {
    reach(true);
    return response;
  }
  // Our gateway says no with a problem document. This is somebody else.
  reach(false);
  throw new NoAnswer(`${response.status} ${response.statusText}`.trim());
};

// While a token is wanted, calls wait for it: each wrong one counts against this address.
let gate = Promise.resolve();
let open = () => {};
const wantToken = () => {
  if (state.wantsToken) return;
  gate = new Promise((done) => {
    open = done;
  });
  state.wantsToken = true;
  signals.dispatchEvent(new Event("token"));
};

// The answer to a call that was granted.
export const ask = async (path, options = {}) => {
  const onlyLooks = !options.method;
  if (onlyLooks) await gate;
  const response = await call(path, options);
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) {
    wantToken();
    if (onlyLooks) return ask(path, options);
  }
  throw new Refusal(response.status, problem, Number(response.headers.get("Retry-After")) || 0);
};

export const get = async (path) => (await ask(path)).json();

export const post = (path, value, { headers, ...options } = {}) =>
  ask(path, {
    ...options,
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(value),
  });

// A page of the log that leads back: events before this one, newest first, and where older ones
// begin, null when there are none. Pages without an event that the query asks for are passed over,
// and no more than `pages` are read.
export const eventsBefore = async (before, query, pages) => {
  for (let read = 1; ; read += 1) {
    const page = await get(`/events?${query}&before=${before}`);
    // The number of the cursor is 0 when there is nothing older.
    const older = /-0+$/.test(page.nextCursor) ? null : page.nextCursor;
    if (page.data.length || older === null || read === pages) return { events: page.data, older };
    before = older;
  }
};

// Tries a token and keeps it; an empty one is forgotten. What the gateway has against it.
export const useToken = async (text) => {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
  const response = await call("/agents");
  if (response.status === 401) {
    wantToken();
    return text && "The gateway does not know this token.";
  }
  if (response.status === 429) {
    return `Too many wrong tokens came from this address: try again in ${response.headers.get("Retry-After")} s.`;
  }
  state.wantsToken = false;
  signals.dispatchEvent(new Event("token"));
  open();
  return "";
};

// The blocks of an event stream, as they come.
export async function* blocks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const block = {};
      for (const line of text.slice(0, end).split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) block[line.slice(0, at)] = line.slice(at + 2);
      }
      yield block;
    }
  }
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
