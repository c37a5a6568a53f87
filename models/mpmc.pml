/*
 * The protocol of include/kernel/mpmc.h: WRITERS shared writers and MEMBERS members of a group on SLOTS slots.
 *
 * Writers claim as in mpsc.pml, by a gate that one of them found as in spmc.pml: the least of `taken` and of all hands,
 * in that order. They publish what they claimed, or give it up; members take as in spmc.pml, and skip what was given up
 * for all. All run for ever, with every delay that cursor_memory.pml allows. Checked:
 *   - every message is read by one member, once and whole, and none is left out;
 *   - no slot is written while it holds a message that is not released, nor by two writers;
 *   - there is no deadlock.
 *
 * Positions are counted from what is released, which closes the state space: what Spin exhausts holds for runs of any
 * length. An old position at 0 stands for all older ones: at it no stamp is found, as a gate it leaves no room for what
 * can be claimed, and what would be claimed or taken from it makes the exchange fail.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef MEMBERS
#define MEMBERS 2
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef BATCH
#define BATCH 1
#endif

#ifndef LATE
#define LATE 0
#endif

#define THREADS (MEMBERS + WRITERS)
#define WRITER(number) (MEMBERS + (number))
#define HANDS(member) (member)
#define TAKEN MEMBERS
#define CLAIMED (MEMBERS + 1)
#define GATE (MEMBERS + 2)
#define HEADS (MEMBERS + 3)
#define EVERY_HANDS (STORED(HANDS(0)) | STORED(HANDS(MEMBERS - 1)))
#define UNREAD_BY(thread)                                                                                              \
    ((thread) < MEMBERS -> (EVERY_HANDS & ~STORED(HANDS(thread))) | STORED(CLAIMED) | STORED(GATE) : EVERY_STAMP)
#define GIVEN (EVERY_TOUCH | EVERY_STAMP | EVERY_HANDS)
#define OLDEST_STAMP 1
#include "cursor_memory.pml"

#ifdef MUTANT_RELAXED_STAMP
#define STAMP_ORDER RELAXED
#else
#define STAMP_ORDER RELEASE
#endif
#ifdef MUTANT_RELAXED_EMPTY_HANDS
#define EMPTY_ORDER RELAXED
#else
#define EMPTY_ORDER RELEASE
#endif
#ifdef MUTANT_RELAXED_HANDS
#define HANDS_ORDER RELAXED
#else
#define HANDS_ORDER RELEASE
#endif
#ifdef MUTANT_RELAXED_TAKE
#define TAKE_ORDER RELAXED
#else
#define TAKE_ORDER RELEASE
#endif
#ifdef MUTANT_RELAXED_LOOK
#define LOOK_ORDER RELAXED
#else
#define LOOK_ORDER ACQUIRE
#endif

#ifdef MUTANT_RELAXED_GATE
#define GATE_ORDER RELAXED
#else
#define GATE_ORDER RELEASE
#endif

#define LESSER(one, other) ((one) < (other) -> (one) : (other))
#define ROOM(gate, position) ((gate) + SLOTS > (position) -> (gate) + SLOTS - (position) : 0)
#define LETS_ROOM(place) (NEWEST(place) + SLOTS > NEWEST(CLAIMED))

/* Messages carry their position; NOTHING when they are released, or will never be. */
#define NOTHING 0
byte message[SLOTS];

byte position[THREADS]; /* writer: of its claim; member: to be taken from, of what is in the hands */
byte gate[WRITERS];     /* while it is looked for */
byte end[MEMBERS];      /* of what is in the hands; 0: they own nothing */

hidden byte i, j, least;

inline find_gate(place)
{
    atomic {
        load(me, place, LOOK_ORDER, seen);
        gate[number] = LESSER(gate[number], seen);
        seen = 0;
        late = false
    }
}

inline find_hands()
{
    do
    ::  atomic {
            load(me, HANDS(member), LOOK_ORDER, seen);
            gate[number] = LESSER(gate[number], seen);
            seen = 0;
            late = false;
            member = member + 1;
            if
            :: member == MEMBERS ->
                member = 0;
                break
            :: else
            fi
        }
    od
}

proctype writer(byte number)
{
    byte room, slots, seen, member;
    bool claimed;
    byte me = WRITER(number);

    do
    ::  /* kn_writer_claim_shared */
        atomic {
            load(me, CLAIMED, ACQUIRE, position[me]);
            late = false
        };
        do
        ::  /* kn_writer_shared_room */
            atomic {
                load(me, GATE, ACQUIRE, seen);
                room = ROOM(seen, position[me]);
                seen = 0;
                late = false
            };
            if
            :: room < BATCH ->
                /* kn_writer_find_gate */
                gate[number] = NO_POSITION; /* it is at most `claimed`, but `taken` is less */
#ifdef MUTANT_HANDS_BEFORE_TAKEN
                find_hands();
                find_gate(TAKEN);
#else
                find_gate(TAKEN);
                find_hands();
#endif
                atomic {
                    room = ROOM(gate[number], position[me]);
                    store(me, GATE, gate[number], GATE_ORDER);
                    gate[number] = 0
                }
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
                    compare_exchange(me, CLAIMED, position[me], position[me] + slots, ACQUIRE, RELEASE, claimed);
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
            (LETS_ROOM(TAKEN) && LETS_ROOM(HANDS(0)) && LETS_ROOM(HANDS(MEMBERS - 1)))
        :: else ->
            /* kn_writer_publish: all, or nothing */
            atomic {
                claimed = false;
                if
                :: seen = 0
                :: seen = ABANDONED
                fi;
                d_step {
                    for (i : 0 .. slots - 1) {
                        touch(me, position[me] + i);
                        assert(message[(position[me] + i) % SLOTS] == NOTHING);
                        message[(position[me] + i) % SLOTS] = (seen == 0 -> position[me] + i : NOTHING)
                    }
                    for (i : 1 .. slots - 1) {
                        add_store(me, STAMP(position[me] + slots - i), STAMP_OF(position[me] + slots - i, seen + i),
                                  known[me] * STAMP_ORDER)
                    }
                    add_store(me, STAMP(position[me]), STAMP_OF(position[me], seen + slots), known[me] * STAMP_ORDER);
                    position[me] = 0;
                    slots = 0;
                    seen = 0
                }
            }
        fi
    od
}

/* Positions are lowered by what is released by all. */
inline settle()
{
    least = NEWEST(TAKEN);
    for (i : 0 .. MEMBERS - 1) {
        least = (end[i] != 0 && position[i] < least -> position[i] : least)
    }
    for (i : FIRST .. least - 1) {
        lower_words();
        kept = message[0];
        for (j : 0 .. SLOTS - 2) {
            message[j] = message[j + 1]
        }
        message[SLOTS - 1] = kept;
        for (j : 0 .. SLOTS - 1) {
            lower(message[j])
        }
        for (j : 0 .. THREADS - 1) {
            lower(position[j])
        }
        for (j : 0 .. MEMBERS - 1) {
            lower(end[j])
        }
        for (j : 0 .. WRITERS - 1) {
            lower(gate[j])
        }
    }
    tidy()
}

proctype member(byte me)
{
    byte found, slots;
    bool tried, taken;

    do
    ::  /* kn_member_take. How many messages are wanted shows by what is done. */
        atomic {
            load(me, TAKEN, ACQUIRE, position[me]);
            late = false
        };
        do
        ::  atomic {
                load(me, STAMP(position[me]), ACQUIRE, found);
                slots = RUN_AT(position[me], found);
                found = 0;
                late = false
            };
            if
            :: slots == 0 -> /* nothing there, unless others have taken it meanwhile, and the writer gone round */
                atomic {
                    load(me, TAKEN, ACQUIRE, found);
                    late = false;
                    if
                    :: found == position[me] ->
                        found = 0;
                        break
                    :: else ->
                        position[me] = found;
                        found = 0;
                        goto next
                    fi
                }
            :: slots > 0
#if BATCH > 1
            :: slots > 0 && slots < BATCH ->
                atomic {
                    load(me, STAMP(position[me] + slots), ACQUIRE, found);
                    late = false;
                    found = RUN_AT(position[me] + slots, found);
                    slots = (found < ABANDONED -> slots + found : slots);
                    found = 0
                }
#endif
            fi;
#if BATCH > 1
            atomic {
                do
                :: slots > 1 && slots < ABANDONED -> slots = slots - 1
                :: slots <= BATCH || slots > ABANDONED -> break
                od
            };
#endif
#ifndef MUTANT_HANDS_AFTER_EXCHANGE
            store(me, HANDS(me), position[me], HANDS_ORDER);
#endif
            tried = true;
            atomic {
                found = slots & RUN;
                compare_exchange(me, TAKEN, position[me], position[me] + found, ACQUIRE, TAKE_ORDER, taken);
                late = false;
                found = 0;
                if
                :: taken && slots < ABANDONED ->
                    end[me] = position[me] + slots;
                    slots = 0;
                    break
                :: taken && slots > ABANDONED -> /* skipped for all members */
                    taken = false;
                    d_step {
                        for (i : position[me] .. position[me] + (slots & RUN) - 1) {
                            touch(me, i)
                        }
                        position[me] = position[me] + (slots & RUN);
                        slots = 0;
                        settle()
                    };
                    goto skipped
                :: else ->
                    slots = 0;
                    goto next
                fi
            };
skipped:
            store(me, HANDS(me), NO_POSITION, EMPTY_ORDER);
            tried = false;
next:       skip
        od;

        if
        :: !taken ->
            position[me] = 0;
            if
            :: tried ->
                store(me, HANDS(me), NO_POSITION, EMPTY_ORDER);
                tried = false
            :: else
            fi;
            (RUN_AT(NEWEST(TAKEN), NEWEST(STAMP(NEWEST(TAKEN)))) != 0)
        :: else ->
            taken = false;
            tried = false;
#ifdef MUTANT_HANDS_AFTER_EXCHANGE
            store(me, HANDS(me), position[me], HANDS_ORDER);
#endif
            do
            :: end[me] != 0 ->
                atomic {
                    d_step {
                        for (i : position[me] .. end[me] - 1) {
                            touch(me, i);
                            assert(message[i % SLOTS] == i)
                        }
                        i = 0
                    };
                    /* kn_reader_give: all, or the first of it */
                    slots = end[me] - position[me];
                    do
                    :: slots > 1 -> slots = slots - 1
                    :: break
                    od;
                        d_step {
                        for (i : position[me] .. position[me] + slots - 1) {
                            message[i % SLOTS] = NOTHING
                        }
                        position[me] = position[me] + slots;
                        slots = 0;
                        if
                        :: position[me] == end[me] ->
                            position[me] = 0;
                            end[me] = 0;
                            add_store(me, HANDS(me), NO_POSITION, known[me] * EMPTY_ORDER)
                        :: else -> add_store(me, HANDS(me), position[me], known[me] * EMPTY_ORDER)
                        fi;
                        settle()
                    }
                }
            :: else -> break
            od
        fi
    od
}

init {
    byte thread;

    atomic {
        NEWEST(TAKEN) = FIRST;
        NEWEST(CLAIMED) = FIRST;
        NEWEST(GATE) = FIRST;
        for (thread : 0 .. MEMBERS - 1) {
            NEWEST(HANDS(thread)) = NO_POSITION;
            run member(thread)
        }
        for (thread : 0 .. WRITERS - 1) {
            run writer(thread)
        }
    }
}
