/*
 * The life of a task in include/kernel/task.h, src/sched/task.c and run_task of src/sched/reactor.c: CORES reactors
 * that poll it, wake it, give it to each other and reuse its memory, and OUTSIDE threads without a reactor that wake
 * and cancel it, and spawn it anew where its memory is theirs.
 *
 * Nobody who wakes knows of the lives that follow each other in one memory, so that every waker is a stale one now and
 * then. All run for ever; what Spin exhausts holds for runs of any length. Checked:
 *   - the task is in one place at most, and polled by one core at a time;
 *   - who touches its plain fields (`home`, the links, what a poll reads) knows the last who did: there is no race;
 *   - whenever it becomes idle, a poll has begun with all that was written before any of the wakes so far, and if it
 *     was cancelled, that was answered; who answers sees what was written before the cancel;
 *   - a task that is scheduled, fresh or yielded is somewhere, or somebody is bringing it;
 *   - a task that is done is delivered by nobody.
 *
 * Memory is that of C11. Of the state it is enough to know the newest value, and which facts a release left with it:
 * all change it by read-modify-writes, which take the newest, but who holds the task, and behind what the holder knows
 * there are nothing but read-modify-writes. A load may be older than a cancel that does not happen before it. A fact is
 * that an access happened, the last one of its kind; `known` says which happen before a thread's next step. Queues
 * between threads hand all facts on: mailbox.pml and spsc.pml exhaust that they do, steal.pml that they lose nothing.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef CORES
#define CORES 2
#endif
#ifndef OUTSIDE
#define OUTSIDE 1
#endif
#define THREADS (CORES + OUTSIDE)

#define SCHEDULED 1
#define RUNNING 2
#define FINISHED 4
#define CANCELLED 8

/* What a thread wrote before its last wake; the last access to the plain fields; the last change of RUNNING or
 * FINISHED; what was written before the cancel. */
#define WROTE(thread) (1 << (thread))
#define EVERY_WRITE ((1 << THREADS) - 1)
#define TOUCHED (1 << THREADS)
#define CHANGED (2 << THREADS)
#define ASKED_TO_END (4 << THREADS)
#define EVERY_FACT ((8 << THREADS) - 1)
#define KNOWS(me, fact) ((known[me] & (fact)) != 0)

#if defined(MUTANT_RELAXED_WAKE) || defined(MUTANT_ACQUIRE_WAKE)
#define WAKE_RELEASES 0
#else
#define WAKE_RELEASES 1
#endif
#if defined(MUTANT_RELAXED_WAKE) || defined(MUTANT_RELEASE_WAKE)
#define WAKE_ACQUIRES 0
#else
#define WAKE_ACQUIRES 1
#endif
#ifdef MUTANT_RELAXED_TAKE
#define TAKE_ACQUIRES 0
#else
#define TAKE_ACQUIRES 1
#endif
#ifdef MUTANT_RELAXED_END
#define END_RELEASES 0
#else
#define END_RELEASES 1
#endif
#ifdef MUTANT_RELAXED_ANSWER
#define ANSWER_ACQUIRES 0
#else
#define ANSWER_ACQUIRES 1
#endif

/* Where the task is. On its way over the bus, or from outside, to a core; back to the pool, which is core 0's. */
#define NOWHERE 0
#define IN_POOL 1
#define TO_POOL 2
#define WITH_OWNER 3
#define IN_QUEUE(core) (4 + (core))
#define ON_BUS(core) (4 + CORES + (core))
#define FROM_OUTSIDE(core) (4 + 2 * CORES + (core))

short known[THREADS] = EVERY_FACT;
byte state = FINISHED;
short state_gives;
byte place = WITH_OWNER;
short place_gives = EVERY_FACT; /* to who takes it from there, on another thread */
byte home;
bool stays; /* KN_TASK_STAYS */

/* Known to the checks only: that a core holds it; how many are bringing it; wakes that no poll has begun with yet. */
bool is_held;
byte bringing;
byte owed;

hidden byte each;

inline forget(fact)
{
    for (each : 0 .. THREADS - 1) {
        known[each] = known[each] & ~(fact)
    }
    state_gives = state_gives & ~(fact);
    place_gives = place_gives & ~(fact);
    each = 0
}

inline happens(me, fact)
{
    forget(fact);
    known[me] = known[me] | (fact)
}

inline touch(me)
{
    assert(KNOWS(me, TOUCHED)); /* race */
    happens(me, TOUCHED)
}

inline acquire(me, acquires)
{
    known[me] = known[me] | state_gives * (acquires)
}

/* Read-modify-writes go on giving what others released. */
inline release(me, releases)
{
    state_gives = state_gives | known[me] * (releases)
}

inline put(me, where)
{
    assert(place == NOWHERE); /* or it is in two queues */
    place = where;
    place_gives = known[me]
}

inline take(me)
{
    known[me] = known[me] | place_gives;
    place = NOWHERE;
    place_gives = 0
}

/* ---- any thread ---- */

/* kn_task_deliver: the home is read, the links are written. */
inline deliver(me)
{
    touch(me);
    if
    :: me < CORES && home == me -> put(me, IN_QUEUE(me))
    :: me < CORES && home != me -> put(me, ON_BUS(home))
    :: me >= CORES -> put(me, FROM_OUTSIDE(home))
    fi
}

#ifdef MUTANT_DELIVER_IF_RUNNING
#define DELIVERS_IF_NOT (SCHEDULED | FINISHED)
#elif defined(MUTANT_DELIVER_IF_FINISHED)
#define DELIVERS_IF_NOT (SCHEDULED | RUNNING)
#elif defined(MUTANT_DELIVER_IF_SCHEDULED)
#define DELIVERS_IF_NOT (RUNNING | FINISHED)
#else
#define DELIVERS_IF_NOT (SCHEDULED | RUNNING | FINISHED)
#endif

/* kn_task_wake; kn_task_cancel if the bits say so. */
inline wake(me, bits)
{
    d_step {
        happens(me, WROTE(me));
        if
        :: (bits & CANCELLED & ~state) != 0 -> happens(me, ASKED_TO_END)
        :: else
        fi;
        acquire(me, WAKE_ACQUIRES);
        release(me, WAKE_RELEASES);
        owed = owed | ((state & FINISHED) == 0 -> WROTE(me) : 0);
        delivers = ((state & DELIVERS_IF_NOT) == 0);
        bringing = bringing + delivers;
        state = state | (bits)
    };
    if
    :: delivers ->
        d_step {
            assert((state & (SCHEDULED | RUNNING | FINISHED)) == SCHEDULED);
            deliver(me);
            bringing = bringing - 1;
            delivers = false
        }
    :: else
    fi
}

/* kn_task_init and kn_task_spawn. */
inline spawn(me, core)
{
    d_step {
        take(me);
        touch(me);
        stays = false;
        home = core;
#ifdef MUTANT_SPAWN_IDLE
        state = 0;
#else
        state = RUNNING;
#endif
        state_gives = 0;
        forget(ASKED_TO_END);
        happens(me, CHANGED);
        bringing = bringing + 1
    };
    d_step {
        deliver(me);
        bringing = bringing - 1
    }
}

/* To another core, unasked or because that asked. */
inline give(me, core)
{
    d_step {
        take(me);
        touch(me);
        put(me, ON_BUS(core))
    }
}

inline choose_core(core)
{
    if
    :: core = 0
    :: core = 1
#if CORES > 2
    :: core = 2
#endif
    fi
}

proctype outside(byte me)
{
    bool delivers;
    byte core;
    do
    :: wake(me, SCHEDULED)
    :: wake(me, SCHEDULED | CANCELLED)
    :: atomic {
            place == WITH_OWNER && me == CORES -> choose_core(core)
        };
        spawn(me, core);
        core = 0
    od
}

/* ---- reactors ---- */

/* The load that begins run_task. */
inline load_state(me)
{
    atomic {
        take(me);
        assert(!is_held);
        is_held = true;
        touch(me);
        assert(KNOWS(me, CHANGED)); /* or what it was before could be read */
        found = state;
        if
        :: (found & CANCELLED) != 0 && !KNOWS(me, ASKED_TO_END) -> found = found & ~CANCELLED
        :: true
        fi
    }
}

/* A poll begins. */
inline begin_poll()
{
    d_step {
        if
        :: (found & RUNNING) == 0 ->
            assert((state & (SCHEDULED | RUNNING | FINISHED)) == SCHEDULED);
#ifdef MUTANT_STORE_TO_RUN
            state = RUNNING;
            state_gives = 0;
#else
            acquire(me, TAKE_ACQUIRES);
            state = state ^ (SCHEDULED | RUNNING);
            found = state;
#endif
            happens(me, CHANGED)
        :: else -> assert((state & (RUNNING | FINISHED)) == RUNNING)
        fi;
        if
        :: (found & CANCELLED) != 0 && !stays ->
            acquire(me, ANSWER_ACQUIRES);
            assert(KNOWS(me, ASKED_TO_END)); /* or who cleans up does not see why */
            stays = true
        :: else
        fi;
        owed = owed & ~known[me];
        found = 0
    }
}

/* The poll was answered with pending. */
inline end_pending()
{
    d_step {
        touch(me);
        acquire(me, 1);
        happens(me, CHANGED);
#ifdef MUTANT_CLEAR_AT_END
        state = state & ~SCHEDULED;
#endif
        state = state & ~RUNNING;
        release(me, END_RELEASES);
        if
        :: (state & SCHEDULED) == 0 ->
            assert(owed == 0);                         /* or a wake is lost */
            assert((state & CANCELLED) == 0 || stays); /* or a cancel */
            is_held = false
        :: else -> is_due = true
        fi
    };
#ifdef MUTANT_NO_REQUEUE
    is_held = false;
#else
    if
    :: is_due -> d_step { is_held = false; touch(me); put(me, IN_QUEUE(me)) }
    :: else
    fi;
#endif
    is_due = false
}

inline end_yield()
{
    d_step {
        touch(me);
#ifdef MUTANT_YIELD_IDLE
        state = state & ~RUNNING;
        release(me, 1);
        happens(me, CHANGED);
#endif
        is_held = false;
        put(me, IN_QUEUE(me))
    }
}

/* finish of reactor.c: its memory goes to the pool, directly or by message, or to who owns it. */
inline end_done()
{
    d_step {
#ifdef MUTANT_FINISH_IDLE
        state = 0;
#else
        state = FINISHED;
#endif
        state_gives = 0;
        owed = 0;
        happens(me, CHANGED)
    };
    atomic {
        touch(me);
        is_held = false;
        if
        :: put(me, WITH_OWNER)
        :: me == 0 -> put(me, IN_POOL)
        :: me != 0 -> put(me, TO_POOL)
        fi
    }
}

proctype reactor(byte me)
{
    bool delivers, is_due;
    byte core, found;
    do
    :: atomic { place == IN_QUEUE(me) -> load_state(me) };
        begin_poll();
        if
        :: wake(me, SCHEDULED) /* the poll itself */
        :: true
        fi;
        if
        :: end_pending()
        :: end_yield()
        :: end_done()
        fi
    :: d_step { place == ON_BUS(me) -> take(me); touch(me); home = me; put(me, IN_QUEUE(me)) }
    :: d_step { place == FROM_OUTSIDE(me) -> take(me); touch(me); assert(home == me); put(me, IN_QUEUE(me)) }
    :: atomic { place == IN_QUEUE(me) -> choose_core(core); core != me -> give(me, core); core = 0 }
    :: d_step { place == TO_POOL && me == 0 -> take(me); touch(me); put(me, IN_POOL) }
    :: atomic { place == IN_POOL && me == 0 -> choose_core(core) };
        spawn(me, core);
        core = 0
    :: wake(me, SCHEDULED) /* a timer */
    od
}

/* ---- the claim that it is never forgotten ---- */

active proctype everybody()
{
end:
    atomic {
        place == NOWHERE && !is_held && bringing == 0 -> assert((state & (SCHEDULED | RUNNING | FINISHED)) == 0)
    }
}

init
{
    byte who = 0;
    atomic {
        do
        :: who < THREADS ->
            if
            :: who < CORES -> run reactor(who)
            :: else -> run outside(who)
            fi;
            who++
        :: else -> break
        od
    }
}
