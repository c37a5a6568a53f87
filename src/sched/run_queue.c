#include "run_queue.h"

/* In a heap `previous` is the first child, the next node the sibling. */

/* Whether the left one runs first: the earlier deadline, none being the latest; then who came first. */
static bool is_before(const struct kn_task *left, const struct kn_task *right)
{
    uint64_t left_ns = left->deadline_ns - 1; /* none, 0, becomes the largest */
    uint64_t right_ns = right->deadline_ns - 1;
    if (left_ns != right_ns)
        return left_ns < right_ns;
    return (int32_t)(left->sequence - right->sequence) < 0;
}

/* Joins two heaps, neither of them empty, whose roots have no siblings. */
static struct kn_task *meld(struct kn_task *left, struct kn_task *right)
{
    struct kn_task *root = is_before(left, right) ? left : right;
    struct kn_task *child = root == left ? right : left;
    kn_task_set_next(child, root->previous);
    root->previous = child;
    return root;
}

/* Joins siblings to one heap: in pairs from the left, then the pairs from the right. */
static struct kn_task *meld_siblings(struct kn_task *first)
{
    struct kn_task *pairs = NULL; /* linked backwards */
    while (first) {
        struct kn_task *left = first;
        struct kn_task *right = kn_task_next(left);
        first = right ? kn_task_next(right) : NULL;
        kn_task_set_next(left, NULL);
        if (right) {
            kn_task_set_next(right, NULL);
            left = meld(left, right);
        }
        kn_task_set_next(left, pairs);
        pairs = left;
    }
    struct kn_task *root = NULL;
    while (pairs) {
        struct kn_task *next = kn_task_next(pairs);
        kn_task_set_next(pairs, NULL);
        root = root ? meld(root, pairs) : pairs;
        pairs = next;
    }
    return root;
}

void kn_task_heap_push(struct kn_task_list *list, struct kn_task *task, uint32_t sequence)
{
    task->sequence = sequence;
    task->previous = NULL;
    kn_task_set_next(task, NULL);
    list->first = list->first ? meld(list->first, task) : task;
}

struct kn_task *kn_task_heap_pop(struct kn_task_list *list)
{
    struct kn_task *root = list->first;
    list->first = meld_siblings(root->previous);
    return root;
}

/* Takes one that is not the most urgent, if there is another: a child of the root. */
static struct kn_task *take_later(struct kn_task_list *list)
{
    struct kn_task *root = list->first;
    struct kn_task *child = root->previous;
    if (!child)
        return kn_task_heap_pop(list);
    root->previous = kn_task_next(child);
    struct kn_task *rest = meld_siblings(child->previous);
    if (rest)
        list->first = meld(root, rest);
    return child;
}

/* Puts a task in front of a chain. */
static void chain_prepend(struct kn_task_chain *chain, struct kn_task *task)
{
    kn_task_set_next(task, chain->first);
    if (!chain->last)
        chain->last = task;
    chain->first = task;
    chain->count++;
}

struct kn_task_chain kn_run_queue_give(struct kn_run_queue *queue, unsigned class, uint32_t count)
{
    struct kn_task_chain chain = {0};
    struct kn_task_list *list = &queue->lists[class][KN_LIST_MOVABLE];
    for (; count > 0 && list->first; count--) {
        if (queue->order[class] == KN_ORDER_DEADLINE)
            kn_task_chain_append(&chain, take_later(list));
        else if (queue->order[class] == KN_ORDER_LIFO)
            kn_task_chain_append(&chain, kn_task_list_take_last(list)); /* the oldest first: comes in last there */
        else
            chain_prepend(&chain, kn_task_list_take_last(list));
    }
    queue->movable[class] -= chain.count;
    queue->waiting[class] -= chain.count;
    if (queue->waiting[class] == 0)
        queue->classes &= ~(1u << class);
    return chain;
}
