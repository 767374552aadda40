/** Server-Sent Events, as the HTML standard reads them. */

export interface ServerSentEvent {
  event: string;
  data: string;
}

/** Longer lines are refused: an event of the gateway is far smaller. */
const MAX_LINE = 8 * 1024 * 1024;

/** Turns the chunks of a stream into its events, and keeps where the stream is. */
export class SseParser {
  /** The `id` of the last event, or of a comment that said where the stream is. */
  lastEventId: string | undefined;
  /** How long to wait before the next connection, in milliseconds. */
  retry: number | undefined;

  #rest = "";
  #event = "";
  #data: string[] = [];
  #id: string | undefined;
  readonly #decoder = new TextDecoder();

  push(chunk: Uint8Array): ServerSentEvent[] {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_LINE) throw new RangeError("a line of the stream is too long");
    const events: ServerSentEvent[] = [];
    for (const line of lines) {
      const event = this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
      if (event) events.push(event);
    }
    return events;
  }

  #line(line: string): ServerSentEvent | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return undefined;
  }

  #dispatch(): ServerSentEvent | undefined {
    this.lastEventId = this.#id ?? this.lastEventId;
    const { event, data } = { event: this.#event || "message", data: this.#data };
    this.#event = "";
    this.#data = [];
    return data.length > 0 ? { event, data: data.join("\n") } : undefined;
  }
}
