// Sends a message with a client whose types openapi-typescript made from the contract, and follows
// it to its end. It compiles without a cast: every answer has one type.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./made/schema.js";

type Event = components["schemas"]["Event"];

const base = process.argv[2];
assert(base, "the URL of the gateway is missing");
const client = createClient<paths>({ baseUrl: base });

// Two members are enough.
const sent = await client.POST("/messages", { body: { target: "ok", body: "Hello!" } });
assert(sent.data, JSON.stringify(sent.error));
const id: string = sent.data.id;

// The stream ends after the event that ends the message.
const stream = await client.GET("/messages/{id}/events", {
  params: { path: { id } },
  headers: { accept: "text/event-stream" },
  parseAs: "text",
});
const types = [...(stream.data ?? "").matchAll(/^event: (.*)$/gm)].map((line) => line[1]);
assert.deepEqual(types, ["sending", "succeeded"]);

const page = await client.GET("/messages/{id}/events", { params: { path: { id } } });
assert(page.data, JSON.stringify(page.error));
const events: Event[] = page.data.data;
const last = events.at(-1);
assert(last?.type === "succeeded", JSON.stringify(last));
const code: number | undefined = last.response?.statusCode;
assert.equal(code, 200);

const busy = await client.POST("/messages", {
  body: { target: "busy", body: "", bodyEncoding: "utf-8", attempts: 1, onUnknown: "fail" },
  params: { header: { Prefer: "wait=30", "Idempotency-Key": "made-by-a-tool" } },
});
const result = busy.data?.result;
assert(result?.type === "failed", JSON.stringify(busy.data));
assert.equal(result.cause, "Busy");

const wrong = await client.POST("/messages", { body: { target: "", body: "" } });
assert.equal(wrong.error?.errors?.[0]?.pointer, "/target");

console.log("openapi-typescript: sent, followed, refused");
