// POST {target, body, contentType?, extraHeaders?} → SIP MESSAGE → the outcome as the answer.
// Nothing is kept: what is in flight when this ends is lost.
//
//   node gateway.js ws://127.0.0.1:5060 AGENTS
import http from "node:http";
import JsSIP from "jssip";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket;
const [server, count] = process.argv.slice(2);

const agents = await Promise.all(
  Array.from({ length: Number(count) }, () => {
    const agent = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(server)],
      uri: "sip:alice@example.test",
      password: "alice-secret",
    });
    const registered = new Promise((resolve) => agent.once("registered", () => resolve(agent)));
    agent.start();
    return registered;
  }),
);

let turn = 0;
const gateway = http.createServer((request, response) => {
  const chunks = [];
  const answer = (outcome) => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(outcome));
  };
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const { target, body, contentType, extraHeaders } = JSON.parse(Buffer.concat(chunks));
    agents[turn++ % agents.length].sendMessage(target, body, {
      contentType,
      extraHeaders,
      eventHandlers: {
        succeeded: ({ response: sip }) =>
          answer({ status: "succeeded", statusCode: sip.status_code }),
        failed: ({ response: sip, cause }) =>
          answer({ status: "failed", statusCode: sip?.status_code ?? null, cause }),
      },
    });
  });
});
gateway.listen(0, "127.0.0.1", () => console.log(`listening on ${gateway.address().port}`));
