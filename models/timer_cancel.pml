/*
 * The protocol of include/kernel/timer.h: the owner of a wheel arms, moves and fires a shared timer, and cancels it
 * too; two users cancel it at any time. Whoever of them succeeds has the owner told. The first user waits until the
 * timer is idle, reuses its memory at once, and asks for it to be armed again, for once or with a period, for ever.
 *
 * In a callback the owner may do what it may do elsewhere: arm the timer again, cancel it, be told that it was
 * cancelled. The wheel comes across a cancelled timer or does not before it is told. Checked:
 *   - what was cancelled does not fire: no expiry is decided afterwards, and none of a timer without a period is begun;
 *   - of those who cancel, one succeeds; what nobody cancelled has fired;
 *   - memory is reused only when the timer is not linked and its callback does not run, and no access to it races;
 *   - the owner is told of cancelled timers only, and nobody waits for ever.
 *
 * Memory is that of C11, by happens-before: a fact is the last access of a thread to one of the places of the timer's
 * memory, and `known` says which facts happen before a thread's next step. A release leaves them with what it stores,
 * for who acquires it; a read-modify-write goes on giving what others released. Two accesses to a place by different
 * threads must be ordered. Loads of the state give the newest value: an older one would be that of a time at which it
 * could have been loaded just as well, but that it may not be older than what the thread has read or written before.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#define USERS 2
#define OWNER USERS
#define THREADS (USERS + 1)

#define IDLE 0
#define ARMED 1
#define FIRING 2
#define REPEATING 3
#define CANCELLED 4

/* Places: what the owner links and calls through, and the field that tells which wheel it is. */
#define LINKS 0
#define WHEEL 1

#define FACT(place, thread) (1 << ((place) * THREADS + (thread)))
#define EVERY_FACT (FACT(2, 0) - 1)
#define FACTS_OF_OTHERS(place, me)                                                                                     \
    ((FACT(place, 0) | FACT(place, 1) | FACT(place, OWNER)) & ~FACT(place, me))

#ifdef MUTANT_RELAXED_ARM
#define ARM_RELEASES false
#else
#define ARM_RELEASES true
#endif
#ifdef MUTANT_RELAXED_IDLE
#define IDLE_RELEASES false
#else
#define IDLE_RELEASES true
#endif
#ifdef MUTANT_RELAXED_CANCEL
#define CANCEL_ACQUIRES false
#else
#define CANCEL_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_LOOK
#define LOOK_ACQUIRES false
#else
#define LOOK_ACQUIRES true
#endif

int known[THREADS] = EVERY_FACT;
byte state = IDLE;
int state_gives;

/* Ways of the program's own, each with a release and an acquire: to ask, to let the second user try, to hear that it
 * has, and to tell the owner. That the timer was armed is said without, so that the state alone makes it known. */
bool is_asked, is_armed, is_open, is_closed;
int asked_gives, open_gives, closed_gives;
bool is_told[USERS];
int told_gives[USERS];

/* The owner's. */
bool is_linked, is_calling, repeats;

/* Known to the checks only, of the present use of the memory: whether a user has cancelled; whether it has fired, and
 * whether the owner has cancelled. */
bool is_won, has_fired, was_dropped;

inline touch(me, place)
{
    d_step {
        assert((known[me] & FACTS_OF_OTHERS(place, me)) == FACTS_OF_OTHERS(place, me)); /* race */
        known[0] = known[0] & ~FACT(place, me);
        known[1] = known[1] & ~FACT(place, me);
        known[OWNER] = known[OWNER] & ~FACT(place, me);
        state_gives = state_gives & ~FACT(place, me);
        asked_gives = asked_gives & ~FACT(place, me);
        open_gives = open_gives & ~FACT(place, me);
        closed_gives = closed_gives & ~FACT(place, me);
        told_gives[0] = told_gives[0] & ~FACT(place, me);
        told_gives[1] = told_gives[1] & ~FACT(place, me);
        known[me] = known[me] | FACT(place, me)
    }
}

inline store_state(me, value, releases)
{
    d_step {
        state = value;
        state_gives = (releases -> known[me] : 0)
    }
}

/* Acquires and releases. */
inline change_state(me, from, to, acquires, result)
{
    d_step {
        known[me] = known[me] | (acquires -> state_gives : 0);
        if
        :: state == from ->
            state = to;
            state_gives = state_gives | known[me];
            result = true
        :: else -> result = false
        fi
    }
}

/* kn_timer_try_cancel */
inline try_cancel(me, result)
{
    result = false;
    do
    ::  atomic {
            seen = state;
            known[me] = known[me] | (CANCEL_ACQUIRES -> state_gives : 0)
        };
        if
        :: seen == ARMED || seen == REPEATING ->
            atomic {
                change_state(me, seen, CANCELLED, CANCEL_ACQUIRES, result);
                if
                :: result ->
                    assert(!is_won);
                    seen = 0;
                    break
                :: else
                fi
            }
        :: else ->
            seen = 0;
            break
        fi
    od
}

/* A user's attempt, and the telling. */
inline user_cancels(me)
{
    try_cancel(me, has_won);
    if
    :: has_won ->
        atomic {
            touch(me, WHEEL); /* kn_timer_wheel_of */
            is_won = true;
            assert(!is_told[me]);
            is_told[me] = true;
            told_gives[me] = known[me];
            has_won = false
        }
    :: else
    fi
}

active proctype user()
{
    bool has_won;
    byte seen;

    do
    ::  atomic {
            touch(0, LINKS);
            touch(0, WHEEL);
            if
            :: repeats = false
            :: repeats = true
            fi;
            is_won = false;
            has_fired = false;
            was_dropped = false;
            is_asked = true;
            asked_gives = known[0]
        };
        atomic {
            is_armed -> is_armed = false;
            is_open = true;
            open_gives = known[0]
        };
        user_cancels(0);
        atomic {
            is_closed -> is_closed = false;
            known[0] = known[0] | closed_gives;
            closed_gives = 0
        };
        if
        :: repeats && !is_won ->
            user_cancels(0) /* or it might go on for ever */
        :: else
        fi;
        atomic { /* kn_timer_is_idle */
            state == IDLE -> known[0] = known[0] | (LOOK_ACQUIRES -> state_gives : 0);
            assert(!is_linked && !is_calling);
            assert(is_won || has_fired || was_dropped)
        }
    od
}

active proctype rival()
{
    bool has_won;
    byte seen;

    do
    ::  atomic {
            is_open -> is_open = false;
            known[1] = known[1] | open_gives;
            open_gives = 0
        };
        if
        :: true -> user_cancels(1)
        :: true
        fi;
        atomic {
            is_closed = true;
            closed_gives = known[1]
        }
    od
}

inline link()
{
    atomic {
        touch(OWNER, LINKS);
        assert(!is_linked);
        is_linked = true
    }
}

inline unlink()
{
    atomic {
        touch(OWNER, LINKS);
        is_linked = false
    }
}

/* The end of kn_timer_wheel_forget. */
inline end_cancel()
{
#ifdef MUTANT_IDLE_IN_CALL
    store_state(OWNER, IDLE, IDLE_RELEASES)
#else
    store_state(OWNER, (is_calling -> FIRING : IDLE), IDLE_RELEASES)
#endif
}

inline forget()
{
    assert(state == CANCELLED);
#ifdef MUTANT_IDLE_BEFORE_UNLINK
    end_cancel();
    if
    :: is_linked -> unlink()
    :: else
    fi
#else
    if
    :: is_linked -> unlink()
    :: else
    fi;
    end_cancel()
#endif
}

inline hear(from)
{
    atomic {
        is_told[from] = false;
        known[OWNER] = known[OWNER] | told_gives[from];
        told_gives[from] = 0
    };
    forget()
}

/* kn_timer_wheel_cancel */
inline owner_cancels()
{
    try_cancel(OWNER, result);
    if
    :: result ->
        was_dropped = true;
        forget()
    :: else
    fi;
    result = false
}

/* kn_timer_wheel_arm of a timer that is not idle. */
inline arm_again()
{
    seen = state;
#ifndef MUTANT_ARM_REVIVES
    if
    :: seen == REPEATING -> change_state(OWNER, REPEATING, ARMED, true, result)
    :: else -> result = (seen != CANCELLED)
    fi;
#else
    result = true;
#endif
    if
    :: result ->
        touch(OWNER, LINKS);
        if
        :: !is_linked -> /* its callback runs */
            link();
            store_state(OWNER, ARMED, ARM_RELEASES)
        :: else ->
#ifdef MUTANT_ARM_REVIVES
            store_state(OWNER, ARMED, ARM_RELEASES)
#endif
            skip
        fi
    :: else
    fi;
    atomic {
        seen = 0;
        result = false
    }
}

inline call()
{
    atomic {
        is_calling = true;
        has_fired = true;
        assert(repeats || !is_won);
        touch(OWNER, LINKS)
    };
    if
    :: true
    :: true -> arm_again()
    :: true -> owner_cancels()
    :: is_told[0] -> hear(0)
    :: is_told[1] -> hear(1)
    fi;
    atomic {
        touch(OWNER, LINKS); /* the callback's last look */
        is_calling = false
    }
}

/* The end of a callback. */
inline end_call()
{
    seen = state;
    if
    :: seen == REPEATING ->
#ifdef MUTANT_END_WITHOUT_CAS
        store_state(OWNER, ARMED, true)
#else
        change_state(OWNER, REPEATING, ARMED, true, result)
#endif
    :: seen == FIRING -> store_state(OWNER, IDLE, IDLE_RELEASES)
    :: else
    fi;
    atomic {
        seen = 0;
        result = false
    }
}

inline expire()
{
    unlink();
#ifdef MUTANT_FIRE_WITHOUT_CAS
    result = (state == ARMED);
    if
    :: result -> store_state(OWNER, (repeats -> REPEATING : FIRING), true)
    :: else
    fi;
#else
    atomic {
        change_state(OWNER, ARMED, (repeats -> REPEATING : FIRING), true, result);
        assert(!(result && is_won))
    };
#endif
    if
    :: result ->
        result = false;
        if
        :: repeats -> link()
        :: else
        fi;
#ifdef MUTANT_IDLE_BEFORE_CALL
        if
        :: state == FIRING -> store_state(OWNER, IDLE, IDLE_RELEASES)
        :: else
        fi;
#endif
        call();
        end_call()
    :: else
#ifdef MUTANT_IDLE_WHEN_FOUND
        -> store_state(OWNER, IDLE, IDLE_RELEASES)
#endif
    fi
}

/* A cascade. */
inline move()
{
    seen = state;
    unlink();
    if
    :: seen != CANCELLED -> link()
    :: else
    fi;
    seen = 0
}

active proctype owner()
{
    bool result;
    byte seen;

    do
    ::  atomic {
            is_asked -> is_asked = false;
            known[OWNER] = known[OWNER] | asked_gives;
            asked_gives = 0
        };
        assert(state == IDLE);
        touch(OWNER, WHEEL);
        link();
        store_state(OWNER, ARMED, ARM_RELEASES);
        is_armed = true
    :: is_linked -> expire()
    :: is_linked -> move()
    :: is_linked -> arm_again()
    :: is_linked -> owner_cancels()
    :: is_told[0] -> hear(0)
    :: is_told[1] -> hear(1)
    od
}
