/*
 * How threads sleep and are woken in src/queue/eventcount.c: a futex word, a count of sleepers, and an asymmetric barrier.
 *
 * A notifier makes something happen, which is a plain store, loads the count, and wakes one sleeper unless it is zero.
 * A sleeper reads the epoch, counts itself, forces a barrier on every notifier, looks once more, and sleeps if the epoch
 * is still the one it read, which the futex checks in one step. The sleepers compete for what has happened, so that each
 * event is one sleeper's, and any of them may leave its sleep without being woken (a signal, the time), look, and give
 * up. Checked: whenever something is there and everybody else rests, nobody sleeps.
 *
 * Memory: what a notifier stores waits in a buffer, past which its loads of the count go. The buffer drains one store at
 * a time, at any moment; all of it at those of the notifier's read-modify-writes that release, or when a sleeper forces
 * it to.
 *
 * The first REFUSED notifiers belong to processes without membarrier: no sleeper can drain their buffers, but they have
 * set a bit on top of the count, and whoever sees that reads the count by a read-modify-write. NO_MEMBARRIER: all do.
 */
#ifndef NOTIFIERS
#define NOTIFIERS 2
#endif
#ifndef SLEEPERS
#define SLEEPERS 2
#endif
#ifndef EVENTS
#define EVENTS 2 /* of each notifier */
#endif
#ifdef NO_MEMBARRIER
#define REFUSED NOTIFIERS
#endif
#ifndef REFUSED
#define REFUSED 0
#endif

byte buffered[NOTIFIERS];   /* events that only their notifier knows of as yet */
byte in_buffers = 0;        /* the sum of that */
byte there = 0;             /* events that everybody sees and nobody has taken */
byte sleepers = 0;          /* the count */
bool no_membarrier = false; /* the bit on top of it */
byte epoch = 0;
bool asleep[SLEEPERS];      /* in the futex */
byte in_futex = 0;          /* how many are */
byte awake = SLEEPERS;      /* sleepers that are neither in the futex nor have given up */
byte notifying = 0;         /* notifiers between an event and the end of its notification */

inline drain_all(whose)
{
    d_step {
        there = there + buffered[whose];
        in_buffers = in_buffers - buffered[whose];
        buffered[whose] = 0
    }
}

inline leave_futex(who)
{
    asleep[who] = false;
    in_futex--;
    awake++
}

/* ---- notifiers ---- */

inline happen()
{
    atomic {
        buffered[me]++;
        in_buffers++
    }
}

/* The read-modify-write of count_sleepers in event.c, where the bit is seen. */
inline count_again()
{
    atomic {
#ifndef MUTANT_NO_RMW
        if
        :: no_membarrier -> drain_all(me)
        :: else
        fi;
#endif
        count = sleepers
    }
}

inline change_epoch()
{
    atomic {
#ifndef MUTANT_RELAXED_EPOCH
        drain_all(me);
#endif
#ifdef MUTANT_NO_EPOCH
        skip
#else
        epoch++
#endif
    }
}

/* Wakes any one of those in the futex: their order is the system's. */
inline futex_wake()
{
    atomic {
        if
        :: in_futex > 0 ->
            do
            :: passed + 1 < in_futex -> passed++
            :: break
            od;
            do
            :: !asleep[choice] -> choice++
            :: asleep[choice] && passed > 0 -> choice++; passed--
            :: asleep[choice] && passed == 0 -> break
            od;
            leave_futex(choice);
            choice = 0
        :: else
        fi
    }
}

proctype notifier(byte me)
{
    byte made = 0;
    byte count;
    byte choice;
    byte passed;
    if
    :: me < REFUSED -> no_membarrier = true
    :: else
    fi;
end:
    do
    :: atomic { made < EVENTS -> made++; notifying++ };
#ifdef MUTANT_LOAD_BEFORE_EVENT
        count = sleepers + no_membarrier;
        happen();
#else
        happen();
        count = sleepers + no_membarrier;
#endif
        if
        :: count > 0 ->
            count_again();
            if
            :: count > 0 ->
                change_epoch();
                futex_wake()
            :: else
            fi
        :: else
        fi;
        atomic { count = 0; notifying-- }
    :: made == EVENTS -> break
    od
}

proctype buffer(byte whose)
{
end:
    do
    :: atomic { buffered[whose] > 0 -> buffered[whose]--; in_buffers--; there++ }
    od
}

/* ---- sleepers ---- */

inline look(found)
{
    atomic {
        found = (there > 0);
        there = there - found
    }
}

inline count_me()
{
    atomic {
        sleepers++;
#ifdef MUTANT_NO_BARRIER_WHERE_BIT
        whose = (no_membarrier -> NOTIFIERS : 0)
#endif
    }
}

/* Reaches one notifier after the other. */
inline barrier()
{
#ifdef MUTANT_NO_BARRIER
    whose = NOTIFIERS;
#endif
    do
    :: whose < REFUSED -> whose++
    :: whose >= REFUSED && whose < NOTIFIERS -> drain_all(whose); whose++
    :: whose == NOTIFIERS -> whose = 0; break
    od
}

inline prepare_and_look()
{
#ifdef MUTANT_LOOK_BEFORE_COUNTING
    expected = epoch;
    look(found);
    count_me();
    barrier();
#else
#ifdef MUTANT_EPOCH_AFTER_LOOK
    count_me();
    barrier();
    look(found);
    expected = epoch;
#else
    expected = epoch;
    count_me();
    barrier();
    look(found);
#endif
#endif
}

proctype sleeper(byte me)
{
    bool found;
    byte expected;
    byte whose;
    do
    :: look(found);
        if
        :: found -> found = false
        :: else ->
            if
            :: atomic { awake--; break } /* gives up */
            :: prepare_and_look()
            fi;
            if
            :: found
            :: else ->
                atomic {
                    if
                    :: epoch == expected -> asleep[me] = true; in_futex++; awake--
                    :: else
                    fi;
                    expected = 0
                };
end:
                if
                :: !asleep[me]
                :: atomic { asleep[me] -> leave_futex(me) } /* a signal, the time */
                fi
            fi;
            atomic { found = false; sleepers-- }
        fi
    od
}

/* ---- the claim ---- */

active proctype everybody_else_rests()
{
end:
    atomic {
        awake == 0 && notifying == 0 && in_buffers == 0 && in_futex > 0 && there > 0 -> assert(false)
    }
}

init
{
    byte who = 0;
    atomic {
        do
        :: who < NOTIFIERS -> run notifier(who); run buffer(who); who++
        :: else -> break
        od;
        who = 0;
        do
        :: who < SLEEPERS -> run sleeper(who); who++
        :: else -> break
        od
    }
}
