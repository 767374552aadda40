/** The types of the contract, under short names. `schema.ts` is made from `openapi.yaml`. */
import type { components } from "./schema.js";

type Schemas = components["schemas"];

export type Agent = Schemas["Agent"];
export type Cause = Schemas["Cause"];
export type DeferredEvent = Schemas["DeferredEvent"];
export type ErasedEvent = Schemas["ErasedEvent"];
export type Event = Schemas["Event"];
export type EventType = Schemas["EventType"];
export type FailedEvent = Schemas["FailedEvent"];
export type Gap = Schemas["Gap"];
export type Message = Schemas["Message"];
export type MessageStatus = Schemas["MessageStatus"];
export type NewMessage = Schemas["NewMessage"];
export type NewWebhook = Schemas["NewWebhook"];
export type Problem = Schemas["Problem"];
export type ReceiptEvent = Schemas["ReceiptEvent"];
export type ReceiptKind = Schemas["ReceiptKind"];
export type ReceivedEvent = Schemas["ReceivedEvent"];
export type SendingEvent = Schemas["SendingEvent"];
export type SucceededEvent = Schemas["SucceededEvent"];
export type UndeliveredEvent = Schemas["UndeliveredEvent"];
export type Violation = Schemas["Violation"];
export type Webhook = Schemas["Webhook"];
export type WebhookWithSecret = Schemas["WebhookWithSecret"];

/** What a webhook is posted: an event, or a test of the webhook. */
export type WebhookEvent = Event | Schemas["WebhookTest"]["event"];
