import type { Gap, Problem, Violation } from "./types.js";

/** The gateway refused a request, and said why (RFC 9457). */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    /** The HTTP status. */
    readonly status: number,
    /** The whole document. */
    readonly problem: Problem,
    /** The name of the request in the gateway's log. */
    readonly requestId: string | null,
  ) {
    super(problem.detail ?? problem.title);
  }

  /** The kind of the problem, for instance `invalid-message`. */
  get kind(): string {
    return this.problem.type.replace("/problems/", "");
  }

  /** Every mistake of the request. */
  get violations(): Violation[] {
    return this.problem.errors ?? [];
  }
}

/** The gateway was not reached, or the connection was lost, as often as was tried. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** Events were removed before they were read. The log goes on after `gap.resumedFrom`. */
export class GapError extends Error {
  override readonly name = "GapError";

  constructor(readonly gap: Gap) {
    super(gap.reason);
  }
}

/** A post is not from the gateway that has the secret, or is too old. */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
}
