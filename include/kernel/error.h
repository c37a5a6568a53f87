/**
 * @file error.h
 * Names and texts of the errors that the library answers with.
 *
 * Every function of the library that can fail returns 0 (or a count) on success and a negative errno value on
 * failure; use these to show such a value to a person or in a log. Do not use strerror, which is not thread-safe.
 * Both functions are wait-free, thread-safe, never fail and return text that lives for ever.
 */
#ifndef KERNEL_ERROR_H
#define KERNEL_ERROR_H

/** The text of an error, as "Connection refused"; either sign is understood. "Unknown error" for what is none. */
const char *kn_error_text(int error);

/** The symbol of an error, as "ECONNREFUSED"; either sign is understood. "EUNKNOWN" for what is none. */
const char *kn_error_name(int error);

#endif
