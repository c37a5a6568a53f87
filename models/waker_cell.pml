/*
 * The protocol of include/kernel/waker.h: threads make things happen and wake a cell; its owner waits for each of them
 * with futures one after the other, drops one here and there, and gives the memory of a waker away when its future is
 * over. Checked:
 *   - no wake-up is lost: the owner does not sleep when all has happened and it has not seen all;
 *   - `waker` is touched by one thread at a time;
 *   - after an answer and after a drop the waker is not touched any more.
 *
 * Memory is that of C11, by happens-before: `known` says of each thread which facts happen before its next step. A fact
 * is the last access of a thread to a place, or that something has happened. A release leaves what is known with the
 * value that it stores, for who acquires it; a read-modify-write goes on giving what others released. Two accesses to a
 * place by different threads must be ordered; what has happened is seen for certain only by who knows it. Loads of the
 * state give the newest value, as all of them are parts of read-modify-writes.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef WAKERS
#define WAKERS 2
#endif
#ifndef EVENTS
#define EVENTS 2 /* of each thread */
#endif
#ifndef DROPS
#define DROPS 1
#endif
#define OWNER WAKERS
#define THREADS (WAKERS + 1)
#define ALL_EVENTS (WAKERS * EVENTS)

/* Bits of the state. */
#define WAITING 0
#define REGISTERING 1
#define WAKING 2

#define NONE 2 /* no waker */

/* Places: the two wakers' memory, which are used by turns, and the cell's pointer. */
#define POINTER 2
#define PLACES 3

#define FACT(place, thread) (1 << ((place) * THREADS + (thread)))
#define EVERY_FACT (FACT(PLACES, 0) - 1)
#define FACTS_OF_OTHERS(place, me)                                                                                     \
    ((FACT(place, THREADS) - FACT(place, 0)) & ~FACT(place, me))
#define HAPPENED(event) FACT(PLACES, event)

#ifdef MUTANT_RELAXED_BEGIN
#define BEGIN_ACQUIRES false
#else
#define BEGIN_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_LEAVE
#define LEAVE_RELEASES false
#else
#define LEAVE_RELEASES true
#endif
#ifdef MUTANT_ACQUIRE_WAKE
#define WAKE_RELEASES false
#else
#define WAKE_RELEASES true
#endif
#ifdef MUTANT_RELEASE_WAKE
#define WAKE_ACQUIRES false
#else
#define WAKE_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_END
#define END_RELEASES false
#else
#define END_RELEASES true
#endif
#ifdef MUTANT_RELAXED_CLEAR
#define CLEAR_ACQUIRES false
#else
#define CLEAR_ACQUIRES true
#endif

int known[THREADS] = EVERY_FACT;
byte state = WAITING;
int state_gives;
byte pointer = NONE;

/* The wakers: kn_local_executor's. */
bool woken[2];
int woken_gives[2];

int happened; /* facts */
byte finished; /* threads that have done all they will */

inline touch(me, place)
{
    d_step {
        assert((known[me] & FACTS_OF_OTHERS(place, me)) == FACTS_OF_OTHERS(place, me)); /* race */
        for (i : 0 .. THREADS - 1) {
            known[i] = known[i] & ~FACT(place, me)
        };
        state_gives = state_gives & ~FACT(place, me);
        woken_gives[0] = woken_gives[0] & ~FACT(place, me);
        woken_gives[1] = woken_gives[1] & ~FACT(place, me);
        known[me] = known[me] | FACT(place, me);
        i = 0
    }
}

/* A read-modify-write. */
inline change(me, to, acquires, releases)
{
    d_step {
        known[me] = known[me] | (acquires -> state_gives : 0);
        state = to;
        state_gives = state_gives | (releases -> known[me] : 0)
    }
}

inline call(me, waker)
{
    touch(me, waker);
    atomic {
        touch(me, waker);
        woken[waker] = true;
        woken_gives[waker] = known[me]
    }
}

/* ---- kn_waker_cell_wake ---- */

inline end_wake(me)
{
    change(me, state & ~WAKING, false, END_RELEASES)
}

inline wake(me)
{
    atomic {
        before = state;
        change(me, state | WAKING, WAKE_ACQUIRES, WAKE_RELEASES)
    };
    if
    :: before == WAITING ->
        atomic {
            touch(me, POINTER);
            waker = pointer
        };
        atomic {
            touch(me, POINTER);
            pointer = NONE
        };
#ifdef MUTANT_CALL_AFTERWARDS
        end_wake(me);
#endif
        if
        :: waker != NONE -> call(me, waker)
        :: else
        fi;
#ifndef MUTANT_CALL_AFTERWARDS
        end_wake(me);
#endif
        skip
    :: else
    fi;
    atomic {
        before = 0;
        waker = NONE
    }
}

active [WAKERS] proctype thread()
{
    byte event, before, waker = NONE, i;

    do
    :: event < EVENTS ->
        atomic {
            happened = happened | HAPPENED(_pid * EVENTS + event);
            known[_pid] = known[_pid] | HAPPENED(_pid * EVENTS + event);
            event++
        };
        wake(_pid)
    :: else -> break
    od;
    finished++
}

/* ---- the owner ---- */

inline set_pointer(value)
{
    atomic {
        touch(OWNER, POINTER);
        pointer = value
    }
}

inline register()
{
    atomic {
        met = (state != WAITING);
        if
        :: met -> known[OWNER] = known[OWNER] | state_gives
        :: else -> change(OWNER, REGISTERING, BEGIN_ACQUIRES, false)
        fi
    };
    if
    :: met ->
#ifndef MUTANT_NO_CALL_WHEN_MET
        call(OWNER, mine)
#else
        skip
#endif
    :: else ->
        set_pointer(mine);
#ifdef MUTANT_STORE_LEAVE
        atomic {
            state = WAITING;
            state_gives = known[OWNER]
        }
#else
        atomic {
            met = (state != REGISTERING);
            if
            :: met -> known[OWNER] = known[OWNER] | state_gives
            :: else -> change(OWNER, WAITING, true, LEAVE_RELEASES)
            fi
        };
        if
        :: met ->
            set_pointer(NONE);
            change(OWNER, WAITING, true, true);
#ifndef MUTANT_NO_CALL_WHEN_BOTH
            call(OWNER, mine)
#endif
        :: else
        fi
#endif
    fi;
    met = false
}

inline clear()
{
#ifdef MUTANT_CLEAR_AT_ONCE
    change(OWNER, state | REGISTERING, CLEAR_ACQUIRES, false);
#else
    atomic {
        state == WAITING -> change(OWNER, REGISTERING, CLEAR_ACQUIRES, false)
    };
#endif
    set_pointer(NONE);
#ifdef MUTANT_STORE_CLEAR
    atomic {
        state = WAITING;
        state_gives = known[OWNER]
    }
#else
    change(OWNER, WAITING, true, true)
#endif
}

/* Takes note of what has happened; of what it does not know of, perhaps. */
inline look()
{
    atomic {
        for (i : 0 .. ALL_EVENTS - 1) {
            if
            :: happened & HAPPENED(i) & ~seen ->
                if
                :: true -> answers = true
                :: !(known[OWNER] & HAPPENED(i)) /* an older value */
                fi;
                if
                :: answers -> seen = seen | HAPPENED(i); break
                :: else
                fi
            :: else
            fi
        };
        i = 0
    }
}

inline poll()
{
#ifdef MUTANT_LOOK_FIRST
    look();
    if
    :: !answers -> register()
    :: else
    fi
#else
    register();
    look()
#endif
}

active proctype owner()
{
    byte mine, drops, i;
    int seen;
    bool met, answers;

    do
    :: seen != (HAPPENED(ALL_EVENTS) - HAPPENED(0)) ->
        atomic {
            touch(OWNER, mine); /* a new future */
            woken[mine] = true;
            woken_gives[mine] = 0
        };
        do
        ::  atomic {
                woken[mine] ->
                woken[mine] = false;
                known[OWNER] = known[OWNER] | woken_gives[mine];
                woken_gives[mine] = 0
            };
            poll();
            if
            :: answers -> break
            :: else
            fi
        :: drops < DROPS ->
            drops++;
            break
        ::  atomic {
                !woken[mine] && finished == WAKERS -> assert(false) /* lost */
            }
        od;
        clear();
        atomic {
            touch(OWNER, mine); /* other use of its memory */
            mine = 1 - mine;
            answers = false
        }
    :: else -> break
    od
}
