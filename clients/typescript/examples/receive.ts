// Prints each message that comes in, and answers it. The counterpart of JsSIP's
// `ua.on("newMessage", …)` with originator `remote`.
//
//   node receive.js        the gateway is at SIPOST_URL
import { Sipost } from "sipost";

const sipost = new Sipost();

for await (const received of sipost.receive()) {
  console.log(received.from.uri, received.body);
  // One key for each message, so that it is answered once although this program may be restarted.
  const idempotencyKey = `answer-${received.messageId}`;
  await sipost.send({ inReplyTo: received.messageId, body: "Got it." }, { idempotencyKey });
}
