// Sends one MESSAGE with JsSIP and prints how it ended: shows that the peers work without us.
//
//   node jssip-send.js --url ws://127.0.0.1:5060 --user alice --target bob --body hello
//                      [--domain example.test] [--content-type text/plain] [--header 'X-A: b']…
//
// Prints {"event":"succeeded"|"failed","statusCode":…,"cause":…}.
import JsSIP from "jssip";
import WebSocket from "ws";
import { options, password, print } from "./lines.js";

globalThis.WebSocket = WebSocket;

const given = options({
  target: { type: "string" },
  body: { type: "string", default: "" },
  "content-type": { type: "string", default: "text/plain" },
  header: { type: "string", multiple: true, default: [] },
});

const ua = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(given.url)],
  uri: `sip:${given.user}@${given.domain}`,
  password: password(given.user, given.domain),
  register: false,
});

function end(event, { response, cause }) {
  print(event, { statusCode: response?.status_code ?? null, cause: cause ?? null });
  process.exit(event === "succeeded" ? 0 : 1);
}

ua.on("connected", () => {
  ua.sendMessage(given.target, given.body, {
    contentType: given["content-type"],
    extraHeaders: given.header,
    eventHandlers: {
      succeeded: (result) => end("succeeded", result),
      failed: (result) => end("failed", result),
    },
  });
});
ua.start();
