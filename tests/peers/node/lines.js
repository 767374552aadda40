// What the scripts here share: their command line, and one JSON object a line as their output.
import { parseArgs } from "node:util";

/** The domain of kamailio.cfg. */
const DOMAIN = "example.test";

/** Reads `--url`, `--user`, `--domain` and what `more` names; says what is missing and exits 2. */
export function options(more = {}) {
  const { values } = parseArgs({
    options: {
      url: { type: "string" },
      user: { type: "string" },
      domain: { type: "string", default: DOMAIN },
      ...more,
    },
  });
  for (const name of ["url", "user"]) {
    if (!values[name]) {
      console.error(`--${name} is missing`);
      process.exit(2);
    }
  }
  return values;
}

/** The password rules of kamailio.cfg, and of the sandbox for its own domain. */
export const password = (user, domain) => (domain === DOMAIN ? `${user}-secret` : user);

export function print(event, members = {}) {
  process.stdout.write(JSON.stringify({ event, ...members }) + "\n");
}

/** Whoever started us holds our standard input: when it closes, nobody is left to read us. */
export function endWithStandardInput() {
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}
