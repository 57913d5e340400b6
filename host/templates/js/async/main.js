// Passes on what comes from all granted pipes, as it comes: to the pipe `out`, or stdout.

import { command, granted, output, reader } from "./sdk/pipehost.js";

/** Returns the bytes of all sources, each piece when it comes. */
async function* merged(sources) {
  const next = async (source) => ({ source, result: await source.next() });
  const waiting = new Map(sources.map((source) => [source, next(source)]));
  while (waiting.size > 0) {
    const { source, result } = await Promise.race(waiting.values());
    if (result.done) {
      waiting.delete(source);
    } else {
      yield result.value;
      waiting.set(source, next(source));
    }
  }
}

async function main() {
  const readable = granted().filter((pipe) => pipe.read);
  await output(merged(readable.map((pipe) => reader(pipe.name))));
}

export const run = command(main);
