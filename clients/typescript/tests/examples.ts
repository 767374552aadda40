/** The examples do what the documents say. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { Sipost } from "../src/index.js";

const run = promisify(execFile);
const example = (name: string) => new URL(`../examples/${name}.js`, import.meta.url).pathname;

async function send(target: string): Promise<string[]> {
  const { stdout } = await run(process.execPath, [example("jssip-like"), target, "Hello!"]);
  return stdout.trim().split("\n");
}

test("sendMessage calls the handlers of JsSIP", async () => {
  const sending = "sending sip:ok@sandbox.invalid";
  assert.deepEqual(await send("ok"), [sending, "succeeded 200 OK"]);
  const busy = "sending sip:busy@sandbox.invalid";
  assert.deepEqual(await send("busy"), [busy, "failed remote 486 Busy"]);
  assert.match((await send("not a target")).join("\n"), /^refused \/target: /);
});

test("what comes in is printed and answered", async (context) => {
  const sipost = new Sipost();
  const program = spawn(process.execPath, [example("receive")], { stdio: ["ignore", "pipe", "inherit"] });
  context.after(() => program.kill());
  let printed = "";
  program.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  // It sees what comes in once it listens, so messages are sent until it does.
  for (let tries = 0; tries < 1000 && !printed.includes("\n"); tries++) {
    await sipost.send({ target: "echo", body: "Hi!" }, { wait: 30 });
  }
  assert.match(printed, /^sip:echo@sandbox\.invalid Hi!\n/);
  for await (const answer of sipost.receive({ lastEventId: "earliest" })) {
    if (answer.body === "Got it.") break;
  }
});
