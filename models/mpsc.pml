/*
 * The protocol of include/kernel/mpsc.h: WRITERS shared writers and one exclusive reader on a ring of SLOTS slots.
 *
 * A writer loads `claimed`, finds room by the gate that the writers share or else by the reader's position, which it
 * stores as the new gate, and claims up to BATCH slots by compare-and-swap; it publishes any part of them, each run by
 * its first stamp, and gives up the rest. The reader learns of whole runs, skips what was given up, and releases any
 * part of what it read. All run for ever, with every delay that cursor_memory.pml allows. Checked:
 *   - every message is read once, whole, in the order of the claims, and thereby in that of its writer;
 *   - no slot is written while it holds an unread message or is being read, nor by two writers;
 *   - what is claimed by an old gate is free, and by an old position nothing is claimed, however new the gate;
 *   - an answer of full or empty from an up-to-date look is true, and there is no deadlock.
 *
 * Positions are counted from what is released, which closes the state space: what Spin exhausts holds for runs of any
 * length. An old position at 0 stands for all older ones, which do the same: as a gate they leave no room for what can
 * be claimed, and what they would claim makes the exchange fail.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif

#define READER WRITERS
#define THREADS (WRITERS + 1)
#define CLAIMED 0
#define GATE 1
#define RELEASED 2
#define HEADS 3
#define UNREAD_BY(thread) ((thread) == READER -> STORED(CLAIMED) | STORED(GATE) : EVERY_STAMP)
#define GIVEN EVERY_TOUCH
#include "cursor_memory.pml"

#ifdef MUTANT_RELAXED_STAMP
#define STAMP_ORDER RELAXED
#else
#define STAMP_ORDER RELEASE
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
#define GATE_ORDER RELEASE
#endif

#define ROOM(gate, position) ((gate) + SLOTS > (position) -> (gate) + SLOTS - (position) : 0)

/* Messages carry their position; NOTHING when they are released. */
#define NOTHING 0
byte message[SLOTS];

byte position[WRITERS]; /* of its claim */
byte gate[WRITERS];     /* between its load and its store */
byte ready = FIRST;     /* the reader has seen what is published up to here */

hidden byte i, j;

inline write_message(me, at)
{
    touch(me, at);
    assert(message[(at) % SLOTS] == NOTHING); /* or an unread one is lost */
    message[(at) % SLOTS] = at
}

proctype writer(byte me)
{
    byte room;  /* that was found; then how many slots are given up */
    byte slots; /* of the claim */
    bool claimed;

    do
    ::  /* kn_writer_claim_shared. How many slots are wanted shows by what is done: room is looked for as long as there
         * is less, and no more is claimed. */
        atomic {
            load(me, CLAIMED, ACQUIRE, position[me]);
            late = false
        };
        do
        ::  /* kn_writer_shared_room */
            atomic {
                load(me, GATE, ACQUIRE, gate[me]);
                room = ROOM(gate[me], position[me]);
                gate[me] = 0;
                late = false
            };
            if
#ifdef MUTANT_NO_GATE
            :: room < BATCH -> room = BATCH
#else
            :: room < BATCH ->
                atomic {
                    load(me, RELEASED, ACQUIRE, gate[me]);
                    room = ROOM(gate[me], position[me]);
                    assert(late || room > 0 || NEWEST(CLAIMED) == NEWEST(RELEASED) + SLOTS);
                    late = false
                };
                atomic {
                    store(me, GATE, gate[me], GATE_ORDER);
                    gate[me] = 0
                }
#endif
            :: room > 0
            fi;
            if
            :: room == 0 -> break
            :: else ->
                atomic {
                    slots = 1;
                    do
                    :: slots < room && slots < BATCH -> slots = slots + 1
                    :: break
                    od;
                    room = 0;
#ifdef MUTANT_PLAIN_CLAIM
                    store(me, CLAIMED, position[me] + slots, RELEASE);
                    claimed = true;
#else
                    compare_exchange(me, CLAIMED, position[me], position[me] + slots, ACQUIRE, RELEASE, claimed);
#endif
                    late = false;
                    if
                    :: claimed -> break
                    :: else -> slots = 0
                    fi
                }
            fi
        od;

        if
        :: !claimed ->
            position[me] = 0;
            (NEWEST(CLAIMED) < NEWEST(RELEASED) + SLOTS)
        :: else ->
            /* kn_writer_publish: any part; the rest is given up before. */
            claimed = false;
            if
            :: true
            :: atomic {
                   room = slots;
                   do
                   :: room > 1 -> room = room - 1
                   :: break
                   od;
                   slots = slots - room;
                   d_step {
                       for (i : slots .. slots + room - 1) {
                           touch(me, position[me] + i)
                       }
                       add_store(me, STAMP(position[me] + slots), STAMP_OF(position[me] + slots, ABANDONED + room),
                                 known[me]);
                       room = 0
                   }
               }
            fi;
            d_step {
                if
                :: slots > 0 ->
                    for (i : 0 .. slots - 1) {
                        write_message(me, position[me] + i)
                    }
                    add_store(me, STAMP(position[me]), STAMP_OF(position[me], slots), known[me] * STAMP_ORDER)
                :: else
                fi;
                position[me] = 0;
                slots = 0
            }
        fi
    od
}

/* kn_reader_move */
inline move(slots)
{
    d_step {
        add_store(READER, RELEASED, FIRST + (slots), known[READER] * RELEASE_ORDER);
        for (i : 1 .. slots) {
            lower_words();
            for (j : 0 .. SLOTS - 2) {
                message[j] = message[j + 1]
            }
            message[SLOTS - 1] = NOTHING;
            for (j : 0 .. SLOTS - 1) {
                lower(message[j])
            }
            for (j : 0 .. WRITERS - 1) {
                lower(position[j]);
                lower(gate[j])
            }
            ready = ready - 1
        }
        tidy()
    }
}

proctype reader()
{
    byte found;

    do
    ::  /* kn_reader_extend: some more is looked for, or not. */
        do
        :: ready < FIRST + BATCH ->
            atomic {
                load(READER, STAMP(ready), PEEK_ORDER, found);
                late = false;
                found = RUN_AT(ready, found);
                if
                :: found == 0 || found > ABANDONED && ready != FIRST ->
                    found = 0;
                    break
                :: found > ABANDONED && ready == FIRST ->
                    d_step {
                        found = found & RUN;
                        ready = ready + found;
                        for (i : 0 .. found - 1) {
                            touch(READER, FIRST + i)
                        }
                        i = 0
                    };
                    move(found)
                :: found > 0 && found < ABANDONED -> ready = ready + found
                fi;
                found = 0
            }
        :: ready > FIRST -> break
        od;

        if
        :: ready == FIRST -> (RUN_AT(ready, NEWEST(STAMP(ready))) != 0)
        :: else ->
            atomic {
                /* A span of those messages is read, and kn_reader_release of the first of it. */
                d_step {
                    for (i : 0 .. ready - FIRST - 1) {
                        touch(READER, FIRST + i);
                        assert(message[(FIRST + i) % SLOTS] == FIRST + i)
                    }
                    i = 0
                };
                found = 1;
                do
                :: found < ready - FIRST && found < BATCH -> found = found + 1
                :: break
                od;
                move(found);
                found = 0
            }
        fi
    od
}

init {
    byte thread;

    atomic {
        NEWEST(CLAIMED) = FIRST;
        NEWEST(GATE) = FIRST;
        NEWEST(RELEASED) = FIRST;
        for (thread : 0 .. WRITERS - 1) {
            run writer(thread)
        }
        run reader()
    }
}
