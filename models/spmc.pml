/*
 * The protocol of include/kernel/spmc.h: one exclusive writer and MEMBERS members of a group on a ring of SLOTS slots.
 *
 * The writer publishes runs of up to BATCH slots, each slot with its stamp. A member loads `taken`, looks how much is
 * published from there on, says in its hands from where it is about to take, and moves `taken` by compare-and-swap; it
 * releases what it has taken in one or several parts, whatever the others still have in theirs. The writer's gate is
 * the least of `taken` and of all hands, in that order. All run for ever, with every delay that cursor_memory.pml
 * allows. Checked:
 *   - every message is read by one member, once and whole, and none is left out;
 *   - no slot is written while it holds a message that is not released;
 *   - an answer of full is true, or a member has its hands on a position that it will not get;
 *   - an answer of empty is true;
 *   - there is no deadlock.
 *
 * Positions are counted from what is released, which closes the state space: what Spin exhausts holds for runs of any
 * length. An old position at 0 stands for all older ones, at which no stamp is found any more.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef MEMBERS
#define MEMBERS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif

#define WRITER MEMBERS
#define THREADS (MEMBERS + 1)
#define HANDS(member) (member)
#define TAKEN MEMBERS
#define HEADS (MEMBERS + 1)
#define EVERY_HANDS ((1 << MEMBERS) - 1)
#define UNREAD_BY(thread) ((thread) == WRITER -> 0 : EVERY_HANDS & ~STORED(HANDS(thread)))
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

#define LESSER(one, other) ((one) < (other) -> (one) : (other))

/* Messages carry their position; NOTHING when they are released. */
#define NOTHING 0
byte message[SLOTS];

byte published = FIRST; /* the writer's position */
byte gate;              /* while it is looked for */
byte position[MEMBERS]; /* to be taken from; of what is in the hands */
byte end[MEMBERS];      /* of what is in the hands; 0: they own nothing */

hidden byte i, j, least;

#define FULL (published == FIRST + SLOTS)
#define LETS_ROOM(place) (NEWEST(place) + SLOTS > published)

inline find_taken()
{
    atomic {
        load(WRITER, TAKEN, LOOK_ORDER, seen);
        assert(late || seen + SLOTS > published || FULL);
        gate = LESSER(gate, seen);
        seen = 0;
        late = false
    }
}

inline find_hands()
{
    do
    ::  atomic {
            load(WRITER, HANDS(member), LOOK_ORDER, seen);
            assert(late || seen + SLOTS > published || FULL || end[member] == 0);
            gate = LESSER(gate, seen);
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

proctype writer()
{
    byte room, seen, member, slots;

    do
    ::  /* kn_writer_claim_exclusive. How many slots are wanted shows by what is done: room is looked for as long as
         * there is less, and no more is claimed. */
        if
        :: room < BATCH ->
            /* kn_writer_find_gate */
            gate = published;
#ifdef MUTANT_HANDS_BEFORE_TAKEN
            find_hands();
            find_taken();
#else
            find_taken();
            find_hands();
#endif
            atomic {
                room = (gate + SLOTS > published -> gate + SLOTS - published : 0);
                gate = 0
            }
        :: room > 0
        fi;
        if
        :: room == 0 -> (LETS_ROOM(TAKEN) && LETS_ROOM(HANDS(0)) && LETS_ROOM(HANDS(MEMBERS - 1)))
        :: else ->
            atomic {
                slots = 1;
                do
                :: slots < room && slots < BATCH -> slots = slots + 1
                :: break
                od;
                d_step {
                    for (i : 0 .. slots - 1) {
                        touch(WRITER, published + i);
                        assert(message[(published + i) % SLOTS] == NOTHING);
                        message[(published + i) % SLOTS] = published + i
                    }
                    /* kn_writer_stamp: the first last */
#ifndef MUTANT_NO_MARKS
                    for (i : 1 .. slots - 1) {
                        add_store(WRITER, STAMP(published + slots - i), STAMP_OF(published + slots - i, i),
                                  known[WRITER] * STAMP_ORDER)
                    }
#endif
                    add_store(WRITER, STAMP(published), STAMP_OF(published, slots), known[WRITER] * STAMP_ORDER);
                    published = published + slots;
                    room = room - slots;
                    slots = 0
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
        for (j : 0 .. MEMBERS - 1) {
            lower(position[j]);
            lower(end[j])
        }
        lower(published);
        lower(gate)
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
                assert(late || slots > 0 || position[me] != NEWEST(TAKEN) || published == NEWEST(TAKEN));
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
            :: slots > 0 && slots < BATCH ->
                atomic {
                    load(me, STAMP(position[me] + slots), ACQUIRE, found);
                    late = false;
                    slots = slots + RUN_AT(position[me] + slots, found);
                    found = 0
                }
            fi;
            atomic {
                do
                :: slots > 1 -> slots = slots - 1
                :: slots <= BATCH -> break
                od
            };
#ifndef MUTANT_HANDS_AFTER_EXCHANGE
            store(me, HANDS(me), position[me], HANDS_ORDER);
#endif
            tried = true;
            atomic {
                compare_exchange(me, TAKEN, position[me], position[me] + slots, ACQUIRE, TAKE_ORDER, taken);
                late = false;
                if
                :: taken ->
                    end[me] = position[me] + slots;
                    slots = 0;
                    break
                :: else -> slots = 0
                fi
            };
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
        for (thread : 0 .. MEMBERS - 1) {
            NEWEST(HANDS(thread)) = NO_POSITION;
            run member(thread)
        }
        run writer()
    }
}
