/*
 * Lines of waiting tasks. See wait_list.h.
 */
#include <sched.h>

#include <kernel/assert.h>
#include <kernel/wait_list.h>

/* Pauses before a thread that waits for the lock lets others run: its holder may have lost its core. */
#define LOCK_PAUSES 64

void kn_wait_list_lock(struct kn_wait_list *list)
{
    unsigned pauses = 0;
    /* Acquire pairs with the release of unlock. */
    while (atomic_exchange_explicit(&list->lock, 1, memory_order_acquire) != 0) {
        while (atomic_load_explicit(&list->lock, memory_order_relaxed) != 0) {
            if (++pauses % LOCK_PAUSES == 0)
                sched_yield();
            else
                kn_cpu_relax();
        }
    }
}

void kn_wait_list_unlock(struct kn_wait_list *list)
{
    /* Release pairs with the acquire of lock. */
    atomic_store_explicit(&list->lock, 0, memory_order_release);
}

void kn_wait_list_add(struct kn_wait_list *list, struct kn_wait_node *node, struct kn_waker *waker)
{
    node->waker = waker;
    if (atomic_load_explicit(&node->state, memory_order_relaxed) == KN_WAIT_NODE_WAITING)
        return;
    node->next = NULL;
    node->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = node;
    list->last = node;
    atomic_store_explicit(&node->state, KN_WAIT_NODE_WAITING, memory_order_relaxed);
    /* Sequentially consistent: see kn_wait_list_is_empty. */
    atomic_fetch_add_explicit(&list->count, 1, memory_order_seq_cst);
}

/* Takes a waiting node out of the line. */
static void unlink_node(struct kn_wait_list *list, struct kn_wait_node *node)
{
    *(node->previous ? &node->previous->next : &list->first) = node->next;
    *(node->next ? &node->next->previous : &list->last) = node->previous;
    atomic_fetch_sub_explicit(&list->count, 1, memory_order_relaxed);
}

bool kn_wait_list_remove(struct kn_wait_list *list, struct kn_wait_node *node)
{
    uint32_t state = atomic_load_explicit(&node->state, memory_order_relaxed);
    if (state == KN_WAIT_NODE_WAITING)
        unlink_node(list, node);
    atomic_store_explicit(&node->state, KN_WAIT_NODE_IDLE, memory_order_relaxed);
    return state == KN_WAIT_NODE_WOKEN;
}

struct kn_wait_node *kn_wait_list_first(const struct kn_wait_list *list)
{
    return list->first;
}

void kn_wait_list_wake(struct kn_wait_list *list, struct kn_wait_node *node)
{
    kn_assert(atomic_load_explicit(&node->state, memory_order_relaxed) == KN_WAIT_NODE_WAITING);
    unlink_node(list, node);
    struct kn_waker *waker = node->waker;
    /* The lock is held until the waker was called: who sees the node woken takes the lock once before its memory goes.
     * Release pairs with the acquire of kn_wait_node_is_woken. */
    atomic_store_explicit(&node->state, KN_WAIT_NODE_WOKEN, memory_order_release);
    kn_waker_wake(waker);
}

size_t kn_wait_list_notify(struct kn_wait_list *list, size_t count)
{
    size_t woken = 0;
    kn_wait_list_lock(list);
    for (; woken < count && list->first; woken++)
        kn_wait_list_wake(list, list->first);
    kn_wait_list_unlock(list);
    return woken;
}
