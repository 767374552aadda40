// Sends a message, and says what becomes of it.
import { NoAnswer, Refusal, ask, blocks, get, pause, post } from "./api.js";
import * as agents from "./agents.js";
import { badge, code, make } from "./dom.js";
import { KIND, clock, describe, waiting } from "./words.js";

const EVERY = 2000;
const isEnd = (event) => event.type === "succeeded" || event.type === "failed";

const step = (kind, name, content, time) =>
  make("li", {}, badge(name, kind), make("span", {}, content), time && make("time", {}, clock(time)));

// The events of a message, from the answer to its POST on; over lost connections, too.
async function* eventsOf(id, response, say, signal) {
  let last;
  for (;;) {
    try {
      response ??= await ask(`/messages/${id}/events`, {
        headers: { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) },
        signal,
      });
      // It has ended, and all of it was seen.
      if (response.status === 204) return;
      say("");
      for await (const block of blocks(response)) {
        if (block.id) last = block.id;
        if (!block.data) continue;
        const event = JSON.parse(block.data);
        if (!event.type) continue;
        yield event;
        if (isEnd(event)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refusal && error.status !== 503 && error.status !== 429) throw error;
    }
    response = undefined;
    say("the message goes on, and is asked for again", "not connected");
    await pause(EVERY);
  }
}

// One line at the end that says what the message waits for, as long as it does.
const waitingLine = (trail) => {
  let line;
  let said = "";
  return (text, status) => {
    if (text === said) return;
    said = text;
    line?.remove();
    line = text && step("warn", status, text);
    if (line) trail.append(line);
  };
};

// Ends with the message, or with the next one that is sent from the same place.
const followed = async (id, response, trail, signal) => {
  const say = waitingLine(trail);
  const look = setInterval(async () => {
    // While the gateway is away the stream says so.
    const message = await get(`/messages/${id}`).catch(() => undefined);
    if (message && !message.result && !signal.aborted) say(waiting(message, agents.known), message.status);
  }, EVERY);
  signal.addEventListener("abort", () => clearInterval(look));
  try {
    for await (const event of eventsOf(id, response, say, signal)) {
      say("");
      trail.append(step(KIND[event.type], event.type, describe(event), event.time));
    }
  } finally {
    clearInterval(look);
    say("");
  }
};

const refusedOr = (error) => {
  if (error instanceof Refusal) return step("bad", "refused", error.message);
  if (!(error instanceof NoAnswer)) throw error;
  const words = `${error.message}. Whether it took the message is not known; Messages shows it if it did.`;
  return step("warn", "no answer", words);
};

const followers = new WeakMap();

// Resolves once the message is accepted or refused. What becomes of it is written as it comes.
export const deliver = async (message, trail) => {
  followers.get(trail)?.abort();
  const follower = new AbortController();
  followers.set(trail, follower);
  trail.replaceChildren();
  const { signal } = follower;
  try {
    const response = await post("/messages", message, { headers: { Accept: "text/event-stream" }, signal });
    const id = (response.headers.get("Location") || "").split("/").pop();
    trail.append(step("", "accepted", make("a", { href: `#/messages/${id}` }, code(id))));
    followed(id, response, trail, signal).catch((error) => {
      if (!signal.aborted) trail.append(refusedOr(error));
    });
  } catch (error) {
    trail.append(refusedOr(error));
  }
};

// Makes a form send what `read` makes of it.
export const sends = (form, trail, read) =>
  form.addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await deliver(read(), trail);
    } finally {
      button.disabled = false;
    }
  });
