import { WebhookError } from "./errors.js";
import type { WebhookEvent } from "./types.js";

/** Posts that are older, or newer, are refused (Standard Webhooks 1.0). */
const TOLERANCE_SECONDS = 5 * 60;

type HeaderSource = Headers | Record<string, string | string[] | undefined>;

/**
 * Verifies the post of a webhook and returns its event. Throws a `WebhookError` for any post that is
 * not signed with the secret, or too old.
 *
 * @param body the body as it came, before it is parsed
 * @param secret `whsec_…`, or several while one replaces another
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: HeaderSource,
  secret: string | string[],
  now: Date = new Date(),
): Promise<WebhookEvent> {
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature");
  const age = Math.abs(now.getTime() / 1000 - Number(timestamp));
  if (!/^\d+$/.test(timestamp) || age > TOLERANCE_SECONDS) {
    throw new WebhookError("the post is too old, or the clocks differ");
  }
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + bytes.length);
  signed.set(head);
  signed.set(bytes, head.length);
  const offered = signatures.split(" ").filter((one) => one.startsWith("v1,"));
  for (const one of typeof secret === "string" ? [secret] : secret) {
    const key = await crypto.subtle.importKey(
      "raw",
      fromBase64(one.replace(/^whsec_/, "")),
      { name: "HMAC", hash: "SHA-256" },
      false,
      ["verify"],
    );
    for (const signature of offered) {
      // It compares in constant time.
      if (await crypto.subtle.verify("HMAC", key, fromBase64(signature.slice(3)), signed)) {
        return JSON.parse(new TextDecoder().decode(bytes)) as WebhookEvent;
      }
    }
  }
  throw new WebhookError("the signature is not that of the secret");
}

function header(headers: HeaderSource, name: string): string {
  const found =
    headers instanceof Headers
      ? headers.get(name)
      : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof found !== "string") throw new WebhookError(`the post has no ${name}`);
  return found;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    throw new WebhookError("a secret or a signature is not Base64");
  }
}
