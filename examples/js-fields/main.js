// Passes on the fields that its arguments name, of each line of JSON: js-fields FIELD...

import { args, command, exit, input, log, mapLines, output } from "./pipehost.js";

async function main() {
  const fields = args();
  if (fields.length === 0) {
    await log("usage: js-fields FIELD...");
    exit(2);
  }
  const chosen = (line) => {
    const value = JSON.parse(line);
    return JSON.stringify(Object.fromEntries(fields.map((field) => [field, value[field] ?? null])));
  };
  await output(mapLines(input(), chosen));
}

export const run = command(main);
