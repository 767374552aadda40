// What the scripts here share: their command line, and one JSON object a line as their output.
import { parseArgs } from "node:util";

/** Reads `--url`, `--user` and what `more` names; says what is missing and exits 2. */
export function options(more = {}) {
  const { values } = parseArgs({
    options: { url: { type: "string" }, user: { type: "string" }, ...more },
  });
  for (const name of ["url", "user"]) {
    if (!values[name]) {
      console.error(`--${name} is missing`);
      process.exit(2);
    }
  }
  return values;
}

/** The domain and the password rule of kamailio.cfg. */
export const DOMAIN = "example.test";
export const password = (user) => `${user}-secret`;

export function print(event, members = {}) {
  process.stdout.write(JSON.stringify({ event, ...members }) + "\n");
}

/** Whoever started us holds our standard input: when it closes, nobody is left to read us. */
export function endWithStandardInput() {
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}
