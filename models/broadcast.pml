/*
 * One exclusive writer and READERS readers of which each sees every message, as broadcast.h makes them of writer.h and
 * reader.h. With PIPELINE each reader but the first comes after the one before, is limited by its position, and finds
 * in the slots what that one wrote there in place.
 *
 * All run for ever, with every batch size up to BATCH. Positions wrap at WRAP and messages carry their position, which
 * closes the state space: what Spin exhausts holds for runs of any length. Checked:
 *   - every reader reads every message once, in order and whole, in a pipeline as its predecessor left it;
 *   - no slot is written before the slowest reader has released it, and in a pipeline none is read before the
 *     predecessor has released it;
 *   - no two accesses to a message race;
 *   - an answer of full or empty from up-to-date looks is true, and there is no deadlock.
 *
 * Memory is that of C11, seen as in mailbox.pml. A message is accessed by several threads in turn; of each access it
 * is enough to know whether it happens before the next, which is asserted. A fact is that an access happened, the last
 * one of its kind to a slot; `known` says which facts happen before a thread's next step, a release leaves them with
 * what it stores, for who acquires it. Of the atomic words each has one thread that stores to it:
 *   - a reader's position keeps its stores that somebody may still read, which is any from the one read before on;
 *   - of a stamp it is enough whether a reader has read the newest store. If not it may miss it, and finds the lap
 *     before: not published. Only the first stamp of a run is read here; of the others see lag.pml.
 * That a store becomes known also by acquiring what was stored later is left out: it would only take away delays.
 * An operation ends with the only store of it that others may look for, and is one step: what it looked at earlier it
 * could as well pass over newer stores to find later, and where somebody else meets it in its slots it is a race, which
 * is found from either side.
 *
 * Each MUTANT_ breaks one ordering or check and must be found out.
 */
#ifndef READERS
#define READERS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif
#define WRAP (4 * SLOTS)
#define DEPTH (SLOTS + 1) /* stores to a position that somebody may still read */

#define WRITER READERS
#define THREADS (READERS + 1)

#define WRITTEN(slot) (1 << (slot))
#define TOUCHED(reader, slot) (1 << (SLOTS * (1 + (reader)) + (slot)))
#define EVERY_FACT ((1 << (SLOTS * (1 + READERS))) - 1)

#ifdef PIPELINE
#define IS_WATCHED(whose, me) ((me) == WRITER || (me) == (whose) + 1)
#define ASKS_FOR(me) EVERY_FACT
#define VERSION(before) ((before) * WRAP) /* of a message: how many readers have written to it in place */
#else
#define IS_WATCHED(whose, me) ((me) == WRITER)
#define ASKS_FOR(me) ((me) == WRITER -> EVERY_FACT : ((1 << SLOTS) - 1) * (1 | 1 << (SLOTS * (1 + (me)))))
#define VERSION(before) 0
#endif

#ifdef MUTANT_RELAXED_STAMP
#define STAMP_RELEASES false
#else
#define STAMP_RELEASES true
#endif
#ifdef MUTANT_RELAXED_PEEK
#define PEEK_ACQUIRES false
#else
#define PEEK_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_MOVE
#define MOVE_RELEASES false
#else
#define MOVE_RELEASES true
#endif
#ifdef MUTANT_RELAXED_GATE
#define GATE_ACQUIRES false
#else
#define GATE_ACQUIRES true
#endif
#ifdef MUTANT_RELAXED_LIMIT
#define LIMIT_ACQUIRES false
#else
#define LIMIT_ACQUIRES true
#endif

int known[THREADS];
byte message[SLOTS];

/* Stamps: the lap, from 1 on, and the length of the run; what acquiring gives; and to which readers it is news. */
byte stamp_lap[SLOTS];
byte stamp_run[SLOTS];
int stamp_gives[SLOTS];
byte stamp_news[SLOTS];

typedef Moves {
    byte length = 1;
    byte value[DEPTH];
    int gives[DEPTH];
    byte seen[THREADS]
};

Moves moves[READERS];

/* Known to the checks only: messages published that a reader has not released. */
byte unread[READERS];

#define KNOWS(me, fact) ((known[me] & (fact)) != 0)
#define LAP(position) ((position) % WRAP / SLOTS + 1)

inline happens(me, fact)
{
    for (step : 0 .. THREADS - 1) {
        known[step] = known[step] & ~(fact)
    }
    for (step : 0 .. SLOTS - 1) {
        stamp_gives[step] = stamp_gives[step] & ~(fact)
    }
    for (step : 0 .. READERS * DEPTH - 1) {
        moves[step / DEPTH].gives[step % DEPTH] = moves[step / DEPTH].gives[step % DEPTH] & ~(fact)
    }
    known[me] = known[me] | (fact);
    step = 0
}

/* Forgets the stores that nobody may read any more. */
inline trim(whose)
{
    cursor = moves[whose].length - 1;
    for (step : 0 .. READERS) {
        if
        :: IS_WATCHED(whose, step) && moves[whose].seen[step] < cursor -> cursor = moves[whose].seen[step]
        :: else
        fi
    }
    for (step : 0 .. DEPTH - 1) {
        if
        :: step + cursor < moves[whose].length ->
            moves[whose].value[step] = moves[whose].value[step + cursor];
            moves[whose].gives[step] = moves[whose].gives[step + cursor]
        :: else ->
            moves[whose].value[step] = 0;
            moves[whose].gives[step] = 0
        fi
    }
    for (step : 0 .. READERS) {
        moves[whose].seen[step] = (IS_WATCHED(whose, step) -> moves[whose].seen[step] - cursor : 0)
    }
    moves[whose].length = moves[whose].length - cursor;
    cursor = 0;
    step = 0
}

/* `stale` tells afterwards whether a newer store was passed over. */
inline load_position(me, whose, acquires, result)
{
    atomic {
        cursor = moves[whose].length - 1;
        do
        :: break
        :: cursor > moves[whose].seen[me] ->
            stale = true;
            cursor = cursor - 1
        od;
        result = moves[whose].value[cursor];
        d_step {
            known[me] = known[me] | (acquires -> moves[whose].gives[cursor] & ASKS_FOR(me) : 0);
            moves[whose].seen[me] = cursor;
            trim(whose)
        }
    }
}

inline store_position(me, position)
{
#ifdef LOG_BLOCKS
    (moves[me].length < DEPTH);
#else
    assert(moves[me].length < DEPTH);
#endif
    moves[me].value[moves[me].length] = position;
    moves[me].gives[moves[me].length] = (MOVE_RELEASES -> known[me] : 0);
    moves[me].length = moves[me].length + 1
}

/* kn_ring_run */
inline load_stamp(me, position, found)
{
    atomic {
        if
        :: stamp_lap[(position) % SLOTS] == LAP(position) ->
            found = stamp_run[(position) % SLOTS];
            stamp_news[(position) % SLOTS] = stamp_news[(position) % SLOTS] & ~(1 << me);
            known[me] = known[me] | (PEEK_ACQUIRES -> stamp_gives[(position) % SLOTS] & ASKS_FOR(me) : 0)
        :: stamp_lap[(position) % SLOTS] != LAP(position) -> found = 0
        :: stamp_lap[(position) % SLOTS] == LAP(position) && (stamp_news[(position) % SLOTS] & (1 << me)) != 0 ->
            found = 0;
            stale = true
        fi
    }
}

#ifdef MUTANT_GATE_OF_ONE
#define LAST_READER (READERS - 2)
#else
#define LAST_READER (READERS - 1)
#endif

active proctype writer()
{
    byte position, gate, wanted, room, released, i, reader, cursor, step;
    bool stale;

    known[WRITER] = EVERY_FACT;
    do
    ::  atomic {
            select (wanted : 1 .. BATCH);
            /* kn_writer_claim_exclusive */
            room = (gate + SLOTS + WRAP - position) % WRAP;
            if
            :: room < wanted ->
                /* kn_writer_find_gate, in terms of the room that each reader leaves */
                room = SLOTS;
                for (reader : 0 .. LAST_READER) {
                    load_position(WRITER, reader, GATE_ACQUIRES, released);
                    released = (released + SLOTS + WRAP - position) % WRAP;
                    room = (released < room -> released : room)
                }
                gate = (position + room + WRAP - SLOTS) % WRAP;
                released = 0;
                for (reader : 0 .. LAST_READER) {
                    released = (unread[reader] > released -> unread[reader] : released)
                }
                assert(stale || room + released == SLOTS)
            :: else
            fi;
            room = (room < wanted -> room : wanted);
            for (i : 1 .. room) {
                for (reader : 0 .. READERS - 1) {
                    assert(unread[reader] < SLOTS);                           /* unread */
                    assert(KNOWS(WRITER, TOUCHED(reader, position % SLOTS))); /* race */
                    unread[reader] = unread[reader] + 1
                }
                message[position % SLOTS] = position;
                happens(WRITER, WRITTEN(position % SLOTS));
                /* kn_writer_stamp, without the release of the first */
                stamp_lap[position % SLOTS] = LAP(position);
                stamp_run[position % SLOTS] = room + 1 - i;
                stamp_gives[position % SLOTS] = 0;
                stamp_news[position % SLOTS] = (1 << READERS) - 1;
                position = (position + 1) % WRAP
            }
            if
            :: room > 0 && STAMP_RELEASES -> stamp_gives[(position + WRAP - room) % SLOTS] = known[WRITER]
            :: else
            fi;
            wanted = 0;
            released = 0;
            stale = false;
            i = 0;
            reader = 0
        };
        if
        :: room == 0 ->
wait_full:  atomic {
                for (reader : 0 .. READERS - 1) {
                    (unread[reader] < SLOTS)
                }
                reader = 0
            }
        :: else -> room = 0
        fi
    od
}

#ifdef PIPELINE
#define IS_AFTER (me > 0)
#define MAY_READ (unread[me] > (me > 0 -> unread[me - 1] : 0))
#else
#define IS_AFTER false
#define MAY_READ (unread[me] > 0)
#endif

active [READERS] proctype reader()
{
    byte me = _pid - 1;
    byte position, ready, wanted, allowed, count, found, i, cursor, step;
    bool stale;

    do
    ::  atomic {
            select (wanted : 1 .. BATCH);
            /* kn_reader_extend_after */
            if
            :: IS_AFTER ->
                load_position(me, me - 1, LIMIT_ACQUIRES, allowed);
                allowed = (allowed + WRAP - position) % WRAP;
                allowed = (wanted < allowed -> wanted : allowed);
#ifndef MUTANT_RUN_PAST_LIMIT
                wanted = allowed
#endif
            :: else -> allowed = wanted
            fi;
            /* kn_reader_extend; `ready` is ahead of position */
            do
            :: ready < allowed ->
                load_stamp(me, position + ready, found);
                if
                :: found > 0 -> ready = ready + found
                :: else -> break
                fi
            :: else -> break
            od;
            count = (ready < wanted -> ready : wanted);
            assert(stale || count > 0 || !MAY_READ);
            for (i : 1 .. count) {
                assert(MAY_READ);
                assert(KNOWS(me, WRITTEN(position % SLOTS))); /* race */
#ifdef PIPELINE
                for (step : 0 .. READERS - 1) {
                    assert(KNOWS(me, TOUCHED(step, position % SLOTS))) /* race */
                }
#endif
                assert(message[position % SLOTS] == position + VERSION(me));
                message[position % SLOTS] = position + VERSION(me + 1);
                happens(me, TOUCHED(me, position % SLOTS));
                position = (position + 1) % WRAP;
                ready = ready - 1;
                unread[me] = unread[me] - 1;
                if /* all that was peeked is released at once, or less */
                :: i < count -> break
                :: true
                fi
            }
            if
            :: count > 0 -> store_position(me, position)
            :: else
            fi;
            wanted = 0;
            allowed = 0;
            found = 0;
            stale = false;
            i = 0
        };
        if
        :: count == 0 ->
wait_empty: (MAY_READ)
        :: else -> count = 0
        fi
    od
}
