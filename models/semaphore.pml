/*
 * The protocols of include/kernel/semaphore.h and wait_list.h: tasks take permits of a semaphore, at once or in line,
 * and give them back, for ever. A task may be dropped while it waits, or after it was given permits that it has not
 * taken; with SPURIOUS it is also polled for no reason. With two permits the first task wants both, as the writer of an
 * rwlock, and the others one each, as readers; with one permit it is a mutex. With CLOSE the semaphore is closed at
 * some time, and the tasks end. Checked:
 *   - there are never more permits in use than there are, and what is done under them is ordered: data that a writer
 *     writes and readers read does not race;
 *   - nobody takes or adds permits past the line while somebody waits;
 *   - no permit is lost, and when the line's lock is free nobody waits for permits that are there: so somebody is left
 *     who will wake who waits;
 *   - once a future has answered or was dropped, its node and waker are not touched any more.
 *
 * Memory is that of C11, by happens-before; see models/waker_cell.pml. A load of the word and the compare-and-swap that
 * follows are one step here: where the swap succeeds nothing has come between, and where it does not the code goes back
 * to the load. What is done with the lock held and can be seen only by who takes the lock is one step with the taking,
 * and with the giving back.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef TASKS
#define TASKS 3
#endif
#ifndef PERMITS
#define PERMITS 2
#endif
#ifndef DROPPERS
#define DROPPERS 2 /* tasks that may be dropped: the writer and a reader */
#endif
#define CLOSER TASKS
#define THREADS (TASKS + 1)

#define IS_WRITER(task) (PERMITS == 1 || (task) == 0)
#define WANTED(task) ((task) == 0 -> PERMITS : 1)

/* States of a node. */
#define NODE_IDLE 0
#define NODE_WAITING 1
#define NODE_WOKEN 2
#define NODE_REFUSED 3 /* woken by the close */

/* Places: the futures' memory, nodes and links included, and what the permits guard. */
#define DATA TASKS

#define FACT(place, thread) (1 << ((place) * THREADS + (thread)))
#define EVERY_FACT (FACT(DATA + 1, 0) - 1)
#define FACTS_OF_OTHERS(place, me)                                                                                     \
    ((FACT(place, THREADS) - FACT(place, 0)) & ~FACT(place, me))

#ifdef MUTANT_RELAXED_TAKE
#define TAKE_ACQUIRES false
#else
#define TAKE_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_ADD
#define ADD_RELEASES false
#else
#define ADD_RELEASES true
#endif
#ifdef MUTANT_RELAXED_LEFT
#define LEFT_RELEASES false
#else
#define LEFT_RELEASES true
#endif
#ifdef MUTANT_RELAXED_LOCK
#define LOCK_ACQUIRES false
#else
#define LOCK_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_UNLOCK
#define UNLOCK_RELEASES false
#else
#define UNLOCK_RELEASES true
#endif

int known[THREADS] = EVERY_FACT;

/* The word. */
byte permits = PERMITS;
bool is_waiting, is_closed;
int word_gives;

/* The list. */
bool is_locked;
int lock_gives;
chan line = [TASKS] of { byte };
byte node[TASKS];
int node_gives[TASKS];

/* The tasks' wakers. */
bool woken[TASKS];
int woken_gives[TASKS];

/* Known to the checks only. */
byte used; /* permits that tasks have taken or were given */

inline forget(place, who)
{
    for (i : 0 .. TASKS - 1) {
        known[i] = known[i] & ~FACT(place, who);
        node_gives[i] = node_gives[i] & ~FACT(place, who);
        woken_gives[i] = woken_gives[i] & ~FACT(place, who)
    };
    known[CLOSER] = known[CLOSER] & ~FACT(place, who);
    word_gives = word_gives & ~FACT(place, who);
    lock_gives = lock_gives & ~FACT(place, who);
    i = 0
}

inline touch(me, place)
{
    d_step {
        assert((known[me] & FACTS_OF_OTHERS(place, me)) == FACTS_OF_OTHERS(place, me)); /* race */
        forget(place, me);
        known[me] = known[me] | FACT(place, me)
    }
}

inline change(me, acquires, releases)
{
    known[me] = known[me] | (acquires -> word_gives : 0);
    word_gives = word_gives | (releases -> known[me] : 0)
}

inline lock(me)
{
    atomic {
        !is_locked -> is_locked = true;
        known[me] = known[me] | (LOCK_ACQUIRES -> lock_gives : 0)
    }
}

inline unlock(me)
{
    atomic {
        assert(is_waiting == (len(line) > 0));
        assert(permits + used == PERMITS);
        if
        :: line?[first] -> line?<first>; assert(permits < WANTED(first))
        :: else
        fi;
        first = 0;
        lock_gives = (UNLOCK_RELEASES -> known[me] : 0);
        is_locked = false
    }
}

/* kn_wait_list_wake, of the first. */
inline wake(me, status)
{
    atomic {
        line?first;
        touch(me, first);
        node[first] = status;
        node_gives[first] = known[me];
        used = used + (status == NODE_WOKEN -> WANTED(first) : 0)
    };
    atomic {
        touch(me, first);
        woken[first] = true;
        woken_gives[first] = known[me];
        first = 0
    }
}

inline set_idle(me)
{
    node[me] = NODE_IDLE;
    node_gives[me] = 0
}

/* ---- taking ---- */

/* `waits` is for who holds the lock. @result whether it has them; where it is closed, neither that nor the line. */
inline take(me, waits, result)
{
    atomic {
        result = false;
        if
        :: is_closed
#ifdef MUTANT_BARGE
        :: !is_closed && permits >= WANTED(me) ->
#else
        :: !is_closed && !is_waiting && permits >= WANTED(me) ->
#endif
            assert(len(line) == 0);
            permits = permits - WANTED(me);
            used = used + WANTED(me);
            change(me, TAKE_ACQUIRES, false);
            result = true
        :: else ->
            if
            :: waits && !is_waiting ->
                is_waiting = true;
                change(me, TAKE_ACQUIRES, false)
            :: else
            fi
        fi
    }
}

/* ---- giving back ---- */

/* With the lock held, which it gives back. */
inline hand_out(me, more)
{
    left = permits + more;
    do
    :: line?[first] ->
        line?<first>;
        if
        :: WANTED(first) <= left ->
            left = left - WANTED(first);
            wake(me, NODE_WOKEN);
#ifdef MUTANT_HAND_OUT_ONE
            break
#endif
        :: else ->
            first = 0;
            break
        fi
    :: else -> break
    od;
    atomic {
        permits = left;
        used = used - more;
        is_waiting = (len(line) > 0);
        word_gives = (LEFT_RELEASES -> known[me] : 0);
        left = 0;
        unlock(me)
    }
}

inline release(me)
{
    do
    ::  atomic {
            if
#ifndef MUTANT_ADD_PAST_LINE
            :: is_waiting
#endif
            :: else ->
                permits = permits + WANTED(me);
                used = used - WANTED(me);
                change(me, false, ADD_RELEASES);
                assert(len(line) == 0);
                break
            fi
        };
        atomic {
            lock(me);
            has_all = (len(line) > 0);
            if
            :: !has_all -> unlock(me)
            :: else
            fi
        };
        if
        :: has_all ->
            hand_out(me, WANTED(me));
            break
        :: else
        fi
    od;
    has_all = false
}

/* ---- a task ---- */

/* The first poll. */
inline begin(me)
{
    take(me, false, has_all);
    if
    :: has_all
    :: else ->
#ifdef MUTANT_WAIT_UNLOCKED
        take(me, true, has_all);
#endif
        atomic {
            lock(me);
#ifndef MUTANT_WAIT_UNLOCKED
            take(me, true, has_all);
#endif
            if
            :: has_all || is_closed
            :: else ->
                touch(me, me);
                line!me;
                node[me] = NODE_WAITING
            fi;
            unlock(me)
        }
    fi
}

/* A poll of one that has begun. */
inline poll(me)
{
#ifdef MUTANT_ANSWER_UNLOCKED
    atomic {
        if
        :: node[me] == NODE_WOKEN ->
            known[me] = known[me] | node_gives[me];
            has_all = true;
            set_idle(me)
        :: else
        fi
    };
#endif
    atomic {
        if
        :: node[me] == NODE_IDLE
        :: else ->
            lock(me);
            touch(me, me);
            if
            :: node[me] == NODE_WAITING
            :: else ->
                has_all = (node[me] == NODE_WOKEN);
                set_idle(me)
            fi;
            unlock(me)
        fi
    }
}

inline drop(me)
{
    atomic {
        lock(me);
        touch(me, me);
        has_all = (node[me] == NODE_WOKEN);
        was_waiting = (node[me] == NODE_WAITING);
        set_idle(me);
        if
        :: was_waiting -> line??eval(me)
        :: else
        fi;
#ifdef MUTANT_DROP_SERVES_NOBODY
        is_waiting = (len(line) > 0);
        was_waiting = false;
#endif
        if
        :: !was_waiting -> unlock(me)
        :: else
        fi
    };
    if
    :: was_waiting ->
        hand_out(me, 0);
        was_waiting = false
    :: else
    fi;
    if
    :: has_all ->
#ifdef MUTANT_DROP_KEEPS
        used = used - WANTED(me);
        has_all = false
#else
        release(me)
#endif
    :: else
    fi
}

/* What is done under the permits. A reader's access need not be ordered with those of others. */
inline work(me)
{
    if
    :: IS_WRITER(me) -> touch(me, DATA)
    :: else ->
        d_step {
            assert(known[me] & FACT(DATA, 0)); /* race */
            forget(DATA, me);
            known[me] = known[me] | FACT(DATA, me)
        }
    fi
}

/* Waits for the waker, or is polled for no reason, or dropped. */
inline wait(me)
{
    do
    :: node[me] == NODE_IDLE -> break
    :: node[me] != NODE_IDLE && woken[me] ->
        atomic {
            woken[me] = false;
            known[me] = known[me] | woken_gives[me];
            woken_gives[me] = 0
        };
        poll(me)
#ifdef SPURIOUS
    :: node[me] != NODE_IDLE && !woken[me] -> poll(me)
#endif
    :: node[me] != NODE_IDLE && me < DROPPERS ->
        drop(me);
        break
    od
}

active [TASKS] proctype task()
{
    bool has_all, was_waiting;
    byte first, left, i;

    do
    :: is_closed && node[_pid] == NODE_IDLE -> break
    :: else ->
        begin(_pid);
        if
        :: node[_pid] != NODE_IDLE -> wait(_pid)
        :: else
        fi;
        atomic {
            touch(_pid, _pid); /* a new future in its memory */
            woken[_pid] = false;
            woken_gives[_pid] = 0
        };
        if
        :: has_all ->
            work(_pid);
            release(_pid)
        :: else
        fi
    od
}

#ifdef CLOSE
active proctype closer()
{
    byte first, i;

    lock(CLOSER);
#ifndef MUTANT_CLOSE_WAKES_NOBODY
    do
    :: len(line) > 0 -> wake(CLOSER, NODE_REFUSED)
    :: else -> break
    od;
#endif
    atomic {
        is_closed = true;
        change(CLOSER, false, false)
    };
    atomic {
        is_waiting = false;
        change(CLOSER, false, false)
    };
    unlock(CLOSER)
}
#endif
