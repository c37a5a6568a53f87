/*
 * A reactor's waiting tasks: a list of each class, in the order that the class is given. One thread's; no atomics.
 *
 * Pinned tasks have lists of their own, so that giving tasks away never looks at one that stays; the two lists of a
 * class take turns. A class ordered by deadline is a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986) of
 * movable ones and another of pinned ones; its links are those of the lists.
 */
#ifndef KERNEL_SCHED_RUN_QUEUE_H
#define KERNEL_SCHED_RUN_QUEUE_H

#include <kernel/assert.h>
#include <kernel/bus.h>
#include <kernel/reactor.h>

/* Both NULL, or the first and the last; the root alone in a heap. */
struct kn_task_list {
    struct kn_task *first;
    struct kn_task *last;
};

enum { KN_LIST_MOVABLE, KN_LIST_PINNED, KN_LISTS };

/* Invariant: bit c of `classes` is set exactly when waiting[c] > 0; movable[c] <= waiting[c]. */
struct kn_run_queue {
    uint32_t classes;
    uint32_t sequence; /* of the last task that came into a heap */
    uint32_t waiting[KN_PRIORITY_CLASSES];
    uint32_t movable[KN_PRIORITY_CLASSES];
    uint8_t order[KN_PRIORITY_CLASSES];
    uint8_t turn[KN_PRIORITY_CLASSES]; /* the list that was taken from last */
    struct kn_task_list lists[KN_PRIORITY_CLASSES][KN_LISTS];
};

/* Where in its class a task comes in. */
enum kn_run_place {
    KN_RUN_ORDER, /* as the class says */
    KN_RUN_LAST   /* behind all that wait now, even in a class that takes the newest first */
};

void kn_task_heap_push(struct kn_task_list *list, struct kn_task *task, uint32_t sequence);
struct kn_task *kn_task_heap_pop(struct kn_task_list *list);

KN_INLINE struct kn_task *kn_task_next(const struct kn_task *task)
{
    struct kn_mailbox_node *node = atomic_load_explicit(&task->node.next, memory_order_relaxed);
    return node ? KN_CONTAINER_OF(node, struct kn_task, node) : NULL;
}

KN_INLINE void kn_task_set_next(struct kn_task *task, struct kn_task *next)
{
    atomic_store_explicit(&task->node.next, next ? &next->node : NULL, memory_order_relaxed);
}

KN_INLINE void kn_task_list_append(struct kn_task_list *list, struct kn_task *task)
{
    kn_task_set_next(task, NULL);
    task->previous = list->last;
    if (list->last)
        kn_task_set_next(list->last, task);
    else
        list->first = task;
    list->last = task;
}

KN_INLINE void kn_task_list_prepend(struct kn_task_list *list, struct kn_task *task)
{
    kn_task_set_next(task, list->first);
    task->previous = NULL;
    if (list->first)
        list->first->previous = task;
    else
        list->last = task;
    list->first = task;
}

KN_INLINE struct kn_task *kn_task_list_take_first(struct kn_task_list *list)
{
    struct kn_task *task = list->first;
    list->first = kn_task_next(task);
    if (list->first)
        list->first->previous = NULL;
    else
        list->last = NULL;
    return task;
}

KN_INLINE struct kn_task *kn_task_list_take_last(struct kn_task_list *list)
{
    struct kn_task *task = list->last;
    list->last = task->previous;
    if (list->last)
        kn_task_set_next(list->last, NULL);
    else
        list->first = NULL;
    return task;
}

KN_INLINE void kn_run_queue_push(struct kn_run_queue *queue, struct kn_task *task, enum kn_run_place place)
{
    unsigned class = task->class;
    bool pinned = (task->flags & KN_TASK_PINNED) != 0;
    struct kn_task_list *list = &queue->lists[class][pinned ? KN_LIST_PINNED : KN_LIST_MOVABLE];
    if (queue->order[class] == KN_ORDER_DEADLINE)
        kn_task_heap_push(list, task, ++queue->sequence);
    else if (queue->order[class] == KN_ORDER_LIFO && place == KN_RUN_ORDER)
        kn_task_list_prepend(list, task);
    else
        kn_task_list_append(list, task);
    queue->waiting[class]++;
    queue->movable[class] += !pinned;
    queue->classes |= 1u << class;
}

/* Takes the next task of a class that has one. */
KN_INLINE struct kn_task *kn_run_queue_take(struct kn_run_queue *queue, unsigned class)
{
    struct kn_task_list *lists = queue->lists[class];
    unsigned which = KN_LIST_MOVABLE;
    if (KN_UNLIKELY(queue->movable[class] != queue->waiting[class])) {
        which = queue->turn[class] ^ 1u;
        if (!lists[which].first)
            which ^= 1u;
        queue->turn[class] = (uint8_t)which;
    }
    struct kn_task *task = queue->order[class] == KN_ORDER_DEADLINE ? kn_task_heap_pop(&lists[which])
                                                                    : kn_task_list_take_first(&lists[which]);
    queue->movable[class] -= which == KN_LIST_MOVABLE;
    if (--queue->waiting[class] == 0)
        queue->classes &= ~(1u << class);
    return task;
}

/* Takes the most urgent task, or NULL. */
KN_INLINE struct kn_task *kn_run_queue_pop(struct kn_run_queue *queue)
{
    if (queue->classes == 0)
        return NULL;
    return kn_run_queue_take(queue, (unsigned)__builtin_ctz(queue->classes));
}

/* Takes up to `count` movable tasks of a class, those that would wait longest here; the caller owns the chain. */
struct kn_task_chain kn_run_queue_give(struct kn_run_queue *queue, unsigned class, uint32_t count);

#endif
