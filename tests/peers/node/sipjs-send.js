// Sends one MESSAGE with SIP.js and prints how it ended, as jssip-send.js does.
//
//   node sipjs-send.js --url ws://127.0.0.1:5060 --user carol --target alice --body hello
//                      [--domain example.test] [--content-type text/plain]
//
// Prints {"event":"succeeded"|"failed","statusCode":…,"cause":null}.
import { Messager, UserAgent } from "sip.js";
import WebSocket from "ws";
import { options, password, print } from "./lines.js";

globalThis.WebSocket = WebSocket;

const given = options({
  target: { type: "string" },
  body: { type: "string", default: "" },
  "content-type": { type: "string", default: "text/plain" },
});

const agent = new UserAgent({
  uri: UserAgent.makeURI(`sip:${given.user}@${given.domain}`),
  authorizationUsername: given.user,
  authorizationPassword: password(given.user, given.domain),
  logBuiltinEnabled: false,
  transportOptions: { server: given.url },
});

function end(event, { message }) {
  print(event, { statusCode: message.statusCode ?? null, cause: null });
  process.exit(event === "succeeded" ? 0 : 1);
}

await agent.start();
const target = UserAgent.makeURI(`sip:${given.target}@${given.domain}`);
const messager = new Messager(agent, target, given.body, given["content-type"]);
await messager.message({
  requestDelegate: {
    onAccept: (response) => end("succeeded", response),
    onReject: (response) => end("failed", response),
  },
});
