/*
 * How senders and the receiver of a channel wait for each other in src/async/channel.c: two words, one that says who has
 * sent shall look whether the receiver waits, and one that says who has received shall look for senders in line.
 *
 * A sender claims a slot, publishes it, which is a plain store, and loads the receiver's word; unless that is zero it
 * passes a barrier by a read-modify-write of it and wakes the receiver if it waits. A receiver that finds nothing leaves
 * its waker in the cell, sets its word by a read-modify-write, has every thread pass a barrier if the word was zero, and
 * looks once more. The same the other way round, with a line of senders in place of the cell. The receiver may set both
 * words to zero whenever nobody waits. Senders are dropped while they wait, stop and leave; the last closes the channel.
 * SPURIOUS: tasks are also polled for no reason, and the receiver takes messages while its waker stays in the cell. Messages are all alike, which closes the state space: what Spin exhausts holds for runs
 * of any length. Checked:
 *   - whenever everybody rests, the receiver does not wait while there is a message or the channel is closed, nor a
 *     sender while there is room;
 *   - the receiver comes to its end only when every message that was sent was received;
 *   - a slot is published by one sender, after it was released.
 *
 * Memory: what a thread stores waits in a buffer, past which its loads go. Stores drain at any moment and in any order;
 * all of them at those of the thread's read-modify-writes that release, when it gives back the lock, or when another
 * thread forces it to. The cell and the line are those of models/waker_cell.pml and of a lock: what is done with
 * it held is one step, where nobody looks without it.
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#define RECEIVER SENDERS

/* The queue, as everybody sees it. */
bool stamp[CAPACITY];  /* published, and not taken */
byte claimed;          /* slots from the first not released to the last claimed */
byte next_claim;       /* slot */
bool closed;
byte members = SENDERS;

/* What is in the buffers. */
byte publishing[SENDERS]; /* slot + 1 */
byte releasing;           /* slots */
bool clearing;            /* the receiver's word is set to zero */

/* The words, the cell, the line and its lock. */
bool receiver_heedful, receiver_waits;
bool senders_heedful;
bool cell;
bool in_line[SENDERS], is_woken[SENDERS];
bool lock;

/* Tasks: whether each was woken since its last poll, and whether it rests. */
bool task_woken[SENDERS + 1];
bool rests[SENDERS + 1];
bool has_stopped[SENDERS + 1];

inline drain_sender(whose)
{
    d_step {
        if
        :: publishing[whose] > 0 ->
            assert(!stamp[publishing[whose] - 1]);
            stamp[publishing[whose] - 1] = true;
            publishing[whose] = 0
        :: else
        fi
    }
}

inline drain_receiver()
{
    d_step {
        claimed = claimed - releasing;
        releasing = 0;
        if
        :: clearing ->
            receiver_heedful = false;
            receiver_waits = false;
            clearing = false
        :: else
        fi
    }
}

active proctype buffers()
{
end:
    do
    :: atomic { releasing > 0 -> releasing--; claimed-- }
    :: atomic { clearing -> receiver_heedful = false; receiver_waits = false; clearing = false }
    :: atomic { publishing[0] > 0 -> drain_sender(0) }
#if SENDERS > 1
    :: atomic { publishing[1] > 0 -> drain_sender(1) }
#endif
    od
}

/* With the lock held. The line's order is of no importance. */
inline wake_one()
{
    atomic {
        if
        :: in_line[0] -> in_line[0] = false; is_woken[0] = true; task_woken[0] = true
#if SENDERS > 1
        :: in_line[1] -> in_line[1] = false; is_woken[1] = true; task_woken[1] = true
#endif
        :: else
        fi
    }
}

#if SENDERS > 1
#define NOBODY_IN_LINE (!in_line[0] && !in_line[1])
#else
#define NOBODY_IN_LINE (!in_line[0])
#endif

/* ---- senders ---- */

inline call_cell()
{
    atomic {
        if
        :: cell -> cell = false; task_woken[RECEIVER] = true
        :: else
        fi
    }
}

inline wake_receiver()
{
    atomic {
#ifndef MUTANT_NO_RMW_AFTER_SENDING
        drain_sender(me);
#endif
        waits = receiver_waits
    };
    if
    :: waits ->
#ifdef MUTANT_CLEAR_AFTERWARDS
        call_cell();
        receiver_waits = false;
#else
        atomic {
            drain_sender(me);
            waits = receiver_waits;
            receiver_waits = false
        };
        if
        :: waits -> call_cell()
        :: else
        fi;
#endif
        waits = false
    :: else
    fi
}

inline try_send()
{
    atomic {
        has_sent = (claimed < CAPACITY);
        if
        :: has_sent ->
            drain_sender(me);
            slot = next_claim;
            next_claim = (next_claim + 1) % CAPACITY;
            claimed++
        :: else
        fi
    };
    if
    :: has_sent ->
#ifdef MUTANT_LOOK_BEFORE_SENDING
        heed = receiver_heedful || receiver_waits;
        atomic { publishing[me] = slot + 1; slot = 0 };
#else
        atomic { publishing[me] = slot + 1; slot = 0 };
        heed = receiver_heedful || receiver_waits;
#endif
        if
        :: heed -> wake_receiver()
        :: else
        fi;
        heed = false
    :: else
    fi
}

/* Reaches the receiver; the other senders have nothing in their buffers that matters here. */
inline have_receiver_pass()
{
#ifdef MUTANT_NO_BARRIER_BY_SENDER
    skip
#else
    drain_receiver()
#endif
}

inline stand_in_line()
{
    atomic {
        !lock -> lock = true;
        is_woken[me] = false;
        in_line[me] = true
    };
    atomic {
        drain_sender(me);
        heed = senders_heedful;
        senders_heedful = true;
        lock = false
    };
    if
    :: !heed -> have_receiver_pass()
    :: else
    fi;
    heed = false
}

inline leave_line()
{
    atomic {
        !lock ->
        in_line[me] = false;
        drain_sender(me);
        if
#ifdef MUTANT_KEEP_WAKE_UP
#elif defined(MUTANT_KEEP_WHEN_SENT)
        :: is_woken[me] && !has_sent -> wake_one()
#else
        :: is_woken[me] && claimed < CAPACITY -> wake_one()
#endif
        :: else
        fi;
        is_woken[me] = false
    }
}

inline leave_channel()
{
    atomic {
        drain_sender(me);
        members--;
        waits = (members == 0)
    };
    if
    :: waits ->
        closed = true;
#ifndef MUTANT_CLOSE_WAKES_NOBODY
        wake_receiver()
#endif
    :: else
    fi
}

proctype sender(byte me)
{
    byte slot;
    bool has_sent, heed, waits;

    do
    :: break
    :: true ->
poll:
        try_send();
        if
        :: !has_sent ->
            stand_in_line();
#ifndef MUTANT_SENDER_LOOKS_ONCE
            try_send();
#endif
        :: else
        fi;
        if
        :: !has_sent ->
            rests[me] = true;
end:
            if
            :: atomic { task_woken[me] -> task_woken[me] = false; rests[me] = false }; goto poll
#ifdef SPURIOUS
            :: atomic { rests[me] = false }; goto poll /* for no reason */
#endif
            :: atomic { rests[me] = false } /* dropped */
            fi
        :: else
        fi;
        if
        :: in_line[me] || is_woken[me] -> leave_line()
        :: else
        fi;
        atomic {
            has_sent = false;
            task_woken[me] = false
        }
    od;
    leave_channel();
    atomic {
        rests[me] = true;
        has_stopped[me] = true
    }
}

/* ---- the receiver ---- */

inline take()
{
    atomic {
        found = stamp[head];
        if
        :: found ->
            stamp[head] = false;
            head = (head + 1) % CAPACITY;
            releasing++
        :: else
        fi
    }
}

/* The first half of kn_channel_try_receive. */
inline try_take()
{
#ifdef MUTANT_LOOK_BEFORE_RELEASE
    heed = senders_heedful;
#endif
    take();
    if
    :: !found && closed ->
#ifndef MUTANT_CLOSED_LOOKS_ONCE
        take();
#endif
        at_end = !found
    :: else
    fi;
#ifndef MUTANT_LOOK_BEFORE_RELEASE
    if
    :: found -> heed = senders_heedful
    :: else
    fi
#endif
}

inline stop_waiting()
{
    if
    :: is_registered ->
        atomic {
            is_registered = false;
            receiver_waits = false
        };
        cell = false
    :: else
    fi
}

inline wake_sender()
{
#ifndef MUTANT_NO_RMW_AFTER_RECEIVING
    drain_receiver();
#endif
    if
    :: !NOBODY_IN_LINE ->
        atomic {
            !lock -> wake_one();
            drain_receiver()
        }
    :: else
    fi
}

/* Any time: how long nobody has waited decides only whether it is worth it. */
inline relax()
{
    if
    :: true
#ifdef MUTANT_RELAX_REGISTERED
    :: true -> clearing = true
#else
    :: !is_registered -> clearing = true
#endif
#ifdef MUTANT_RELAX_LINE
    :: atomic { !lock -> senders_heedful = false }
#else
    :: atomic { !lock && NOBODY_IN_LINE -> senders_heedful = false }
#endif
    fi
}

inline look_after_senders()
{
    if
    :: heed -> wake_sender()
    :: else
    fi;
    heed = false;
    relax()
}

inline have_senders_pass()
{
#ifdef MUTANT_NO_BARRIER_BY_RECEIVER
    skip
#else
    drain_sender(0);
#if SENDERS > 1
    drain_sender(1)
#endif
#endif
}

inline start_waiting()
{
    atomic {
        is_registered = true;
        cell = true
    };
    atomic {
        drain_receiver();
        heed = receiver_heedful;
        receiver_heedful = true;
        receiver_waits = true
    };
    if
    :: !heed -> have_senders_pass()
    :: else
    fi;
    heed = false
}

proctype receiver()
{
    byte head;
    bool found, heed, at_end, is_registered;

    do
    ::  try_take();
        if
        :: !found && !at_end ->
            start_waiting();
#ifndef MUTANT_RECEIVER_LOOKS_ONCE
            try_take();
#endif
        :: else
        fi;
        if
        :: at_end -> break
        :: found ->
            stop_waiting();
            look_after_senders()
        :: !found && !at_end ->
again:
            rests[RECEIVER] = true;
end:
            if
            :: atomic { task_woken[RECEIVER] -> task_woken[RECEIVER] = false; rests[RECEIVER] = false }
#ifdef SPURIOUS
            :: atomic { rests[RECEIVER] = false } /* for no reason */
            :: atomic { rests[RECEIVER] = false } /* kn_channel_try_receive, while the waker stays in the cell */
                try_take();
                if
                :: found -> look_after_senders()
                :: else
                fi;
                if
                :: at_end -> break
                :: else -> atomic { found = false; goto again }
                fi
#endif
            fi
        fi;
        found = false
    od;
    stop_waiting();
    atomic {
        assert(claimed == releasing); /* nothing was sent that was not received */
        rests[RECEIVER] = true;
        has_stopped[RECEIVER] = true
    }
}

/* ---- the claim ---- */

#define WAITS(who) (rests[who] && !has_stopped[who])
#define RESTS(who) (has_stopped[who] || rests[who] && !task_woken[who])
#if SENDERS > 1
#define ALL_REST (RESTS(RECEIVER) && RESTS(0) && RESTS(1))
#define BUFFERS_EMPTY (publishing[0] == 0 && publishing[1] == 0 && releasing == 0 && !clearing)
#define SENDER_WAITS (WAITS(0) || WAITS(1))
#else
#define ALL_REST (RESTS(RECEIVER) && RESTS(0))
#define BUFFERS_EMPTY (publishing[0] == 0 && releasing == 0 && !clearing)
#define SENDER_WAITS (WAITS(0))
#endif
#if CAPACITY > 1
#define MESSAGE_THERE (stamp[0] || stamp[1])
#else
#define MESSAGE_THERE (stamp[0])
#endif

active proctype everybody_rests()
{
end:
    atomic {
        ALL_REST && BUFFERS_EMPTY &&
            (WAITS(RECEIVER) && (MESSAGE_THERE || closed) || SENDER_WAITS && claimed < CAPACITY) -> assert(false)
    }
}

init
{
    byte who = 0;
    atomic {
        do
        :: who < SENDERS -> run sender(who); who++
        :: else -> break
        od;
        run receiver()
    }
}
