/*
 * One exclusive writer and one exclusive reader, as spsc.h makes them of writer.h and reader.h: a ring of SLOTS slots
 * of which each has a stamp, and a run of messages published by the stamp of its first slot alone.
 *
 * Both threads run for ever, with every batch size up to BATCH and every delay that memory.pml allows. Positions wrap
 * at WRAP and messages carry their position, which closes the state space: what Spin exhausts holds for runs of any
 * length. Checked:
 *   - every message is read once, in order and whole (FIFO, no loss, no duplicate, no torn or unwritten message),
 *     also where a run is released in parts;
 *   - no slot is written while it holds an unread message or is being read;
 *   - an answer of full or empty from an up-to-date look is true, and there is no deadlock;
 *   - with STALL, where either thread halts at any point for ever, the other one never waits inside an operation.
 *
 * Laps are counted modulo WRAP / SLOTS. So that no old stamp is taken for one of a lap to come, a stamp that nobody
 * will ask for again, because its slot now lies within a run, is forgotten.
 *
 * Each MUTANT_ breaks one ordering or check and must be found out.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif
#define WRAP (4 * SLOTS)

#define WRITER 0
#define READER_THREAD 1
#define STAMP(position) ((position) % SLOTS)
#define MESSAGE(position) (SLOTS + (position) % SLOTS)
#define RELEASED (2 * SLOTS)

#define THREADS 2
#define LOCATIONS (2 * SLOTS + 1)
#define LOG (4 * SLOTS)
#define OWNER(place) ((place) == RELEASED)
#define READER(place) ((place) != RELEASED)
#include "memory.pml"

/* A stamp: the lap, and the length of the run. 0 is in no lap: all lengths are at least 1. */
#ifdef MUTANT_NO_LAP
#define LAP(position) 0
#else
#define LAP(position) ((position) / SLOTS * (SLOTS + 1))
#endif
#define RUN(stamp, position)                                                                                           \
    ((stamp) > LAP(position) && (stamp) <= LAP(position) + SLOTS -> (stamp) - LAP(position) : 0)

#ifdef MUTANT_RELAXED_PUBLISH
#define PUBLISH_ORDER RELAXED
#else
#define PUBLISH_ORDER RELEASE
#endif
#ifdef MUTANT_RELAXED_PEEK
#define PEEK_ORDER RELAXED
#else
#define PEEK_ORDER ACQUIRE
#endif
#ifdef MUTANT_RELAXED_RELEASE
#define RELEASE_ORDER RELAXED
#else
#define RELEASE_ORDER RELEASE
#endif
#ifdef MUTANT_RELAXED_GATE
#define GATE_ORDER RELAXED
#else
#define GATE_ORDER ACQUIRE
#endif

#ifdef STALL
#define WAIT(name) end_##name
bool halted[THREADS];

active proctype halter()
{
    if
    :: halted[WRITER] = true
    :: halted[READER_THREAD] = true
    :: skip
    fi
}

#define RUN_UNTIL_HALTED(me) unless { halted[me] }
#else
#define WAIT(name) wait_##name
#define RUN_UNTIL_HALTED(me)
#endif

/* Known to the checks only: messages published and not yet released. */
byte in_flight;

/* In place of all stamps of a slot so far. */
inline forget(which)
{
    d_step {
#ifndef MUTANT_NO_LAP
        base[which] = 0;
        for (step : 0 .. LOG - 1) {
            if
            :: log[WRITER].place[step] == which && step < log[WRITER].length -> log[WRITER].value[step] = 0
            :: else
            fi
        }
        step = 0
#endif
        skip
    }
}

active proctype writer()
{
    MEMORY_SCRATCH;
    byte position, gate, wanted, room, i;

    {
        do
        :: select (wanted : 1 .. BATCH);

            /* kn_writer_claim_exclusive */
            room = (gate + SLOTS + WRAP - position) % WRAP;
#ifdef MUTANT_NO_GATE
            room = wanted;
#endif
            if
            :: room < wanted ->
                atomic {
                    load(WRITER, READER_THREAD, RELEASED, GATE_ORDER, gate);
                    room = (gate + SLOTS + WRAP - position) % WRAP;
                    assert(room <= SLOTS);
                    assert(stale || room + in_flight == SLOTS);
                    stale = false
                }
            :: else
            fi;
            if
            :: room > wanted -> room = wanted
            :: else
            fi;

            if
            :: room == 0 ->
                wanted = 0;
WAIT(full):     (in_flight < SLOTS)
            :: else ->
#ifndef MUTANT_STAMP_FIRST
                for (i : 0 .. room - 1) {
                    store(WRITER, MESSAGE(position + i), (position + i) % WRAP, PLAIN)
                }
#endif
                /* kn_writer_publish_slots */
                atomic {
                    i = 1;
                    do
                    :: i < room ->
                        forget(STAMP(position + i));
                        i = i + 1
                    :: else -> break
                    od;
                    store(WRITER, STAMP(position), LAP(position) + room, PUBLISH_ORDER);
                    in_flight = in_flight + room
                };
#ifdef MUTANT_STAMP_FIRST
                for (i : 0 .. room - 1) {
                    store(WRITER, MESSAGE(position + i), (position + i) % WRAP, PLAIN)
                }
#endif
                atomic {
                    position = (position + room) % WRAP;
                    room = 0;
                    wanted = 0;
                    i = 0
                }
            fi
        od
    } RUN_UNTIL_HALTED(WRITER)
}

active proctype reader()
{
    MEMORY_SCRATCH;
    byte position, wanted, count, value, i;
    byte ready; /* ahead of position */

    {
        do
        :: select (wanted : 1 .. BATCH);

            /* kn_reader_extend */
            do
            :: ready < wanted ->
                atomic {
                    load(READER_THREAD, WRITER, STAMP(position + ready), PEEK_ORDER, value);
                    value = RUN(value, (position + ready) % WRAP);
                    assert(stale || (value > 0) == (ready < in_flight));
                    stale = false
                }
                if
                :: value > 0 -> ready = ready + value
                :: else -> break
                fi
            :: else -> break
            od;

            atomic {
                count = (ready < wanted -> ready : wanted);
                wanted = 0;
                value = 0
            }
            if
            :: count == 0 ->
WAIT(empty):    (in_flight > 0)
            :: else ->
                for (i : 0 .. count - 1) {
                    atomic {
                        plain_load(READER_THREAD, WRITER, MESSAGE(position + i), value);
                        assert(value == (position + i) % WRAP);
                        value = 0
                    }
                }
                /* kn_reader_move, by all that was peeked or by the first of it */
                if
                :: count > 1 -> count = 1
                :: true
                fi;
                atomic {
                    position = (position + count) % WRAP;
#ifdef MUTANT_NO_READY
                    ready = 0;
#else
                    ready = ready - count;
#endif
                    store(READER_THREAD, RELEASED, position, RELEASE_ORDER);
                    assert(count <= in_flight);
                    in_flight = in_flight - count
                };
                atomic {
                    count = 0;
                    i = 0
                }
            fi
        od
    } RUN_UNTIL_HALTED(READER_THREAD)
}
