// The figures of `/metrics`, and how many messages ended a second.
import { Refusal, ask } from "./api.js";
import { $ } from "./dom.js";
import { duration, number, rate } from "./words.js";

const SAMPLES = 60;
const COUNTERS = ["accepted", "succeeded", "failed", "received"];
const GAUGES = ["queued", "sending", "scheduled"];

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

const draw = () => {
  const top = Math.max(1, ...ended);
  const step = 300 / (SAMPLES - 1);
  const first = SAMPLES - ended.length;
  const points = ended.map((value, at) => `${((first + at) * step).toFixed(1)},${(57 - (value / top) * 54).toFixed(1)}`);
  $("chart-line").setAttribute("d", `M${points.join("L")}`);
  $("chart-area").setAttribute("d", `M${(first * step).toFixed(1)},60L${points.join("L")}L300,60Z`);
  $("chart-top").textContent = rate(Math.max(0, ...ended));
};

// Each figure with its unit, or with what is said in its place.
const put = (name, text, unit = "") => {
  $(name).textContent = text;
  $(name).nextElementSibling.textContent = unit;
  $(name).parentElement.classList.toggle("none", false);
};

const putNone = (words) => {
  before = null;
  for (const name of [...COUNTERS, ...GAUGES, "oldest"]) {
    put(name, words);
    $(name).parentElement.classList.toggle("none", true);
  }
  $("chart-top").textContent = words;
};

const show = (figures) => {
  const now = performance.now();
  for (const name of GAUGES) put(name, number(figures[name] ?? 0));
  put("oldest", duration(figures.oldest ?? 0));
  const counts = before && before.figures.accepted <= figures.accepted;
  for (const name of COUNTERS) {
    if (!counts) put(name, "–");
  }
  if (counts) {
    const seconds = (now - before.at) / 1000;
    const rates = {};
    for (const name of COUNTERS) {
      rates[name] = (figures[name] - before.figures[name]) / seconds;
      put(name, rate(rates[name]), "/s");
    }
    ended.push(rates.succeeded + rates.failed);
    if (ended.length > SAMPLES) ended.shift();
    draw();
  }
  before = { at: now, figures };
};

export const disconnected = () => putNone("not connected");

export const refresh = async () => {
  try {
    show(read(await (await ask("/metrics")).text()));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // Figures are of the whole gateway, which not every token is for.
    putNone(error.status === 403 ? "not for this token" : `refused: ${error.status}`);
  }
};
