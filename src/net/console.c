#include <kernel/console.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kernel/line.h>

static const size_t LINE_BYTES_DEFAULT = 64 * 1024;
static const size_t LINE_BYTES_MAX = 16 * 1024 * 1024;
static const char MESSAGE_PREFIX[] = "Message: ";
enum { READ_BYTES = 16 * 1024, PRINT_BYTES = 4096 };

struct kn_console {
    struct kn_console_options options;
    struct kn_line_framer framer;
    bool is_quitting;
    char *line;   /* a command, terminated */
    char *answer; /* a quoted line */
    char read_buffer[READ_BYTES];
};

static void run_help(void *context, struct kn_console *console, const char *arguments);
static void run_quit(void *context, struct kn_console *console, const char *arguments);

static const struct kn_console_command BUILT_IN[] = {
    {":help", "list the commands", run_help},
    {":quit", "leave", run_quit},
};
enum { BUILT_IN_COUNT = sizeof(BUILT_IN) / sizeof(BUILT_IN[0]) };

static size_t command_count(const struct kn_console *console)
{
    return BUILT_IN_COUNT + console->options.command_count;
}

static const struct kn_console_command *command_at(const struct kn_console *console, size_t index)
{
    return index < BUILT_IN_COUNT ? &BUILT_IN[index] : &console->options.commands[index - BUILT_IN_COUNT];
}

static void write_text(struct kn_console *console, const char *text, size_t length)
{
    console->options.write(console->options.context, text, length);
}

void kn_console_print(struct kn_console *console, const char *format, ...)
{
    char text[PRINT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0)
        write_text(console, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

static void run_help(void *context, struct kn_console *console, const char *arguments)
{
    (void)context;
    (void)arguments;
    for (size_t i = 0; i < command_count(console); i++)
        kn_console_print(console, "%-14s %s\n", command_at(console, i)->name, command_at(console, i)->help);
    kn_console_print(console, "Any other line is answered with itself.\n");
}

static void run_quit(void *context, struct kn_console *console, const char *arguments)
{
    (void)context;
    (void)arguments;
    kn_console_quit(console);
}

void kn_console_quit(struct kn_console *console)
{
    console->is_quitting = true;
}

int kn_console_open(struct kn_console **console, const struct kn_console_options *options)
{
    *console = NULL;
    size_t line_bytes = options->line_bytes_max > 0 ? options->line_bytes_max : LINE_BYTES_DEFAULT;
    if (!options->write || line_bytes > LINE_BYTES_MAX)
        return -EINVAL;
    struct kn_console *created = calloc(1, sizeof(*created));
    char *buffer = malloc(line_bytes);
    char *line = malloc(line_bytes + 1);
    char *answer = malloc(sizeof(MESSAGE_PREFIX) + KN_TEXT_QUOTE_BYTES(line_bytes));
    if (!created || !buffer || !line || !answer) {
        free(created);
        free(buffer);
        free(line);
        free(answer);
        return -ENOMEM;
    }
    created->options = *options;
    created->options.line_bytes_max = line_bytes;
    created->line = line;
    created->answer = answer;
    kn_line_framer_init(&created->framer, buffer, line_bytes);
    *console = created;
    return 0;
}

void kn_console_close(struct kn_console *console)
{
    if (!console)
        return;
    free(console->framer.buffer);
    free(console->line);
    free(console->answer);
    free(console);
}

static void answer_text(struct kn_console *console, const struct kn_line *line)
{
    size_t prefix = sizeof(MESSAGE_PREFIX) - 1;
    memcpy(console->answer, MESSAGE_PREFIX, prefix);
    size_t length = prefix + kn_text_quote(line->text, line->length_bytes, console->answer + prefix);
    console->answer[length++] = '\n';
    write_text(console, console->answer, length);
}

/* Cuts spaces from both ends of a terminated text. */
static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t", text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

static void run_command(struct kn_console *console, const struct kn_line *line)
{
    memcpy(console->line, line->text, line->length_bytes);
    console->line[line->length_bytes] = '\0';
    char *name = console->line;
    char *arguments = name + strcspn(name, " \t");
    if (*arguments != '\0')
        *arguments++ = '\0';
    for (size_t i = 0; i < command_count(console); i++) {
        if (strcmp(command_at(console, i)->name, name) == 0) {
            command_at(console, i)->run(console->options.context, console, trim(arguments));
            return;
        }
    }
    kn_text_quote(name, strlen(name), console->answer);
    kn_console_print(console, "Unknown command %.80s (try :help)\n", console->answer);
}

static void answer_line(struct kn_console *console, const struct kn_line *line)
{
    switch (line->status) {
    case KN_LINE_NONE:
        break;
    case KN_LINE_TOO_LONG:
        kn_console_print(console, "Line longer than %zu bytes: ignored\n", console->options.line_bytes_max);
        break;
    case KN_LINE_COMPLETE:
        if (line->length_bytes > 0 && line->text[0] == ':')
            run_command(console, line);
        else
            answer_text(console, line);
        break;
    }
}

int kn_console_feed(struct kn_console *console, const void *bytes, size_t length_bytes)
{
    const char *next = bytes;
    size_t left = length_bytes;
    while (left > 0 && !console->is_quitting) {
        struct kn_line line;
        size_t taken = kn_line_feed(&console->framer, next, left, &line);
        answer_line(console, &line);
        next += taken;
        left -= taken;
    }
    return console->is_quitting ? -ESHUTDOWN : 0;
}

int kn_console_end(struct kn_console *console)
{
    struct kn_line line;
    kn_line_end(&console->framer, &line);
    if (!console->is_quitting)
        answer_line(console, &line);
    return console->is_quitting ? -ESHUTDOWN : 0;
}

const char *kn_console_complete(const struct kn_console *console, const char *prefix, size_t index)
{
    size_t length = strlen(prefix);
    for (size_t i = 0; i < command_count(console); i++) {
        const char *name = command_at(console, i)->name;
        if (strncmp(name, prefix, length) == 0 && index-- == 0)
            return name;
    }
    return NULL;
}

int kn_console_attach(struct kn_poll *poll, int descriptor, kn_token token)
{
    int result = kn_poll_register(poll, descriptor, token, KN_READABLE);
    return result == -EPERM ? 1 : result;
}

int kn_console_read(struct kn_console *console, int descriptor)
{
    ssize_t count = read(descriptor, console->read_buffer, sizeof(console->read_buffer));
    if (count < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    if (count > 0)
        return kn_console_feed(console, console->read_buffer, (size_t)count);
    int result = kn_console_end(console);
    return result < 0 ? result : 1;
}
