// The pipes that a component is granted under pipehost, as async iterables of Uint8Array.
//
//     import { command, input, mapLines, output } from "./pipehost.js";
//
//     const upper = (line) => line.toUpperCase();
//     export const run = command(() => output(mapLines(input(), upper)));
//
// componentize-qjs makes a component of that: `build` has the command. Its QuickJS has the language, and neither
// `console` nor TextDecoder: `log`, `encode` and `decode` stand in for what a plugin needs of them.

import environment from "wasi:cli/environment@0.2.12";
import wasiExit from "wasi:cli/exit@0.2.12";
import stderr from "wasi:cli/stderr@0.3.0";
import stdin from "wasi:cli/stdin@0.3.0";
import stdout from "wasi:cli/stdout@0.3.0";
import anonymous from "pipehost:pipes/anonymous@0.3.0";
import named from "pipehost:pipes/named@0.3.0";
import types from "pipehost:pipes/types@0.3.0";

/** Why an operation on a pipe failed: `code` is one of the WIT's error codes, as "broken-pipe". */
export class PipeError extends Error {
  constructor(code, what) {
    super(`${what}: ${code}`);
    this.name = "PipeError";
    this.code = code;
  }
}

/** Returns the guest's arguments, without its own name. */
export function args() {
  return environment.getArguments().slice(1);
}

/** Returns the granted pipes, in the order in which the operator named them: { name, read, write }. */
export function granted() {
  return named.list().map(({ name, directions: { read, write } }) => ({ name, read, write }));
}

/**
 * Opens the granted pipe `name` for reading, and returns its bytes. Does not wait: the first read waits for a
 * writer. Throws a PipeError; iterating does so, too, where reading fails.
 */
export function reader(name) {
  return chunks(types.PipeReader.readViaStream(checked(() => named.openReader(name), name)), name);
}

/**
 * Opens the granted pipe `name` for writing, and writes all of `bytes`, an iterable of Uint8Array, as it comes.
 * Settles when all of it is delivered; rejects with a PipeError. What ends the iteration early, as a reader that
 * goes, returns the iterator.
 */
export function writer(name, bytes) {
  const end = checked(() => named.openWriter(name), name);
  return delivered((stream) => types.PipeWriter.writeViaStream(end, stream), bytes, name);
}

/** Makes an anonymous pipe: { reader, write(bytes) }, as `reader` and `writer` give them. */
export function pipe() {
  const [from, to] = checked(() => anonymous.create(), "a pipe");
  return {
    reader: chunks(types.PipeReader.readViaStream(from), "a pipe"),
    write: (bytes) => delivered((stream) => types.PipeWriter.writeViaStream(to, stream), bytes, "a pipe"),
  };
}

/** Returns what a filter reads: the granted pipe `in`, or the only one that may be read, or else stdin. */
export function input() {
  const readable = granted().filter((pipe) => pipe.read).map((pipe) => pipe.name);
  if (readable.includes("in")) return reader("in");
  return readable.length === 1 ? reader(readable[0]) : chunks(stdin.readViaStream(), "stdin");
}

/** Writes `bytes` where a filter writes to: the granted pipe `out`, or else stdout. As `writer` does. */
export function output(bytes) {
  const isOut = ({ name, write }) => name === "out" && write;
  if (granted().some(isOut)) return writer("out", bytes);
  return delivered((stream) => stdout.writeViaStream(stream), bytes, "stdout");
}

/** Writes a line to stderr. */
export async function log(...words) {
  await delivered((stream) => stderr.writeViaStream(stream), [encode(words.join(" ") + "\n")], "stderr");
}

/** Ends the guest with this status, 0 to 255. Settle what is being written first. */
export function exit(status) {
  wasiExit.exitWithCode(status);
}

/**
 * Makes of an async function what componentize-qjs wants a command to export: `export const run = command(main)`.
 *
 * What `main` throws is shown on stderr, and the status is 1; or 141, and nothing is shown, if it is that the
 * reader is gone.
 */
export function command(main) {
  return {
    async run() {
      try {
        await main();
      } catch (error) {
        if (error instanceof PipeError && error.code === "broken-pipe") exit(141);
        try {
          await log(error instanceof Error ? `${error}\n${error.stack}`.trimEnd() : String(error));
        } finally {
          exit(1);
        }
      }
    },
  };
}

/**
 * Returns `bytes` with each line of text replaced by what `change` makes of it; undefined leaves the line out.
 *
 * A line is passed on as soon as its end has come. One of more than `limit` bytes is a RangeError. What is not
 * UTF-8 becomes U+FFFD.
 */
export async function* mapLines(bytes, change, limit = 1 << 20) {
  const lines = (text) => text.map(change).filter((line) => line !== undefined);
  for await (const whole of wholeLines(bytes, limit)) {
    const text = decode(whole).split("\n");
    const last = text.pop();
    const changed = lines(text).map((line) => line + "\n");
    // Only the last line of all may have no end.
    if (last !== "") changed.push(...lines([last]));
    if (changed.length > 0) yield encode(changed.join(""));
  }
}

/** Returns the lines of `bytes` as text, without their ends. As mapLines does, which is faster for a filter. */
export async function* lines(bytes, limit = 1 << 20) {
  for await (const whole of wholeLines(bytes, limit)) {
    const text = decode(whole).split("\n");
    if (text.at(-1) === "") text.pop();
    yield* text;
  }
}

/** Returns `bytes` in pieces that end where a line ends, except the last. */
async function* wholeLines(bytes, limit) {
  const checked = (size) => {
    if (size > limit) throw new RangeError(`a line has more than ${limit} bytes`);
  };
  let begun = [], size = 0;
  for await (const chunk of bytes) {
    const end = chunk.lastIndexOf(10) + 1;
    if (end > 0) {
      checked(size + chunk.indexOf(10));
      yield joined([...begun, chunk.subarray(0, end)]);
      (begun = []), (size = 0);
    }
    if (end < chunk.length) {
      begun.push(chunk.slice(end));
      size += chunk.length - end;
      checked(size);
    }
  }
  if (size > 0) yield joined(begun);
}

// By way of base64, as QuickJS has that as native code: ten times as fast as a loop over the bytes.

/** Returns the UTF-8 of a text. */
export function encode(text) {
  return Uint8Array.fromBase64(btoa(unescape(encodeURIComponent(text.toWellFormed()))));
}

/** Returns the text of UTF-8. What is none becomes U+FFFD. */
export function decode(bytes) {
  const text = atob(bytes.toBase64());
  if (!/[\x80-\xff]/.test(text)) return text;
  try {
    return decodeURIComponent(escape(text));
  } catch {
    return text.replace(SEQUENCE, (sequence) => {
      try {
        return decodeURIComponent(escape(sequence));
      } catch {
        return "\ufffd";
      }
    });
  }
}

// A sequence of UTF-8 that may be whole, or a byte that belongs to none.
const SEQUENCE = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[\x80-\xff]/g;

function joined(pieces) {
  if (pieces.length === 1) return pieces[0];
  const all = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

async function* chunks([stream, end], what) {
  yield* stream;
  settled(await end.read(), what);
}

async function delivered(start, bytes, what) {
  // To the stream, an iterable that fails is one that ends.
  let failed;
  async function* watched() {
    try {
      yield* bytes;
    } catch (error) {
      failed = { error };
    }
  }
  settled(await start(watched()).read(), what);
  if (failed) throw failed.error;
}

function settled(result, what) {
  if (result?.tag === "err") throw new PipeError(result.val === "pipe" ? "broken-pipe" : result.val, what);
}

function checked(open, what) {
  try {
    return open();
  } catch (error) {
    // The WIT's error code is the message.
    throw new PipeError(error.message, what);
  }
}
