/* Writes its words as a line into a granted pipe: plugin-name PIPE WORD... */

#include <errno.h>
#include <stdio.h>

#include "pipehost.h"

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: plugin-name PIPE WORD...\n");
        pipehost_exit(2);
    }
    FILE *to = pipehost_open(argv[1], "w");
    if (!to) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 2; i < argc; i++)
        fprintf(to, "%s%c", argv[i], i + 1 < argc ? ' ' : '\n');
    if (fclose(to)) {
        /* The reader has had enough. That is no fault, and the status is as after SIGPIPE. */
        if (errno == EPIPE)
            pipehost_exit(141);
        perror(argv[1]);
        return 1;
    }
    return 0;
}
