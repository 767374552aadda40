// When agents were registered, and when and why they no longer were: the newest events of agents.
import { eventsBefore } from "./api.js";
import { $, badge, make } from "./dom.js";
import { KIND, clock, describe } from "./words.js";

const QUERY = "type=agentUp,agentDown&limit=6";
// Pages of the log that are looked through at once: most of its events are of messages.
const PAGES = 8;
const ROWS = 100;

// Where older events begin; null when there are none.
let older = null;

const show = (event) =>
  make(
    "li",
    { "data-id": event.id },
    badge(event.type, KIND[event.type]),
    make("span", {}, `${event.agent} · ${describe(event)}`),
    make("time", { datetime: event.time }, clock(event.time)),
  );

const count = () => {
  $("changes-none").hidden = $("changes").children.length > 0 || older !== null;
  $("changes-older").hidden = older === null;
};

export const add = (event) => {
  const rows = $("changes");
  // Events are followed from the newest of a message, and the list may be far ahead of that. The
  // ids of a log sort as text.
  const newest = rows.firstElementChild;
  if (newest && event.id <= newest.dataset.id) return;
  rows.prepend(show(event));
  while (rows.children.length > ROWS) {
    rows.lastChild.remove();
    older = rows.lastChild.dataset.id;
  }
  count();
};

export const showOlder = async () => {
  if (older === null) return;
  const page = await eventsBefore(older, QUERY, PAGES);
  older = page.older;
  $("changes").append(...page.events.map(show));
  count();
};

export const begin = async () => {
  const page = await eventsBefore("latest", QUERY, PAGES);
  older = page.older;
  $("changes").replaceChildren(...page.events.map(show));
  count();
};
