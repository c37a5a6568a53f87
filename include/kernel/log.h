/**
 * @file log.h
 * A leveled log: one line a message, to a descriptor.
 *
 * Use it for what an operator should read. Do not use it on a path where a system call a message is too much: test
 * with kn_log_enabled, or let the macros do it. Any thread may write to one log: a line is a single write, so that
 * lines of different threads do not mix. Nothing is allocated, and bytes that could forge a line or confuse a terminal
 * are escaped.
 *
 *     2026-01-31T12:00:00.123456Z warning accepting paused: out of descriptors
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <kernel/atomic.h>

/** How grave a message is; a log shows its level and all above. */
enum kn_log_level {
    KN_LOG_ERROR = 0, /**< something asked for was not done */
    KN_LOG_WARNING,   /**< it may soon not be */
    KN_LOG_INFO,      /**< what happened, in an operator's terms */
    KN_LOG_DEBUG,     /**< what happened, in a programmer's terms */
    KN_LOG_TRACE,     /**< everything */
};

/** Longest line in bytes, with its newline; longer ones end in "...". */
#define KN_LOG_LINE_BYTES 1024

/** A log. The caller owns it; a NULL log is silent. */
struct kn_log {
    _Atomic int level; /**< enum kn_log_level; may be changed by any thread at any time */
    int descriptor;    /**< where lines go; the caller opens and closes it */
};

/** Starts a log. */
void kn_log_init(struct kn_log *log, int descriptor, enum kn_log_level level);

/** Whether a message of this level would be written. */
KN_INLINE bool kn_log_enabled(const struct kn_log *log, enum kn_log_level level)
{
    return log && (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/**
 * Writes one line. A line that cannot be written is dropped: a log must not bring its program down. errno is kept.
 */
void kn_log_write(const struct kn_log *log, enum kn_log_level level, const char *format, ...) KN_PRINTF(3, 4);

/** Writes at a level if it is enabled; arguments are not evaluated otherwise. */
#define KN_LOG_AT(log, level, ...)                                                                                     \
    (kn_log_enabled((log), (level)) ? kn_log_write((log), (level), __VA_ARGS__) : (void)0)
#define kn_log_error(log, ...) KN_LOG_AT(log, KN_LOG_ERROR, __VA_ARGS__)     /**< see KN_LOG_AT */
#define kn_log_warning(log, ...) KN_LOG_AT(log, KN_LOG_WARNING, __VA_ARGS__) /**< see KN_LOG_AT */
#define kn_log_info(log, ...) KN_LOG_AT(log, KN_LOG_INFO, __VA_ARGS__)       /**< see KN_LOG_AT */
#define kn_log_debug(log, ...) KN_LOG_AT(log, KN_LOG_DEBUG, __VA_ARGS__)     /**< see KN_LOG_AT */
#define kn_log_trace(log, ...) KN_LOG_AT(log, KN_LOG_TRACE, __VA_ARGS__)     /**< see KN_LOG_AT */

/** "error", "warning", "info", "debug" or "trace". */
const char *kn_log_level_name(enum kn_log_level level);

/** The level of a name. @return 0, or -EINVAL with nothing written. */
int kn_log_level_parse(const char *text, enum kn_log_level *level);

#endif
