/*
 * What src/queue/recover.c does for writers that were killed: WRITERS shared writers, one exclusive reader and
 * RECOVERERS callers of kn_sector_recover on a robust sector of SLOTS slots.
 *
 * A writer names the slots it is about to claim in its intent, claims them by compare-and-swap, publishes them, the
 * first stamp last, and forgets the intent. It may be killed between any two steps; its entry is buried then, and taken
 * over by another one. A recoverer exchanges itself into the entry of a dead owner, empties it, and then marks what is
 * claimed, unpublished and in no living writer's intent as abandoned, by compare-and-swap from the stamp that it read;
 * it may be killed as well. All run for ever. Checked:
 *   - no slot of a living writer, and none that is published, is abandoned;
 *   - every message that is published is read once, whole and in order, and no slot is written before it is released;
 *   - when recovery has ended, no slot of a writer that was dead before is left, but where a living writer intends it;
 *   - there is no deadlock: the reader gets past the slots of dead writers.
 *
 * Steps are sequentially consistent: that another process is dead is known from the system, which orders all that it
 * did before; of the living ones mpsc.pml shows the weaker memory. The gate, which mpsc.pml shows too, is here the
 * reader's position itself. What is released is stamped, so recovery looks only at what lies behind.
 *
 * Positions are counted from what is released, so that there is a finite number of states. Position 0 stands for all
 * older ones; stamps of what is released are all the same, as they are older than any that is looked for.
 *
 * Each MUTANT_ breaks one step and must be found out.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef RECOVERERS
#define RECOVERERS 1
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BATCH
#define BATCH 2
#endif

#define FIRST SLOTS
#define NO_POSITION 255

/* Stamps: the position that was stamped, whether the run is abandoned, and its length; 0: of any older position. */
#define RUN 7
#define ABANDONED 8
#define STAMP_SHIFT 4
#define STAMP_OF(position, run) (((position) << STAMP_SHIFT) + (run))
#define RUN_AT(position, stamp) ((stamp) >> STAMP_SHIFT == (position) -> (stamp) & (ABANDONED | RUN) : 0)

#define NOTHING 0
byte claimed = FIRST;
byte stamps[SLOTS];
byte message[SLOTS]; /* its position; NOTHING when it is released */

/* Entries of the writers. Owners: nobody, the writer itself, a recoverer that lives or that is dead. */
#define NOBODY 0
#define ITSELF 1
#define DEAD_RECOVERER 2
#define RECOVERER(caller) (3 + (caller))
#define LIVES(entry) (owner[entry] >= RECOVERER(0) || owner[entry] == ITSELF && !killed[entry])
#define IS_DEAD(entry) (owner[entry] != NOBODY && !LIVES(entry))
byte owner[WRITERS] = ITSELF;
byte intent_first[WRITERS] = NO_POSITION;
byte intent_end[WRITERS];
bool killed[WRITERS];

/* What they remember. */
byte position[WRITERS]; /* loaded; then claimed */
byte looked_at[RECOVERERS];
byte looked_until[RECOVERERS];
byte seen_stamp[RECOVERERS];

/* Known to the checks only: who has claimed a slot and not yet published it; of the dead, whether it was dead when the
 * present recovery began. */
#define FREE 0
#define DEAD 1
#define LONG_DEAD 2
#define OF(writer) (3 + (writer))
#define WAS_FORGOTTEN (claimer[0] == LONG_DEAD || claimer[SLOTS / 2] == LONG_DEAD || claimer[SLOTS - 1] == LONG_DEAD)
#define IS_LEFT(slot) (claimer[slot] == DEAD || claimer[slot] == LONG_DEAD)
byte claimer[SLOTS];

hidden byte i, j, kept, at;

inline lower(place)
{
    place = (place > 0 && place < NO_POSITION -> place - 1 : place)
}

inline lower_stamp(place)
{
    place = ((place >> STAMP_SHIFT) > FIRST -> place - (1 << STAMP_SHIFT) : 0)
}

/* kn_reader_move by one slot. */
inline release()
{
    message[FIRST % SLOTS] = NOTHING;
    kept = stamps[0];
    for (j : 0 .. SLOTS - 2) {
        stamps[j] = stamps[j + 1];
        message[j] = message[j + 1];
        claimer[j] = claimer[j + 1]
    }
    stamps[SLOTS - 1] = kept;
    message[SLOTS - 1] = NOTHING;
    claimer[SLOTS - 1] = FREE;
    for (j : 0 .. SLOTS - 1) {
        lower_stamp(stamps[j]);
        lower(message[j])
    }
    for (j : 0 .. WRITERS - 1) {
        lower(position[j]);
        lower(intent_first[j]);
        intent_end[j] = (intent_end[j] > 1 -> intent_end[j] - 1 : intent_end[j]) /* 0 has a meaning of its own */
    }
    for (j : 0 .. RECOVERERS - 1) {
        lower(looked_at[j]);
        lower(looked_until[j]);
        lower_stamp(seen_stamp[j])
    }
    lower(claimed)
}

/* kn_writer_intend: the end before the first, which has no effect any more when the end is 0. */
inline forget_intent(me)
{
    d_step {
        intent_end[me] = 0;
        intent_first[me] = NO_POSITION
    }
}

#define OR_DIES :: true -> goto died

proctype writer(byte me)
{
    byte slots, count;
    bool done;

again:
    do
    ::  /* kn_writer_claim_shared */
        position[me] = claimed;
        do
        ::  atomic {
                do
                :: slots < BATCH && position[me] + slots < FIRST + SLOTS -> slots = slots + 1
                :: slots > 0 || position[me] >= FIRST + SLOTS -> break
                od;
                if
                :: slots == 0 -> break
                :: else
                fi
            };
#ifndef MUTANT_INTENT_AFTER_CLAIM
            if
            :: atomic {
                   intent_end[me] = position[me] + slots;
                   if
                   :: intent_first[me] == NO_POSITION -> /* the end alone says nothing: one step */
                       intent_first[me] = position[me];
                       goto intended
                   :: else
                   fi
               }
            OR_DIES
            fi;
            if
            :: intent_first[me] = position[me]
            OR_DIES
            fi;
intended:
#endif
            if
            :: atomic {
                   d_step {
                       done = claimed == position[me];
                       if
                       :: done ->
                           claimed = claimed + slots;
                           for (i : 0 .. slots - 1) {
                               claimer[(position[me] + i) % SLOTS] = OF(me)
                           }
                       :: else ->
                           position[me] = claimed;
                           slots = 0
                       fi;
                       i = 0
                   };
                   if
                   :: done -> break
                   :: else
                   fi
               }
            OR_DIES
            fi
        od;
        if
        :: !done ->
            atomic {
                forget_intent(me);
                position[me] = 0
            };
            (claimed < FIRST + SLOTS)
        :: done ->
            done = false;
#ifdef MUTANT_INTENT_AFTER_CLAIM
            intent_end[me] = position[me] + slots;
            intent_first[me] = position[me];
#endif
#ifdef MUTANT_FORGET_BEFORE_PUBLISH
            forget_intent(me);
#endif
            /* kn_writer_stamp: the first stamp last. The messages are written before the others, and are nobody's
             * business yet: that is one step with the first of them. */
            count = slots;
            do
            :: count > 0 ->
                if
                :: d_step {
                       count = count - 1;
#ifdef MUTANT_FIRST_STAMP_FIRST
                       at = position[me] + slots - 1 - count;
#else
                       at = position[me] + count;
#endif
                       assert(position[me] >= FIRST); /* or this may replace the stamp of a later lap */
                       for (i : position[me] .. position[me] + slots - 1) {
                           assert(message[i % SLOTS] == NOTHING || message[i % SLOTS] == i); /* or one is lost */
                           message[i % SLOTS] = i
                       }
                       stamps[at % SLOTS] = STAMP_OF(at, position[me] + slots - at);
                       claimer[at % SLOTS] = FREE
                   }
                OR_DIES
                fi
            :: else -> break
            od;
            if
            :: atomic {
                   position[me] = 0;
                   slots = 0;
                   forget_intent(me)
               }
            OR_DIES
            fi
        fi
    od;

died:
    atomic {
        killed[me] = true;
        d_step {
            for (i : 0 .. SLOTS - 1) {
                claimer[i] = (claimer[i] == OF(me) -> DEAD : claimer[i])
            }
            i = 0
        };
        slots = 0;
        count = 0;
        done = false;
        position[me] = 0;
        /* Another one takes over the entry. */
        owner[me] == NOBODY;
        killed[me] = false;
        owner[me] = ITSELF;
        goto again
    }
}

#define NEXT RUN_AT(FIRST, stamps[FIRST % SLOTS])

/* What it has looked at and not released makes no difference to the others: to read and to release is one step. */
proctype reader()
{
    do
    ::  d_step {
            NEXT > 0 ->
            assert(NEXT > ABANDONED || message[FIRST % SLOTS] == FIRST);
            release()
        }
    ::  d_step { /* a run of two at once */
            NEXT > 1 && NEXT < ABANDONED ->
            assert(message[FIRST % SLOTS] == FIRST && message[(FIRST + 1) % SLOTS] == FIRST + 1);
            release();
            release()
        }
    od
}

/* kn_sector_recover. That it is killed matters only while it has an entry: then that has a dead owner again. */
proctype recoverer(byte me)
{
    byte entry;
    bool covered, in_doubt;

again:
    do
    ::  atomic {
            (IS_DEAD(0) || IS_DEAD(WRITERS - 1) || IS_LEFT(0) || IS_LEFT(SLOTS - 1));
            d_step {
                for (i : 0 .. SLOTS - 1) {
                    claimer[i] = (claimer[i] == DEAD -> LONG_DEAD : claimer[i])
                }
                i = 0
            }
        };
        do
        :: entry < WRITERS ->
            if
            :: atomic {
                   IS_DEAD(entry) -> owner[entry] = RECOVERER(me)
               };
               /* kn_entry_free */
               if
               :: intent_first[entry] = NO_POSITION
               OR_DIES
               fi;
               if
               :: atomic {
                      owner[entry] = NOBODY;
                      entry = entry + 1
                  }
               OR_DIES
               fi
            :: atomic {
                   !IS_DEAD(entry) -> entry = entry + 1
               }
            fi
        :: else -> break
        od;

        /* abandon_unpublished */
        atomic {
            entry = 0;
            looked_until[me] = claimed;
            looked_at[me] = FIRST
        };
        do
        :: looked_at[me] < looked_until[me] ->
            atomic {
                seen_stamp[me] = stamps[looked_at[me] % SLOTS];
                if
                :: seen_stamp[me] >> STAMP_SHIFT >= looked_at[me] || looked_at[me] < FIRST -> goto next
                :: else
                fi
            };
#ifndef MUTANT_IGNORE_INTENTS
            /* is_claimed_by_living */
            do
            :: entry < WRITERS && !covered ->
                atomic {
                    if
                    :: looked_at[me] < intent_first[entry] ->
                        entry = entry + 1;
                        goto looked
                    :: else
                    fi
                };
                atomic {
                    covered = (looked_at[me] < intent_end[entry] || intent_end[entry] == 0) && LIVES(entry);
                    entry = entry + 1
                };
looked:         skip
            :: else -> break
            od;
#endif
            atomic {
                if
                :: covered -> in_doubt = true
#ifdef MUTANT_NO_RECHECK
                :: !covered && looked_at[me] >= FIRST ->
#else
                :: !covered && looked_at[me] >= FIRST && stamps[looked_at[me] % SLOTS] == seen_stamp[me] ->
#endif
                    assert(IS_LEFT(looked_at[me] % SLOTS));
                    claimer[looked_at[me] % SLOTS] = FREE;
                    stamps[looked_at[me] % SLOTS] = STAMP_OF(looked_at[me], ABANDONED + 1)
                :: else /* published; or released, where an old stamp would take the place of an older one */
                fi
            };
next:
            atomic {
                entry = 0;
                covered = false;
                seen_stamp[me] = 0;
                looked_at[me] = looked_at[me] + 1
            }
        :: else -> break
        od;
        atomic {
            assert(RECOVERERS > 1 || in_doubt || !WAS_FORGOTTEN);
            in_doubt = false;
            looked_at[me] = 0;
            looked_until[me] = 0
        }
    od;

died:
    atomic {
        owner[entry] = DEAD_RECOVERER;
        entry = 0;
        goto again
    }
}

init {
    byte process;

    atomic {
        for (process : 0 .. WRITERS - 1) {
            run writer(process)
        }
        for (process : 0 .. RECOVERERS - 1) {
            run recoverer(process)
        }
        run reader()
    }
}
