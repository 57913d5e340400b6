/* The pipes that a component is granted under pipehost, as streams of <stdio.h>.
 *
 *     FILE *in = pipehost_input(), *out = pipehost_output();
 *     if (!in || !out) { perror("pipes"); return 1; }
 *     for (int c; (c = getc(in)) != EOF;) putc(c, out);
 *     return ferror(in) || fclose(out) ? 1 : 0;
 *
 * Streams that are opened here have a buffer of 64 KiB: where the other side waits for a line,
 * call fflush(). fclose(), or the end of main(), writes what is in the buffer.
 *
 * What is not here (children, how much a pipe holds) is in bindings.h, which wit-bindgen makes of the
 * WIT package. */
#ifndef PIPEHOST_H
#define PIPEHOST_H

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens the granted pipe `name` for reading (mode "r") or writing ("w"). Does not wait for a peer:
 * the first read waits for a writer, the first write for a reader.
 *
 * Returns NULL and sets errno: EINVAL, not a pipe's name or not a mode; EACCES, not granted in this
 * direction; EBUSY, this end is open already; EMFILE, a limit of the operator's is reached; ENOMEM.
 *
 * Reads and writes set: EPIPE, the reader is gone; ETIMEDOUT, no peer came in the time that the
 * operator allows; EDQUOT, the operator's bound of bytes is reached; EIO. */
FILE *pipehost_open(const char *name, const char *mode);

/* Opens what a filter reads: the granted pipe `in`, or the only granted pipe that may be read, or else
 * stdin. Errors as above. */
FILE *pipehost_input(void);

/* Opens what a filter writes: the granted pipe `out`, or else stdout. Errors as above. */
FILE *pipehost_output(void);

/* Makes an anonymous pipe, as pipe(2) does: ends[0] is read, ends[1] written. Returns 0, or -1 and sets
 * errno. A pipe holds a bounded number of bytes: who fills one that only it reads waits for ever. */
int pipehost_pipe(FILE *ends[2]);

/* Calls `each` with every granted pipe, in the order in which the operator named them, until it returns
 * something other than 0, and returns that; else 0. */
int pipehost_granted(int (*each)(void *context, const char *name, int read, int write), void *context);

/* Flushes all streams and ends with this status, 0 to 255. exit() makes every status but 0 a 1, as
 * WASI 0.2 knows success and failure only. Functions given to atexit() are not called. */
#ifdef __cplusplus
[[noreturn]]
#else
_Noreturn
#endif
void pipehost_exit(int status);

#ifdef __cplusplus
}
#endif

#endif
