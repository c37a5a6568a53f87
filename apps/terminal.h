/*
 * Line editing with history and completion on a terminal, by libedit. One per process: libedit keeps its state in
 * globals, and so does this module.
 */
#ifndef APPS_TERMINAL_H
#define APPS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Whether standard input and output are a terminal that can be edited on. */
bool terminal_is_usable(void);

/*
 * Starts editing. `on_line` gets each line, or NULL at Control-D. `complete` gives the index-th completion of a
 * prefix, or NULL; it may be NULL itself.
 */
void terminal_start(void (*on_line)(void *context, const char *line),
                    const char *(*complete)(void *context, const char *prefix, size_t index), void *context);

/* Call when standard input is readable. */
void terminal_read(void);

/* Gives the terminal back as it was, and saves the history. */
void terminal_stop(void);

#endif
