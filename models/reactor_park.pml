/*
 * How a reactor sleeps and is woken in src/sched/park.c and park of src/sched/reactor.c: one word with a bit that the
 * sleeper sets and the first to wake it clears, a bit for "no membarrier", and the number of those about to wake it.
 *
 * SENDERS push messages into queues of their own, look at the word, and wake unless it is zero. The sleeper sets its
 * bit, forces a barrier on every sender, looks at all queues once more, and sleeps if the word is still what it was,
 * which the futex checks in one step. It may leave its sleep without being woken (a signal, the time). All run for
 * ever. Checked: whenever a message is there and no sender is sending, the sleeper does not sleep.
 *
 * NO_MEMBARRIER: the system has none, and senders pay by a read-modify-write of the word. REFUSED: it may fail at any
 * time; then the bit comes too late for who is sending, and the sleeper does not sleep that once. IO: it sleeps in its
 * input and output where it has some, which keeps a wake-up that comes too early, and which it exchanges now and then.
 * Checked as well: nobody wakes through one that was exchanged.
 *
 * Memory: of a sender's messages that are not taken yet (`pending`) the first ones are sure to be seen: those released
 * into the word that the sleeper has acquired, or before which it forced a barrier on the sender. A look may find more,
 * up to all. The word itself is seen as it is, since a load that is early is a push that is seen late.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef ROOM
#define ROOM 2 /* of each queue */
#endif

byte pending[SENDERS];
byte sure[SENDERS];    /* the sleeper is sure to see so many of them */
byte carried[SENDERS]; /* who acquires the word is */

/* The word. */
bool is_parked;
#ifdef NO_MEMBARRIER
bool no_membarrier = true;
#else
bool no_membarrier = false;
#endif
byte wakers;
#define WORD (is_parked + 2 * no_membarrier + 4 * wakers)

byte io;           /* 0: none; number 1 or 2 */
bool io_woken[3];  /* what its next wait will return at once for */

/* Known to the checks only. */
bool is_asleep;
byte sending;

hidden byte each;

/* ---- senders ---- */

inline push()
{
    d_step {
        pending[me] = pending[me] + 1;
        sending = sending + 1
    }
}

inline release_word()
{
    carried[me] = pending[me]
}

/* kn_park_wake */
inline wake()
{
    d_step {
#ifndef MUTANT_NO_RMW
        release_word();
#endif
        is_first = is_parked
    };
    /* It fails only where it must, or the word is another; then that is looked at again. */
    d_step {
        if
        :: is_first && is_parked ->
            is_parked = false;
            wakers = wakers + 1;
            release_word()
        :: else -> is_first = false
        fi
    };
    if
    :: is_first ->
        where = io;
        d_step {
            assert(where == io); /* or it may be freed */
            io_woken[where] = (where > 0 && !is_asleep);
            is_asleep = false
        };
        d_step {
            wakers = wakers - 1;
            is_first = false;
            where = 0
        }
    :: else
    fi
}

proctype sender(byte me)
{
    bool is_first, looks;
    byte where;
end:
    do
    :: atomic { pending[me] < ROOM -> skip };
#ifdef MUTANT_COMPILER
        looks = (WORD != 0);
        push();
#else
        push();
        looks = (WORD != 0);
#endif
        if
        :: looks -> wake()
        :: else
        fi;
        d_step { looks = false; sending = sending - 1 }
    od
}

/* ---- the sleeper ---- */

inline take()
{
    pending[whose] = pending[whose] - 1;
    sure[whose] = (sure[whose] > 0 -> sure[whose] - 1 : 0);
    carried[whose] = (carried[whose] > 0 -> carried[whose] - 1 : 0);
    found = true
}

/* All that is sure to be seen, perhaps more. */
inline look()
{
    atomic {
        do
        :: whose < SENDERS && pending[whose] > 0 -> take()
        :: whose < SENDERS && sure[whose] == 0 -> whose = whose + 1
        :: whose == SENDERS -> break
        od;
        whose = 0
    }
}

inline set_parked()
{
    d_step {
        is_parked = true;
#ifndef MUTANT_RELAXED_BEGIN
        for (each : 0 .. SENDERS - 1) {
            sure[each] = (carried[each] > sure[each] -> carried[each] : sure[each])
        }
        each = 0
#endif
    }
}

/* Reaches one sender after the other. */
inline barrier()
{
    do
    :: whose < SENDERS ->
        d_step {
            sure[whose] = pending[whose];
            whose = whose + 1
        }
    :: whose == SENDERS -> whose = 0; break
    od
}

/* kn_park_begin */
inline announce()
{
    set_parked();
#ifdef MUTANT_NO_BARRIER
    is_announced = true
#else
    if
#ifndef NO_MEMBARRIER
    :: barrier(); is_announced = true
#endif
#if defined(NO_MEMBARRIER) || defined(REFUSED)
    :: d_step {
            is_announced = no_membarrier;
            no_membarrier = true
        }
#endif
    fi
#endif
}

inline wait_in_futex()
{
    word = WORD;
#ifdef MUTANT_NO_CHECK
    is_asleep = true;
#else
    d_step { is_asleep = ((word & 1) != 0 && word == WORD); word = 0 };
#endif
    if
    :: !is_asleep
    :: is_asleep = false
    fi
}

inline wait_in_io()
{
    d_step {
        is_asleep = !io_woken[io];
        io_woken[io] = false
    };
    if
    :: !is_asleep
    :: is_asleep = false
    fi
}

/* kn_park_set_io. What the old one had to tell is lost with it. */
inline exchange_io()
{
#ifndef MUTANT_NO_WAKER_COUNT
    (wakers == 0);
#endif
    atomic {
        io_woken[io] = false;
        if
        :: io != 0 -> io = 0
        :: io != 1 -> io = 1
        :: io != 2 -> io = 2
        fi
    }
}

active proctype sleeper()
{
    bool found, is_announced;
    byte whose, word;
    do
    :: look();
#ifdef IO
        if
        :: exchange_io()
        :: true
        fi;
#endif
        if
        :: found
        :: !found ->
#ifdef MUTANT_LOOK_BEFORE_BEGIN
            look();
            announce();
#else
            announce();
#endif
#ifdef MUTANT_SLEEP_ON_REFUSAL
            is_announced = true;
#endif
            if
            :: is_announced ->
#ifndef MUTANT_LOOK_BEFORE_BEGIN
                look();
#endif
                if
                :: found
                :: !found && io > 0 -> wait_in_io()
                :: !found && io == 0 -> wait_in_futex()
                fi
            :: !is_announced -> barrier() /* what was sent before the bit was set arrives before the next sleep */
            fi;
            is_parked = false
        fi;
        atomic { found = false; is_announced = false }
    od
}

/* ---- the claim ---- */

active proctype everybody_else_rests()
{
end:
    atomic {
        is_asleep && sending == 0 ->
        for (each : 0 .. SENDERS - 1) {
            assert(pending[each] == 0)
        }
        each = 0
    }
}

init
{
    byte who = 0;
    atomic {
        do
        :: who < SENDERS -> run sender(who); who++
        :: else -> break
        od
    }
}
