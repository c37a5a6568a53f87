#include "top_view.h"

#include <errno.h>
#include <langinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Other screen, no cursor, no line breaks at the edge; and back. */
static const char ENTER[] = "\033[?1049h\033[?25l\033[?7l\033[H\033[2J";
static const char LEAVE[] = "\033[0m\033[?7h\033[?25h\033[?1049l";
static const char LINE_END[] = "\033[0m\033[K\r\n";

enum { ROWS_DEFAULT = 24, COLUMNS_DEFAULT = 80 };

static const int ENDING[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const int BREAKING[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/* Text that grows. */
struct buffer {
    char *bytes;
    size_t length;
    size_t capacity;
};

enum key_state { KEY_PLAIN, KEY_ESCAPE, KEY_SEQUENCE };

static struct {
    volatile sig_atomic_t is_taken;
    bool has_input; /* standard input is the terminal, and `before` is what it was like */
    struct termios before;
    struct buffer page;
    struct buffer screen;
    size_t first_line;
    size_t lines;
    unsigned rows;
    unsigned columns;
    enum key_state key_state;
    char sequence[8];
    size_t sequence_length;
} view;

/* ---- the terminal ---- */

bool top_view_is_usable(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) && kind && *kind != '\0' && strcmp(kind, "dumb") != 0;
}

bool top_view_has_colours(void)
{
    const char *none = getenv("NO_COLOR");
    return top_view_is_usable() && (!none || *none == '\0');
}

bool top_view_has_blocks(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static void write_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(STDOUT_FILENO, bytes, length);
        if (count < 0 && errno != EINTR)
            return; /* the terminal is gone: its hang-up is on the way */
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        }
    }
}

static void measure(void)
{
    struct winsize size = {0};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    view.rows = size.ws_row > 0 ? size.ws_row : ROWS_DEFAULT;
    view.columns = size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
}

static void enter(void)
{
    view.is_taken = 1;
    if (view.has_input) {
        struct termios raw = view.before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals stay: the keys for them work as ever */
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    }
    write_all(ENTER, sizeof(ENTER) - 1);
    measure();
}

/* Also from signal handlers: nothing but write and tcsetattr. */
static void leave(void)
{
    if (!view.is_taken)
        return;
    view.is_taken = 0;
    write_all(LEAVE, sizeof(LEAVE) - 1);
    if (view.has_input)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &view.before);
}

static void on_breaking(int number)
{
    leave();
    raise(number); /* by default now: SA_RESETHAND */
}

static void handle_breaking(void)
{
    struct sigaction action = {.sa_handler = on_breaking, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(BREAKING) / sizeof(BREAKING[0]); i++)
        (void)sigaction(BREAKING[i], &action, NULL);
}

int top_view_start(int *signals)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ENDING) / sizeof(ENDING[0]); i++)
        sigaddset(&set, ENDING[i]);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGCONT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (*signals < 0)
        return -errno;
    view.has_input = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &view.before) == 0;
    handle_breaking();
    (void)atexit(leave);
    enter();
    return 0;
}

void top_view_stop(void)
{
    leave();
    free(view.page.bytes);
    free(view.screen.bytes);
    view.page = view.screen = (struct buffer){0};
}

/* The signal that continues it has then been seen to. */
static void stop_until_continued(void)
{
    static const struct timespec at_once;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCONT);
    (void)kill(getpid(), SIGSTOP);
    (void)sigtimedwait(&set, NULL, &at_once);
}

int top_view_signal(int signals)
{
    struct signalfd_siginfo information;
    if (read(signals, &information, sizeof(information)) != (ssize_t)sizeof(information))
        return 0;
    int number = (int)information.ssi_signo;
    switch (number) {
    case SIGWINCH:
        measure();
        return 0;
    case SIGTSTP:
        leave();
        stop_until_continued();
        enter();
        return 0;
    case SIGCONT:
        enter(); /* another program may have had the terminal */
        return 0;
    default:
        return number;
    }
}

_Noreturn void top_view_die(int signal_number)
{
    sigset_t set;
    leave();
    (void)signal(signal_number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    (void)raise(signal_number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + signal_number);
}

/* ---- the page ---- */

static void add(struct buffer *buffer, const char *text, size_t length)
{
    if (buffer->capacity - buffer->length < length) {
        size_t capacity = (buffer->length + length) * 2;
        char *bytes = realloc(buffer->bytes, capacity);
        if (!bytes)
            return; /* a page with a gap */
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    memcpy(buffer->bytes + buffer->length, text, length);
    buffer->length += length;
}

void top_view_begin(void)
{
    view.page.length = 0;
    view.lines = 0;
}

void top_view_add(void *context, const char *text, size_t length_bytes)
{
    (void)context;
    add(&view.page, text, length_bytes);
    for (size_t i = 0; i < length_bytes; i++)
        view.lines += text[i] == '\n';
}

/* Bytes of a line's first columns. Escape sequences take none, and a character takes one. */
static size_t fitting_bytes(const char *line, size_t length, unsigned columns)
{
    unsigned used = 0;
    size_t i = 0;
    while (i < length) {
        if (line[i] == '\033') {
            while (i < length && line[i] != 'm')
                i++;
            i += i < length;
            continue;
        }
        bool continues = ((unsigned char)line[i] & 0xc0) == 0x80;
        if (!continues && used++ == columns)
            break;
        i++;
    }
    return i;
}

static size_t page_rows(void)
{
    return view.rows > 1 ? view.rows - 1 : 1; /* the last one is for the status */
}

static void keep_in_page(void)
{
    size_t last = view.lines > page_rows() ? view.lines - page_rows() : 0;
    view.first_line = view.first_line < last ? view.first_line : last;
}

void top_view_draw(const char *status)
{
    char position[64] = "";
    view.screen.length = 0;
    keep_in_page();
    add(&view.screen, "\033[H", 3);
    const char *line = view.page.bytes;
    const char *end = view.page.bytes + view.page.length;
    for (size_t number = 0; line && line < end && number < view.first_line + page_rows(); number++) {
        size_t length = (size_t)((const char *)memchr(line, '\n', (size_t)(end - line)) - line);
        if (number >= view.first_line) {
            add(&view.screen, line, fitting_bytes(line, length, view.columns));
            add(&view.screen, LINE_END, sizeof(LINE_END) - 1);
        }
        line += length + 1;
    }
    add(&view.screen, "\033[J", 3);
    if (view.lines > page_rows())
        snprintf(position, sizeof(position), "lines %zu-%zu of %zu  ", view.first_line + 1,
                 view.first_line + page_rows(), view.lines);
    char place[32];
    int place_length = snprintf(place, sizeof(place), "\033[%u;1H\033[7m", view.rows);
    add(&view.screen, place, (size_t)place_length);
    size_t position_length = fitting_bytes(position, strlen(position), view.columns);
    add(&view.screen, position, position_length);
    add(&view.screen, status, fitting_bytes(status, strlen(status), view.columns - (unsigned)position_length));
    add(&view.screen, "\033[0m\033[K", 7);
    write_all(view.screen.bytes, view.screen.length);
}

/* ---- keys ---- */

static void scroll(ptrdiff_t lines)
{
    if (lines < 0 && view.first_line < (size_t)-lines)
        view.first_line = 0;
    else
        view.first_line += (size_t)lines;
    keep_in_page();
}

/* What arrows and their neighbours send after the escape. */
static void take_sequence(const char *sequence)
{
    ptrdiff_t page = (ptrdiff_t)page_rows();
    static const struct {
        const char *sequence;
        int lines;
        int pages;
    } moves[] = {{"[A", -1, 0}, {"OA", -1, 0},     {"[B", 1, 0},       {"OB", 1, 0},     {"[5~", 0, -1},
                 {"[6~", 0, 1}, {"[H", 0, -10000}, {"[1~", 0, -10000}, {"[F", 0, 10000}, {"[4~", 0, 10000}};
    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
        if (strcmp(sequence, moves[i].sequence) == 0)
            scroll(moves[i].lines + moves[i].pages * page);
}

/* Whether a key is for paging. */
static bool take_paging(char key)
{
    ptrdiff_t page = (ptrdiff_t)page_rows();
    switch (key) {
    case 'j':
        scroll(1);
        return true;
    case 'k':
        scroll(-1);
        return true;
    case ' ':
        scroll(page);
        return true;
    case 'b':
        scroll(-page);
        return true;
    default:
        return false;
    }
}

static int take_byte(char byte)
{
    switch (view.key_state) {
    case KEY_PLAIN:
        if (byte == '\033') {
            view.key_state = KEY_ESCAPE;
            view.sequence_length = 0;
            return 0;
        }
        return take_paging(byte) ? 0 : (unsigned char)byte;
    case KEY_ESCAPE:
        if (byte != '[' && byte != 'O') {
            view.key_state = KEY_PLAIN; /* the escape key, then another one */
            return take_byte(byte);
        }
        view.sequence[view.sequence_length++] = byte;
        view.key_state = KEY_SEQUENCE;
        return 0;
    case KEY_SEQUENCE:
        break;
    }
    if (view.sequence_length < sizeof(view.sequence) - 1)
        view.sequence[view.sequence_length++] = byte;
    if (byte >= '@' && byte <= '~') { /* its last byte */
        view.sequence[view.sequence_length] = '\0';
        view.key_state = KEY_PLAIN;
        take_sequence(view.sequence);
    }
    return 0;
}

int top_view_key(void)
{
    char byte;
    ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR)
        return 0;
    return count == 1 ? take_byte(byte) : -1;
}
