/** A client of sipost: messages by HTTP that go out as SIP MESSAGE requests, and what becomes of them. */
export { Sipost } from "./client.js";
export type {
  Call,
  EventQuery,
  FollowOptions,
  ListQuery,
  Options,
  ReceiveQuery,
  SendOptions,
} from "./client.js";
export { ConnectionError, GapError, ProblemError, WebhookError } from "./errors.js";
export { verifyWebhook } from "./webhook.js";
export type * from "./types.js";
