// What the tabs beside the events show: messages, what came in, webhooks. Each list is asked for
// when its tab is chosen, and while it is looked at.
import { Refusal, get } from "./api.js";
import { ofWebhook } from "./actions.js";
import * as agents from "./agents.js";
import { $, badge, code, make, note, replace, row } from "./dom.js";
import { STATUS, clock, firstLine, senderOf, since, standing, textOf } from "./words.js";

const PAGE = 50;
const idLink = (kind, id) => make("a", { href: `#/${kind}/${id}`, title: id }, code(id.slice(-12)));

// A list in pages: the first is renewed, and "older" adds to it, which then stays as it is.
const paged = (name, path, show, none) => {
  let cursor = null;
  let isLong = false;
  const say = (text) => {
    $(`${name}-none`).textContent = text;
    $(`${name}-none`).hidden = !text;
  };
  const load = async (from) => {
    const at = path();
    const page = await get(at + (from ? `&cursor=${from}` : ""));
    // Another search began meanwhile.
    if (at !== path()) return;
    cursor = page.nextCursor;
    const rows = page.data.map(show);
    if (from) $(name).append(...rows);
    else replace($(name), ...rows);
    $(`${name}-older`).hidden = !cursor;
    say($(name).children.length ? "" : none());
  };
  const tried = async (from) => {
    try {
      await load(from);
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      $(name).replaceChildren();
      $(`${name}-older`).hidden = true;
      say(`refused: ${error.message}`);
    }
  };
  $(`${name}-older`).addEventListener("click", () => {
    isLong = true;
    tried(cursor);
  });
  return {
    begin: () => {
      isLong = false;
      return tried();
    },
    renew: async () => {
      if (!isLong) await tried();
    },
  };
};

const showMessage = (message) =>
  row([
    ["Time", clock(message.createdAt)],
    ["Status", badge(message.status, STATUS[message.status])],
    ["To", message.target],
    ["Why", standing(message, agents.known) || "–"],
    ["Text", firstLine(textOf(message)) || "–"],
    ["Message", idLink("messages", message.id)],
  ]);

const showReceived = (received) =>
  row([
    ["Time", clock(received.time)],
    ["From", senderOf(received)],
    ["Text", firstLine(textOf(received)) || "–"],
    ["Account", received.account],
    ["Message", make("a", { href: `#/received/${received.messageId}`, title: received.messageId }, "open and reply")],
  ]);

// How a webhook does: whether it is posted to, and since when it fails.
export const webhookState = (webhook) => {
  if (webhook.disabled) return [badge("disabled", "bad"), make("small", {}, webhook.disabled.detail)];
  if (webhook.failingSince) {
    return [badge("failing", "bad"), make("small", {}, `for ${since(webhook.failingSince)}`)];
  }
  if (webhook.recovery) return [badge("enabled", "good"), make("small", {}, "sends again what it missed")];
  return [badge("enabled", "good")];
};

const sayOfWebhook = (kind, text) => {
  replace($("webhooks-said"), ...(text ? [note(text, kind)] : []));
  webhooks.renew();
};

const showWebhook = (webhook) =>
  row([
    ["URL", make("div", {}, webhook.url, webhook.description && make("small", {}, webhook.description))],
    ["State", make("div", {}, ...webhookState(webhook))],
    ["Types", webhook.types.join(", ")],
    ["Accounts", webhook.from.join(", ") || "all"],
    [
      "Webhook",
      make(
        "div",
        { class: "actions" },
        make("a", { href: `#/webhooks/${webhook.id}` }, "deliveries"),
        ...ofWebhook(webhook, "row", sayOfWebhook),
      ),
    ],
  ]);

const search = { target: "", status: "" };
const query = () => {
  const asked = new URLSearchParams({ limit: PAGE });
  for (const [name, value] of Object.entries(search)) if (value) asked.set(name, value);
  return `/messages?${asked.toString().replaceAll("+", "%20")}`;
};
const nothing = () => {
  const to = search.target && ` to ${search.target}`;
  return search.status || to ? `No ${search.status} message${to || ""} is kept.` : "No message is kept.";
};

export const messages = paged("messages", query, showMessage, nothing);
export const received = paged("received-list", () => `/received?limit=${PAGE}`, showReceived, () => "Nothing has come in.");
export const webhooks = paged("webhooks", () => `/webhooks?limit=${PAGE}`, showWebhook, () =>
  "There is no webhook. POST /webhooks makes one.",
);

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

// Finds a message by its id, which opens it, or messages by their target.
export const find = (text) => {
  if (ID.test(text)) {
    location.hash = `#/messages/${text.toLowerCase()}`;
    return;
  }
  search.target = text;
  $("found").replaceChildren(text ? note(`Messages to ${text}`) : "");
};

$("status").addEventListener("change", () => {
  search.status = $("status").value;
  messages.begin();
});
