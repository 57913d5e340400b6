/* Numbers the lines that it reads, as cat -n does. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipehost.h"

int main(void) {
    FILE *in = pipehost_input(), *out = pipehost_output();
    if (!in || !out) {
        perror("c-number");
        return 1;
    }
    char *line = NULL;
    size_t room = 0;
    unsigned long long number = 0;
    for (ssize_t length; (length = getline(&line, &room, in)) >= 0;) {
        fprintf(out, "%6llu\t", ++number);
        if (fwrite(line, 1, length, out) != (size_t)length)
            break;
    }
    free(line);
    if (ferror(in) || ferror(out) || fclose(out)) {
        /* The reader has had enough. That is no fault, and the status is as after SIGPIPE. */
        if (errno == EPIPE)
            pipehost_exit(141);
        perror("c-number");
        return 1;
    }
    return 0;
}
