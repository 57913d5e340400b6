// Writes its words as a line into a granted pipe: plugin-name PIPE WORD...

import { args, command, encode, exit, log, writer } from "./sdk/pipehost.js";

async function main() {
  const [pipe, ...words] = args();
  if (words.length === 0) {
    await log("usage: plugin-name PIPE WORD...");
    exit(2);
  }
  await writer(pipe, [encode(words.join(" ") + "\n")]);
}

export const run = command(main);
