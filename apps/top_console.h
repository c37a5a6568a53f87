/*
 * The console commands `:top` and `:trace` of a program with a runtime.
 *
 * Call them from commands of the program's own, which know its runtime:
 *
 *      static void run_top(void *context, struct kn_console *console, const char *arguments)
 *      {
 *          struct session *session = context;
 *          top_console_show(console, session->owner->runtime, arguments);
 *      }
 *      ... {":top", TOP_CONSOLE_SHOW_HELP, run_top}, {":trace", TOP_CONSOLE_TRACE_HELP, run_trace},
 *
 * They may be called on any thread, also on that of a reactor, one call at a time; they never wait for the runtime, but
 * a trace takes as long to write as it is long. kernel-top(1) speaks to a program through them.
 *
 * State. `:top` shows what happened since the last `:top` of any console of this process, so the last look is kept, one
 * per process; top_console_start makes the first look one at what happened since then. `:top --json` changes nothing.
 */
#ifndef APPS_TOP_CONSOLE_H
#define APPS_TOP_CONSOLE_H

#include <kernel/console.h>
#include <kernel/reactor.h>

#define TOP_CONSOLE_SHOW_HELP "what each reactor does; --json: as one line of JSON"
#define TOP_CONSOLE_TRACE_HELP "on | off | write FILE | dump: the last events, as Chrome trace JSON"

/* Optional, once the runtime is open: the first `:top` shows what happened since. Failing is no reason not to start. */
void top_console_start(struct kn_runtime *runtime);

/* Before the runtime is closed, where `:top` may have been used: forgets the last look. */
void top_console_end(void);

/* `:top`: the reactors as a table, and with "--json" as one line of JSON (kernel/top.h) that holds totals. */
void top_console_show(struct kn_console *console, struct kn_runtime *runtime, const char *arguments);

/*
 * `:trace on` and `:trace off` switch recording, `:trace write FILE` writes what is recorded to a file of this
 * process's system with this process's rights, `:trace dump` to the console: the last line is "}". Every other answer
 * is one line, which begins with no brace.
 */
void top_console_trace(struct kn_console *console, struct kn_runtime *runtime, const char *arguments);

#endif
