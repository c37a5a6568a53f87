/*
 * For modules whose tasks run a future and have a type of their own.
 */
#ifndef KERNEL_FUTURE_TASK_INTERNAL_H
#define KERNEL_FUTURE_TASK_INTERNAL_H

#include <kernel/future_task.h>

/* Poll and cancelled of such a type. */
enum kn_task_status kn_future_task_poll(struct kn_task *task, struct kn_reactor *reactor);
enum kn_task_status kn_future_task_cancelled(struct kn_task *task, struct kn_reactor *reactor);

/* Memory of the pool for a structure of `bytes` that begins with a kn_future_task, whose arena is what lies behind. */
void *kn_future_task_acquire_larger(struct kn_reactor *reactor, size_t bytes);

/* As kn_future_spawn, neither NULL. */
void kn_future_task_start(struct kn_future_task *task, const struct kn_task_type *type, struct kn_future *future,
                          struct kn_reactor *reactor, const struct kn_future_options *options);

#endif
