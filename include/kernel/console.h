/**
 * @file console.h
 * A console: reads lines, runs those that begin with a colon as commands, and answers the others.
 *
 * Use it to let a person (or a script) look into a running program over a terminal, a pipe or a socket; line editing is
 * the program's business. Free text is answered as `Message: "ENSO"`; `:help` and `:quit` are built in and the program
 * adds its own. Nothing is allocated after kn_console_open; a console belongs to one thread at a time.
 */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include <kernel/atomic.h>
#include <kernel/poll.h>

/** A console. */
struct kn_console;

/** A command of the program. */
struct kn_console_command {
    const char *name; /**< with its colon: ":stats" */
    const char *help; /**< one line */
    /** Runs it; `arguments` is what follows the name, trimmed, not empty unless there is nothing. */
    void (*run)(void *context, struct kn_console *console, const char *arguments);
};

/** Zero means the default in parentheses; `write` is needed. */
struct kn_console_options {
    void *context;                                                       /**< passed through */
    void (*write)(void *context, const char *text, size_t length_bytes); /**< takes all output, whole lines */
    const struct kn_console_command *commands;                           /**< outlive the console */
    size_t command_count;
    size_t line_bytes_max; /**< longest line (64 KiB), at most 16 MiB; longer ones are refused with a message */
};

/** Creates a console; the options are copied. The caller owns it. @return 0, -EINVAL or -ENOMEM. */
KN_CHECK_RESULT int kn_console_open(struct kn_console **console, const struct kn_console_options *options);

/** Frees it. Not from inside a command. NULL is harmless. */
void kn_console_close(struct kn_console *console);

/** Takes input in pieces of any size and answers each complete line. @return 0, or -ESHUTDOWN after `:quit`. */
int kn_console_feed(struct kn_console *console, const void *bytes, size_t length_bytes);

/** Ends the input: answers a last line that has no end of its own. @return as kn_console_feed. */
int kn_console_end(struct kn_console *console);

/** Makes every later call answer -ESHUTDOWN, as `:quit` does. For commands. */
void kn_console_quit(struct kn_console *console);

/** Writes formatted text, at most 4 KiB of it. For commands. */
void kn_console_print(struct kn_console *console, const char *format, ...) KN_PRINTF(2, 3);

/** Completes a command: the name of number `index` (0, 1, ...) that begins with `prefix`, or NULL after the last. */
const char *kn_console_complete(const struct kn_console *console, const char *prefix, size_t index);

/**
 * Registers a descriptor to read from, level-triggered. The caller owns it and deregisters it.
 * @return 0; 1 for a regular file or /dev/null, which are always ready: call kn_console_read until it ends; or -errno.
 */
KN_CHECK_RESULT int kn_console_attach(struct kn_poll *poll, int descriptor, kn_token token);

/**
 * Reads once, when the descriptor is ready, and answers the lines in it.
 * @return 0; 1 at the end of the input, which was ended; -EAGAIN for a spurious event; -ESHUTDOWN after `:quit`;
 * -errno.
 */
int kn_console_read(struct kn_console *console, int descriptor);

#endif
