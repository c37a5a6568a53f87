/*
 * The counters of a sample, by name: top.c reads them by this list, top_json.c writes and reads them by it.
 */
#ifndef KERNEL_SCHED_TOP_INTERNAL_H
#define KERNEL_SCHED_TOP_INTERNAL_H

#include <kernel/top.h>

struct kn_top_field {
    const char *key;       /* in JSON */
    size_t counter_offset; /* in struct kn_reactor_counters; SIZE_MAX: no counter */
    size_t offset;         /* in struct kn_top_reactor */
    size_t count;          /* numbers, one behind the other */
};

enum { KN_TOP_FIELDS = 20 };
extern const struct kn_top_field kn_top_fields[KN_TOP_FIELDS];

KN_INLINE uint64_t *kn_top_values(struct kn_top_reactor *reactor, const struct kn_top_field *field)
{
    return (uint64_t *)(void *)((char *)reactor + field->offset);
}

/* Text on its way to a writer. */
struct kn_top_output {
    kn_top_write *write;
    void *context;
    size_t length;
    char text[2048];
};

/* Writes what is there. */
void kn_top_flush(struct kn_top_output *output);

/* Adds text, at most 256 bytes of it; what was there is written if it does not fit. */
void kn_top_put(struct kn_top_output *output, const char *format, ...) KN_PRINTF(2, 3);

#endif
