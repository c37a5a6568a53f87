/**
 * @file future_set.h
 * A set of futures that are polled only when they were woken themselves, and that answers as a stream: in the order in
 * which they finish, or in the order in which they were put in.
 *
 * Use it for many concurrent things under one task: requests in flight, connections, children of a nursery; for two or
 * three take join or select. It guarantees that a wake-up costs the same however many members there are, that members
 * may come at any time, and that dropping the set drops them all. (FuturesUnordered and FuturesOrdered of the futures
 * crate.)
 *
 *        members:   m1  m2  m3  m4 ...              linked, each with a waker of its own
 *        stack:     m3 -> m1                        of those woken: any thread adds; the set's poll takes it whole
 *        turns:     m4                              taken, or new: the next to be polled, oldest wake-up first
 *
 * A member that is woken adds itself to the stack, unless it waits for its turn already, and whoever finds the stack
 * empty wakes the task that polls the set. The set's poll leaves its waker, takes the stack, and polls those members
 * and no others. What is woken meanwhile finds the stack empty and wakes the task again, so that nothing is lost
 * between the taking and the end of the poll, and a member that never waits does not keep the others from theirs.
 * models/future_set.pml holds it as a model that Spin exhausts.
 *
 * Memory of a member is the caller's, stays in the set until its future has answered, and is touched no more once its
 * answer has been handed out. A member may be woken in the very poll that answers, and stand in the stack. But nobody
 * calls the waker of a future that has answered, or was dropped; so from there on only the set's thread refers to the
 * member: it takes the stack over into the turns, which are linked both ways, and takes the member out of these.
 */
#ifndef KERNEL_FUTURE_SET_H
#define KERNEL_FUTURE_SET_H

#include <kernel/stream.h>

/* ---- who was woken, among many; for combinators that have many members ---- */

struct kn_woken_list;

/**
 * A place in the list, part of a member. Fields are private.
 *
 * Invariant: it is in the stack or in the turns at most once. Who turns `queued` from false to true adds it to the
 * stack and may write `next`; who turns it back, at its turn, is the list's thread.
 */
struct kn_woken_node {
    struct kn_waker waker;           /* for the member's poll: adds it to the stack */
    struct kn_woken_list *list;      /* whose node it is */
    struct kn_woken_node *next;      /* in the stack, later in the turns */
    struct kn_woken_node **previous; /* what points to it in the turns; NULL: it is not there */
    _Atomic bool queued;             /* was woken, and has not had its turn */
};

/** Nodes that were woken. Private. */
struct kn_woken_list {
    struct kn_woken_node *first;                  /* of the turns, the oldest */
    struct kn_woken_node **last;                  /* where the next is linked */
    bool polling;                                 /* between begin and end */
    bool looked;                                  /* since begin: a waker was left, and the stack taken after that */
    bool held;                                    /* a waker was left in `parent` and not taken back */
    KN_OWNED struct kn_woken_node *_Atomic stack; /* newest first; written by any thread */
    struct kn_waker_cell parent;                  /* the waker of the last poll that looked */
};

/** Makes an empty list. */
void kn_woken_list_init(struct kn_woken_list *list);

/** Makes a node of the list, which is not woken. */
KN_INLINE void kn_woken_node_init(struct kn_woken_node *node, struct kn_woken_list *list);

/** Gives a node that nobody wakes yet its first turn; for who waits outside of a poll, it is woken. Executor only. */
void kn_woken_list_add(struct kn_woken_list *list, struct kn_woken_node *node);

/** Wakes who polls the list's members, if it waits. Executor only. */
void kn_woken_list_wake(struct kn_woken_list *list);

/** A poll begins. */
KN_INLINE void kn_woken_list_begin(struct kn_woken_list *list)
{
    list->polling = true;
    list->looked = false;
}

/**
 * The node whose turn it is, to be polled with its waker; it may be woken again from now on.
 * @return NULL: the poll answers pending, and its waker will be called.
 */
struct kn_woken_node *kn_woken_list_next(struct kn_woken_list *list, struct kn_context *context);

/** The poll ends. @param pending whether it answers so; otherwise its waker is taken back. */
void kn_woken_list_end(struct kn_woken_list *list, bool pending);

/** Takes a node out whose member has answered or was dropped: it is touched no more. Executor only. Amortised O(1). */
void kn_woken_list_forget(struct kn_woken_list *list, struct kn_woken_node *node);

/** Forgets all nodes, of which none is woken any more, and takes the waker back. Executor only. */
void kn_woken_list_reset(struct kn_woken_list *list);

/** The wake-up of nodes. */
void kn_woken_node_wake(struct kn_waker *waker);

KN_INLINE void kn_woken_node_init(struct kn_woken_node *node, struct kn_woken_list *list)
{
    node->waker.wake = kn_woken_node_wake;
    node->list = list;
    node->previous = NULL;
    atomic_init(&node->queued, false);
}

/* ---- the set ---- */

struct kn_future_set;

/** A member: a future in a set. Fields are private but for `future`, to be read, and `user`. */
struct kn_future_member {
    struct kn_woken_node woken;         /* its waker and its turn */
    struct kn_future *future;           /**< stays after its answer, so that values can be discarded through it */
    struct kn_future_set *set;          /* that it is in; NULL once it is not */
    struct kn_future_member *next;      /* of all */
    struct kn_future_member **previous; /* what points to it among all */
    bool finished;                      /* ordered sets: has its answer, and waits for those before it */
    struct kn_outcome outcome;          /* then */
    kn_value_t user;                    /**< whatever the caller likes to know it by */
};

/** The set. Private. Invariant: members in `first` have not answered to the outside; there are `count`. */
struct kn_future_set {
    struct kn_stream stream;           /* first: the answers */
    bool ordered;                      /* answers in the order of the members */
    size_t count;                      /* members that have not answered to the outside */
    struct kn_future_member *first;    /* of all members, the oldest */
    struct kn_future_member **last;    /* where the next is linked */
    struct kn_future_member *answered; /* whose answer was handed out last */
    struct kn_future *origin;          /* of that answer */
    struct kn_woken_list woken;        /* members to be polled */
};

/**
 * Makes an empty set. It is a stream, &set->stream: ready with the answers of its members, failures included, and ended
 * as long as it is empty; after that end it may be polled again once there are new members. An answer of another
 * status, as the end of a stream of which a member was the next item, comes out as it is: kn_future_set_last tells.
 *
 * To discard an item is to discard the last answer, through its future. Who keeps several keeps their futures too:
 * kn_future_set_last(set)->future, after each answer.
 */
struct kn_stream *kn_future_set(struct kn_future_set *self);

/** The same, with answers in the order in which members were added; those out of turn wait in their members. */
struct kn_stream *kn_future_set_ordered(struct kn_future_set *self);

/**
 * Adds a future, to be polled by the set's next poll; who waits for the set is woken. NULL for any drops the future and
 * fails. Executor only; also from a member's poll. O(1).
 * @return 0 or -ENOMEM.
 */
int kn_future_set_add(struct kn_future_set *set, struct kn_future_member *member, struct kn_future *future);

/**
 * Takes a member out again and drops its future, or discards an answer that waits for its turn; who waits for the set
 * is woken when that lets it go on. Harmless for one that has answered or was removed. Executor only, and not from the
 * poll of that member itself. Amortised O(1), but for a wake-up of it that is under way.
 */
void kn_future_set_remove(struct kn_future_set *set, struct kn_future_member *member);

/** How many members have not answered to the outside. */
size_t kn_future_set_count(const struct kn_future_set *set);

/** The member whose answer came out last, for who wants to reuse its memory or know which it was; NULL before the first
 * and after the end. */
struct kn_future_member *kn_future_set_last(const struct kn_future_set *set);

#endif
