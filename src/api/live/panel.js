// One message, received message or webhook, opened beside the lists: `#/messages/{id}`.
import { cancel, ofWebhook, recovery, retry } from "./actions.js";
import { Refusal, get, state } from "./api.js";
import * as agents from "./agents.js";
import { $, badge, code, list, make, note, replace, row, table, tabs } from "./dom.js";
import { onEvent } from "./events.js";
import { webhookState } from "./lists.js";
import { sends } from "./send.js";
import { KIND, STATUS, apart, clock, describe, senderOf, standing, textOf } from "./words.js";

const heading = (text, ...more) => make("h3", {}, text, ...more);
const section = (id, ...content) => make("div", { id, class: "pane", tabindex: "0" }, ...content);

// --- A message -----------------------------------------------------------------------------
// Each event with the time since the message was accepted.
const timeline = (message, events) => {
  const entry = (time, name, kind, text, more) =>
    make(
      "li",
      {},
      make("div", {}, badge(name, kind), make("span", {}, text)),
      make("small", {}, [clock(time), apart(message.createdAt, time), more].filter(Boolean).join(" · ")),
    );
  const accepted = message.sendAt ? `to be sent at ${clock(message.sendAt)}` : "";
  const items = [entry(message.createdAt, "accepted", "", accepted)];
  for (const event of events) {
    // An attempt that the end of the gateway interrupts is made again, so there can be more than were asked for.
    const limit = event.attempt > message.attempts ? "" : ` of ${message.attempts}`;
    const attempt = event.attempt && !event.recipient ? `attempt ${event.attempt}${limit}` : "";
    const more = [attempt, event.agent].filter(Boolean).join(" · ");
    items.push(entry(event.time, event.type, KIND[event.type], describe(event), more));
  }
  if (!message.result) {
    const why = standing(message, agents.known);
    if (why) items.push(make("li", {}, make("div", {}, badge(message.status, "warn"), make("span", {}, why))));
  }
  return make("ol", { class: "timeline" }, ...items);
};

const headerRows = (headers) =>
  list(Object.entries(headers || {}).flatMap(([name, values]) => values.map((value) => [name, value])));

// What the message was given, and the headers of each request and response.
const headers = (message, events) => {
  const own = message.extraHeaders.map((line) => {
    const at = line.indexOf(":");
    return [line.slice(0, at), line.slice(at + 1).trim()];
  });
  const parts = [heading("Given"), list([["Content-Type", message.contentType], ...own])];
  for (const { attempt, request, response } of events) {
    if (request) parts.push(heading(`Request ${attempt}`), headerRows(request.headers));
    if (response) {
      parts.push(heading(`Response ${attempt}: ${response.statusCode} ${response.reasonPhrase}`), headerRows(response.headers));
    }
  }
  if (parts.length === 2) parts.push(note("No request was built yet."));
  return parts;
};

const receipts = (message, events) => {
  const asked = message.receiptsAsked.join(", ") || "none; what comes all the same is shown";
  const rows = events
    .filter((event) => event.recipient)
    .map((event) =>
      row([
        ["Time", clock(event.time)],
        ["Receipt", badge(event.type, KIND[event.type])],
        ["Recipient", event.recipient],
        ["Reason", event.reason || event.status || "–"],
      ]),
    );
  const came = rows.length
    ? table("Receipts", ["Time", "Receipt", "Recipient", "Reason"], rows)
    : note("No receipt has come.");
  return [list([["Asked for", asked]]), came];
};

// The frames as they went over the wire. Undefined when this gateway keeps none.
const framesOf = async (path) => {
  try {
    return (await get(`${path}/sip`)).data;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
};

const trace = (frames) => {
  if (!frames.length) return [note("No frames of this message are kept: trace.keep says of which they are.")];
  return frames.map(({ time, direction, agent, local, remote, frame }) => {
    const way = direction === "sent" ? `${local} → ${remote}` : `${local} ← ${remote}`;
    const words = [clock(time), direction, agent, way].filter(Boolean).join(" · ");
    return make(
      "details",
      { open: true },
      make("summary", {}, make("strong", {}, frame.split("\r\n", 1)[0]), make("small", {}, words)),
      make("pre", { tabindex: "0" }, frame),
    );
  });
};

const facts = (message) =>
  list([
    ["Id", code(message.id)],
    ["To", message.target],
    ["From", message.from || "any account"],
    ["Text", make("pre", { class: "text" }, textOf(message))],
    ["Expires", clock(message.expiresAt)],
    ["Answers", message.inReplyTo && make("a", { href: `#/received/${message.inReplyTo}` }, code(message.inReplyTo))],
    ["Webhook", message.webhook],
    ["Metadata", Object.entries(message.metadata).map(([name, value]) => `${name}: ${value}`).join(", ")],
  ]);

// With these statuses the API takes a cancellation, unless the message begins meanwhile.
const CANCELABLE = ["scheduled", "queued"];

const openMessage = async (id) => {
  const path = `/messages/${id}`;
  const [message, events, frames] = await Promise.all([get(path), get(`${path}/events`), framesOf(path)]);
  const panes = [
    { name: "Timeline", panel: section("timeline", timeline(message, events.data), facts(message)) },
    { name: "Headers", panel: section("headers", ...headers(message, events.data)) },
    { name: "Receipts", panel: section("receipts", ...receipts(message, events.data)) },
  ];
  if (frames) panes.push({ name: "SIP", panel: section("trace", ...trace(frames)) });
  return {
    title: `Message to ${message.target}`,
    state: [badge(message.status, STATUS[message.status]), make("span", {}, standing(message, agents.known))],
    actions: CANCELABLE.includes(message.status) ? [cancel(message, say)] : [],
    panes,
    isOver: Boolean(message.result),
  };
};

// --- A received message --------------------------------------------------------------------
const replyTo = (received) => {
  const text = make("textarea", { rows: "3", required: true });
  const trail = make("ol", { class: "trail", "aria-live": "polite", "aria-label": "What became of the reply" });
  const form = make("form", { class: "reply" }, make("label", {}, "Reply ", text), make("button", { type: "submit" }, "Reply"));
  sends(form, trail, () => ({ inReplyTo: received.messageId, body: text.value }));
  return [form, trail];
};

const openReceived = async (id) => {
  const path = `/received/${id}`;
  const [received, frames] = await Promise.all([get(path), framesOf(path)]);
  const said = list([
    ["Text", make("pre", { class: "text" }, textOf(received))],
    ["From", received.from.uri],
    ["To", received.to],
    ["Account", received.account],
    ["Time", clock(received.time)],
    ["Type", received.contentType],
    ["Answers", received.inReplyTo && make("a", { href: `#/messages/${received.inReplyTo}` }, code(received.inReplyTo))],
    ["Id", code(received.messageId)],
  ]);
  const panes = [
    { name: "Message", panel: section("said", said, ...replyTo(received)) },
    { name: "Headers", panel: section("headers", headerRows(received.request.headers)) },
  ];
  if (frames) panes.push({ name: "SIP", panel: section("trace", ...trace(frames)) });
  return {
    title: `From ${senderOf(received)}`,
    state: [badge("received"), received.expired ? make("span", {}, "it was to expire before it came") : ""],
    panes,
    isOver: true,
  };
};

// --- A webhook -----------------------------------------------------------------------------
const DELIVERY = { delivered: "good", failed: "bad", pending: "warn" };

const linkOf = ({ type, messageId }) => {
  if (type.startsWith("agent")) return "–";
  const kind = type === "received" ? "received" : "messages";
  return make("a", { href: `#/${kind}/${messageId}`, title: messageId }, code(messageId.slice(-12)));
};

const showDelivery = (webhook, delivery) => {
  const last = delivery.attempts.at(-1);
  const said = last && [last.status, last.error, last.answer].filter(Boolean).join(" · ");
  const waits = delivery.status === "pending" && "waits for the one before it";
  const next = delivery.nextAttemptAt ? `next at ${clock(delivery.nextAttemptAt)}` : waits;
  return row([
    ["Time", clock(delivery.createdAt)],
    ["Event", badge(delivery.type, KIND[delivery.type])],
    ["Delivery", badge(delivery.status, DELIVERY[delivery.status])],
    ["Last answer", [said, next].filter(Boolean).join(" · ") || "–"],
    ["Message", linkOf(delivery)],
    ["Again", retry(webhook, delivery, say)],
  ]);
};

const openWebhook = async (id) => {
  const path = `/webhooks/${id}`;
  const [webhook, deliveries] = await Promise.all([get(path), get(`${path}/deliveries?limit=50`)]);
  const rows = deliveries.data.map((delivery) => showDelivery(webhook, delivery));
  const columns = ["Time", "Event", "Delivery", "Last answer", "Message", "Again"];
  const facts = list([
    ["Description", webhook.description],
    ["Types", webhook.types.join(", ")],
    ["Accounts", webhook.from.join(", ") || "all"],
    ["Since", clock(webhook.createdAt)],
    ["Sent again", webhook.recovery && `what it missed from ${clock(webhook.recovery.since)} to ${clock(webhook.recovery.until)}`],
    ["Id", code(webhook.id)],
  ]);
  const shown = rows.length ? table("Deliveries", columns, rows) : note("Nothing was posted to it yet.");
  return {
    title: webhook.url,
    state: webhookState(webhook),
    actions: [...ofWebhook(webhook, "panel", say), recovery(webhook, say)],
    panes: [
      { name: "Deliveries", panel: section("deliveries", shown) },
      { name: "Webhook", panel: section("webhook", facts) },
    ],
    isOver: false,
  };
};

// --- The panel -----------------------------------------------------------------------------
const KINDS = { messages: openMessage, received: openReceived, webhooks: openWebhook };
const dialog = $("panel");
let shown = { at: "", tab: 0, isOver: true };

const place = () => {
  const [, kind, id] = location.hash.split("/");
  return KINDS[kind] && id ? { kind, id } : undefined;
};

// What came of a button of the panel.
const say = (kind, text) => {
  replace($("panel-said"), ...(text ? [make("span", { class: kind }, text)] : []));
  show().then(() => {
    // A button that is no longer needed takes the focus with it.
    if (dialog.open && !dialog.contains(document.activeElement)) $("panel-said").focus();
  });
};

const fill = ({ title, state: stands, actions = [], panes, isOver }, at) => {
  const tab = shown.at === at ? shown.tab : 0;
  if (shown.at !== at) $("panel-said").replaceChildren();
  shown = { at, tab, isOver };
  panes.forEach((pane, index) => {
    pane.shown = () => {
      shown.tab = index;
    };
  });
  const chosen = tab < panes.length ? tab : 0;
  const { bar, choose } = tabs("Parts", panes);
  choose(chosen);
  $("panel-title").textContent = title;
  replace($("panel-state"), ...stands);
  replace($("panel-actions"), ...actions);
  replace($("panel-body"), bar, ...panes.map((pane) => pane.panel));
};

const show = async () => {
  const at = place();
  if (!at) {
    shown = { at: "", tab: 0, isOver: true };
    if (dialog.open) dialog.close();
    return;
  }
  const name = `${at.kind}/${at.id}`;
  try {
    const opened = await KINDS[at.kind](encodeURIComponent(at.id));
    if (location.hash !== `#/${name}`) return;
    fill(opened, name);
  } catch (error) {
    // What a search takes for a message may have come in.
    const other = error.status === 404 && at.kind === "messages" && (await get(`/received/${at.id}`).catch(() => undefined));
    if (other) {
      location.replace(`#/received/${at.id}`);
      return;
    }
    // While nothing answers, what was shown before stays.
    if (shown.at === name && !(error instanceof Refusal)) return;
    fill({ title: at.id, state: [badge(error instanceof Refusal ? "refused" : "no answer", "bad"), error.message], panes: [], isOver: true }, name);
  }
  if (!dialog.open) dialog.showModal();
};

// Shows again what may have changed, unless somebody is writing in it.
const renew = async () => {
  if (!dialog.open || shown.isOver || !state.reached) return;
  const isRead = !getSelection().isCollapsed;
  if (!isRead) await show();
};

dialog.addEventListener("close", () => {
  if (place()) location.hash = "#/";
});
$("panel-close").addEventListener("click", () => dialog.close());
addEventListener("hashchange", show);
// A receipt comes after the end.
onEvent((event) => {
  if (dialog.open && shown.at === `messages/${event.messageId}`) show();
});

export { renew, show };
