/*
 * A reader with KN_LAG_SKIP, or with DROP one with KN_LAG_DROP, and an exclusive writer that moves it out of its way:
 * kn_reader_hold in reader.c against move_lagging in writer.c.
 *
 * Both run for ever, with every batch size up to BATCH. Positions are counted back from the writer's, and what lies
 * further back than a capacity is as good as anything older, which closes the state space: what Spin exhausts holds for
 * runs of any length. Checked:
 *   - what the reader has in its hands is not overwritten, nor anything that its entry says it needs;
 *   - it reads what lies at its position, whole; from what was lost to what comes next there is no gap and no overlap,
 *     also where it was moved into the middle of a run;
 *   - no two accesses to a message race;
 *   - the writer finds room, as much as it wants, unless the reader holds a span or has moved since it was looked at;
 *   - an answer of empty from an up-to-date look is true, a dropped reader stays dropped, and there is no deadlock.
 *
 * Memory is that of C11, seen as in broadcast.pml, where accesses and the store that ends them are one step for the
 * same reason. The entry's position is also changed by compare-and-swap, which meets the newest store. A reader that
 * holds and finds nothing over and over, while the writer does not look, does so until DEPTH stores are kept.
 *
 * The writer wants at most a capacity. Who releases nothing must store nothing: MUTANT_RELEASE_NOTHING does.
 *
 * Each MUTANT_ breaks one ordering or check and must be found out.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif
#ifndef EIGHTH
#define EIGHTH 0 /* how much further the reader is moved than it must be */
#endif
#ifndef DEPTH
#define DEPTH (2 * SLOTS + 4) /* stores to the entry that the writer may still find */
#endif

#define WRITER 0
#define READER 1

#define WRITTEN(slot) (1 << (slot))
#define TOUCHED(slot) (1 << (SLOTS + (slot)))
#define EVERY_FACT ((1 << 2 * SLOTS) - 1)

/* A position, by how far back it is; older ones are FAR. */
#define FAR (SLOTS + 1)
#define DROPPED 64
#define HELD 128
#define OLDER(position) ((position) % HELD < FAR -> (position) + 1 : (position))

#ifdef MUTANT_RELAXED_HOLD
#define HOLD_ACQUIRES false
#else
#define HOLD_ACQUIRES true
#endif
#ifdef MUTANT_NO_HOLD
#define HOLD 0
#else
#define HOLD HELD
#endif

int known[2];

/* Of each slot the stamp of what was published there last: the length of the run, what acquiring it gives, and whether
 * it is news to the reader. */
byte stamp_run[SLOTS];
int stamp_gives[SLOTS];
bool stamp_news[SLOTS];
byte next; /* the writer's slot */

byte length = 1;
byte entry[DEPTH];
int gives[DEPTH];
#define NEWEST entry[length - 1]

byte mine;  /* the reader's own position */
bool moved; /* by the writer, and the reader does not know yet */
bool in_hands;

#define KNOWS(me, fact) ((known[me] & (fact)) != 0)
#define SLOT_BACK(back) ((next + SLOTS - (back)) % SLOTS)

inline happens(me, fact)
{
    known[WRITER] = known[WRITER] & ~(fact);
    known[READER] = known[READER] & ~(fact);
    for (step : 0 .. SLOTS - 1) {
        stamp_gives[step] = stamp_gives[step] & ~(fact)
    }
    for (step : 0 .. DEPTH - 1) {
        gives[step] = gives[step] & ~(fact)
    }
    known[me] = known[me] | (fact);
    step = 0
}

/* The writer's position moves on, and everything falls back. */
inline advance()
{
    next = (next + 1) % SLOTS;
    mine = OLDER(mine);
    for (step : 0 .. DEPTH - 1) {
        entry[step] = (step < length -> OLDER(entry[step]) : 0)
    }
    step = 0
}

/* The writer will not find what is older than what it has found. */
inline writer_saw(which)
{
    cursor = which;
    for (step : 0 .. DEPTH - 1) {
        entry[step] = (step + cursor < length -> entry[(step + cursor) % DEPTH] : 0);
        gives[step] = (step + cursor < length -> gives[(step + cursor) % DEPTH] : 0)
    }
    length = length - cursor;
    cursor = 0;
    step = 0
}

inline append(position, what)
{
#ifdef LOG_BLOCKS
    (length < DEPTH);
#else
    assert(length < DEPTH);
#endif
    entry[length] = position;
    gives[length] = what;
    length = length + 1
}

active proctype writer()
{
    byte room, wanted, found, i, cursor, step;
    bool stale;

    known[WRITER] = EVERY_FACT;
    do
    ::  atomic {
            select (wanted : 1 .. BATCH);
            if
            :: room < wanted ->
                /* kn_writer_find_gate */
                cursor = length - 1;
                do
                :: break
                :: cursor > 0 ->
                    stale = true;
                    cursor = cursor - 1
                od;
                found = entry[cursor];
                known[WRITER] = known[WRITER] | gives[cursor];
                writer_saw(cursor);
                /* move_lagging */
#ifdef MUTANT_MOVE_HELD
                if
                :: found % HELD != DROPPED && found % HELD > SLOTS - wanted ->
#else
                if
                :: found < DROPPED && found > SLOTS - wanted ->
#endif
                    if
                    :: found == NEWEST && found != FAR ->
                        known[WRITER] = known[WRITER] | gives[length - 1];
#ifdef DROP
                        found = DROPPED;
#else
                        found = (SLOTS - wanted > EIGHTH -> SLOTS - wanted - EIGHTH : 0);
#endif
                        append(found, gives[length - 1] | known[WRITER]);
                        moved = true;
                        writer_saw(length - 1)
                    :: else ->
                        stale = true; /* it has moved since */
                        found = NEWEST;
                        known[WRITER] = known[WRITER] | gives[length - 1];
                        writer_saw(length - 1)
                    fi
                :: else
                fi;
                assert(stale || found >= HELD || found == DROPPED || SLOTS - found >= wanted);
                found = found % HELD;
                room = (found == DROPPED -> SLOTS : (found < SLOTS -> SLOTS - found : 0));
                stale = false;
                found = 0
            :: else
            fi
        };
        atomic {
            wanted = (room < wanted -> room : wanted);
            for (i : 1 .. wanted) {
                assert(!in_hands || mine < SLOTS);
                assert(NEWEST % HELD == DROPPED || NEWEST % HELD < SLOTS);
                assert(KNOWS(WRITER, TOUCHED(next))); /* race */
                happens(WRITER, WRITTEN(next));
                stamp_run[next] = wanted + 1 - i;
                stamp_gives[next] = 0;
                stamp_news[next] = true;
                advance()
            }
            if
            :: wanted > 0 -> stamp_gives[SLOT_BACK(wanted)] = known[WRITER]
            :: else
            fi;
            room = room - wanted;
            i = 0
        };
        if
        :: wanted == 0 ->
wait_full:  (NEWEST < HELD || NEWEST % HELD < SLOTS)
        :: else -> wanted = 0
        fi
    od
}

/* kn_ring_run: 0 where the slot holds a message of another lap. */
inline load_stamp(back, found)
{
    if
    :: back > 0 && back <= SLOTS ->
        found = stamp_run[SLOT_BACK(back)];
        stamp_news[SLOT_BACK(back)] = false;
        known[READER] = known[READER] | stamp_gives[SLOT_BACK(back)]
    :: back == 0 || back > SLOTS -> found = 0
    :: back > 0 && back <= SLOTS && stamp_news[SLOT_BACK(back)] ->
        found = 0;
        stale = true
    fi
}

active proctype reader()
{
    byte ready, wanted, count, found, i, step;
    bool stale;

    do
    ::  /* kn_reader_hold */
        atomic {
            (length + SLOTS + 2 <= DEPTH);
            if
            :: !moved ->
                known[READER] = known[READER] | (HOLD_ACQUIRES -> gives[length - 1] : 0);
                append(mine + HOLD, gives[length - 1] | known[READER]);
                in_hands = true
            :: moved && NEWEST == DROPPED -> break
            :: moved && NEWEST != DROPPED ->
                known[READER] = known[READER] | (HOLD_ACQUIRES -> gives[length - 1] : 0);
                assert(NEWEST < mine && NEWEST < SLOTS + 1); /* forwards, to what was not overwritten */
                mine = NEWEST;
                moved = false;
                ready = 0
            fi
        };
        do
        :: !in_hands -> break
        :: in_hands ->
            atomic {
                select (wanted : 1 .. BATCH);
                /* kn_reader_extend; `ready` is ahead of position */
                do
                :: ready < wanted ->
                    load_stamp(mine - ready, found);
                    if
                    :: found > 0 -> ready = ready + found
                    :: else -> break
                    fi
                :: else -> break
                od;
                count = (ready < wanted -> ready : wanted);
                assert(stale || count > 0 || mine == 0);
                for (i : 1 .. count) {
                    assert(mine > 0 && mine <= SLOTS);
                    assert(KNOWS(READER, WRITTEN(SLOT_BACK(mine)))); /* race */
                    happens(READER, TOUCHED(SLOT_BACK(mine)));
                    mine = mine - 1;
                    ready = ready - 1;
                    if
                    :: i < count -> break /* a part is released, the rest goes on being held */
                    :: true
                    fi
                }
                in_hands = count > 0 && i < count;
                /* kn_reader_move; nobody has moved it meanwhile */
                found = (in_hands -> mine + HOLD : mine);
                append(found, known[READER]);
#ifdef MUTANT_RELAXED_MOVE
                gives[length - 1] = 0;
#endif
                moved = false;
                wanted = 0;
                found = 0;
                stale = false;
                i = 0
            }
        od;
        if
        :: count == 0 ->
#ifdef MUTANT_RELEASE_NOTHING
            atomic {
                append(mine, known[READER]);
                moved = false
            };
#endif
wait_empty: (mine > 0)
        :: else -> count = 0
        fi
    od;

    /* -ESTALE from now on */
    assert(NEWEST == DROPPED);
end_dropped:
    (NEWEST != DROPPED) ->
    assert(false)
}
