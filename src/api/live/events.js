// The log: its last fifty events, those that come, and the way back.
import { ask, blocks, eventsBefore, pause } from "./api.js";
import * as changes from "./changes.js";
import { $, badge, code, make, row } from "./dom.js";
import { KIND, PRIORITY, clock, describe, number } from "./words.js";

const QUERY = "limit=50";
const ROWS = 500;
// Pages of the log that are looked through at once: a token may be for few of its events.
const PAGES = 100;
// Every type: events of agents come to readers that name them.
const TYPES = "sending,deferred,succeeded,failed,received,delivered,displayed,undelivered,agentUp,agentDown";

// What else wants to know of an event that came.
const listeners = [];
export const onEvent = (listener) => listeners.push(listener);

// Links to what an event is about, which opens beside the list.
export const linkTo = (event) => {
  if (!event.messageId) return "–";
  const kind = event.type === "received" ? "received" : "messages";
  const text = code(event.messageId.slice(-12));
  return make("a", { href: `#/${kind}/${event.messageId}`, title: event.messageId }, text);
};

// The priority of a message that was given one.
const mark = ({ priority }) => (priority ? [" ", badge(priority, PRIORITY[priority])] : []);

const show = (event, attributes) =>
  row(
    [
      ["Time", clock(event.time)],
      ["Event", badge(event.type, KIND[event.type]), ...mark(event)],
      ["What", describe(event)],
      ["Agent", event.agent || "–"],
      ["Message", linkTo(event)],
    ],
    { "data-id": event.id, ...attributes },
  );

let last = "earliest";
// Where older events begin; null when there are none.
let older = null;
let seen = 0;

const count = () => {
  $("events-none").hidden = $("events").children.length > 0;
  $("events-older").hidden = older === null;
  $("events-count").textContent = seen ? `${number(seen)} new` : "";
};

const add = (event) => {
  seen += 1;
  const rows = $("events");
  rows.prepend(show(event, { class: "new" }));
  while (rows.children.length > ROWS) {
    rows.lastChild.remove();
    older = rows.lastChild.dataset.id;
  }
  count();
};

const back = async (before) => {
  const page = await eventsBefore(before, QUERY, PAGES);
  older = page.older;
  return page.events;
};

export const showOlder = async () => {
  const events = older === null ? [] : await back(older);
  $("events").append(...events.map((event) => show(event)));
  count();
};

// Begins anew, as after another token.
const begin = async () => {
  const events = await back("latest");
  // Behind the newest that is shown, or, without one, behind all that was looked through.
  last = events[0]?.id ?? older ?? "earliest";
  seen = 0;
  $("events").replaceChildren(...events.map((event) => show(event)));
  count();
  await changes.begin();
};

let stream = new AbortController();
let hasBegun = false;
export const restart = () => {
  hasBegun = false;
  stream.abort();
};

// Follows the log without end; `say` is told how that goes.
export const follow = async (say) => {
  for (;;) {
    let wait = 3000;
    try {
      if (!hasBegun) await begin();
      hasBegun = true;
      stream = new AbortController();
      const headers = { Accept: "text/event-stream", "Last-Event-ID": last };
      const response = await ask(`/events?type=${TYPES}`, { headers, signal: stream.signal });
      say("live", "live");
      for await (const block of blocks(response)) {
        if (block.id) last = block.id;
        if (block.retry) wait = Number(block.retry);
        // It is another log, or some of it was missed: what is shown is not what is there.
        if (block.event === "gap") {
          restart();
          continue;
        }
        if (!block.event || !block.data) continue;
        const event = JSON.parse(block.data);
        if (event.type.startsWith("agent")) changes.add(event);
        else add(event);
        for (const listener of listeners) listener(event);
      }
      say("away", "not connected");
    } catch (error) {
      if (error.name === "AbortError") wait = 0;
      else say("away", error.status ? `no events: ${error.message}` : "not connected");
    }
    await pause(wait);
  }
};
