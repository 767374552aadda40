// What a program says with JsSIP's `ua.sendMessage`, said to a sipost gateway: each line of the one has
// its line here, and docs/from-jssip.md shows them beside each other.
//
//   node jssip-like.js TARGET TEXT        the gateway is at SIPOST_URL
import { ProblemError, Sipost, type Event, type NewMessage } from "sipost";

/** The handlers of JsSIP, by the names that they have there. */
interface EventHandlers {
  sending?: (event: Extract<Event, { type: "sending" }>) => void;
  succeeded?: (event: Extract<Event, { type: "succeeded" }>) => void;
  failed?: (event: Extract<Event, { type: "failed" }>) => void;
}

interface MessageOptions {
  contentType?: string;
  extraHeaders?: string[];
  eventHandlers?: EventHandlers;
}

/** `ua.sendMessage(target, body, options)`. It resolves when the message has ended. */
async function sendMessage(target: string, body: string, options: MessageOptions): Promise<void> {
  const { eventHandlers: on = {}, ...others } = options;
  const message: NewMessage = { target, body, ...others };
  const sent = await sipost.send(message);
  for await (const event of sipost.follow(sent)) {
    if (event.type === "sending") on.sending?.(event);
    else if (event.type === "succeeded") on.succeeded?.(event);
    else if (event.type === "failed") on.failed?.(event);
  }
}

const sipost = new Sipost();
const [target = "ok", text = "Hello Bob!"] = process.argv.slice(2);

const eventHandlers: EventHandlers = {
  sending: (e) => console.log("sending", e.request.uri),
  succeeded: (e) => console.log("succeeded", e.response?.statusCode, e.response?.reasonPhrase),
  failed: (e) => console.log("failed", e.originator, e.response?.statusCode ?? null, e.cause),
};

try {
  await sendMessage(target, text, { contentType: "text/plain", eventHandlers });
} catch (error) {
  // JsSIP throws a TypeError for a target that is none; the gateway answers 422.
  if (!(error instanceof ProblemError)) throw error;
  console.log("refused", error.message);
}
