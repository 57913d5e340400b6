// Reads lines, and writes what `changed` makes of each.

import { command, input, mapLines, output } from "./sdk/pipehost.js";

/** Returns what is written for a line, or undefined to leave it out. Neither contains the line's end. */
function changed(line) {
  return line.toUpperCase();
}

export const run = command(() => output(mapLines(input(), changed)));
