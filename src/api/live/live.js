// The page at `/`: what stands is asked for every two seconds, what happens comes as it does.
"use strict";
(() => {
  const EVERY = 2000;
  const SAMPLES = 60;
  const ROWS = 100;
  const LINE = 120;
  const $ = (id) => document.getElementById(id);
  const KIND = {
    succeeded: "good", delivered: "good", displayed: "good", failed: "bad", undelivered: "bad", deferred: "warn",
  };
  const STATE = { registered: "good", backoff: "bad", stopped: "bad" };

  // --- Asking -------------------------------------------------------------------------------
  // The token lives as long as the tab, and goes nowhere but to this gateway.
  const token = () => sessionStorage.getItem("sipost.token") || "";

  const ask = (path, options = {}) => {
    const headers = { ...options.headers };
    if (token()) headers.Authorization = "Bearer " + token();
    return fetch(path, { ...options, headers, cache: "no-store" });
  };

  // The blocks of an event stream, as they come.
  async function* blocks(response) {
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

  // --- Showing ------------------------------------------------------------------------------
  const make = (name, text, kind) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const cell = (...parts) => {
    const td = make("td");
    td.append(...parts);
    return td;
  };
  const numeric = (value) => make("td", value.toLocaleString("en"), "n");
  const badge = (text, kind) => make("span", text, "badge " + (kind || ""));
  const clock = (time) => new Date(time).toLocaleTimeString("en-GB");
  const duration = (seconds) => {
    if (seconds < 1) return "0 s";
    if (seconds < 120) return Math.round(seconds) + " s";
    if (seconds < 7200) return Math.round(seconds / 60) + " min";
    if (seconds < 172800) return Math.round(seconds / 3600) + " h";
    return Math.round(seconds / 86400) + " days";
  };
  const rate = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : String(+value.toFixed(1)));

  const say = (state, text) => {
    $("link").className = "link " + state;
    $("link-text").textContent = text;
  };
  const note = (text) => {
    $("token-note").textContent = text;
    $("token-note").hidden = !text;
  };

  // The sender of a message that came in, and its first line.
  const received = (event) => {
    if (event.erased) return "erased";
    const sender = event.from.displayName || event.from.uri;
    const text = event.bodyEncoding === "utf-8" ? event.body.split("\n", 1)[0].slice(0, LINE) : event.contentType;
    return sender + ": " + text;
  };

  // What an event says, in a few words.
  const words = (event) => {
    if (event.type === "sending") return "to " + event.request.uri;
    if (event.type === "received") return received(event);
    if (event.recipient) return [event.recipient, event.reason || event.status].filter(Boolean).join(" · ");
    const said = event.response ? event.response.statusCode + " " + event.response.reasonPhrase : "";
    const next = event.nextAttemptAt ? "again at " + clock(event.nextAttemptAt) : "";
    const cause = event.cause && event.cause !== said ? event.cause : "";
    return [said, cause, next].filter(Boolean).join(" · ");
  };

  // --- Agents -------------------------------------------------------------------------------
  const showAgents = (agents) => {
    const up = agents.filter((agent) => agent.state === "registered").length;
    $("agents-count").textContent = up + " of " + agents.length + " registered";
    $("agents").replaceChildren(
      ...agents.map((agent) => {
        const row = make("tr");
        const name = cell(make("strong", agent.id), make("small", agent.account), make("small", agent.server));
        const state = cell(badge(agent.state, STATE[agent.state] || "warn"));
        if (agent.lastError && agent.state !== "registered") state.append(make("small", agent.lastError, "bad"));
        if (agent.nextAttemptAt) {
          const wait = (Date.parse(agent.nextAttemptAt) - Date.now()) / 1000;
          state.append(make("small", "again in " + duration(Math.max(0, wait))));
        }
        const since = duration((Date.now() - Date.parse(agent.since)) / 1000);
        row.append(name, state, numeric(agent.inFlight), numeric(agent.succeeded), numeric(agent.failed), cell(since));
        return row;
      }),
    );
    const accounts = [...new Set(agents.map((agent) => agent.account))];
    const known = [...$("from").options].slice(1).map((option) => option.value);
    if (accounts.join() !== known.join()) {
      const chosen = $("from").value;
      $("from").replaceChildren($("from").options[0], ...accounts.map((account) => new Option(account, account)));
      $("from").value = accounts.includes(chosen) ? chosen : "";
    }
  };

  // --- Figures ------------------------------------------------------------------------------
  const read = (text) => {
    const figures = { succeeded: 0, failed: 0, received: 0 };
    for (const line of text.split("\n")) {
      const at = line.lastIndexOf(" ");
      const [name, value] = [line.slice(0, at), Number(line.slice(at + 1))];
      if (name === "sipost_messages_accepted_total") figures.accepted = value;
      else if (name === "sipost_messages_queued") figures.queued = value;
      else if (name === "sipost_messages_sending") figures.sending = value;
      else if (name === "sipost_messages_scheduled") figures.scheduled = value;
      else if (name === "sipost_message_oldest_queued_seconds") figures.oldest = value;
      else if (name === 'sipost_received_total{outcome="stored"}') figures.received = value;
      else if (name.startsWith('sipost_messages_finished_total{result="succeeded"')) figures.succeeded += value;
      else if (name.startsWith('sipost_messages_finished_total{result="failed"')) figures.failed += value;
    }
    return figures;
  };

  let before = null;
  const ended = [];
  const showFigures = (figures) => {
    const now = performance.now();
    for (const name of ["queued", "sending", "scheduled"]) {
      $(name).textContent = (figures[name] ?? 0).toLocaleString("en");
    }
    $("oldest").textContent = duration(figures.oldest ?? 0);
    if (before && before.figures.accepted <= figures.accepted) {
      const seconds = (now - before.at) / 1000;
      const rates = {};
      for (const name of ["accepted", "succeeded", "failed", "received"]) {
        rates[name] = (figures[name] - before.figures[name]) / seconds;
        $(name).textContent = rate(rates[name]);
      }
      ended.push(rates.succeeded + rates.failed);
      if (ended.length > SAMPLES) ended.shift();
      draw();
    }
    before = { at: now, figures };
  };
  const draw = () => {
    const top = Math.max(1, ...ended);
    const step = 300 / (SAMPLES - 1);
    const first = SAMPLES - ended.length;
    const points = ended.map((value, at) => ((first + at) * step).toFixed(1) + "," + (57 - (value / top) * 54).toFixed(1));
    $("chart-line").setAttribute("d", "M" + points.join("L"));
    $("chart-area").setAttribute("d", "M" + (first * step).toFixed(1) + ",60L" + points.join("L") + "L300,60Z");
    $("chart-top").textContent = rate(Math.max(0, ...ended));
  };

  // --- Events -------------------------------------------------------------------------------
  let seen = 0;
  const showEvent = (event) => {
    if (seen++ === 0) $("events").replaceChildren();
    $("events-count").textContent = seen.toLocaleString("en") + " since this page was opened";
    const row = make("tr", undefined, "new");
    const link = make("a");
    link.href = (event.type === "received" ? "/received/" : "/messages/") + event.messageId;
    link.append(make("code", event.messageId.slice(-12)));
    link.title = event.messageId;
    row.append(cell(clock(event.time)), cell(badge(event.type, KIND[event.type])), cell(words(event)), cell(event.agent || "–"), cell(link));
    $("events").prepend(row);
    while ($("events").children.length > ROWS) $("events").lastChild.remove();
  };

  let last = "";
  let stream = new AbortController();
  const follow = async () => {
    for (;;) {
      let wait = 3000;
      try {
        stream = new AbortController();
        const headers = { Accept: "text/event-stream" };
        if (last) headers["Last-Event-ID"] = last;
        const response = await ask("/events", { headers, signal: stream.signal });
        refuse(response);
        if (response.ok) {
          say("live", "live");
          note("");
          for await (const block of blocks(response)) {
            if (block.id) last = block.id;
            if (block.retry) wait = Number(block.retry);
            if (block.event && block.event !== "gap" && block.data) showEvent(JSON.parse(block.data));
          }
        }
        say("away", response.ok ? "connecting again" : "not allowed");
      } catch (error) {
        if (error.name === "AbortError") wait = 0;
        else say("away", "the gateway does not answer");
      }
      await new Promise((done) => setTimeout(done, wait));
    }
  };
  const refuse = (response) => {
    if (response.status === 401) note("This gateway wants a token. It is kept in this tab, and sent to nobody else.");
    if (response.status === 403) note("This token is not for the whole gateway: some of what is here stays empty.");
  };

  // --- Sending ------------------------------------------------------------------------------
  const step = (kind, name, text, time) => {
    const item = make("li");
    item.append(badge(name, kind), make("span", text));
    if (time) item.append(make("time", clock(time)));
    $("trail").append(item);
  };
  const send = async () => {
    const message = { target: $("target").value.trim(), body: $("body").value };
    if ($("from").value) message.from = $("from").value;
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
    const response = await ask("/messages", { method: "POST", headers, body: JSON.stringify(message) });
    if (!response.ok) {
      refuse(response);
      const problem = await response.json();
      const details = (problem.errors || []).map((error) => error.pointer + ": " + error.detail);
      step("bad", "refused", details.join("; ") || problem.detail || problem.title || "");
      return;
    }
    step("", "accepted", (response.headers.get("Location") || "").slice(-12));
    for await (const block of blocks(response)) {
      if (!block.data) continue;
      const event = JSON.parse(block.data);
      step(KIND[event.type], event.type, words(event), event.time);
    }
  };
  $("send").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const button = $("send").querySelector("button");
    button.disabled = true;
    $("trail").replaceChildren();
    try {
      await send();
    } catch {
      step("bad", "lost", "The gateway does not answer.");
    }
    button.disabled = false;
  });

  // --- Beginning ----------------------------------------------------------------------------
  const look = async () => {
    try {
      const [agents, figures] = await Promise.all([ask("/agents"), ask("/metrics")]);
      if (agents.ok) showAgents((await agents.json()).data);
      $("figures").hidden = !figures.ok;
      if (figures.ok) showFigures(read(await figures.text()));
    } catch {
      // The stream says that nobody answers; this only tries again.
    }
    setTimeout(look, EVERY);
  };
  $("token").value = token();
  $("token-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    sessionStorage.setItem("sipost.token", $("token").value.trim());
    note("");
    stream.abort();
  });
  look();
  follow();
})();
