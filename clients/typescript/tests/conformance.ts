/** The conformance suite of the clients: the same cases in each language (../conformance). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GapError, ProblemError, Sipost, WebhookError, verifyWebhook } from "../src/index.js";
import type { Event } from "../src/index.js";

const gateway = process.env["SIPOST_URL"] ?? assert.fail("SIPOST_URL is not set");
const proxy = process.env["SIPOST_PROXY"] ?? assert.fail("SIPOST_PROXY is not set");
const sipost = new Sipost();

/** A name that no other run has used. */
const unique = () => `ts-${crypto.randomUUID()}`;
const through = (fault: string, name: string) => new Sipost({ url: `${proxy}/${fault}/${name}` });

interface Seen {
  method: string;
  path: string;
  headers: Record<string, string>;
}

async function seen(name: string): Promise<Seen[]> {
  return (await (await fetch(`${proxy}/log/${name}`)).json()) as Seen[];
}

async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of all) items.push(item);
  return items;
}

async function first<T>(all: AsyncIterable<T>, fits: (item: T) => boolean = () => true): Promise<T> {
  for await (const item of all) if (fits(item)) return item;
  return assert.fail("the stream ended");
}

const types = (events: Event[]) => events.map((event) => event.type);

test("send_returns_the_accepted_message", async () => {
  const message = await sipost.send({ target: "ok", body: "Hello!", metadata: { order: "42" } });
  assert.match(message.id, /^[0-9a-f-]{36}$/);
  assert.equal(message.body, "Hello!");
  assert.deepEqual(message.metadata, { order: "42" });
});

test("send_waits_for_the_end", async () => {
  const message = await sipost.send({ target: "busy", body: "" }, { wait: 30 });
  assert.equal(message.status, "failed");
  assert(message.result?.type === "failed");
  assert.equal(message.result.cause, "Busy");
  assert.equal(message.result.response?.statusCode, 486);
});

test("follow_yields_every_event_to_the_end", async () => {
  const message = await sipost.send({ target: "overload", body: "" });
  const events = await collect(sipost.follow(message));
  assert.deepEqual(types(events), ["sending", "deferred", "sending", "succeeded"]);
});

test("follow_resumes_after_a_lost_connection", async () => {
  const name = unique();
  const message = await sipost.send({ target: "overload", body: "" });
  const events = await collect(through("cut", name).follow(message));
  assert.deepEqual(types(events), ["sending", "deferred", "sending", "succeeded"]);
  const [, second] = await seen(name);
  assert.equal(second?.headers["last-event-id"], events[0]?.id);
});

test("follow_goes_on_to_a_receipt", async () => {
  const message = await sipost.send({ target: "reader", body: "", receipts: ["displayed"] });
  const events = await collect(sipost.follow(message.id, { until: "displayed" }));
  assert.equal(events.at(-1)?.type, "displayed");
});

test("a_refused_message_tells_every_mistake", async () => {
  await assert.rejects(sipost.send({ target: "", body: "", ttl: 0 }), (error) => {
    assert(error instanceof ProblemError);
    assert.equal(error.status, 422);
    assert.equal(error.kind, "invalid-message");
    assert.deepEqual(error.violations.map((one) => one.pointer).sort(), ["/target", "/ttl"]);
    assert(error.requestId);
    return true;
  });
});

test("a_full_gateway_is_asked_again_after_retry_after", async () => {
  const name = unique();
  const begun = performance.now();
  const message = await through("refuse", name).send({ target: "ok", body: "" });
  assert(performance.now() - begun >= 1000);
  assert.equal(message.target, "ok");
  const keys = (await seen(name)).map((one) => one.headers["idempotency-key"]);
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
});

test("a_lost_answer_does_not_send_twice", async () => {
  const name = unique();
  const message = await through("lose", name).send({ target: `${name}`, body: "" });
  assert.equal((await seen(name)).length, 2);
  const sent = await collect(sipost.list({ target: name }));
  assert.deepEqual(
    sent.map((one) => one.id),
    [message.id],
  );
});

test("cancel_ends_a_message_and_then_says_why_not", async () => {
  const sendAt = new Date(Date.now() + 3_600_000).toISOString();
  const { id } = await sipost.send({ target: "ok", body: "", sendAt });
  const canceled = await sipost.cancel(id);
  assert(canceled.result?.type === "failed");
  assert.equal(canceled.result.cause, "Canceled");
  await assert.rejects(sipost.cancel(id), (error) => {
    assert(error instanceof ProblemError);
    assert.equal(error.kind, "too-late");
    assert.equal(error.message, "the message was canceled already");
    return true;
  });
});

test("a_batch_is_sent_in_order", async () => {
  const messages = await sipost.sendBatch([
    { target: "ok", body: "1" },
    { target: "ok", body: "2" },
  ]);
  assert.deepEqual(
    messages.map((one) => one.body),
    ["1", "2"],
  );
  const [one, two] = await Promise.all(messages.map((sent) => collect(sipost.follow(sent))));
  assert(one?.at(-1) && two?.[0] && one.at(-1)!.id < two[0].id);
});

test("list_goes_through_every_page", async () => {
  const target = unique();
  const bodies = ["1", "2", "3", "4", "5"];
  await sipost.sendBatch(bodies.map((body) => ({ target, body })));
  const listed = await collect(sipost.list({ target, limit: 2 }));
  assert.deepEqual(listed.map((one) => one.body).reverse(), bodies);
});

test("receive_yields_what_comes_in", async () => {
  const body = unique();
  await sipost.send({ target: "echo", body });
  const received = await first(sipost.receive({ lastEventId: "earliest" }), (one) => one.body === body);
  assert.match(received.from.uri, /^sip:echo@/);
  assert.equal((await sipost.getReceived(received.messageId)).body, body);
  await sipost.eraseReceived(received.messageId);
  await assert.rejects(sipost.getReceived(received.messageId), { status: 404 });
});

test("events_begin_after_an_id", async () => {
  const { id: messageId } = await sipost.send({ target: "ok", body: "" }, { wait: 30 });
  const [sending] = await collect(sipost.follow(messageId));
  assert(sending);
  const after = sipost.events({ messageId, lastEventId: sending.id, types: ["sending", "succeeded"] });
  assert.equal((await first(after)).type, "succeeded");
});

test("a_gap_is_told", async () => {
  const lastEventId = "7-0000000000000001";
  await assert.rejects(first(sipost.events({ lastEventId })), (error) => {
    assert(error instanceof GapError);
    assert.equal(error.gap.requested, lastEventId);
    return true;
  });
});

interface Post {
  headers: Record<string, string>;
  body: string;
}

/** A webhook's secret, and the first post to it. */
async function posted(): Promise<{ secret: string; post: Post }> {
  const name = unique();
  const { id, secret } = await sipost.createWebhook({ url: `${proxy}/hook/${name}`, types: ["succeeded"] });
  await sipost.send({ target: "ok", body: "" });
  const posts = (await (await fetch(`${proxy}/hooks/${name}`)).json()) as Post[];
  await sipost.deleteWebhook(id);
  return { secret, post: posts[0] ?? assert.fail("nothing was posted") };
}

test("a_webhook_is_verified", async () => {
  const { secret, post } = await posted();
  const event = await verifyWebhook(post.body, post.headers, ["whsec_b3RoZXI=", secret]);
  assert.equal(event.type, "succeeded");
  assert.equal(event.id, post.headers["webhook-id"]);
});

test("a_forged_webhook_is_refused", async () => {
  const { secret, post } = await posted();
  const forged = post.body.replace("succeeded", "failed");
  await assert.rejects(verifyWebhook(forged, post.headers, secret), WebhookError);
  await assert.rejects(verifyWebhook(post.body, post.headers, "whsec_b3RoZXI="), WebhookError);
  const { "webhook-signature": _, ...unsigned } = post.headers;
  await assert.rejects(verifyWebhook(post.body, unsigned, secret), WebhookError);
});

test("an_old_webhook_is_refused", async () => {
  const { secret, post } = await posted();
  const later = new Date(Date.now() + 6 * 60_000);
  await assert.rejects(verifyWebhook(post.body, post.headers, secret, later), WebhookError);
});

test("a_missing_token_is_an_error", async () => {
  const stranger = new Sipost({ url: gateway, token: "wrong" });
  await assert.rejects(stranger.send({ target: "ok", body: "" }), (error) => {
    assert(error instanceof ProblemError);
    assert.equal(error.status, 401);
    assert.equal(error.kind, "unauthorized");
    return true;
  });
});
