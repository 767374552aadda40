// A JsSIP user agent that registers and prints every MESSAGE it gets, one JSON object a line.
//
//   node jssip.js --url ws://127.0.0.1:5060 --user bob [--answer 486]
//
// Prints {"event":"registered"}, {"event":"message",…} and {"event":"disconnected"}.
import JsSIP from "jssip";
import WebSocket from "ws";
import { DOMAIN, endWithStandardInput, options, password, print } from "./lines.js";

// JsSIP looks for the browser's WebSocket; Node has none before version 22.
globalThis.WebSocket = WebSocket;

const { url, user, answer } = options({ answer: { type: "string" } });
endWithStandardInput();

const ua = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(url)],
  uri: `sip:${user}@${DOMAIN}`,
  password: password(user),
  register_expires: 600,
  connection_recovery_min_interval: 1,
  connection_recovery_max_interval: 1,
});

ua.on("registered", () => print("registered"));
ua.on("registrationFailed", ({ cause }) => print("registrationFailed", { cause }));
ua.on("disconnected", () => print("disconnected"));
ua.on("newMessage", ({ originator, message, request }) => {
  if (originator !== "remote") return;
  const headers = {};
  for (const name of Object.keys(request.headers)) headers[name] = request.getHeaders(name);
  print("message", {
    from: request.from.uri.toString(),
    callId: request.call_id,
    contentType: request.getHeader("Content-Type"),
    body: request.body ?? "",
    headers,
  });
  if (answer) message.reject({ status_code: Number(answer) });
});
ua.start();
