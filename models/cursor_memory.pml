/*
 * C11 memory for the models of cursors: words that several threads write, late loads, and data races.
 *
 * Of each word the newest store is kept, and the LATE stores before it. A load returns any of them, but none older than
 * its thread has read before, or than happens before it (coherence). So what is published becomes visible late, and in
 * any order, up to LATE stores of each word; older stores are taken to have arrived. A read-modify-write takes the
 * newest, as it must. The stores to a word are ordered as they are made here: those to a stamp since who stores one
 * touches the slot before, those to a position since there is one writer, or only exchanges, or (a shared gate) since
 * no order is relied on.
 *
 * A fact is that an access happened: a store to a word, by its age, or the last access to a message. `known` says which
 * facts happen before a thread's next step, or were read by it; a release leaves them with what it stores, for who
 * acquires it, also through later read-modify-writes (a release sequence). A message is accessed plainly: who does must
 * know the access before, else the two race and an assertion fails. As a race is found from either side, plain accesses
 * and the release behind them may be one atomic step.
 *
 * Positions are counted from what is released, which always is FIRST: whenever a slot is released, all positions are
 * lowered by one, and slots are renumbered with them. Positions at 0 stay there and stand for all older ones. Thereby
 * threads that run for ever have a finite number of states.
 *
 * The includer defines
 *   - THREADS, SLOTS, and HEADS: how many words hold a position each, in front of one stamp for each slot;
 *   - LATE: 1 or 2; or 0 where there are too many states else, and then only races are found;
 *   - GIVEN: which facts a release hands on, at least EVERY_TOUCH;
 *   - UNREAD_BY(thread): facts about words that a thread never loads, which it neither notes nor hands on;
 *   - OLDEST_STAMP: the oldest position of which a stamp is looked for, if it is not FIRST.
 * With fewer facts handed on, loads may be later than C11 allows, never the other way round.
 */
#ifndef LATE
#define LATE 1
#endif

#define RELAXED 0
#define RELEASE 1
#define ACQUIRE 1

#define FIRST SLOTS
#ifndef OLDEST_STAMP
#define OLDEST_STAMP FIRST
#endif
#define NO_POSITION 255

#define STAMP(position) (HEADS + (position) % SLOTS)
#define WORDS (HEADS + SLOTS)
#define ENTRY(place, age) ((place) * (LATE + 1) + (age))
#define ENTRIES (WORDS * (LATE + 1))
#define NEWEST(place) value[ENTRY(place, 0)]

/* Facts: that the newest store to a word was made, or the one before it; the last access to a message. */
#if LATE == 0
#define STORED(place) 0
#define EVERY_STAMP 0
#else
#define STORED(place) (1 << (place))
#define EVERY_STAMP (((1 << SLOTS) - 1) << HEADS)
#endif
#define EVERY_TOUCH (((1 << SLOTS) - 1) << (LATE * WORDS))
#define EVERY_FACT ((1 << (LATE * WORDS + SLOTS)) - 1)
#define STORED_BEFORE(place) (1 << (WORDS + (place)))
#define TOUCHED(position) (1 << (LATE * WORDS + (position) % SLOTS))
#define KNOWS(me, fact) ((known[me] & (fact)) != 0)

/* The facts that a store of some age makes known to who reads it; the same facts when one more store was made; and the
 * facts about a word of any age. */
#if LATE == 0
#define FACTS byte
#define SINCE(place, age) 0
#define AGED(facts, place) (facts)
#define OF_ANY_AGE(facts) (facts)
#elif LATE == 1
#define FACTS short
#define SINCE(place, age) ((age) == 0 -> STORED(place) : 0)
#define AGED(facts, place) ((facts) & ~STORED(place))
#define OF_ANY_AGE(facts) (facts)
#else
#define FACTS int
#define SINCE(place, age) (((age) == 0 -> STORED(place) : 0) | ((age) <= 1 -> STORED_BEFORE(place) : 0))
#define AGED(facts, place)                                                                                             \
    (((facts) & ~(STORED(place) | STORED_BEFORE(place))) | (((facts) & STORED(place)) << WORDS))
#define OF_ANY_AGE(facts) ((facts) | (facts) << WORDS)
#endif

FACTS known[THREADS] = EVERY_FACT;
byte value[ENTRIES];
FACTS gives[ENTRIES]; /* what acquiring it makes known */
bool late;            /* whether a newer store was passed over; the model resets it when it has looked */

/* Scratch of single steps. */
hidden byte each, back, kept;
hidden int common;

/* What all know need not be given, and what nobody can read any more need not be kept: that joins states. */
inline tidy()
{
    common = EVERY_FACT;
    for (each : 0 .. THREADS - 1) {
        known[each] = known[each] & ~OF_ANY_AGE(UNREAD_BY(each));
        common = common & (known[each] | OF_ANY_AGE(UNREAD_BY(each)))
    }
    for (each : 0 .. ENTRIES - 1) {
        gives[each] = gives[each] & ~common
    }
#if LATE > 0
    for (each : 0 .. WORDS - 1) {
        if
        :: (common & STORED(each)) != 0 ->
            value[ENTRY(each, 1)] = 0;
            gives[ENTRY(each, 1)] = 0
        :: else
        fi;
#if LATE > 1
        if
        :: (common & STORED_BEFORE(each)) != 0 ->
            value[ENTRY(each, 2)] = 0;
            gives[ENTRY(each, 2)] = 0
        :: else
        fi
#endif
    }
#endif
    each = 0
}

inline add_store(me, place, content, given)
{
    common = given;
#if LATE > 0
    for (back : 1 .. LATE) {
        value[ENTRY(place, LATE + 1 - back)] = value[ENTRY(place, LATE - back)];
        gives[ENTRY(place, LATE + 1 - back)] = gives[ENTRY(place, LATE - back)]
    }
#endif
    NEWEST(place) = content;
    gives[ENTRY(place, 0)] = common & OF_ANY_AGE(GIVEN);
    for (each : 0 .. THREADS - 1) {
        known[each] = AGED(known[each], place)
    }
    for (each : 0 .. ENTRIES - 1) {
        gives[each] = AGED(gives[each], place)
    }
    known[me] = known[me] | SINCE(place, 0);
    tidy()
}

inline store(me, place, content, releases)
{
    d_step {
        add_store(me, place, content, known[me] * releases)
    }
}

inline load_aged(me, place, old, acquires, result)
{
    d_step {
        result = value[ENTRY(place, old)];
        late = late || old > 0;
        known[me] = known[me] | SINCE(place, old) | gives[ENTRY(place, old)] * acquires;
        tidy()
    }
}

inline load(me, place, acquires, result)
{
    if
    :: load_aged(me, place, 0, acquires, result)
#if LATE > 0
    :: !KNOWS(me, STORED(place)) -> load_aged(me, place, 1, acquires, result)
#endif
#if LATE > 1
    :: !KNOWS(me, STORED_BEFORE(place)) -> load_aged(me, place, 2, acquires, result)
#endif
    fi
}

inline exchange(me, place, content, acquires, releases)
{
    d_step {
        known[me] = known[me] | SINCE(place, 0) | gives[ENTRY(place, 0)] * acquires;
        add_store(me, place, content, gives[ENTRY(place, 0)] | known[me] * releases)
    }
}

/* Fails with any other value that a load could return, which it acquires and leaves in `expected`. To fail without
 * cause, as the weak form may, would only be to try again. */
inline compare_exchange(me, place, expected, content, acquires, releases, exchanged)
{
    if
    :: NEWEST(place) == expected ->
        exchange(me, place, content, acquires, releases);
        exchanged = true
    :: NEWEST(place) != expected -> load_aged(me, place, 0, ACQUIRE, expected)
#if LATE > 0
    :: !KNOWS(me, STORED(place)) && value[ENTRY(place, 1)] != expected -> load_aged(me, place, 1, ACQUIRE, expected)
#endif
#if LATE > 1
    :: !KNOWS(me, STORED_BEFORE(place)) && value[ENTRY(place, 2)] != expected ->
        load_aged(me, place, 2, ACQUIRE, expected)
#endif
    fi
}

/* A plain access to the message of a position, read or write. Who only passes a slot on touches it as well, so that the
 * stores to its stamp are known to happen in the order in which they are made here. */
inline touch(me, position)
{
    assert(KNOWS(me, TOUCHED(position))); /* race */
    for (each : 0 .. THREADS - 1) {
        known[each] = known[each] & ~TOUCHED(position)
    }
    for (each : 0 .. ENTRIES - 1) {
        gives[each] = gives[each] & ~TOUCHED(position)
    }
    known[me] = known[me] | TOUCHED(position)
}

/* Stamps: the position that was stamped, whether the run is abandoned, and its length. */
#define RUN 7
#define ABANDONED 8
#define STAMP_SHIFT 4
#define STAMP_OF(position, run) (((position) << STAMP_SHIFT) + (run))
#define RUN_AT(position, stamp) ((stamp) >> STAMP_SHIFT == (position) -> (stamp) & (ABANDONED | RUN) : 0)

inline lower(position)
{
    position = (position > 0 && position < NO_POSITION -> position - 1 : position)
}

/* Facts about slots, from a bit on, when slot 0 becomes the last one. */
#define TURNED(facts, bit)                                                                                             \
    (((facts) & ~(((1 << SLOTS) - 1) << (bit))) | (((facts) >> 1) & (((1 << (SLOTS - 1)) - 1) << (bit))) |             \
     ((((facts) >> (bit)) & 1) << ((bit) + SLOTS - 1)))
#if LATE == 0
#define ALL_TURNED(facts) TURNED(facts, 0)
#elif LATE == 1
#define ALL_TURNED(facts) TURNED(TURNED(facts, HEADS), WORDS)
#else
#define ALL_TURNED(facts) TURNED(TURNED(TURNED(facts, HEADS), WORDS + HEADS), 2 * WORDS)
#endif

/* Lowers what this file holds by one slot. Stamps of positions that nobody can be looking for are as good as none. */
inline lower_words()
{
    for (each : 0 .. ENTRY(HEADS, 0) - 1) {
        lower(value[each])
    }
    for (each : 0 .. LATE) {
        kept = value[ENTRY(STAMP(0), each)];
        common = gives[ENTRY(STAMP(0), each)];
        for (back : 0 .. SLOTS - 2) {
            value[ENTRY(STAMP(back), each)] = value[ENTRY(STAMP(back + 1), each)];
            gives[ENTRY(STAMP(back), each)] = gives[ENTRY(STAMP(back + 1), each)]
        }
        value[ENTRY(STAMP(SLOTS - 1), each)] = kept;
        gives[ENTRY(STAMP(SLOTS - 1), each)] = common
    }
    for (each : ENTRY(HEADS, 0) .. ENTRIES - 1) {
        value[each] = ((value[each] >> STAMP_SHIFT) > OLDEST_STAMP -> value[each] - (1 << STAMP_SHIFT) : 0)
    }
    for (each : 0 .. ENTRIES - 1) {
        gives[each] = ALL_TURNED(gives[each])
    }
    for (each : 0 .. THREADS - 1) {
        known[each] = ALL_TURNED(known[each])
    }
}
