/* Reads lines, and writes what `change` makes of each. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipehost.h"

/* Changes a line, whose end is part of it. */
static void change(char *line, size_t length) {
    for (size_t i = 0; i < length; i++)
        line[i] = toupper((unsigned char)line[i]);
}

int main(void) {
    FILE *in = pipehost_input(), *out = pipehost_output();
    if (!in || !out) {
        perror("plugin-name");
        return 1;
    }
    char *line = NULL;
    size_t room = 0;
    for (ssize_t length; (length = getline(&line, &room, in)) >= 0;) {
        change(line, length);
        fwrite(line, 1, length, out);
        /* Whoever waits for the answer to a line gets it. Without this, a filter is faster. */
        if (fflush(out))
            break;
    }
    if (ferror(in) || ferror(out) || fclose(out)) {
        /* The reader has had enough. That is no fault, and the status is as after SIGPIPE. */
        if (errno == EPIPE)
            pipehost_exit(141);
        perror("plugin-name");
        return 1;
    }
    return 0;
}
