/*
 * The protocol of include/kernel/future_set.h: a thread that polls a set, adds members, removes them, and uses the
 * memory of those that have answered again at once; and two others that wake members, both the same one at times.
 *
 * The waker of a member is left by its first poll, and is taken back by its answer or its removal, which wait for
 * calls under way: that is what every future has to do. That alone orders what the threads do; the polls between order
 * nothing, nor does the task's executor. The cell of the task's waker is that of waker.h, its registration one step.
 * All run for ever. Checked:
 *   - whoever tells a member something and then wakes it has it polled, and that poll knows what was told: the task
 *     does not sleep when nobody is waking and a member was told something or waits for its turn;
 *   - no member is linked twice, or is linked when its memory is used again; no access to its memory races;
 *   - the task is not woken after it had an answer, before it polls again.
 *
 * Memory is that of C11, by happens-before: a fact is the last access of a thread to one of the places, and `known`
 * says which facts happen before a thread's next step. A release leaves them with what it stores, for who acquires it;
 * a read-modify-write takes the newest value and goes on giving what others released. Two accesses to a place by
 * different threads must be ordered, unless both read. Facts that no check will ask for are forgotten, which joins
 * states. A load of the stack may pass over pushes that do not happen before it. A push is one step: `next` is the
 * thread's own until it succeeds.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#define MEMBERS 2
#define WAKERS 2
#define SET WAKERS
#define THREADS (WAKERS + 1)
#define NOBODY 7

/* Places: the link of a member, the rest of its memory, and what a thread has told. */
#define NEXT(member) (member)
#define BODY(member) (MEMBERS + (member))
#define NEWS (2 * MEMBERS)

#define FACT(place, thread) (1 << ((place) * THREADS + (thread)))
#define FACTS(place) (FACT(place, 0) | FACT(place, 1) | FACT(place, SET))
#define FACTS_OF_OTHERS(place, me) (FACTS(place) & ~FACT(place, me))

/* Of what is known, what will be asked for by who acquires it: about the links, or about a member. */
#define OF_LINKS (FACTS(NEXT(0)) | FACTS(NEXT(1)) | FACTS(NEWS))
#define OF_MEMBER(member) (FACTS(NEXT(member)) | FACTS(BODY(member)) | FACTS(NEWS))

#ifdef MUTANT_WAKE_WITHOUT_RELEASE
#define WAKE_RELEASES false
#else
#define WAKE_RELEASES true
#endif
#ifdef MUTANT_WAKE_WITHOUT_ACQUIRE
#define WAKE_ACQUIRES false
#else
#define WAKE_ACQUIRES true
#endif
#ifdef MUTANT_TURN_WITHOUT_RELEASE
#define TURN_RELEASES false
#else
#define TURN_RELEASES true
#endif
#ifdef MUTANT_TURN_WITHOUT_ACQUIRE
#define TURN_ACQUIRES false
#else
#define TURN_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_PUSH
#define PUSH_RELEASES false
#else
#define PUSH_RELEASES true
#endif
#ifdef MUTANT_RELAXED_TAKE
#define TAKE_ACQUIRES false
#else
#define TAKE_ACQUIRES true
#endif

int known[THREADS];
int live; /* facts that are asked for: an access that knows of others makes them part of its own */

/* What is shared, and what acquiring it makes known. */
bool queued[MEMBERS];
int queued_gives[MEMBERS];
byte stack = NOBODY;
byte next[MEMBERS] = NOBODY;
int stack_gives;
bool is_in_cell, is_cell_busy;
int cell_gives;
bool woken;

/* Of the futures: whether the waker was left, who calls it, and what ends of calls make known. */
bool is_left[MEMBERS];
int left_gives[MEMBERS];
byte calling[WAKERS] = NOBODY;
int call_gives[MEMBERS];

/* The set's. */
bool is_member[MEMBERS];
byte turn[MEMBERS] = NOBODY;
byte turns;
bool is_polling, has_looked, is_held;

/* Known to the checks only: whom a thread has told something that was not seen; who pushed a member; and whether the
 * task has left its waker. */
byte told[WAKERS] = NOBODY;
byte pusher[MEMBERS];
bool may_wake;

inline forget_facts(facts)
{
    known[0] = known[0] & ~(facts);
    known[1] = known[1] & ~(facts);
    known[SET] = known[SET] & ~(facts);
    queued_gives[0] = queued_gives[0] & ~(facts);
    queued_gives[1] = queued_gives[1] & ~(facts);
    left_gives[0] = left_gives[0] & ~(facts);
    left_gives[1] = left_gives[1] & ~(facts);
    call_gives[0] = call_gives[0] & ~(facts);
    call_gives[1] = call_gives[1] & ~(facts);
    stack_gives = stack_gives & ~(facts);
    cell_gives = cell_gives & ~(facts);
    live = live & ~(facts)
}

inline happens(me, fact)
{
    forget_facts(fact);
    live = live | (fact);
    known[me] = known[me] | (fact)
}

#define KNOWS(me, facts) ((live & (facts) & ~known[me]) == 0)

/* Writes a place. */
inline touch(me, place)
{
    d_step {
        assert(KNOWS(me, FACTS_OF_OTHERS(place, me))); /* race */
        forget_facts(FACTS(place));
        happens(me, FACT(place, me))
    }
}

/* Reads one that the set writes. */
inline look_at(me, place)
{
    d_step {
        assert(KNOWS(me, FACT(place, SET))); /* race */
        happens(me, FACT(place, me))
    }
}

/* ---- the threads that wake ---- */

/* kn_waker_cell_wake */
inline wake_cell(me)
{
    atomic {
        cell_gives = cell_gives | (known[me] & OF_LINKS);
        if
        :: is_cell_busy -> skip
        :: else ->
            known[me] = known[me] | cell_gives;
            is_cell_busy = true;
            has_waker = is_in_cell;
            is_in_cell = false;
            is_mine = true
        fi
    };
    if
    :: is_mine ->
        if
        :: has_waker ->
            atomic {
                assert(may_wake);
                woken = true;
                has_waker = false
            }
        :: else
        fi;
        atomic {
            is_cell_busy = false;
            cell_gives = cell_gives | (known[me] & OF_LINKS);
            is_mine = false
        }
    :: else
    fi
}

inline push(me, member, was_empty)
{
    atomic {
        touch(me, NEXT(member));
        assert(stack != member && (stack == NOBODY || next[stack] != member));
        next[member] = stack;
        was_empty = (stack == NOBODY);
        stack = member;
        pusher[member] = me;
        stack_gives = stack_gives | (PUSH_RELEASES -> known[me] & OF_LINKS : 0)
    }
}

active [WAKERS] proctype waker()
{
    byte member = NOBODY;
    bool was_queued, was_empty, has_waker, is_mine;

    do
    ::  atomic {
            told[_pid] == NOBODY && (is_left[0] || is_left[1]);
            if
            :: is_left[0] -> member = 0
            :: is_left[1] -> member = 1
            fi;
            calling[_pid] = member;
            told[_pid] = member;
            known[_pid] = known[_pid] | left_gives[member];
            happens(_pid, FACT(NEWS, _pid));
            look_at(_pid, BODY(member))
        };
        atomic {
            was_queued = queued[member];
            queued[member] = true;
            known[_pid] = known[_pid] | (WAKE_ACQUIRES -> queued_gives[member] : 0);
            queued_gives[member] = queued_gives[member] | (WAKE_RELEASES -> known[_pid] & OF_MEMBER(member) : 0)
        };
        if
        :: was_queued
        :: else ->
#ifdef MUTANT_WAKE_BEFORE_PUSH
            if
            :: stack == NOBODY -> wake_cell(_pid)
            :: else
            fi;
            push(_pid, member, was_empty)
#else
            push(_pid, member, was_empty);
            if
            :: was_empty -> wake_cell(_pid)
            :: else
            fi
#endif
        fi;
        atomic {
            call_gives[member] = call_gives[member] | (known[_pid] & OF_MEMBER(member));
            known[_pid] = 0;
            calling[_pid] = NOBODY;
            member = NOBODY;
            was_queued = false;
            was_empty = false
        }
    od
}

/* ---- the thread of the set ---- */

inline link_turn(member)
{
    d_step {
        assert(turns < MEMBERS && turn[0] != member);
        turn[turns] = member;
        turns = turns + 1
    }
}

inline unlink_turn(member)
{
    d_step {
        if
        :: turn[0] == member ->
            turn[0] = turn[1];
            turn[1] = NOBODY;
            turns = turns - 1
        :: turn[0] != member && turn[1] == member ->
            turn[1] = NOBODY;
            turns = turns - 1
        :: else
        fi
    }
}

#define IS_TURN(member) (turn[0] == (member) || turn[1] == (member))
#define IS_STACKED(member) (stack == (member) || (stack != NOBODY && next[stack] == (member)))
#define IS_PUSH_KNOWN(member) (IS_STACKED(member) && (known[SET] & FACT(NEXT(member), pusher[member])) != 0)

/* What is behind the top was pushed before it. */
inline take_stack()
{
    if
    :: stack == NOBODY
    :: stack != NOBODY && !IS_PUSH_KNOWN(0) && !IS_PUSH_KNOWN(1) /* passed over */
    :: stack != NOBODY ->
        atomic {
            known[SET] = known[SET] | (TAKE_ACQUIRES -> stack_gives : 0);
            taken = stack;
            stack = NOBODY;
            stack_gives = 0;
            touch(SET, NEXT(taken));
            if
            :: next[taken] != NOBODY ->
                touch(SET, NEXT(next[taken]));
                link_turn(next[taken]);
                next[taken] = NOBODY
            :: else
            fi;
            link_turn(taken);
            taken = NOBODY
        }
    fi
}

inline register_waker()
{
    atomic {
        may_wake = true;
        known[SET] = known[SET] | cell_gives;
        if
        :: is_cell_busy ->
            woken = true
        :: else ->
            cell_gives = cell_gives | (known[SET] & OF_LINKS);
            is_in_cell = true
        fi;
        is_held = true
    }
}

/* kn_woken_list_wake; the task is told on its own thread. */
inline wake_task()
{
    atomic {
        if
        :: is_held && !is_polling && is_in_cell && !is_cell_busy ->
            is_in_cell = false;
            woken = true
        :: else
        fi
    }
}

inline forget_news(from)
{
    told[from] = NOBODY;
    forget_facts(FACT(NEWS, from))
}

/* Its future waits for calls under way, and nobody begins another. */
inline take_back(member)
{
    atomic {
        calling[0] != member && calling[1] != member;
        is_left[member] = false;
        known[SET] = known[SET] | call_gives[member];
        call_gives[member] = 0;
        left_gives[member] = 0;
        if
        :: told[0] == member -> forget_news(0)
        :: else
        fi;
        if
        :: told[1] == member -> forget_news(1)
        :: else
        fi
    }
}

/* kn_woken_list_forget */
inline forget(member)
{
#ifdef MUTANT_NO_FORGET
    skip
#else
#ifndef MUTANT_FORGET_WITHOUT_TAKE
    if
    :: !IS_TURN(member) && queued[member] -> take_stack()
    :: else
    fi;
#endif
    unlink_turn(member)
#endif
}

/* The memory is anybody's. */
inline free_member(member)
{
    atomic {
        assert(!IS_TURN(member) && !IS_STACKED(member));
        touch(SET, BODY(member));
        touch(SET, NEXT(member));
        is_member[member] = false;
        queued[member] = false;
        queued_gives[member] = 0;
        pusher[member] = 0
    }
}

/* kn_future_set_remove */
inline remove(member)
{
#ifdef MUTANT_FORGET_BEFORE_DROP
    forget(member);
    take_back(member);
#else
    take_back(member);
    forget(member);
#endif
    free_member(member);
    if
    :: !is_member[0] && !is_member[1] -> wake_task()
    :: else
    fi
}

/* kn_future_set_add */
inline add(member)
{
    atomic {
        touch(SET, BODY(member));
        touch(SET, NEXT(member));
        is_member[member] = true;
        link_turn(member);
#ifndef MUTANT_ADD_WAKES_NOBODY
        if
        :: turns == 1 -> wake_task()
        :: else
        fi
#endif
    }
}

/* What the poll of a member sees. */
inline see(member)
{
    if
    :: told[0] == member && KNOWS(SET, FACT(NEWS, 0)) -> forget_news(0)
    :: else
    fi;
    if
    :: told[1] == member && KNOWS(SET, FACT(NEWS, 1)) -> forget_news(1)
    :: else
    fi
}

inline unqueue(member)
{
    if
    :: queued[member] ->
#ifdef MUTANT_TURN_BY_STORE
        known[SET] = known[SET] | queued_gives[member];
        atomic {
            queued[member] = false;
            queued_gives[member] = known[SET] & OF_MEMBER(member)
        }
#else
        atomic {
            queued[member] = false;
            known[SET] = known[SET] | (TURN_ACQUIRES -> queued_gives[member] : 0);
            queued_gives[member] = queued_gives[member] | (TURN_RELEASES -> known[SET] & OF_MEMBER(member) : 0)
        }
#endif
    :: else
    fi
}

/* The first poll leaves the waker. */
inline poll_member(member)
{
    atomic {
        unlink_turn(member);
        touch(SET, NEXT(member))
    };
#ifndef MUTANT_TURN_AFTER_POLL
    unqueue(member);
#endif
    atomic {
        if
        :: !is_left[member] ->
            left_gives[member] = known[SET] & OF_MEMBER(member);
            is_left[member] = true
        :: else
        fi
    };
    atomic {
        see(member)
    }
#ifdef MUTANT_TURN_AFTER_POLL
    ;
    unqueue(member)
#endif
}

#define OTHER(member) (1 - (member))

active proctype set()
{
    byte member = NOBODY;
    byte taken = NOBODY;

    do
    ::  /* A poll, for whatever reason. */
        atomic {
            if
            :: woken -> woken = false
            :: true
            fi;
            is_polling = true;
            has_looked = false
        };
        do
        ::  /* kn_woken_list_next */
            if
            :: turns == 0 && !has_looked ->
                has_looked = true;
#ifdef MUTANT_TAKE_BEFORE_REGISTER
                take_stack();
                register_waker()
#else
                register_waker();
                take_stack()
#endif
            :: else
            fi;
            if
            :: turns == 0 -> break
            :: turns > 0 -> /* the budget is used up */
                woken = true;
                may_wake = true;
                break
            :: turns > 0
            fi;
            member = turn[0];
            poll_member(member);
            if
            :: true /* pending */
            :: is_member[OTHER(member)] -> remove(OTHER(member)) /* and pending */
            :: !is_member[OTHER(member)] -> add(OTHER(member))   /* and pending */
            :: true -> /* an answer */
                take_back(member);
                forget(member);
                free_member(member);
#ifndef MUTANT_NO_CLEAR
                atomic { /* kn_waker_cell_clear */
                    !is_cell_busy;
                    known[SET] = known[SET] | cell_gives;
                    is_in_cell = false;
                    is_held = false
                };
#endif
                may_wake = false;
                /* The task polls again, sooner or later, as if it was woken. */
                woken = true;
                break
            fi;
            member = NOBODY
        od;
        member = NOBODY;
        is_polling = false
    ::  /* Nobody is waking, and the task is not woken. */
        atomic {
            !woken && calling[0] == NOBODY && calling[1] == NOBODY;
            assert(told[0] == NOBODY && told[1] == NOBODY);
            assert(turns == 0 || !is_held)
        }
    :: !is_member[0] -> add(0)
    :: !is_member[1] -> add(1)
    :: is_member[0] -> remove(0)
    :: is_member[1] -> remove(1)
    od
}
