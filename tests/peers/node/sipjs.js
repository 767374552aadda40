// A SIP.js user agent that registers and prints every MESSAGE it gets, one JSON object a line.
//
//   node sipjs.js --url ws://127.0.0.1:5060 --user carol
import { Registerer, RegistererState, UserAgent } from "sip.js";
import WebSocket from "ws";
import { endWithStandardInput, options, password, print } from "./lines.js";

globalThis.WebSocket = WebSocket;

const { url, user, domain } = options();
endWithStandardInput();

const agent = new UserAgent({
  uri: UserAgent.makeURI(`sip:${user}@${domain}`),
  authorizationUsername: user,
  authorizationPassword: password(user, domain),
  logBuiltinEnabled: false,
  transportOptions: { server: url },
  delegate: {
    onMessage(message) {
      const { request } = message;
      const headers = {};
      for (const name of Object.keys(request.headers)) headers[name] = request.getHeaders(name);
      print("message", {
        user,
        from: request.from.uri.toString(),
        callId: request.callId,
        contentType: request.getHeader("Content-Type"),
        body: request.body,
        headers,
      });
      message.accept();
    },
  },
});

const registerer = new Registerer(agent);
registerer.stateChange.addListener((state) => {
  if (state === RegistererState.Registered) print("registered", { user });
});
await agent.start();
await registerer.register();
