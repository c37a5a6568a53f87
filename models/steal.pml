/*
 * How tasks move between reactors in src/sched/exchange.c, src/sched/bus.c and the turn of src/sched/reactor.c: thieves
 * that ask, a victim that gives, queues between them that become full, and reactors that sleep.
 *
 * Reactor 0 has the tasks; the others ask it for some whenever they have none and, at times, before that, and it sheds
 * some unasked. Polls wake tasks elsewhere, and so do threads from outside, so that there is always something to do.
 * EVERYBODY: all reactors ask all others and shed to all. Whom to ask and how much to give is left open: balance.h's
 * choices, made from words that are a moment old, are among those tried. All run for ever. Checked:
 *   - no task is lost or doubled, wherever it waits: in a queue, a message, a box of what is held back;
 *   - whenever a thief waits for an answer, its question or the answer is on its way;
 *   - when everybody sleeps, for no limited time, there is nothing left: no task in a queue, nothing on its way or held
 *     back, no question open. So a thief that sleeps is woken by the answer, and what was held back does go out;
 *   - the list of who has asked does not run over.
 *
 * The steps are taken one by one as they stand; that a message and the sleep of who it is for do not pass each other on
 * weak memory is reactor_park.pml's. Tasks are counted, not told apart.
 *
 * Each MUTANT_ breaks one step and must be found out.
 */
#ifndef REACTORS
#define REACTORS 2
#endif
#ifndef DEPTH
#define DEPTH 1 /* messages of each queue; 1 or 2 */
#endif
#ifndef TASKS
#define TASKS 2
#endif
#ifdef EVERYBODY
#define ASKS(me, other) ((me) != (other))
#else
#define ASKS(me, other) ((me) != 0 && (other) == 0)
#endif
#define SHEDS(me, other) ASKS(other, me)

/* Kinds of messages. */
#define WAKE 1
#define STEAL 2
#define GIVE 3

#define PAIR(from, to) ((from) * REACTORS + (to))
#define PAIRS (REACTORS * REACTORS)

/* The queues: the oldest message first, its kind and how many tasks. */
#define MESSAGE(kind, count) ((kind) + 4 * (count))
byte message[PAIRS * DEPTH];
byte length[PAIRS];
#define IS_FULL(pair) (length[pair] == DEPTH)

byte held[PAIRS];      /* tasks in the box for the other one */
bool owes[PAIRS];      /* and whether an answer is owed */
bool asked[PAIRS];     /* the seat's of balance.h: from, to */
byte askers[PAIRS];    /* who asked and was not answered: of, from */
bool holds_back[REACTORS];

byte queued[REACTORS];
byte resting[REACTORS]; /* tasks that are idle, by their home */
byte mail[REACTORS];    /* woken from outside */

bool is_parked[REACTORS];
bool is_asleep[REACTORS];
bool is_limited[REACTORS]; /* the sleep ends by itself */

/* Known to the checks only: tasks in messages; how many are about to wake somebody. */
byte on_bus;
byte notifying;

hidden byte each;

/* kn_park_notify */
inline notify(to)
{
    d_step {
        if
        :: is_parked[to] ->
            is_parked[to] = false;
            is_asleep[to] = false
        :: else
        fi;
        notifying = notifying - 1
    }
}

/* Behind a step that sent something, or not. */
inline notify_sent(to, notifies)
{
    if
    :: is_sent ->
        is_sent = false;
        if
        :: notifies -> notify(to)
        :: else -> notifying = notifying - 1
        fi
    :: else
    fi
}

#ifdef MUTANT_NO_NOTIFY
#define SEND_NOTIFIES false
#else
#define SEND_NOTIFIES true
#endif
#ifdef MUTANT_NO_NOTIFY_AFTER_FLUSH
#define FLUSH_NOTIFIES false
#else
#define FLUSH_NOTIFIES true
#endif

/* ---- the bus ---- */

/* Of send_tasks all but the notification. */
inline put(to, type, amount)
{
    message[PAIR(me, to) * DEPTH + length[PAIR(me, to)]] = MESSAGE(type, amount);
    length[PAIR(me, to)] = length[PAIR(me, to)] + 1;
    on_bus = on_bus + amount;
    notifying = notifying + 1;
    is_sent = true
}

/* kn_bus_send_tasks, which answers by `is_sent`. */
inline send_tasks(to, type)
{
    d_step {
        if
        :: held[PAIR(me, to)] == 0 && !IS_FULL(PAIR(me, to)) -> put(to, type, count)
        :: else ->
#ifndef MUTANT_DROP_WHEN_FULL
            held[PAIR(me, to)] = held[PAIR(me, to)] + count;
#endif
#ifndef MUTANT_OWE_NOTHING
            owes[PAIR(me, to)] = owes[PAIR(me, to)] || (type == GIVE);
#endif
            holds_back[me] = true
        fi;
        count = 0
    }
}

#define HOLDS(to) (held[PAIR(me, to)] > 0 || owes[PAIR(me, to)])

/* The next reactor for which there is a box with something in it, and room. */
inline next_box()
{
    do
    :: other < REACTORS && (!HOLDS(other) || IS_FULL(PAIR(me, other))) ->
        still_holds = still_holds || HOLDS(other);
        other = other + 1
    :: else -> break
    od
}

/* kn_bus_flush */
inline flush()
{
    do
    :: d_step {
            next_box();
            if
            :: other < REACTORS ->
                kind = (owes[PAIR(me, other)] -> GIVE : WAKE);
                put(other, kind, held[PAIR(me, other)]);
                kind = 0;
                owes[PAIR(me, other)] = false;
#ifdef MUTANT_KEEP_WHAT_IS_FLUSHED
                still_holds = true;
#else
                held[PAIR(me, other)] = 0
#endif
            :: else
            fi
        };
        if
        :: other < REACTORS ->
            notify_sent(other, FLUSH_NOTIFIES);
            other = other + 1
        :: else -> break
        fi
    od;
    atomic {
        holds_back[me] = still_holds;
        still_holds = false;
        other = 0
    }
}

/* ---- messages ---- */

/* Questions of one reactor that may wait: each was asked behind an answer or what came unasked. Three looks lie between
 * two answers at most, before a sleep that is not begun, in the turn, and behind a poll. */
#define QUESTIONS_MAX (3 * DEPTH)

inline take_message()
{
    kind = message[PAIR(other, me) * DEPTH] % 4;
    count = message[PAIR(other, me) * DEPTH] / 4;
    for (each : 0 .. DEPTH - 1) {
        message[PAIR(other, me) * DEPTH + each] =
            (each < DEPTH - 1 -> message[PAIR(other, me) * DEPTH + (each + 1) % DEPTH] : 0)
    }
    each = 0;
    length[PAIR(other, me)] = length[PAIR(other, me)] - 1;
    if
    :: kind == WAKE
    :: kind == GIVE -> asked[PAIR(me, other)] = false
    :: kind == STEAL ->
        askers[PAIR(me, other)] = askers[PAIR(me, other)] + 1;
        assert(askers[PAIR(me, other)] <= QUESTIONS_MAX)
    fi;
    queued[me] = queued[me] + count;
    on_bus = on_bus - count;
    kind = 0;
    count = 0;
    has_done = true
}

/* kn_reactor_look, in one step: what comes behind it is left to the next. */
inline look()
{
    d_step {
        do
        :: other < REACTORS && other != me && taken < DEPTH && length[PAIR(other, me)] > 0 ->
            take_message();
            taken = taken + 1
        :: other < REACTORS && (other == me || taken == DEPTH || length[PAIR(other, me)] == 0) ->
            taken = 0;
            other = other + 1
        :: other == REACTORS -> break
        od;
        has_done = has_done || mail[me] > 0;
        queued[me] = queued[me] + mail[me];
        mail[me] = 0;
        other = 0
    }
}

/* Takes some from the queue to give them away, or none. */
inline choose_count()
{
    if
    :: count = 0
    :: queued[me] >= 2 -> count = 1
    :: queued[me] >= 3 -> count = 2
    fi;
    queued[me] = queued[me] - count
}

/* kn_reactor_answer */
inline answer()
{
    do
    :: atomic {
            do
            :: other < REACTORS && askers[PAIR(me, other)] == 0 -> other = other + 1
            :: else -> break
            od;
            if
            :: other == REACTORS -> other = 0; break
            :: other < REACTORS ->
                choose_count();
                askers[PAIR(me, other)] = askers[PAIR(me, other)] - 1;
#ifdef MUTANT_ANSWER_ONLY_WITH_TASKS
                if
                :: count > 0 -> send_tasks(other, GIVE)
                :: else
                fi
#else
                send_tasks(other, GIVE)
#endif
            fi
        };
        notify_sent(other, SEND_NOTIFIES)
    od
}

/* Any reactor. */
inline choose_other()
{
    do
    :: other + 1 < REACTORS -> other = other + 1
    :: break
    od
}

/* kn_reactor_shed */
inline shed()
{
    atomic {
        choose_other();
        if
        :: queued[me] >= 2 && SHEDS(me, other) ->
            count = 1;
            queued[me] = queued[me] - 1;
            send_tasks(other, GIVE)
        :: true
        fi
    };
    notify_sent(other, SEND_NOTIFIES);
    other = 0
}

/* kn_reactor_ask, if chance will. */
inline ask()
{
    atomic {
        choose_other();
        if
        :: ASKS(me, other) && !asked[PAIR(me, other)] ->
            asked[PAIR(me, other)] = true;
            asks = true;
            if
            :: !IS_FULL(PAIR(me, other)) -> put(other, STEAL, 0)
            :: else ->
#ifndef MUTANT_ASKED_WHERE_FULL
                asked[PAIR(me, other)] = false;
#endif
                skip
            fi
        :: true
        fi
    };
    notify_sent(other, SEND_NOTIFIES);
    other = 0
}

/* ---- the turn ---- */

/* One task, which then rests or goes on, and may wake another. */
inline poll()
{
    atomic {
        has_done = true;
        if
        :: queued[me] = queued[me] - 1; resting[me] = resting[me] + 1
        :: true
        fi;
        choose_other();
        if
        :: resting[other] > 0 ->
            resting[other] = resting[other] - 1;
            if
            :: other == me -> queued[me] = queued[me] + 1
            :: else ->
                count = 1;
                send_tasks(other, WAKE)
            fi
        :: true
        fi
    };
    notify_sent(other, SEND_NOTIFIES);
    other = 0
}

inline take_turn()
{
    look();
    if
    :: queued[me] > 0 ->
        ask();
        asks = false;
        poll();
        if
        :: look()
        :: true
        fi
    :: else
    fi;
    answer();
    if
    :: holds_back[me] -> flush()
    :: else
    fi;
    if
    :: has_done -> shed()
    :: else
    fi
}

#ifdef MUTANT_SLEEP_WHILE_HOLDING
#define SLEEP_IS_LIMITED false
#else
#define SLEEP_IS_LIMITED holds_back[me]
#endif

/* park of reactor.c. */
inline park()
{
#ifdef MUTANT_LOOK_BEFORE_PARKING
    ask();
    look();
    is_parked[me] = true;
#else
    is_parked[me] = true;
    ask();
#ifndef MUTANT_NO_SECOND_LOOK
    look();
#endif
#endif
    if
    :: asks || has_done || queued[me] > 0
    :: else ->
        d_step {
            is_asleep[me] = is_parked[me];
            is_limited[me] = SLEEP_IS_LIMITED
        };
end:
        if
        :: !is_asleep[me]
        :: is_limited[me] -> is_asleep[me] = false
        fi;
        is_limited[me] = false
    fi;
    d_step {
        is_parked[me] = false;
        asks = false;
        has_done = false
    }
}

proctype reactor(byte me)
{
    byte other, kind, count, taken;
    bool has_done, is_sent, asks, still_holds;
    do
    :: take_turn();
        if
        :: has_done -> has_done = false
        :: else -> park()
        fi
    od
}

/* Wakes tasks that rest, from a thread without a reactor. */
proctype outside()
{
    byte other;
    do
    :: atomic {
            choose_other();
            if
            :: resting[other] > 0 ->
                resting[other] = resting[other] - 1;
                mail[other] = mail[other] + 1;
                notifying = notifying + 1;
                notify(other)
            :: else
            fi;
            other = 0
        }
    od
}

/* ---- the claims ---- */

hidden byte one, sum, all_sleep;

#define HAS(pair, kind) (message[(pair) * DEPTH] % 4 == (kind) || message[(pair) * DEPTH + DEPTH - 1] % 4 == (kind))
#define IS_UNDER_WAY(from, to)                                                                                         \
    (askers[PAIR(to, from)] > 0 || owes[PAIR(to, from)] || HAS(PAIR(from, to), STEAL) || HAS(PAIR(to, from), GIVE))

proctype check()
{
    do
    :: d_step {
            sum = on_bus;
            all_sleep = (notifying == 0);
            for (one : 0 .. REACTORS - 1) {
                sum = sum + queued[one] + resting[one] + mail[one];
                all_sleep = all_sleep && is_asleep[one] && !is_limited[one]
            }
            for (one : 0 .. PAIRS - 1) {
                sum = sum + held[one];
                assert(!asked[one] || IS_UNDER_WAY(one / REACTORS, one % REACTORS));
                assert(!all_sleep || !(asked[one] || askers[one] > 0 || held[one] > 0 || owes[one]));
                assert(!all_sleep || length[one] == 0)
            }
            assert(sum == TASKS);
            for (one : 0 .. REACTORS - 1) {
                assert(!all_sleep || queued[one] + mail[one] == 0)
            }
            one = 0;
            sum = 0;
            all_sleep = false
        }
    od
}

init
{
    byte who = 0;
    atomic {
        queued[0] = TASKS;
        run outside();
        run check();
        do
        :: who < REACTORS -> run reactor(who); who++
        :: else -> break
        od
    }
}
