/*
 * How tasks are waited for in src/sched/task.c: MEMBERS that each say that they are done, the last of which was added
 * by the first, and who waits: a task (the default), a thread (JOIN), or one of each (BOTH).
 *
 * The last one done finds the count at one, exchanges CLOSING in, wakes whoever waits, and stores 0. The task registers
 * itself, and is polled whenever it was woken, or for other reasons; the thread sleeps by an event count, of which
 * eventcount.pml has the whole. Checked:
 *   - who waits sleeps only while somebody will wake it;
 *   - an answer of 0 comes after all are done, and knows all that they wrote;
 *   - after it, when the group and the task that waited are nobody's any more, nobody touches either; nor is there a
 *     race on the pointer to who waits.
 *
 * Memory is that of C11. The state's values are all kept, oldest first: a load returns any that is not older than what
 * its thread has read, or than what happens before (`seen`); a read-modify-write takes the newest, as does the store at
 * the end, before which nothing but read-modify-writes came. `known` says which facts happen before a thread's next
 * step: that a member did its work and its last step on the group, that the pointer was last accessed.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef MEMBERS
#define MEMBERS 3 /* 2 to 4 */
#endif
#ifdef BOTH
#define WAITS 2
#else
#define WAITS 1
#endif

#define TASK MEMBERS
#define THREAD (MEMBERS + 1)
#define THREADS (MEMBERS + 2)

/* Bits of the state above the count. */
#define COUNT 15
#define WAITER 16
#define CLOSING 32

#define STEPS_OF(member) (1 << (member))
#define EVERY_STEP ((1 << MEMBERS) - 1)
#define POINTER (1 << MEMBERS)
#define KNOWS(me, fact) ((known[me] & (fact)) != 0)

#ifdef MUTANT_RELAXED_DONE
#define DONE_ORDERS 0
#else
#define DONE_ORDERS 1
#endif
#ifdef MUTANT_RELAXED_CLOSE
#define CLOSE_RELEASES 0
#else
#define CLOSE_RELEASES 1
#endif
#ifdef MUTANT_RELAXED_LOOK
#define LOOK_ACQUIRES 0
#else
#define LOOK_ACQUIRES 1
#endif
#ifdef MUTANT_RELAXED_REGISTER
#define REGISTER_RELEASES 0
#else
#define REGISTER_RELEASES 1
#endif

/* The group. Each member's end, one that was added, one that waits, and 0. */
#define VALUES (MEMBERS + 4)
byte value[VALUES] = MEMBERS - 1;
byte value_gives[VALUES];
byte newest;
bool has_pointer;
byte sleepers;
byte sleepers_give;
byte sleepers_seen;
byte epoch;

/* The task that waits: whether it is scheduled, and what its next poll acquires. */
bool is_woken;
byte woken_gives;
byte woken_seen;

byte known[THREADS] = POINTER;
byte seen[THREADS];

/* Known to the checks only. */
byte answered;
byte members_done;
bool task_rests, thread_sleeps;

hidden byte each;

#define IS_FREE (answered == WAITS)

inline happens(me, fact)
{
    for (each : 0 .. THREADS - 1) {
        known[each] = known[each] & ~(fact)
    }
    for (each : 0 .. VALUES - 1) {
        value_gives[each] = value_gives[each] & ~(fact)
    }
    sleepers_give = sleepers_give & ~(fact);
    woken_gives = woken_gives & ~(fact);
    each = 0;
    known[me] = known[me] | (fact)
}

/* Any step of a member on the group. */
inline step_of(me)
{
    assert(!IS_FREE); /* or who waited has freed it */
    happens(me, STEPS_OF(me))
}

inline load(me, acquires, result)
{
    which = newest;
    do
    :: which > seen[me] -> which = which - 1
    :: break
    od;
    seen[me] = which;
    known[me] = known[me] | value_gives[which] * (acquires);
    result = value[which];
    which = 0
}

/* A read-modify-write. */
inline exchange(me, content, acquires, releases)
{
    known[me] = known[me] | value_gives[newest] * (acquires);
    newest = newest + 1;
    value[newest] = content;
    value_gives[newest] = value_gives[newest - 1] | known[me] * (releases);
    seen[me] = newest
}

/* ---- members ---- */

inline wake_task(me)
{
    is_woken = true;
    woken_gives = woken_gives | known[me];
    woken_seen = (seen[me] > woken_seen -> seen[me] : woken_seen)
}

/* The store that lets go who waits. */
inline let_go()
{
    d_step {
        step_of(me);
        newest = newest + 1;
        value[newest] = 0;
        value_gives[newest] = known[me] * CLOSE_RELEASES;
        seen[me] = newest
    }
}

inline wake_waiter()
{
    if
    :: (state & WAITER) != 0 ->
#ifndef MUTANT_POINTER_BEFORE_EXCHANGE
        d_step {
            step_of(me);
            assert(KNOWS(me, POINTER)); /* race */
            happens(me, POINTER);
            target = has_pointer
        };
#endif
        d_step {
            assert(target);   /* or it is not written yet */
            assert(!IS_FREE); /* or the task has ended */
            wake_task(me);
            target = false
        }
    :: else
    fi
}

/* kn_eventcount_notify as where there is no membarrier. */
inline notify()
{
    d_step {
        step_of(me);
        known[me] = known[me] | sleepers_give;
        sleepers_give = sleepers_give | known[me];
        sleepers_seen = (seen[me] > sleepers_seen -> seen[me] : sleepers_seen);
        target = (sleepers > 0)
    };
    if
    :: target ->
        d_step { step_of(me); epoch = epoch + 1 };
        d_step { step_of(me); thread_sleeps = false; target = false }
    :: else
    fi
}

inline close_group()
{
#ifdef MUTANT_LET_GO_FIRST
    let_go();
#endif
    wake_waiter();
#ifndef MUTANT_NO_NOTIFY
    notify();
#endif
#if !defined(MUTANT_LET_GO_FIRST) && !defined(MUTANT_NO_CLOSING)
    let_go()
#else
    skip
#endif
}

#ifdef MUTANT_NO_CLOSING
#define LAST 0
#else
#define LAST CLOSING
#endif

/* kn_task_group_done. */
inline end_member()
{
#ifdef MUTANT_POINTER_BEFORE_EXCHANGE
    d_step { step_of(me); target = has_pointer };
#endif
#ifdef MUTANT_SUBTRACT
    d_step {
        step_of(me);
        state = value[newest];
        exchange(me, state - 1, 1, 1);
        exchanged = true
    };
#else
    atomic { step_of(me); load(me, 0, state) };
    do
    :: !exchanged ->
        atomic {
            step_of(me);
            if
            :: value[newest] == state ->
                next = ((state & COUNT) > 1 -> state - 1 : LAST);
                exchange(me, next, DONE_ORDERS, DONE_ORDERS);
                next = 0;
                exchanged = true
            :: else -> load(me, 0, state)
            fi
        }
    :: else -> break
    od;
#endif
    if
    :: (state & COUNT) == 1 -> close_group()
    :: else
    fi
}

proctype member(byte me)
{
    byte state, next, which;
    bool exchanged, target;
    if
    :: me == 0 ->
        /* kn_task_group_add, and spawning it. */
        d_step {
            step_of(me);
            state = value[newest];
            exchange(me, state + 1, 0, 0);
            known[MEMBERS - 1] = known[0];
            seen[MEMBERS - 1] = seen[0]
        };
        run member(MEMBERS - 1)
    :: else
    fi;
    end_member();
    d_step { state = 0; exchanged = false; members_done = members_done + 1 }
}

/* ---- who waits ---- */

inline answer(me)
{
    d_step {
        assert((known[me] & EVERY_STEP) == EVERY_STEP); /* or their work is not seen, or they may still be at it */
        answered = answered + 1
    }
}

inline write_pointer()
{
    d_step {
        assert(KNOWS(TASK, POINTER)); /* race */
        happens(TASK, POINTER);
        has_pointer = true
    }
}

/* kn_task_group_wait, from its load on. */
inline wait()
{
    do
    :: state == 0 -> break
    :: (state & CLOSING) != 0 ->
#ifndef MUTANT_NO_WAKE_WHILE_CLOSING
        d_step { wake_task(TASK) };
#endif
        break
    :: (state & (CLOSING | WAITER)) == WAITER -> break
    :: state != 0 && (state & (CLOSING | WAITER)) == 0 ->
#ifndef MUTANT_POINTER_AFTER_EXCHANGE
        write_pointer();
#endif
        atomic {
            if
            :: value[newest] == state ->
                exchange(TASK, state | WAITER, 0, REGISTER_RELEASES);
                state = state | WAITER
            :: else -> load(TASK, LOOK_ACQUIRES, state)
            fi
        };
#ifdef MUTANT_POINTER_AFTER_EXCHANGE
        write_pointer();
#endif
    od
}

proctype task()
{
    byte state, which;
    do
    ::  atomic { load(TASK, LOOK_ACQUIRES, state) };
        wait();
        if
        :: state == 0 -> answer(TASK); break
        :: else
        fi;
        d_step { state = 0; task_rests = true };
end:
        if
        :: d_step {
                is_woken ->
                is_woken = false;
                task_rests = false;
                known[TASK] = known[TASK] | woken_gives;
                seen[TASK] = (woken_seen > seen[TASK] -> woken_seen : seen[TASK])
            }
        :: task_rests = false /* polled for something else */
        fi
    od
}

inline prepare()
{
    expected = epoch;
    d_step {
        known[THREAD] = known[THREAD] | sleepers_give;
        seen[THREAD] = (sleepers_seen > seen[THREAD] -> sleepers_seen : seen[THREAD]);
        sleepers = sleepers + 1;
        is_prepared = true
    }
}

inline sleep_once()
{
    d_step { thread_sleeps = (epoch == expected); expected = 0 };
end:
    if
    :: !thread_sleeps
    :: thread_sleeps = false /* a signal, the time */
    fi;
    d_step { sleepers = sleepers - 1; is_prepared = false }
}

#ifdef MUTANT_SLEEP_WHILE_CLOSING
#define YIELDS_WHILE 0
#else
#define YIELDS_WHILE CLOSING
#endif

/* kn_task_group_join. */
proctype thread()
{
    byte state, which, expected;
    bool is_prepared;
    do
    ::  atomic { load(THREAD, LOOK_ACQUIRES, state) };
        if
        :: state == 0 -> break
        :: (state & YIELDS_WHILE) != 0
        :: state != 0 && (state & YIELDS_WHILE) == 0 ->
            if
            :: is_prepared -> sleep_once()
            :: !is_prepared -> prepare()
            fi
        fi
    od;
    if
    :: is_prepared -> d_step { sleepers = sleepers - 1; is_prepared = false }
    :: else
    fi;
    answer(THREAD)
}

/* ---- the claim that nobody is forgotten ---- */

active proctype everybody_else_rests()
{
end:
    atomic { members_done == MEMBERS && ((task_rests && !is_woken) || thread_sleeps) -> assert(false) }
}

init
{
    byte who = 0;
    atomic {
        do
        :: who < MEMBERS - 1 -> run member(who); who++
        :: else -> break
        od;
#if !defined(JOIN) || defined(BOTH)
        run task();
#endif
#if defined(JOIN) || defined(BOTH)
        run thread();
#endif
    }
}
