/*
 * The protocol of include/kernel/mailbox.h: PRODUCERS producers and one consumer on a list with a stub.
 *
 * The producers share NODES nodes: whichever is free is taken by either, pushed alone or in a chain of two, and free
 * again as soon as it was popped and read, so that each is linked by ever other threads. All run for ever; messages
 * are numbered by how many of the same producer are ahead of them, which closes the state space: what Spin exhausts
 * holds for runs of any length. Checked:
 *   - messages come in the order of the exchanges, each once, and those of one producer in the order of its pushes;
 *   - no message is read that was not written, nor written before its last reading has ended;
 *   - no link is stored into a node that was popped, that is linked already, or whose NULL could replace it;
 *   - an answer of empty or busy from an up-to-date look is true, and there is no deadlock.
 * That no operation waits for another thread is seen in the code, which has no loop.
 *
 * Memory is that of C11. The locations of memory.pml have one writer each, which is not so here. But of each store it
 * is enough to know which threads it happens before, since
 *   - `newest` is changed by read-modify-writes alone, and these take the newest value;
 *   - two stores to a `next`, or two accesses to a message of which one writes, must be ordered by happens-before,
 *     which is asserted; hence the order of the stores is the order in which they are made here;
 *   - only the consumer loads. It may get the newest value or any before it, but none older than what it got before
 *     (coherence) nor than what happens before its load.
 * A fact is that an access happened, the last one of its kind to a node. `known` says which facts happen before a
 * thread's next step; a release leaves them with what it stores, for who acquires it. An access makes a new fact, which
 * nobody but its thread knows. Facts that no check will ask for are forgotten, which joins states.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef NODES
#define NODES 3 /* 2 to 4 */
#endif

#define CONSUMER PRODUCERS
#define THREADS (PRODUCERS + 1)
#define STUB NODES
#define PLACES (NODES + 1)
#define NOTHING PLACES

/* Kinds of facts, each about one node; TOUCHED is of the message in it, which is written and read by turns. */
#define FACT(kind, node) (1 << ((kind) * PLACES + (node)))
#define CLEARED(node) FACT(0, node)
#define LINKED(node) FACT(1, node)
#define EXCHANGED(node) FACT(2, node)
#define TOUCHED(node) FACT(3, node)
#define EVERY_FACT (FACT(4, 0) - 1)

#ifdef MUTANT_RELAXED_LINK
#define LINK_RELEASES false
#else
#define LINK_RELEASES true
#endif
#ifdef MUTANT_RELAXED_NEXT
#define NEXT_ACQUIRES false
#else
#define NEXT_ACQUIRES true
#endif
#if defined(MUTANT_RELAXED_EXCHANGE) || defined(MUTANT_ACQUIRE_EXCHANGE)
#define EXCHANGE_RELEASES false
#else
#define EXCHANGE_RELEASES true
#endif
#if defined(MUTANT_RELAXED_EXCHANGE) || defined(MUTANT_RELEASE_EXCHANGE)
#define EXCHANGE_ACQUIRES false
#else
#define EXCHANGE_ACQUIRES true
#endif

int known[THREADS] = EVERY_FACT;

/* What is shared, and what acquiring it makes known. */
byte next[PLACES] = NOTHING;
int next_gives[PLACES];
int newest_gives;
bool is_free[NODES] = true;
int free_gives[NODES];
byte message[NODES];

/* Known to the checks only: the list, from the oldest to the newest, by the order of the exchanges; of each node
 * whether it has left the list, and whether another of its chain follows, so that `newest` never held it; and how many
 * threads stand between their exchange and their link. */
byte list[PLACES] = STUB;
byte length = 1;
bool is_out[PLACES];
bool is_inner[PLACES];
byte linking;

#define NEWEST list[length - 1]
#define KNOWS(me, fact) ((known[me] & (fact)) != 0)

/* Messages: the producer, and how many messages of its are ahead. */
#define NO_MESSAGE 0
#define MESSAGE(producer, ahead) (1 + (producer) * PLACES + (ahead))
byte unread[PRODUCERS];

inline forget(fact)
{
    for (step : 0 .. THREADS - 1) {
        known[step] = known[step] & ~(fact)
    }
    for (step : 0 .. PLACES - 1) {
        next_gives[step] = next_gives[step] & ~(fact)
    }
    for (step : 0 .. NODES - 1) {
        free_gives[step] = free_gives[step] & ~(fact)
    }
    newest_gives = newest_gives & ~(fact);
    step = 0
}

inline happens(me, fact)
{
    forget(fact);
    known[me] = known[me] | (fact)
}

inline clear_next(me, node)
{
    d_step {
        assert(KNOWS(me, LINKED(node))); /* or the last link could replace this */
        next[node] = NOTHING;
        next_gives[node] = 0;
        forget(LINKED(node));
        happens(me, CLEARED(node))
    }
}

inline link_next(me, node, successor, releases)
{
    d_step {
        assert(KNOWS(me, CLEARED(node))); /* or the NULL could replace this */
        assert(next[node] == NOTHING);
        next[node] = successor;
        happens(me, LINKED(node));
        next_gives[node] = (releases -> known[me] : 0)
    }
}

/* Of first, and behind it of last where that is another. */
inline exchange_newest(me, first, last, previous)
{
    d_step {
#ifndef MUTANT_SPLIT_EXCHANGE
        previous = NEWEST;
#endif
        known[me] = known[me] | EXCHANGED(previous); /* it was read */
        if
        :: EXCHANGE_ACQUIRES -> known[me] = known[me] | newest_gives
        :: else
        fi;
        happens(me, EXCHANGED(last));
        if
        :: EXCHANGE_RELEASES -> newest_gives = newest_gives | known[me] /* and goes on giving what others released */
        :: else
        fi;
        if
        :: first != last ->
            list[length] = first;
            is_out[first] = false;
            is_inner[first] = true;
            length = length + 1
        :: else
        fi;
        list[length] = last;
        is_out[last] = false;
        is_inner[last] = false;
        length = length + 1;
        linking = linking + 1
    }
}

inline link_previous(me, previous, first)
{
    atomic {
        assert(!is_out[previous]); /* or it has another owner by now */
        link_next(me, previous, first, LINK_RELEASES);
        linking = linking - 1
    }
}

/* kn_mailbox_push_list. Clearing the node is nobody else's business before the exchange. */
inline push_list(me, first, last, previous)
{
#ifdef MUTANT_SPLIT_EXCHANGE
    atomic {
        clear_next(me, last);
        previous = NEWEST
    };
    exchange_newest(me, first, last, previous);
    link_previous(me, previous, first)
#elif defined(MUTANT_CLEAR_AFTER_EXCHANGE)
    exchange_newest(me, first, last, previous);
    clear_next(me, last);
    link_previous(me, previous, first)
#else
    atomic {
        clear_next(me, last);
        exchange_newest(me, first, last, previous)
    };
    link_previous(me, previous, first)
#endif
}

/* Takes a free node and writes its next message. */
inline take_and_write(me, node)
{
    if
    :: is_free[0] -> node = 0
    :: is_free[1] -> node = 1
#if NODES > 2
    :: is_free[2] -> node = 2
#endif
#if NODES > 3
    :: is_free[3] -> node = 3
#endif
    fi;
    d_step {
        is_free[node] = false;
        known[me] = known[me] | free_gives[node];
        free_gives[node] = 0;
        assert(KNOWS(me, TOUCHED(node))); /* race */
        message[node] = MESSAGE(me, unread[me]);
        unread[me] = unread[me] + 1;
        happens(me, TOUCHED(node))
    }
}

#define ANY_FREE (is_free[0] || is_free[1] || is_free[NODES - 2] || is_free[NODES - 1])

active [PRODUCERS] proctype producer()
{
    byte first, last, previous, step;

    do
    ::  /* A run of steps on nodes that are this thread's alone. */
        atomic {
            (ANY_FREE);
            take_and_write(_pid, first);
            last = first;
            if
            :: true
            :: ANY_FREE ->
                take_and_write(_pid, last);
                /* kn_mailbox_chain_append; it need not clear what it links at once */
                clear_next(_pid, first);
                link_next(_pid, first, last, false)
            fi
        };
        push_list(_pid, first, last, previous);
        atomic {
            first = 0;
            last = 0;
            previous = 0
        }
    od
}

/* kn_mailbox_next. `stale` tells afterwards whether a newer store was passed over. */
inline load_next(node, result)
{
    atomic {
        assert(KNOWS(CONSUMER, CLEARED(node))); /* or what it was in its last life could be read */
        if
        :: next[node] != NOTHING ->
            result = next[node];
            known[CONSUMER] = known[CONSUMER] | LINKED(node) | (NEXT_ACQUIRES -> next_gives[node] : 0);
            next_gives[node] = 0
        :: next[node] != NOTHING && !KNOWS(CONSUMER, LINKED(node)) ->
            result = NOTHING;
            stale = true
        :: next[node] == NOTHING -> result = NOTHING
        fi
    }
}

/* The newest of the list, or any before it back to the last that the consumer knows. */
inline load_newest(result)
{
    atomic {
        step = length - 1;
        do
        :: is_inner[list[step]] ->
            assert(step > 0);
            step = step - 1
        :: !is_inner[list[step]] -> break
        :: !is_inner[list[step]] && !KNOWS(CONSUMER, EXCHANGED(list[step])) ->
            assert(step > 0); /* or what was before this list could be read */
            stale = true;
            step = step - 1
        od;
        result = list[step];
        known[CONSUMER] = known[CONSUMER] | EXCHANGED(result);
        step = 0
    }
}

/* Moves `oldest` on to its successor. */
inline advance()
{
    d_step {
        assert(length > 1 && following == list[1]);
        is_out[oldest] = true;
        forget(CLEARED(oldest));
        forget(EXCHANGED(oldest));
        for (step : 0 .. PLACES - 2) {
            list[step] = (step + 1 < length -> list[step + 1] : STUB)
        }
        length = length - 1;
        list[length] = STUB;
        oldest = following;
        following = 0;
        stale = false;
        step = 0
    }
}

/* Reads the message that was popped and frees its node. Who takes that learns of this node only. */
inline read_and_free(node)
{
    d_step {
        assert(node != STUB && is_out[node]);
        assert(KNOWS(CONSUMER, TOUCHED(node))); /* race, or not yet written */
        from = (message[node] - 1) / PLACES;
        assert(message[node] == MESSAGE(from, 0));
        message[node] = NO_MESSAGE;
        for (step : 0 .. NODES - 1) {
            if
            :: message[step] > MESSAGE(from, 0) && message[step] < MESSAGE(from + 1, 0) ->
                message[step] = message[step] - 1
            :: else
            fi
        }
        unread[from] = unread[from] - 1;
        happens(CONSUMER, TOUCHED(node));
        is_free[node] = true;
        free_gives[node] = known[CONSUMER] & (TOUCHED(node) | LINKED(node));
        from = 0
    }
}

active proctype consumer()
{
    byte oldest = STUB;
    byte following, seen, popped, from, step;
    bool stale;

    do
    ::  /* kn_mailbox_try_pop */
        load_next(oldest, following);
        if
        :: oldest == STUB && following == NOTHING ->
            atomic {
                load_newest(seen);
                assert(stale || (seen == STUB) == (length == 1));
                assert(stale || seen == STUB || linking > 0 || next[STUB] != NOTHING)
            };
            goto wait
        :: oldest == STUB && following != NOTHING ->
            advance();
            load_next(oldest, following)
        :: else
        fi;
        if
        :: following == NOTHING ->
            atomic {
                load_newest(seen);
                assert(stale || seen == oldest || linking > 0 || next[oldest] != NOTHING)
            };
            if
            :: seen != oldest -> goto wait
            :: else
            fi;
#ifdef MUTANT_NO_STUB
            following = STUB;
#else
            push_list(CONSUMER, STUB, STUB, seen);
#ifdef MUTANT_NO_SECOND_LOOK
            following = STUB;
#else
            load_next(oldest, following);
#endif
#endif
            if
            :: following == NOTHING -> goto wait
            :: else
            fi
        :: else
        fi;
        atomic {
            popped = oldest;
            advance();
            read_and_free(popped);
            popped = 0;
            seen = 0
        };
        goto done;

wait:   /* Empty or busy: nothing changes before the oldest is linked. */
        atomic {
            following = 0;
            seen = 0;
            stale = false;
            (next[oldest] != NOTHING)
        };
done:   skip
    od
}
