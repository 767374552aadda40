// What events, messages and agents say, in a few words.
export const KIND = {
  succeeded: "good", delivered: "good", displayed: "good", agentUp: "good",
  failed: "bad", undelivered: "bad", agentDown: "bad", deferred: "warn",
};
export const STATUS = { succeeded: "good", failed: "bad", scheduled: "warn", queued: "warn" };
export const PRIORITY = { urgent: "warn", emergency: "bad" };
const LINE = 120;

// The time of day, and the day when it is not today.
export const clock = (time) => {
  const date = new Date(time);
  const day = { day: "numeric", month: "short" };
  const isToday = date.toDateString() === new Date().toDateString();
  return (isToday ? "" : `${date.toLocaleDateString("en-GB", day)} `) + date.toLocaleTimeString("en-GB");
};

export const duration = (seconds) => {
  if (seconds < 1) return "0 s";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
};

export const since = (time) => duration((Date.now() - Date.parse(time)) / 1000);

// From one time to another, as exactly as they are told.
export const apart = (from, to) => `+${((Date.parse(to) - Date.parse(from)) / 1000).toFixed(3)} s`;

export const number = (value) => value.toLocaleString("en");
export const rate = (value) => (value >= 100 ? number(Math.round(value)) : String(+value.toFixed(1)));

const joined = (parts) => parts.filter(Boolean).join(" · ");
export const firstLine = (text) => text.split("\n", 1)[0].slice(0, LINE);

// How many bytes base64 stands for.
const bytesOf = (base64) => (base64.length / 4) * 3 - (base64.match(/=*$/)[0].length);

// The text of a message, sent or received, or what it is where it is none.
export const textOf = (message) => {
  if (message.bodyEncoding !== "base64") return message.body;
  const bytes = bytesOf(message.body);
  return `${message.contentType}, ${number(bytes)} ${bytes === 1 ? "byte" : "bytes"} that are no text; the API has them in base64`;
};

export const senderOf = (received) => received.from.displayName || received.from.uri;

// How an attempt or a message ended: the cause, and the status that the peer gave.
export const reason = (event) => {
  const said = event.response && `${event.response.statusCode} ${event.response.reasonPhrase}`.trim();
  const cause = event.cause === "Expires" ? "Expires: its time (ttl) was over" : event.cause;
  return joined([said, cause !== said && cause, event.ambiguous && "may have arrived"]);
};

export const describe = (event) => {
  if (event.type === "sending") return `to ${event.request.uri}`;
  if (event.type === "received") {
    return event.erased ? "erased" : `${senderOf(event)}: ${firstLine(textOf(event))}`;
  }
  if (event.recipient) return joined([event.recipient, event.reason || event.status]);
  if (!event.messageId) return joined([event.account, event.reason]);
  const next = event.nextAttemptAt && `again at ${clock(event.nextAttemptAt)}`;
  return joined([reason(event), next]);
};

// Why no agent of this account, or of any, takes a message.
const agentsSay = (account, agents) => {
  const away = agents.filter((agent) => (!account || agent.account === account) && agent.state !== "registered");
  const say = (agent) => {
    const again = agent.nextAttemptAt && `again at ${clock(agent.nextAttemptAt)}`;
    return `${agent.id}: ${joined([agent.state, agent.lastError, again])}`;
  };
  return away.map(say).join("; ");
};

// What a message waits for, and why.
export const waiting = (message, agents) => {
  const what = message.waitingFor;
  if (message.status === "sending") return "waits for the answer to its request";
  if (!what) return "";
  switch (what.kind) {
    case "schedule":
      return `waits for its time, ${clock(what.until)}`;
    case "lane":
      return `waits for ${what.before} before it to the same target`;
    case "agent": {
      const whose = what.account ? ` of ${what.account}` : "";
      return [`waits for a registered agent${whose}`, agentsSay(what.account, agents)].filter(Boolean).join(" · ");
    }
    case "slot":
      return "waits for a free slot: every agent has as many in flight as it may";
    case "rate":
      return `waits for the rate of its account, until ${clock(what.until)}`;
    case "retry":
      return `waits for its next attempt at ${clock(what.at)}`;
    case "store":
      return "waits for the store, which takes nothing now";
    case "replica":
      return `waits at replica ${what.replica}`;
    case "priority":
      return `waits for messages of the priority ${what.class}, which go first`;
    default:
      return `waits for ${what.kind}`;
  }
};

// Where a message stands, in a few words.
export const standing = (message, agents) => {
  if (message.result) return reason(message.result);
  return waiting(message, agents);
};
