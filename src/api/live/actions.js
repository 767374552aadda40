// Buttons that change something. Each is one call of the API, and says what came of it.
import { NoAnswer, Refusal, ask } from "./api.js";
import { make } from "./dom.js";

// The calls under way: a button that is drawn anew meanwhile makes no second one.
const running = new Set();

const refusedOr = (error) => {
  if (error instanceof Refusal) return ["bad", `refused: ${error.message}`];
  if (error instanceof NoAnswer) return ["bad", error.message];
  throw error;
};

// `value` gives what is sent, if anything; `outcome` makes a kind and words of the answer, which
// `say` is told.
export const action = ({ id, text, method = "POST", path, value, begins, outcome }, say) => {
  const call = `${method} ${path}`;
  const button = make("button", { id, type: "button", class: "quiet", "data-call": call }, text);
  const set = (isRunning) => {
    if (isRunning) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  };
  set(running.has(call));
  button.addEventListener("click", async () => {
    if (running.has(call)) return;
    running.add(call);
    set(true);
    say("", begins);
    const headers = { "Content-Type": "application/json" };
    const sent = value && { headers, body: JSON.stringify(value()) };
    let said;
    try {
      const answer = await (await ask(path, { method, ...sent })).json();
      said = outcome(answer);
    } catch (error) {
      said = refusedOr(error);
    } finally {
      running.delete(call);
      set(false);
    }
    say(...said);
  });
  return button;
};

export const cancel = (message, say) =>
  action(
    {
      id: "cancel",
      text: "Cancel the message",
      method: "DELETE",
      path: `/messages/${message.id}`,
      begins: "canceling …",
      outcome: () => ["good", "The message is canceled."],
    },
    say,
  );

const tested = ({ status, durationMs, answer, error }) => {
  const time = `after ${durationMs} ms`;
  if (status === null) return ["bad", `The test was posted and not answered: ${error} (${time}).`];
  const isTaken = status >= 200 && status < 300;
  const words = [`The test was answered with ${status} ${time}`, answer].filter(Boolean).join(": ");
  return [isTaken ? "good" : "bad", words];
};

// Tests a webhook, and enables or disables it. `place` makes the ids of the buttons.
export const ofWebhook = (webhook, place, say) => {
  const path = `/webhooks/${webhook.id}`;
  const id = (name) => `${place}-${name}-${webhook.id}`;
  const test = {
    id: id("test"),
    text: "Test",
    path: `${path}/test`,
    begins: "posting a test …",
    outcome: tested,
  };
  const change = (enabled, text) => ({
    id: id("enabled"),
    text,
    method: "PATCH",
    path,
    value: () => ({ enabled }),
    begins: "changing …",
    outcome: (changed) => ["good", `${changed.url} is ${changed.enabled ? "enabled" : "disabled"}.`],
  });
  const toggle = webhook.enabled ? change(false, "Disable") : change(true, "Enable");
  return [action(test, say), action(toggle, say)];
};

const HOURS = { "the last hour": 1, "the last day": 24, "the last week": 168 };

// Sends again what a webhook has not taken of some time.
export const recovery = (webhook, say) => {
  const options = Object.entries(HOURS).map(([text, hours]) => make("option", { value: hours }, text));
  const select = make("select", { id: "recover-since" }, ...options);
  const recover = {
    id: "recover",
    text: "Send again",
    path: `/webhooks/${webhook.id}/recover`,
    value: () => ({ since: new Date(Date.now() - select.value * 3_600_000).toISOString() }),
    begins: "asking …",
    outcome: () => ["good", `What failed or was missed in ${select.selectedOptions[0].text} is sent again.`],
  };
  const label = make("label", { for: "recover-since" }, "What failed or was missed in");
  return make("div", { class: "line" }, label, select, action(recover, say));
};

export const retry = (webhook, delivery, say) =>
  action(
    {
      id: `retry-${delivery.id}`,
      text: "Retry",
      path: `/webhooks/${webhook.id}/deliveries/${delivery.id}/retry`,
      begins: "asking …",
      outcome: () => ["good", `Event ${delivery.id} is sent again.`],
    },
    say,
  );
