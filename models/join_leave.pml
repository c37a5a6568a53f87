/*
 * READERS readers that join and leave over and over while an exclusive writer runs: join_broadcast in reader.c against
 * kn_writer_find_gate in writer.c.
 *
 * All run for ever, with every batch size up to BATCH. Positions are counted back from the writer's, and what lies a
 * capacity or more behind it is as good as anything older, which closes the state space: what Spin exhausts holds for
 * runs of any length. Checked:
 *   - from its first position on a reader misses nothing: none of its slots was overwritten when it joined, nor is
 *     before it has released it, by whatever gate the writer had found before;
 *   - its first position is the beginning of a run, no older than what was published when the writer last looked;
 *   - no two accesses to a message race;
 *   - an answer of full from an up-to-date look is true unless somebody is joining, a reader that left holds nobody up,
 *     and there is no deadlock.
 *
 * Memory is that of C11, seen as in broadcast.pml, where operations are one step for the same reason. Besides:
 *   - `claimed` may be read as it ever was, but no older than was read before, or than is known to have been stored;
 *   - an entry keeps its stores that the writer may still find. The writer looks only after its exchange, so that at an
 *     exchange of its own a reader may forget all before, unless the writer is looking. A reader that comes and goes
 *     while the writer looks once does so until DEPTH stores are kept;
 *   - `membership` gives who exchanges it all that was known to those who did before, also of these words.
 *
 * Each MUTANT_ breaks one ordering or check and must be found out.
 */
#ifndef READERS
#define READERS 1
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif
#ifndef DEPTH
#define DEPTH (3 * SLOTS + 6)
#endif

#define WRITER READERS
#define THREADS (READERS + 1)
#define NONE 255

#define WRITTEN(slot) (1 << (slot))
#define TOUCHED(reader, slot) (1 << (SLOTS * (1 + (reader)) + (slot)))
#define EVERY_FACT ((1 << (SLOTS * (1 + READERS))) - 1)
#define ASKS_FOR(me) ((me) == WRITER -> EVERY_FACT : ((1 << SLOTS) - 1) * (1 | 1 << (SLOTS * (1 + (me)))))

int known[THREADS];

/* Of each slot the stamp of what was published there last: whether its run begins there, the length, what acquiring it
 * gives, and to which readers it is news. */
bool stamp_begins[SLOTS];
byte stamp_run[SLOTS];
int stamp_gives[SLOTS];
byte stamp_news[SLOTS];
byte next; /* the writer's slot */

/* How far back `claimed` may still be read; more than SLOTS: further. */
byte claimed_back[READERS];

typedef Entry {
    byte length = 1;
    byte back[DEPTH] = NONE;
    int gives[DEPTH];
    byte seen /* by the writer */
};

Entry entry[READERS];

/* What an exchange of `membership` makes known. */
int member_gives;
byte member_claimed_back;
byte member_seen[READERS];

/* Known to the checks only. */
byte unread[READERS]; /* published and not released */
bool joined[READERS]; /* its first position is known */
bool joining[READERS];
bool looking;

#define KNOWS(me, fact) ((known[me] & (fact)) != 0)
#define SLOT_BACK(back) ((next + SLOTS - (back)) % SLOTS)
#define FARTHER(back, slots, most) ((back) + (slots) < (most) -> (back) + (slots) : (most))

inline happens(me, fact)
{
    for (step : 0 .. THREADS - 1) {
        known[step] = known[step] & ~(fact)
    }
    for (step : 0 .. SLOTS - 1) {
        stamp_gives[step] = stamp_gives[step] & ~(fact)
    }
    for (step : 0 .. READERS * DEPTH - 1) {
        entry[step / DEPTH].gives[step % DEPTH] = entry[step / DEPTH].gives[step % DEPTH] & ~(fact)
    }
    member_gives = member_gives & ~(fact);
    known[me] = known[me] | (fact);
    step = 0
}

/* The writer's position moves on, and everything falls back. */
inline advance()
{
    next = (next + 1) % SLOTS;
    for (step : 0 .. READERS - 1) {
        claimed_back[step] = FARTHER(claimed_back[step], 1, SLOTS + 1);
        unread[step] = unread[step] + joined[step]
    }
    for (step : 0 .. READERS * DEPTH - 1) {
        if
        :: step % DEPTH < entry[step / DEPTH].length && entry[step / DEPTH].back[step % DEPTH] != NONE ->
            entry[step / DEPTH].back[step % DEPTH] = FARTHER(entry[step / DEPTH].back[step % DEPTH], 1, SLOTS)
        :: else
        fi
    }
    member_claimed_back = FARTHER(member_claimed_back, 1, SLOTS + 1);
    step = 0
}

/* Forgets what an entry held before its store number `first`, which the writer will not find any more. */
inline trim(whose, first)
{
    if
    :: first > 0 ->
        for (step : 0 .. DEPTH - 1) {
            if
            :: step + first < entry[whose].length ->
                entry[whose].back[step] = entry[whose].back[step + first];
                entry[whose].gives[step] = entry[whose].gives[step + first]
            :: else ->
                entry[whose].back[step] = NONE;
                entry[whose].gives[step] = 0
            fi
        }
        entry[whose].length = entry[whose].length - first;
        entry[whose].seen = (entry[whose].seen > first -> entry[whose].seen - first : 0);
        member_seen[whose] = (member_seen[whose] > first -> member_seen[whose] - first : 0);
        step = 0
    :: else
    fi
}

inline store_entry(me, position_back)
{
#ifdef LOG_BLOCKS
    (entry[me].length < DEPTH);
#else
    assert(entry[me].length < DEPTH);
#endif
    entry[me].back[entry[me].length] = position_back;
    entry[me].gives[entry[me].length] = known[me];
    entry[me].length = entry[me].length + 1
}

/* `stale` tells afterwards whether a newer store was passed over. */
inline load_entry(whose, position_back)
{
    cursor = entry[whose].length - 1;
    do
    :: break
    :: cursor > entry[whose].seen ->
        stale = true;
        cursor = cursor - 1
    od;
    position_back = entry[whose].back[cursor];
    known[WRITER] = known[WRITER] | entry[whose].gives[cursor];
    entry[whose].seen = cursor;
    trim(whose, cursor);
    cursor = 0
}

inline load_claimed(me, position_back)
{
    position_back = 0;
    do
    :: position_back == SLOTS + 1 || position_back == 0 || stamp_begins[SLOT_BACK(position_back)] -> break
    :: position_back < claimed_back[me] -> position_back = position_back + 1
    od;
    claimed_back[me] = position_back
}

inline exchange_by_writer()
{
#ifndef MUTANT_NO_MEMBERSHIP
    known[WRITER] = known[WRITER] | member_gives;
    member_gives = known[WRITER];
    member_claimed_back = 0;
    for (reader : 0 .. READERS - 1) {
        entry[reader].seen = (member_seen[reader] > entry[reader].seen -> member_seen[reader] : entry[reader].seen);
        trim(reader, entry[reader].seen);
        member_seen[reader] = entry[reader].seen
    }
    reader = 0;
#endif
    skip
}

inline exchange_by_reader(me)
{
    atomic {
#ifndef MUTANT_NO_MEMBERSHIP
        member_gives = member_gives | known[me];
        known[me] = known[me] | member_gives & ASKS_FOR(me);
        member_claimed_back = (claimed_back[me] < member_claimed_back -> claimed_back[me] : member_claimed_back);
        claimed_back[me] = member_claimed_back;
        member_seen[me] = entry[me].length - 1;
        if
        :: !looking -> trim(me, member_seen[me])
        :: else
        fi
#endif
        skip
    }
}

active proctype writer()
{
    byte room, wanted, found, i, reader, cursor, step;
    bool stale;

    known[WRITER] = EVERY_FACT;
    do
    ::  atomic {
            select (wanted : 1 .. BATCH);
            if
            :: room < wanted ->
                looking = true;
                exchange_by_writer()
            :: else
            fi
        };
        atomic {
            if
            :: looking ->
                /* kn_writer_find_gate, in terms of the room that each leaves */
                looking = false;
                room = SLOTS;
#ifdef MUTANT_GATE_NOT_CLAMPED
                room = 2 * SLOTS;
#endif
                for (reader : 0 .. READERS - 1) {
                    load_entry(reader, found);
                    room = (found != NONE && SLOTS - found < room -> SLOTS - found : room);
                    i = (unread[reader] > i -> unread[reader] : i);
                    stale = stale || joining[reader]
                }
                assert(stale || room >= SLOTS - i);
                i = 0
            :: else
            fi;
            wanted = (room < wanted -> room : wanted);
            for (i : 1 .. wanted) {
                for (reader : 0 .. READERS - 1) {
                    assert(unread[reader] < SLOTS);              /* unread */
                    assert(KNOWS(WRITER, TOUCHED(reader, next))) /* race */
                }
                happens(WRITER, WRITTEN(next));
                stamp_begins[next] = (i == 1);
                stamp_run[next] = wanted + 1 - i;
                stamp_gives[next] = 0;
                stamp_news[next] = (1 << READERS) - 1;
                advance()
            }
            if
            :: wanted > 0 -> stamp_gives[SLOT_BACK(wanted)] = known[WRITER]
            :: else
            fi;
            room = room - wanted;
            found = 0;
            stale = false;
            i = 0;
            reader = 0
        };
        if
        :: wanted == 0 ->
wait_full:  atomic {
                for (reader : 0 .. READERS - 1) {
                    (unread[reader] < SLOTS && !joining[reader])
                }
                reader = 0
            }
        :: else -> wanted = 0
        fi
    od
}

/* kn_ring_run; the stamp that is looked for is the newest of its slot, or not stored yet. */
inline load_stamp(me, position_back, found)
{
    if
    :: position_back > 0 ->
        found = stamp_run[SLOT_BACK(position_back)];
        stamp_news[SLOT_BACK(position_back)] = stamp_news[SLOT_BACK(position_back)] & ~(1 << me);
        known[me] = known[me] | stamp_gives[SLOT_BACK(position_back)] & ASKS_FOR(me)
    :: position_back == 0 -> found = 0
    :: position_back > 0 && (stamp_news[SLOT_BACK(position_back)] & (1 << me)) != 0 ->
        found = 0;
        stale = true
    fi
}

/* Holds the writer at a position that is an old one by now. */
inline hold_early(me)
{
    atomic {
        joining[me] = true;
        load_claimed(me, first);
        first = (first < SLOTS -> first : SLOTS);
        store_entry(me, first);
        first = 0
    }
}

inline begin(me)
{
    atomic {
        load_claimed(me, first);
        assert(first <= SLOTS); /* or it is overwritten already */
        unread[me] = first;
        joined[me] = true;
        first = 0
    }
}

inline store_first(me)
{
    atomic {
        store_entry(me, unread[me]);
        joining[me] = false
    }
}

active [READERS] proctype reader()
{
    byte me = _pid - 1;
    byte first, ready, wanted, count, found, i, step;
    bool stale;

    do
    ::  /* join_broadcast */
        (entry[me].length + 2 * SLOTS + 3 <= DEPTH);
#if defined(MUTANT_ENTRY_AFTER_EXCHANGE)
        exchange_by_reader(me);
        hold_early(me);
        begin(me);
        store_first(me);
#elif defined(MUTANT_CLAIMED_BEFORE_EXCHANGE)
        hold_early(me);
        begin(me);
        exchange_by_reader(me);
        store_first(me);
#else
        hold_early(me);
        exchange_by_reader(me);
        atomic {
            begin(me);
            store_first(me)
        };
#endif

        do
        ::  atomic {
                select (wanted : 1 .. BATCH);
                /* kn_reader_extend; `ready` is ahead of position */
                do
                :: ready < wanted ->
                    load_stamp(me, unread[me] - ready, found);
                    if
                    :: found > 0 -> ready = ready + found
                    :: else -> break
                    fi
                :: else -> break
                od;
                count = (ready < wanted -> ready : wanted);
                assert(stale || count > 0 || unread[me] == 0);
                for (i : 1 .. count) {
                    assert(unread[me] > 0);
                    assert(KNOWS(me, WRITTEN(SLOT_BACK(unread[me])))); /* race */
                    happens(me, TOUCHED(me, SLOT_BACK(unread[me])));
                    unread[me] = unread[me] - 1;
                    ready = ready - 1;
                    if /* all that was peeked is released at once, or less */
                    :: i < count -> break
                    :: true
                    fi
                }
                if
                :: count > 0 -> store_entry(me, unread[me])
                :: else
                fi;
                wanted = 0;
                found = 0;
                stale = false;
                i = 0
            };
            if
            :: count == 0 ->
                if
                :: (unread[me] > 0)
                :: break
                fi
            :: else -> count = 0
            fi
        ::  break
        od;

        /* kn_reader_leave */
        atomic {
            store_entry(me, NONE);
            joined[me] = false;
            unread[me] = 0;
            ready = 0;
            count = 0
        }
    od
}
