// The pool: what each agent does, and what went wrong last.
import { get } from "./api.js";
import { $, badge, make, replace, row } from "./dom.js";
import { clock, number, since } from "./words.js";

const STATE = { registered: "good", backoff: "bad", stopped: "bad" };

// As they were told last.
export let known = [];

const show = (agent) => {
  const name = make("div", {}, make("strong", {}, agent.id), make("small", {}, agent.account), make("small", {}, agent.server));
  const state = make("div", {}, badge(agent.state, STATE[agent.state] || "warn"));
  if (agent.lastError && agent.state !== "registered") {
    state.append(make("small", { class: "bad" }, agent.lastError));
  }
  if (agent.nextAttemptAt) state.append(make("small", {}, `again at ${clock(agent.nextAttemptAt)}`));
  return row([
    ["Agent", name],
    ["State", state],
    ["In flight", number(agent.inFlight)],
    ["Succeeded", number(agent.succeeded)],
    ["Failed", number(agent.failed)],
    ["Since", since(agent.since)],
  ]);
};

const offerAccounts = () => {
  const select = $("from");
  const accounts = [...new Set(known.map((agent) => agent.account))];
  const offered = [...select.options].slice(1).map((option) => option.value);
  if (accounts.join() === offered.join()) return;
  const isSandbox = accounts.every((account) => account.endsWith("@sandbox.invalid"));
  $("target").placeholder = isSandbox ? "ok, busy, echo, reader …" : "a user name, or sip:bob@example.com";
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...accounts.map((account) => new Option(account, account)));
  select.value = accounts.includes(chosen) ? chosen : "";
};

export const disconnected = () => {
  $("agents-count").textContent = "not connected";
};

export const refresh = async () => {
  known = (await get("/agents")).data;
  const up = known.filter((agent) => agent.state === "registered").length;
  $("agents-count").textContent = `${up} of ${known.length} registered`;
  replace($("agents"), ...known.map(show));
  offerAccounts();
};
