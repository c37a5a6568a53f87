/*
 * Values of command-line options, and the exit codes of the programs.
 *
 * Use these in the programs only; the library reads no command line. Every parser accepts the whole text or
 * nothing: on success it answers 0 and writes the value, otherwise it prints one line to standard error that
 * names the option, the text and an example that works, writes nothing, and answers -EINVAL.
 */
#ifndef APPS_OPTIONS_H
#define APPS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include <kernel/tcp.h>

/* Most processors one option can list. */
#define OPTION_CORES_MAX 16

/* A decimal number between min and max, both included: "1000". */
int option_parse_count(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* A number of bytes: "64", "16k", "1m", "2g"; a letter counts in powers of 1024, of either case. */
int option_parse_size(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value_bytes);

/* A time: "30s", "500ms", "2m", "1h", "20us", "100ns", "0.5s"; a bare "0" needs no unit. Never negative. */
int option_parse_duration_ns(const char *name, const char *text, int64_t *value_ns);

/* A socket address, as kn_address_parse reads it: "127.0.0.1:8000", "[::1]:8000", ":8000", "unix:/path". */
int option_parse_address(const char *name, const char *text, struct kn_address *address);

/* Processor numbers of the operating system, separated by commas: "0,1,2". At most OPTION_CORES_MAX. */
int option_parse_cores(const char *name, const char *text, int *cores, size_t *count);

/* Prints "PROGRAM: message" and where to find help; the answer is EX_USAGE, to be returned from main. */
int option_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The sysexits.h code for a negative errno: EX_NOPERM for -EACCES and -EPERM, EX_UNAVAILABLE for an address in
 * use or a server that is not there, EX_NOHOST ... ; EX_OSERR for all others and EX_OK for zero. */
int option_exit_code(int error);

#endif
