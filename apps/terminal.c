#include "terminal.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <editline/readline.h>

static const char PROMPT[] = "> ";
enum { HISTORY_LINES = 1000, PATH_BYTES = 4096 };

static struct {
    void (*on_line)(void *context, const char *line);
    const char *(*complete)(void *context, const char *prefix, size_t index);
    void *context;
    char history_path[PATH_BYTES]; /* empty when there is no place for one */
    size_t completion_index;
} terminal;

bool terminal_is_usable(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

/* $XDG_STATE_HOME/kernel/history, by default below ~/.local/state. Failing is no reason not to start. */
static void find_history(void)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char directory[PATH_BYTES - 16];
    int length = -1;
    if (state && *state == '/')
        length = snprintf(directory, sizeof(directory), "%s/kernel", state);
    else if (home && *home == '/')
        length = snprintf(directory, sizeof(directory), "%s/.local/state/kernel", home);
    if (length < 0 || (size_t)length >= sizeof(directory))
        return;
    for (char *slash = strchr(directory + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(directory, 0700);
        *slash = '/';
    }
    (void)mkdir(directory, 0700);
    snprintf(terminal.history_path, sizeof(terminal.history_path), "%s/history", directory);
}

static char *next_completion(const char *prefix, int state)
{
    if (state == 0)
        terminal.completion_index = 0;
    const char *name = terminal.complete(terminal.context, prefix, terminal.completion_index++);
    return name ? strdup(name) : NULL; /* libedit frees it */
}

static char **complete(const char *prefix, int start, int end)
{
    (void)end;
    rl_attempted_completion_over = 1; /* file names are no answer here */
    return start == 0 && terminal.complete ? rl_completion_matches(prefix, next_completion) : NULL;
}

static void on_line(char *line)
{
    if (line && *line)
        add_history(line);
    terminal.on_line(terminal.context, line);
    free(line);
}

void terminal_start(void (*handler)(void *context, const char *line),
                    const char *(*completer)(void *context, const char *prefix, size_t index), void *context)
{
    terminal.on_line = handler;
    terminal.complete = completer;
    terminal.context = context;
    rl_initialize();
    using_history();
    stifle_history(HISTORY_LINES);
    find_history();
    if (*terminal.history_path)
        (void)read_history(terminal.history_path);
    rl_attempted_completion_function = complete;
    rl_callback_handler_install(PROMPT, on_line);
}

void terminal_read(void)
{
    rl_callback_read_char();
}

void terminal_stop(void)
{
    rl_callback_handler_remove();
    if (*terminal.history_path)
        (void)write_history(terminal.history_path);
}
