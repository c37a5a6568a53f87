/*
 * A page of text on a terminal's other screen, that can be paged through, and the keys that are pressed meanwhile.
 *
 * Use it for programs that show one thing and keep it up to date. It needs no library of terminals: what it sends is
 * understood by all that are in use. One per process, as a process has one terminal: it keeps its state to itself, and
 * gives the terminal back as it was however the process ends, short of SIGKILL.
 */
#ifndef APPS_TOP_VIEW_H
#define APPS_TOP_VIEW_H

#include <stdbool.h>
#include <stddef.h>

/* Whether standard output is a terminal that can be drawn on. */
bool top_view_is_usable(void);

/* Whether it may be drawn on in colours ($NO_COLOR), and in block characters (the locale's). */
bool top_view_has_colours(void);
bool top_view_has_blocks(void);

/*
 * Takes the terminal. `signals` becomes a descriptor to be read by top_view_signal: of the signals that end a process,
 * and of those that stop and resize. They are blocked from now on. Answers 0 or a negative errno.
 */
int top_view_start(int *signals);

/* Gives the terminal back. Harmless if it is not taken. */
void top_view_stop(void);

/* When the descriptor is readable: answers a signal that ends the process, or 0 for what was seen to. */
int top_view_signal(int signals);

/* Begins a page; what is added are whole lines, with colours. */
void top_view_begin(void);
void top_view_add(void *context, const char *text, size_t length_bytes);

/* Draws as much of the page as fits, and `status` below it. */
void top_view_draw(const char *status);

/* When standard input is readable: a key that was pressed and is not for paging, or 0; -1 when no more will come. Call
 * top_view_draw afterwards. */
int top_view_key(void);

/* Ends the process as the signal would have. */
_Noreturn void top_view_die(int signal_number);

#endif
