/**
 * @file nursery.h
 * A scope of concurrent children, none of which outlives it: structured concurrency for futures.
 *
 * Use it where the number of things to do at once is not known when one begins: a child for each connection, file or
 * order; for a fixed few take join. It guarantees that the scope answers only after its body and all children have
 * ended, that the first failure drops the others and is the scope's answer, and that dropping the scope drops them all,
 * at once: so a child may use whatever its parent has.
 *
 *        KN_ASYNC(serve)                                   a body, which starts children in its own nursery:
 *        {
 *            KN_BEGIN;
 *            for (;;) {
 *                KN_TRY_INTO(self->socket, accept(&self->accept));
 *                KN_TRY(start_a_child(self));              with kn_nursery_start(self->nursery, member, future)
 *            }
 *        }
 *        ... kn_nursery(&nursery, serve(&state), NULL, NULL) ...
 *
 * Body and children are polled by the one task that polls the scope, each only when it was woken; so they share what
 * they have without locks. They inherit its cancellation, its reactor and its deadline. Work that should run on other
 * cores is started by a child as a task of its own (future_remote.h), which the child's end cancels.
 *
 * Source: N. J. Smith, Notes on structured concurrency, 2018 (trio's nurseries); the polling is future_set.h's.
 */
#ifndef KERNEL_NURSERY_H
#define KERNEL_NURSERY_H

#include <kernel/future_set.h>

/**
 * Is told that a child has ended and is touched no more, so that its memory can be reused.
 * @param outcome its answer, whose value is taken; failed with -ECANCELED for a child that was dropped.
 */
typedef void kn_nursery_ended(struct kn_future_member *member, struct kn_outcome outcome, void *context);

/** The scope. */
struct kn_nursery {
    struct kn_future future;      /* first */
    struct kn_future_set set;     /* the body and the children */
    struct kn_future_member body; /* a member like the others */
    struct kn_future *inner;      /* the body's future, which knows how its value is given back */
    struct kn_outcome outcome;    /* the body's answer, kept until all have ended */
    kn_nursery_ended *ended;      /* told of children, or NULL */
    void *context;                /* for it */
};

/**
 * Runs `body` and the children that are started meanwhile, and answers with the body's value once all have ended; or
 * with the first failure of any of them. @param ended told of each child, or NULL: values are discarded.
 */
struct kn_future *kn_nursery(struct kn_nursery *self, struct kn_future *body, kn_nursery_ended *ended, void *context);

/**
 * Starts a child: it is polled soon. Called by the body and by children in their polls, and before the first one. The
 * member's memory must stay until the child has ended. O(1).
 * @return 0; -ENOMEM when `member` or `child` is NULL, the child is dropped; -ECANCELED when the scope has ended.
 */
int kn_nursery_start(struct kn_nursery *nursery, struct kn_future_member *member, struct kn_future *child);

/** How many children have not ended. */
size_t kn_nursery_count(const struct kn_nursery *nursery);

#endif
