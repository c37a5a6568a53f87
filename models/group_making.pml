/*
 * JOINERS readers that make the same group at once while an exclusive writer runs, and then are its members:
 * complete_group in reader.c against kn_writer_find_gate in writer.c.
 *
 * The writer runs for ever, with every batch size up to BATCH, and so do the members. Positions are counted back from
 * the writer's, and what lies further back than a capacity is as good as anything older, which closes the state space:
 * what Spin exhausts holds for runs of any length. Checked:
 *   - the group's first position is none that was, or is, overwritten before a member has taken it, by whatever gate
 *     the writer had found before;
 *   - what is published after any joiner is done is taken, all of it: the position moves by taking alone from then on;
 *   - nobody who is done finds the group still being made, and no two accesses to a message race;
 *   - an answer of full from an up-to-date look is true, and there is no deadlock;
 *   - with STOP, where joiners halt anywhere for ever, the others are done as well.
 *
 * Memory is that of C11, seen as in join_leave.pml. `taken` is changed by compare-and-swap alone, which meets the
 * newest store; of a joiner's loads of it, earlier ones stand for late ones. A member takes one message at a time and
 * is done with it at once: what lies in hands is the business of spmc.pml.
 *
 * Each MUTANT_ breaks one ordering or step and must be found out.
 */
#ifndef JOINERS
#define JOINERS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif
#define DEPTH (2 * SLOTS + 4) /* stores to `taken` that the writer may still find */

#define WRITER JOINERS
#define THREADS (JOINERS + 1)

#define WRITTEN(slot) (1 << (slot))
#define TOUCHED(slot) (1 << (SLOTS + (slot)))
#define EVERY_FACT ((1 << 2 * SLOTS) - 1)

/* The group's word: a position, by how far back it is, older ones being FAR; and whether the group is being made. */
#define FAR (SLOTS + 1)
#define FREE 127
#ifdef MUTANT_SAME_MARK
#define MAKING 0
#else
#define MAKING 128
#endif
#define IS_BEING_MADE(word) ((word) / 128 == MAKING / 128 && (word) != FREE)
#define OLDER(word) ((word) % 128 < FAR -> (word) + 1 : (word))

#ifdef STOP
#define WAIT(name) end_##name
#define MAY_STOP                                                                                                       \
    if                                                                                                                 \
    :: goto end_stopped                                                                                                \
    :: true                                                                                                            \
    fi
#else
#define WAIT(name) wait_##name
#define MAY_STOP skip
#endif

int known[THREADS];

/* Of each slot the stamp of what was published there last: whether its run begins there, and what acquiring it gives. A
 * stamp that is missed for a while has no consequence here. */
bool stamp_begins[SLOTS];
int stamp_gives[SLOTS];
byte next; /* the writer's slot */

/* How far back `claimed` may still be read. */
byte claimed_back[JOINERS];

byte length = 1;
byte taken[DEPTH] = FREE;
int gives[DEPTH];
byte saw[JOINERS]; /* which store a joiner has read */
bool saw_newest[JOINERS];
#define NEWEST taken[length - 1]

/* What an exchange of `membership` makes known. */
int member_gives;
byte member_claimed_back;
byte member_seen;

byte chosen[JOINERS]; /* the first position that a joiner has read */

/* Known to the checks only: joiners that are done, and what was published since the first was and is not taken yet. */
byte done;
byte owed;

#define KNOWS(me, fact) ((known[me] & (fact)) != 0)
#define SLOT_BACK(back) ((next + SLOTS - (back)) % SLOTS)
#define LESS(index, amount) ((index) > (amount) -> (index) - (amount) : 0)
#define LARGER(one, other) ((one) > (other) -> (one) : (other))

inline happens(me, fact)
{
    for (step : 0 .. THREADS - 1) {
        known[step] = known[step] & ~(fact)
    }
    for (step : 0 .. SLOTS - 1) {
        stamp_gives[step] = stamp_gives[step] & ~(fact)
    }
    for (step : 0 .. DEPTH - 1) {
        gives[step] = gives[step] & ~(fact)
    }
    member_gives = member_gives & ~(fact);
    known[me] = known[me] | (fact);
    step = 0
}

/* The writer's position moves on, and everything falls back. */
inline advance()
{
    next = (next + 1) % SLOTS;
    for (step : 0 .. JOINERS - 1) {
        claimed_back[step] = (claimed_back[step] < FAR -> claimed_back[step] + 1 : FAR);
        chosen[step] = (chosen[step] < FAR -> chosen[step] + 1 : FAR)
    }
    for (step : 0 .. DEPTH - 1) {
        taken[step] = (step < length && taken[step] != FREE -> OLDER(taken[step]) : taken[step])
    }
    member_claimed_back = (member_claimed_back < FAR -> member_claimed_back + 1 : FAR);
    owed = owed + (done > 0 -> 1 : 0);
    step = 0
}

/* The writer will not find what is older than what it has found. */
inline writer_saw(which)
{
    cursor = which;
    for (step : 0 .. DEPTH - 1) {
        taken[step] = (step + cursor < length -> taken[(step + cursor) % DEPTH] : FREE);
        gives[step] = (step + cursor < length -> gives[(step + cursor) % DEPTH] : 0)
    }
    length = length - cursor;
    member_seen = LESS(member_seen, cursor);
    for (step : 0 .. JOINERS - 1) {
        saw[step] = LESS(saw[step], cursor)
    }
    cursor = 0;
    step = 0
}

/* A compare-and-swap that succeeds. */
inline swap_taken(me, content)
{
#ifdef LOG_BLOCKS
    (length < DEPTH);
#else
    assert(length < DEPTH);
#endif
    known[me] = known[me] | gives[length - 1];
    taken[length] = content;
    gives[length] = known[me];
    saw[me] = length;
    length = length + 1;
    for (step : 0 .. JOINERS - 1) {
        saw_newest[step] = false
    }
    step = 0
}

active proctype writer()
{
    byte room, wanted, found, i, cursor, step;
    bool stale, looking;

    known[WRITER] = EVERY_FACT;
    do
    ::  atomic {
            select (wanted : 1 .. BATCH);
            if
            :: room < wanted ->
                looking = true;
#ifndef MUTANT_NO_MEMBERSHIP
                known[WRITER] = known[WRITER] | member_gives;
                member_gives = known[WRITER];
                member_claimed_back = 0;
                writer_saw(member_seen)
#endif
            :: else
            fi
        };
        atomic {
            if
            :: looking ->
                /* kn_writer_find_gate, in terms of the room that is left */
                looking = false;
                cursor = length - 1;
                do
                :: break
                :: cursor > 0 ->
                    stale = true;
                    cursor = cursor - 1
                od;
                found = taken[cursor];
                known[WRITER] = known[WRITER] | gives[cursor];
                writer_saw(cursor);
                assert(stale || found == NEWEST);
                room = (found == FREE -> SLOTS : (found % 128 < SLOTS -> SLOTS - found % 128 : 0))
            :: else
            fi;
            wanted = (room < wanted -> room : wanted);
            for (i : 1 .. wanted) {
                assert(NEWEST == FREE || IS_BEING_MADE(NEWEST) || NEWEST < SLOTS); /* not taken */
                assert(owed < SLOTS);
                assert(KNOWS(WRITER, TOUCHED(next))); /* race */
                happens(WRITER, WRITTEN(next));
                stamp_begins[next] = (i == 1);
                stamp_gives[next] = 0;
                advance()
            }
            if
            :: wanted > 0 -> stamp_gives[SLOT_BACK(wanted)] = known[WRITER]
            :: else
            fi;
            room = room - wanted;
            found = 0;
            stale = false;
            i = 0
        };
        if
        :: wanted == 0 ->
WAIT(full): (NEWEST == FREE || NEWEST % 128 < SLOTS)
        :: else -> wanted = 0
        fi
    od
}

/* The beginning of a run, or far back. */
inline load_claimed(me, position_back)
{
    position_back = 0;
    do
    :: position_back == FAR || position_back == 0 || stamp_begins[SLOT_BACK(position_back)] -> break
    :: position_back < claimed_back[me] -> position_back = position_back + 1
    od;
    claimed_back[me] = position_back
}

inline exchange_by_joiner(me)
{
    atomic {
#ifndef MUTANT_NO_MEMBERSHIP
        member_gives = member_gives | known[me];
        known[me] = known[me] | member_gives;
        member_claimed_back = (claimed_back[me] < member_claimed_back -> claimed_back[me] : member_claimed_back);
        claimed_back[me] = member_claimed_back;
        member_seen = LARGER(member_seen, saw[me])
#endif
        skip
    }
}

active [JOINERS] proctype joiner()
{
    byte me = _pid - 1;
    byte back, step;
    bool found;

    /* complete_group */
    atomic {
        load_claimed(me, back);
        if
        :: NEWEST == FREE ->
#ifdef MUTANT_EARLY_IS_FIRST
            swap_taken(me, back)
#else
            back = back + MAKING;
            swap_taken(me, back)
#endif
        :: else
        fi;
        back = 0
    };
    MAY_STOP;
    atomic {
        assert(NEWEST != FREE);
        found = IS_BEING_MADE(NEWEST);
        saw[me] = length - 1;
        saw_newest[me] = true;
#ifndef MUTANT_RELAXED_HELP
        /* with the mark comes where `claimed` was */
        known[me] = known[me] | gives[length - 1];
        claimed_back[me] = (found && NEWEST % 128 < claimed_back[me] -> NEWEST % 128 : claimed_back[me])
#endif
    };
    MAY_STOP;
    if
    :: found ->
        found = false;
        exchange_by_joiner(me);
        MAY_STOP;
        /* What is read here grows old before it is stored. */
        atomic {
            load_claimed(me, back);
            chosen[me] = back;
            back = 0
        };
        MAY_STOP;
        atomic {
            if
            :: saw_newest[me] ->
                assert(chosen[me] <= SLOTS); /* or it is overwritten already */
                assert(chosen[me] >= owed);  /* or what follows a join that is done is missed */
                back = chosen[me];
                swap_taken(me, back)
            :: else
            fi;
            chosen[me] = 0;
            back = 0
        }
    :: else
    fi;
    atomic {
        saw[me] = 0;
        saw_newest[me] = false;
        claimed_back[me] = 0;
        assert(!IS_BEING_MADE(NEWEST) || MAKING == 0);
        assert(NEWEST <= SLOTS);
        done = done + 1
    };

    /* kn_member_take of one message, and release of it */
    do
    ::  atomic {
            (NEWEST > 0);
            known[me] = known[me] | gives[length - 1];
            back = SLOT_BACK(NEWEST);
            known[me] = known[me] | stamp_gives[back];
            assert(KNOWS(me, WRITTEN(back))); /* race */
            happens(me, TOUCHED(back));
            owed = LESS(owed, 1);
            back = NEWEST - 1;
            swap_taken(me, back);
            saw[me] = 0;
            back = 0
        }
    od;
end_stopped:
    false
}
