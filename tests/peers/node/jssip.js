// JsSIP user agents that register and print every MESSAGE they get, one JSON object a line.
//
//   node jssip.js --url ws://127.0.0.1:5060 --user bob [--user carol]… [--domain example.test] [--answer 486]
//
// Prints {"event":"registered"}, {"event":"message",…} and {"event":"disconnected"}, each with
// the user it is about.
import JsSIP from "jssip";
import WebSocket from "ws";
import { endWithStandardInput, options, password, print } from "./lines.js";

// JsSIP looks for the browser's WebSocket; Node has none before version 22.
globalThis.WebSocket = WebSocket;

const { url, user: users, domain, answer } = options({
  user: { type: "string", multiple: true },
  answer: { type: "string" },
});
endWithStandardInput();

for (const user of users) {
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(url)],
    uri: `sip:${user}@${domain}`,
    password: password(user, domain),
    register_expires: 600,
    connection_recovery_min_interval: 1,
    connection_recovery_max_interval: 1,
  });

  ua.on("registered", () => print("registered", { user }));
  ua.on("registrationFailed", ({ cause }) => print("registrationFailed", { user, cause }));
  ua.on("disconnected", () => print("disconnected", { user }));
  ua.on("newMessage", ({ originator, message, request }) => {
    if (originator !== "remote") return;
    const headers = {};
    for (const name of Object.keys(request.headers)) headers[name] = request.getHeaders(name);
    print("message", {
      user,
      from: request.from.uri.toString(),
      callId: request.call_id,
      contentType: request.getHeader("Content-Type"),
      body: request.body ?? "",
      headers,
    });
    if (answer) message.reject({ status_code: Number(answer) });
  });
  ua.start();
}
