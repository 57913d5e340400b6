#define _GNU_SOURCE
#include "pipehost.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

/* bindings.c wants the object file that wit-bindgen makes of the WIT; here the linker reads the WIT itself. */
void __component_type_object_force_link_bindings(void) {}

/* How many bytes a stream holds back, and the most that one call asks the host for. */
enum { BUFFER = 64 * 1024 };

/* The cookie of a stream: one end of a pipe, and the stream's buffer. */
struct end {
    wasi_io_streams_own_input_stream_t input;
    wasi_io_streams_own_output_stream_t output;
    char buffer[BUFFER];
};

static int number_of(pipehost_pipes_types_error_code_t code) {
    switch (code) {
    case PIPEHOST_PIPES_TYPES_ERROR_CODE_NOT_PERMITTED: return EACCES;
    case PIPEHOST_PIPES_TYPES_ERROR_CODE_INVALID_NAME: return EINVAL;
    case PIPEHOST_PIPES_TYPES_ERROR_CODE_LIMIT_EXCEEDED: return EMFILE;
    case PIPEHOST_PIPES_TYPES_ERROR_CODE_BROKEN_PIPE: return EPIPE;
    case PIPEHOST_PIPES_TYPES_ERROR_CODE_TIMED_OUT: return ETIMEDOUT;
    case PIPEHOST_PIPES_TYPES_ERROR_CODE_IN_USE: return EBUSY;
    case PIPEHOST_PIPES_TYPES_ERROR_CODE_UNSUPPORTED: return ENOTSUP;
    default: return EIO;
    }
}

/* Sets errno to what a stream's operation failed with. */
static void set_errno(wasi_io_streams_stream_error_t *error) {
    errno = EPIPE;
    if (error->tag == WASI_IO_STREAMS_STREAM_ERROR_LAST_OPERATION_FAILED) {
        pipehost_pipes_types_error_code_t code;
        errno = EIO;
        if (pipehost_pipes_types_pipe_error_code(
                wasi_io_error_borrow_error(error->val.last_operation_failed), &code))
            errno = code == PIPEHOST_PIPES_TYPES_ERROR_CODE_LIMIT_EXCEEDED ? EDQUOT : number_of(code);
    }
    wasi_io_streams_stream_error_free(error);
}

static ssize_t read_end(void *cookie, char *into, size_t length) {
    struct end *end = cookie;
    bindings_list_u8_t got;
    wasi_io_streams_stream_error_t error;
    if (length > BUFFER)
        length = BUFFER;
    if (length == 0)
        return 0;
    if (!wasi_io_streams_method_input_stream_blocking_read(
            wasi_io_streams_borrow_input_stream(end->input), length, &got, &error)) {
        if (error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED)
            return 0;
        set_errno(&error);
        return -1;
    }
    memcpy(into, got.ptr, got.len);
    length = got.len;
    bindings_list_u8_free(&got);
    return length;
}

static ssize_t write_end(void *cookie, const char *from, size_t length) {
    struct end *end = cookie;
    wasi_io_streams_borrow_output_stream_t stream = wasi_io_streams_borrow_output_stream(end->output);
    wasi_io_streams_stream_error_t error;
    for (size_t done = 0; done < length;) {
        uint64_t room;
        if (!wasi_io_streams_method_output_stream_check_write(stream, &room, &error)) {
            set_errno(&error);
            return -1;
        }
        if (room == 0) {
            wasi_io_poll_own_pollable_t ready = wasi_io_streams_method_output_stream_subscribe(stream);
            wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
            wasi_io_poll_pollable_drop_own(ready);
            continue;
        }
        bindings_list_u8_t some = {(uint8_t *)from + done, length - done};
        if (some.len > room)
            some.len = room;
        if (!wasi_io_streams_method_output_stream_write(stream, &some, &error)) {
            set_errno(&error);
            return -1;
        }
        done += some.len;
    }
    return length;
}

static int close_reader(void *cookie) {
    struct end *end = cookie;
    wasi_io_streams_input_stream_drop_own(end->input);
    free(end);
    return 0;
}

/* The host delivers what the stream was given. */
static int close_writer(void *cookie) {
    struct end *end = cookie;
    wasi_io_streams_output_stream_drop_own(end->output);
    free(end);
    return 0;
}

static FILE *stream_of(struct end *end, const char *mode, cookie_io_functions_t functions) {
    FILE *stream = fopencookie(end, mode, functions);
    if (!stream) {
        functions.close(end);
        errno = ENOMEM;
        return NULL;
    }
    setvbuf(stream, end->buffer, _IOFBF, BUFFER);
    return stream;
}

static FILE *reading(pipehost_pipes_types_own_pipe_reader_t reader) {
    struct end *end = malloc(sizeof *end);
    if (!end) {
        pipehost_pipes_types_pipe_reader_drop_own(reader);
        errno = ENOMEM;
        return NULL;
    }
    end->input = pipehost_pipes_types_static_pipe_reader_read_via_stream(reader);
    cookie_io_functions_t functions = {.read = read_end, .close = close_reader};
    return stream_of(end, "r", functions);
}

static FILE *writing(pipehost_pipes_types_own_pipe_writer_t writer) {
    struct end *end = malloc(sizeof *end);
    if (!end) {
        pipehost_pipes_types_pipe_writer_drop_own(writer);
        errno = ENOMEM;
        return NULL;
    }
    end->output = pipehost_pipes_types_static_pipe_writer_write_via_stream(writer);
    cookie_io_functions_t functions = {.write = write_end, .close = close_writer};
    return stream_of(end, "w", functions);
}

FILE *pipehost_open(const char *name, const char *mode) {
    bindings_string_t text = {(uint8_t *)name, strlen(name)};
    pipehost_pipes_named_error_code_t code;
    if (strcmp(mode, "r") == 0) {
        pipehost_pipes_named_own_pipe_reader_t reader;
        if (pipehost_pipes_named_open_reader(&text, &reader, &code))
            return reading(reader);
        errno = number_of(code);
    } else if (strcmp(mode, "w") == 0) {
        pipehost_pipes_named_own_pipe_writer_t writer;
        if (pipehost_pipes_named_open_writer(&text, &writer, &code))
            return writing(writer);
        errno = number_of(code);
    } else {
        errno = EINVAL;
    }
    return NULL;
}

int pipehost_pipe(FILE *ends[2]) {
    pipehost_pipes_anonymous_tuple2_own_pipe_reader_own_pipe_writer_t both;
    pipehost_pipes_anonymous_error_code_t code;
    if (!pipehost_pipes_anonymous_create(&both, &code)) {
        errno = number_of(code);
        return -1;
    }
    ends[0] = reading(both.f0);
    ends[1] = writing(both.f1);
    if (ends[0] && ends[1])
        return 0;
    if (ends[0])
        fclose(ends[0]);
    if (ends[1])
        fclose(ends[1]);
    errno = ENOMEM;
    return -1;
}

int pipehost_granted(int (*each)(void *, const char *, int, int), void *context) {
    pipehost_pipes_named_list_granted_pipe_t all;
    pipehost_pipes_named_list(&all);
    int stopped = 0;
    for (size_t i = 0; i < all.len && !stopped; i++) {
        /* A name has at most 64 bytes, and no NUL among them. */
        char name[65] = "";
        size_t length = all.ptr[i].name.len;
        memcpy(name, all.ptr[i].name.ptr, length < sizeof name ? length : sizeof name - 1);
        stopped = each(context, name, !!(all.ptr[i].directions & PIPEHOST_PIPES_NAMED_DIRECTIONS_READ),
                       !!(all.ptr[i].directions & PIPEHOST_PIPES_NAMED_DIRECTIONS_WRITE));
    }
    pipehost_pipes_named_list_granted_pipe_free(&all);
    return stopped;
}

/* The granted pipes that a filter may have a use for. */
struct found {
    bool in, out;
    int readable;
    char name[65];
};

static int find(void *context, const char *name, int read, int write) {
    struct found *found = context;
    found->in |= read && strcmp(name, "in") == 0;
    found->out |= write && strcmp(name, "out") == 0;
    found->readable += read;
    if (read)
        strcpy(found->name, name);
    return 0;
}

FILE *pipehost_input(void) {
    struct found found = {0};
    pipehost_granted(find, &found);
    if (found.in)
        return pipehost_open("in", "r");
    return found.readable == 1 ? pipehost_open(found.name, "r") : stdin;
}

FILE *pipehost_output(void) {
    struct found found = {0};
    pipehost_granted(find, &found);
    return found.out ? pipehost_open("out", "w") : stdout;
}

void pipehost_exit(int status) {
    fflush(NULL);
    wasi_cli_exit_exit_with_code(status);
    abort();
}
