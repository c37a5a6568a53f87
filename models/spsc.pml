/*
 * The protocol of include/kernel/spsc.h: a ring of SLOTS slots, each with its own sequence word.
 *
 * Both threads run for ever, with every batch size up to BATCH and every delay that memory.pml allows. Positions wrap
 * at WRAP and messages carry their number modulo WRAP, which closes the state space: what Spin exhausts holds for
 * runs of any length. Checked:
 *   - every message is read once, in order and whole (FIFO, no loss, no duplicate, no torn or unwritten message);
 *   - no slot is written while it holds an unread message or is being read;
 *   - an answer of full or empty from an up-to-date look is true, and there is no deadlock;
 *   - with STALL, where either thread halts at any point for ever, the other one never waits inside an operation.
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

#define PRODUCER 0
#define CONSUMER 1
#define SEQUENCE(position) ((position) % SLOTS)
#define MESSAGE(position) (SLOTS + (position) % SLOTS)
#define RELEASED (2 * SLOTS)

#define THREADS 2
#define LOCATIONS (2 * SLOTS + 1)
#define LOG (4 * SLOTS)
#define OWNER(place) ((place) == RELEASED)
#define READER(place) ((place) != RELEASED)
#include "memory.pml"

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
    :: halted[PRODUCER] = true
    :: halted[CONSUMER] = true
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

active proctype producer()
{
    MEMORY_SCRATCH;
    byte position, gate, wanted, room, i;

    {
        do
        :: select (wanted : 1 .. BATCH);

            /* kn_spsc_writable */
            room = (gate + SLOTS + WRAP - position) % WRAP;
#ifdef MUTANT_NO_GATE
            room = wanted;
#endif
            if
            :: room < wanted ->
                atomic {
                    load(PRODUCER, CONSUMER, RELEASED, GATE_ORDER, gate);
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
                for (i : 0 .. room - 1) {
                    store(PRODUCER, MESSAGE(position + i), (position + i) % WRAP, PLAIN)
                }
                /* kn_spsc_publish_slots: the first slot last */
                i = room - 1;
                do
                :: i > 0 ->
                    store(PRODUCER, SEQUENCE(position + i), (position + i + 1) % WRAP, RELAXED);
                    i = i - 1
                :: else -> break
                od;
                atomic {
                    store(PRODUCER, SEQUENCE(position), (position + 1) % WRAP, PUBLISH_ORDER);
                    in_flight = in_flight + room
                };
                atomic {
                    position = (position + room) % WRAP;
                    room = 0;
                    wanted = 0;
                    i = 0
                }
            fi
        od
    } RUN_UNTIL_HALTED(PRODUCER)
}

active proctype consumer()
{
    MEMORY_SCRATCH;
    byte position, wanted, count, value, i;

    {
        do
        :: select (wanted : 1 .. BATCH);

            /* kn_spsc_readable */
            do
            :: count < wanted ->
                atomic {
                    load(CONSUMER, PRODUCER, SEQUENCE(position + count), PEEK_ORDER, value);
                    assert(stale || (value == (position + count + 1) % WRAP) == (count < in_flight));
                    stale = false
                }
                if
                :: value == (position + count + 1) % WRAP -> count = count + 1
                :: else -> break
                fi
            :: else -> break
            od;

            atomic {
                wanted = 0;
                value = 0
            }
            if
            :: count == 0 ->
WAIT(empty):    (in_flight > 0)
            :: else ->
                for (i : 0 .. count - 1) {
                    atomic {
                        plain_load(CONSUMER, PRODUCER, MESSAGE(position + i), value);
                        assert(value == (position + i) % WRAP);
                        value = 0
                    }
                }
                /* kn_spsc_release_slots: all that was peeked, or the first of it */
                if
                :: count > 1 -> count = 1
                :: true
                fi;
                atomic {
                    position = (position + count) % WRAP;
                    store(CONSUMER, RELEASED, position, RELEASE_ORDER);
                    assert(count <= in_flight);
                    in_flight = in_flight - count
                };
                atomic {
                    count = 0;
                    i = 0
                }
            fi
        od
    } RUN_UNTIL_HALTED(CONSUMER)
}
