// The page at `/`: what stands is asked for every two seconds, what happens comes as it does.
import { NoAnswer, get, pause, signals, state, token, useToken } from "./api.js";
import * as agents from "./agents.js";
import * as changes from "./changes.js";
import { $, tabs } from "./dom.js";
import * as events from "./events.js";
import * as figures from "./figures.js";
import * as lists from "./lists.js";
import * as panel from "./panel.js";
import { sends } from "./send.js";

const EVERY = 2000;

// --- Whether the gateway answers, and whether it wants a token --------------------------------
const say = (kind, text) => {
  $("link").className = `link ${kind}`;
  $("link-text").textContent = text;
};

const disconnected = () => {
  document.body.classList.toggle("away", !state.reached);
  if (state.reached) return;
  say("away", "not connected");
  figures.disconnected();
  agents.disconnected();
};
signals.addEventListener("reach", disconnected);

const showToken = () => {
  $("token-form").hidden = !state.wantsToken;
  $("token-used").hidden = state.wantsToken || !token();
  if (!state.wantsToken) return;
  say("away", "waits for a token");
  $("token").focus();
};
signals.addEventListener("token", showToken);

const tryToken = async (text) => {
  try {
    $("token-wrong").textContent = await useToken(text);
  } catch (error) {
    $("token-wrong").textContent = error.message;
    return;
  }
  $("token").value = "";
  if (!state.wantsToken) events.restart();
};
$("token-form").addEventListener("submit", (submit) => {
  submit.preventDefault();
  tryToken($("token").value.trim());
});
$("token-forget").addEventListener("click", () => tryToken(""));

// --- Sending ----------------------------------------------------------------------------------
sends($("send"), $("trail"), () => {
  const message = { target: $("target").value.trim(), body: $("body").value };
  if ($("from").value) message.from = $("from").value;
  if ($("priority").value) message.priority = $("priority").value;
  return message;
});

// --- The lists --------------------------------------------------------------------------------
let looked = { renew: async () => {} };
const shows = (list) => () => {
  looked = list;
  list.begin();
};
const { bar, choose } = tabs("What happened", [
  { name: "Events", panel: $("pane-events"), shown: () => (looked = { renew: async () => {} }) },
  { name: "Messages", panel: $("pane-messages"), shown: shows(lists.messages) },
  { name: "Received", panel: $("pane-received"), shown: shows(lists.received) },
  { name: "Webhooks", panel: $("pane-webhooks"), shown: shows(lists.webhooks) },
]);
$("lists-bar").prepend(bar);
$("events-older").addEventListener("click", () => events.showOlder().catch(() => {}));
$("changes-older").addEventListener("click", () => changes.showOlder().catch(() => {}));
$("find").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const text = $("find-text").value.trim();
  lists.find(text);
  if (!location.hash.endsWith(text.toLowerCase()) || !text) choose(1);
});

// --- Beginning --------------------------------------------------------------------------------
const look = async () => {
  for (;;) {
    try {
      await Promise.all([agents.refresh(), figures.refresh(), looked.renew(), panel.renew()]);
    } catch (error) {
      // The page says that nothing answers; this only tries again.
      if (!(error instanceof NoAnswer) && !error.status) throw error;
    }
    await pause(EVERY);
  }
};

showToken();
// One call finds out whether a token is wanted, before the others are made.
await get("/agents").catch(() => {});
look();
panel.show();
events.follow(say);
