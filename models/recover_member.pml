/*
 * What src/queue/recover.c does for members of a group that were killed: MEMBERS members and one caller of
 * kn_sector_recover on a robust sector with MESSAGES messages, all published.
 *
 * `taken` holds the next position and the name of the member that took last. A member confirms the last take of who is
 * named there before it replaces the name, notes up to where it is about to take, fills its hands, and takes up to
 * BATCH messages by compare-and-swap. Each may be killed between any two steps; so may the recoverer while it has an
 * entry. The recoverer makes an orphan of what the dead one had taken, which another member adopts, and otherwise frees
 * the entry, which a new member takes over. With SKIPPED, that position is an abandoned one, which is taken for nobody.
 * Checked:
 *   - every message is taken once, and read by who took it until it has released it;
 *   - what a dead member had taken and not released is shown to one other; what it was only about to take is not;
 *   - what is taken and not released is in somebody's hands, so that no writer replaces it;
 *   - in the end all is released, unless all are dead: nothing is lost, and there is no deadlock.
 *
 * Steps are sequentially consistent: that another process is dead is known from the system, which orders all that it
 * did before; of the living ones spmc.pml shows the weaker memory.
 *
 * Each MUTANT_ breaks one step and must be found out.
 */
#ifndef MEMBERS
#define MEMBERS 3
#endif
#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef BATCH
#define BATCH 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef SKIPPED
#define SKIPPED MESSAGES /* none */
#endif

#define NO_POSITION 255

/* `taken`: the next position, and who took last. */
#define NAME_BASE 8
#define WORD(position, name) ((position) * NAME_BASE + (name))
#define POSITION(word) ((word) / NAME_BASE)
#define NAME(word) ((word) % NAME_BASE)
#define NO_NAME 7
byte taken = NO_NAME;

/* Owners: a process of this number, whether the entry is its own or one that it has adopted. */
#define NOBODY 0
#define DEAD 1
#define RECOVERER 2
#define OF(process) (3 + (process))

/* Kinds. */
#define MEMBER 0
#define ORPHAN 1
#define FREE 2

byte owner[MEMBERS];
byte kind[MEMBERS];
byte position[MEMBERS] = NO_POSITION;
byte held_end[MEMBERS];
byte taken_end[MEMBERS];
byte orphans;

/* Known to the checks only: what has become of a message. */
#define UNTAKEN 0
#define RELEASED 1
#define LEFT_IN(entry) (2 + (entry))
#define HELD_BY(process) (2 + MEMBERS + (process))
byte fate[MESSAGES + 1];

/* Of a position that is only skipped nothing is to be shown. */
#ifdef MUTANT_HOLD_SKIPPED
#define NOT_HELD MESSAGES
#else
#define NOT_HELD SKIPPED
#endif

hidden byte i, j, covered;

/* Some position of an entry, or `taken`, is not behind any message that is taken and not released. */
inline check_hands()
{
    for (i : 0 .. MESSAGES - 1) {
        if
        :: fate[i] >= LEFT_IN(0) ->
            covered = POSITION(taken) <= i;
            for (j : 0 .. MEMBERS - 1) {
                covered = covered || position[j] <= i
            }
            assert(covered)
        :: else
        fi
    }
    i = 0;
    j = 0
}

/* kn_reader_confirm: a loop of exchanges, which is one step. */
inline confirm(word)
{
    d_step {
        if
#ifdef MUTANT_CONFIRM_BACKWARDS
        :: NAME(word) != NO_NAME ->
#else
        :: NAME(word) != NO_NAME && taken_end[NAME(word)] < POSITION(word) ->
#endif
            taken_end[NAME(word)] = POSITION(word)
        :: else
        fi;
        i = 0
    }
}

/* A step that may be the last one before its process is killed. */
#define OR_DIES                                                                                                        \
    :: atomic {                                                                                                        \
           deaths < DEATHS;                                                                                            \
           deaths = deaths + 1;                                                                                        \
           goto died                                                                                                   \
       }
byte deaths;
#define IS_ADOPTABLE(entry) (kind[entry] == ORPHAN && owner[entry] == NOBODY)
byte released; /* messages */

/* kn_entry_free, and what is done before it becomes anybody's. */
inline free_entry(entry)
{
    if
    :: kind[entry] = FREE
    OR_DIES
    fi;
    if
    :: position[entry] = NO_POSITION
    OR_DIES
    fi;
    if
    :: owner[entry] = NOBODY
    OR_DIES
    fi
}

/* What this member reads becomes released, from `first` to below `last`. */
inline has_read(me, last)
{
    for (i : first .. last - 1) {
        assert(fate[i] == HELD_BY(me));
        fate[i] = RELEASED;
        released = released + 1
    }
    first = last
}

proctype member(byte me)
{
    byte word, hands, first, ready, last;
    bool taken_some;

again:
    do
    ::  atomic {
            (released == MESSAGES || POSITION(taken) < MESSAGES || IS_ADOPTABLE(0) || IS_ADOPTABLE(1) ||
             IS_ADOPTABLE(MEMBERS - 1));
            if
            :: released == MESSAGES -> goto finished
            :: released < MESSAGES
            OR_DIES
            fi
        };

        /* kn_reader_adopt */
        if
        :: orphans > 0 ->
            do
            :: hands < MEMBERS && kind[hands] == ORPHAN ->
                if
                :: atomic {
                       owner[hands] == NOBODY;
                       owner[hands] = OF(me)
                   };
                   if
                   :: atomic {
                          kind[hands] == ORPHAN;
                          first = position[hands];
                          ready = held_end[hands];
                          d_step {
                              for (i : first .. ready - 1) {
                                  assert(fate[i] == LEFT_IN(hands));
                                  fate[i] = HELD_BY(me)
                              }
                              taken_some = true
                          };
                          break
                      }
                   :: kind[hands] != ORPHAN ->
                       owner[hands] = NOBODY;
                       hands = hands + 1
                   OR_DIES
                   fi
                :: owner[hands] != NOBODY -> hands = hands + 1
                OR_DIES
                fi
            :: hands < MEMBERS && kind[hands] != ORPHAN -> hands = hands + 1
            :: hands == MEMBERS -> break
            od
        :: orphans == 0
        fi;

        /* kn_member_take */
        if
        :: !taken_some ->
            hands = me;
            word = taken;
            do
            :: POSITION(word) == MESSAGES -> break
            :: POSITION(word) < MESSAGES ->
                atomic {
                    ready = POSITION(word) + 1;
                    do
                    :: ready < MESSAGES && ready < POSITION(word) + BATCH && ready != SKIPPED &&
                       POSITION(word) != SKIPPED -> ready = ready + 1
                    :: break
                    od
                };
#if !defined(MUTANT_NO_CONFIRM) && !defined(MUTANT_CONFIRM_AFTER_REPLACE)
                if
                :: NAME(word) != me ->
                    if
                    :: confirm(word)
                    OR_DIES
                    fi
                :: NAME(word) == me
                fi;
#endif
                if
                :: held_end[me] = (POSITION(word) == NOT_HELD -> 0 : ready)
                OR_DIES
                fi;
                if
                :: position[me] = POSITION(word)
                OR_DIES
                fi;
                if
                :: atomic {
                       taken == word;
                       taken = WORD(ready, me);
                       if
                       :: POSITION(word) == SKIPPED ->
                           assert(fate[POSITION(word)] == UNTAKEN);
                           fate[POSITION(word)] = RELEASED;
                           released = released + 1;
                           word = taken
                       :: else ->
                           d_step {
                               for (i : POSITION(word) .. ready - 1) {
                                   assert(fate[i] == UNTAKEN);
                                   fate[i] = HELD_BY(me)
                               }
                               first = POSITION(word);
                               taken_some = true
                           };
#ifdef MUTANT_CONFIRM_AFTER_REPLACE
                           last = word;
#endif
                           break
                       fi
                   };
                   if
                   :: position[me] = NO_POSITION
                   OR_DIES
                   fi
                :: atomic {
                       taken != word;
                       word = taken
                   }
                OR_DIES
                fi
            od;
            if
            :: !taken_some ->
                d_step {
                    position[me] = NO_POSITION;
                    check_hands()
                }
            :: taken_some
            fi;
#ifdef MUTANT_CONFIRM_AFTER_REPLACE
            if
            :: taken_some && NAME(last) != me ->
                if
                :: confirm(last)
                OR_DIES
                fi
            :: else
            fi;
#endif
        :: taken_some
        fi;
        word = 0;

        /* kn_reader_give: some of it, then all */
        do
        :: taken_some && ready > first + 1 ->
            if
            :: d_step {
                   has_read(me, first + 1);
                   position[hands] = first;
                   check_hands()
               }
            OR_DIES
            fi
        :: taken_some && hands == me ->
            if
            :: d_step {
                   has_read(me, ready);
                   position[hands] = NO_POSITION;
                   check_hands()
               }
            OR_DIES
            fi;
            break
        :: taken_some && hands != me ->
            /* kn_reader_finish_adopted */
            if
            :: d_step {
                   has_read(me, ready);
                   kind[hands] = FREE
               }
            OR_DIES
            fi;
            free_entry(hands);
            if
            :: orphans = orphans - 1
            OR_DIES
            fi;
            break
        :: !taken_some -> break
        od;
        atomic {
            taken_some = false;
            hands = 0;
            first = 0;
            ready = 0
        }
    od;

died:
    atomic {
        word = 0;
        d_step {
            for (i : 0 .. MESSAGES - 1) {
                fate[i] = (fate[i] == HELD_BY(me) -> LEFT_IN(hands) : fate[i])
            }
            for (i : 0 .. MEMBERS - 1) {
                owner[i] = (owner[i] == OF(me) -> DEAD : owner[i])
            }
            taken_some = false;
            hands = 0;
            first = 0;
            ready = 0
        }
    };
    /* Another one takes over the entry. */
end_dead:
    atomic {
        owner[me] == NOBODY && kind[me] == FREE;
        owner[me] = OF(me);
        kind[me] = MEMBER;
        taken_end[me] = 0;
        goto again
    };
finished:
    skip
}

/* kn_sector_recover */
proctype recoverer()
{
    byte entry;
    bool has_taken;

end_again:
    do
    ::  atomic {
            (owner[0] == DEAD || owner[1] == DEAD || owner[MEMBERS - 1] == DEAD);
            if
            :: owner[0] == DEAD -> entry = 0
            :: owner[1] == DEAD -> entry = 1
            :: owner[MEMBERS - 1] == DEAD -> entry = MEMBERS - 1
            fi;
            owner[entry] = RECOVERER
        };
        if
        :: kind[entry] == ORPHAN ->
            owner[entry] = NOBODY
        :: kind[entry] == FREE -> free_entry(entry)
        :: kind[entry] == MEMBER ->
            if
            :: position[entry] == NO_POSITION || held_end[entry] <= position[entry]
            :: else ->
                has_taken = taken == WORD(held_end[entry], entry);
                has_taken = has_taken || taken_end[entry] == held_end[entry]
            fi;
            if
            :: has_taken ->
                has_taken = false;
                if
                :: orphans = orphans + 1
                OR_DIES
                fi;
                if
                :: kind[entry] = ORPHAN
                OR_DIES
                fi;
                if
                :: owner[entry] = NOBODY
                OR_DIES
                fi
            :: !has_taken ->
                d_step {
                    for (i : 0 .. MESSAGES - 1) {
                        assert(fate[i] != LEFT_IN(entry)) /* or it is lost */
                    }
                    i = 0
                };
                free_entry(entry)
            fi
        fi;
        entry = 0
    od;

died:
    atomic {
        owner[entry] = DEAD;
        has_taken = false;
        entry = 0;
        goto end_again
    }
}

init {
    byte process;

    atomic {
        for (process : 0 .. MEMBERS - 1) {
            owner[process] = OF(process);
            run member(process)
        }
        run recoverer()
    }
}
