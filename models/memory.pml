/*
 * C11 memory for the models: relaxed, release and acquire accesses, exchanges, and data races.
 *
 * Spin interleaves sequentially consistent steps; this file puts weaker memory on top. Each location has one thread
 * that writes it (OWNER) and one that reads it (READER). A store does not change memory: it is appended to its owner's
 * log. `base` is what the reader is sure of. An atomic load may return what base holds or any store of the log to that
 * location, but never an older one than was read before (coherence); so stores become visible late, and stores to
 * different locations in any order. Only an acquire load that reads a release store makes the reader sure: the log up
 * to that store is folded into base. Thereby the log is a store buffer that is flushed out of order, and the reader an
 * invalidation queue, at once.
 *
 * A plain load of a location whose log holds a store, a store to a location whose plain read the owner does not yet
 * know to have ended, and an atomic look that meets a plain store are data races: an assertion fails.
 *
 * What acquires a release is at least what C11 says minus its release sequences of plain stores (C++20 dropped them),
 * so nothing here relies on them. Out of reach: cycles of relaxed loads and stores out of thin air, which C11 allows
 * and no compiler makes, and of which a data race is the visible part here.
 *
 * A run of stores, or of loads after which nothing is stored, may be one atomic step: what the other thread could do in
 * between it can do before or after just as well, since it may pass over newer stores and races are found from either
 * side.
 *
 * The includer defines THREADS, LOCATIONS, LOG (most stores that a reader is not yet sure of), OWNER(place),
 * READER(place), and WORDS if it uses exchange; each process starts with MEMORY_SCRATCH. With LOG_BLOCKS, for mutants
 * that never make their reader sure, a full log ends the run instead of failing.
 */
#define PLAIN 0
#define RELAXED 1
#define RELEASE 2
#define ACQUIRE 3

#ifndef WORDS
#define WORDS 1
#endif

typedef Log {
    byte length;
    byte place[LOG];
    byte value[LOG];
    byte order[LOG]
};

Log log[THREADS];
byte base[LOCATIONS];
byte seen[LOCATIONS];      /* entry of the owner's log, counted from 1, that the reader read last */
byte read_at[LOCATIONS];   /* plainly read when the reader's log was this long, plus one; 0: known to have ended */
byte looked_at[LOCATIONS]; /* the same for atomic loads */

/* Words that several threads exchange: always the newest value, and what acquiring it makes sure of by thread. */
byte word[WORDS];
byte gives[WORDS * THREADS];

#define MEMORY_SCRATCH                                                                                                 \
    byte cursor;                                                                                                       \
    byte step;                                                                                                         \
    bool stale

#define LESS(value, amount) ((value) > (amount) -> (value) - (amount) : 0)

/* The reader becomes sure of the first `count` stores of a log. */
inline fold(author, count)
{
    d_step {
        for (step : 0 .. (LOG - 1)) {
            if
            :: step < count -> base[log[author].place[step]] = log[author].value[step]
            :: else
            fi
        }
        for (step : 0 .. (LOG - 1)) {
            if
            :: step + count < LOG ->
                log[author].place[step] = log[author].place[step + count];
                log[author].value[step] = log[author].value[step + count];
                log[author].order[step] = log[author].order[step + count]
            :: else ->
                log[author].place[step] = 0;
                log[author].value[step] = 0;
                log[author].order[step] = 0
            fi
        }
        log[author].length = log[author].length - count;
        for (step : 0 .. (LOCATIONS - 1)) {
            if
            :: OWNER(step) == author -> seen[step] = LESS(seen[step], count)
            :: else
            fi;
            if
            :: READER(step) == author ->
                read_at[step] = LESS(read_at[step], count);
                looked_at[step] = LESS(looked_at[step], count)
            :: else
            fi
        }
        for (step : 0 .. (WORDS - 1)) {
            gives[step * THREADS + author] = LESS(gives[step * THREADS + author], count)
        }
        step = 0
    }
}

inline store(author, target, content, ordering)
{
    d_step {
#ifdef LOG_BLOCKS
        (log[author].length < LOG);
#else
        assert(log[author].length < LOG);
#endif
        assert(read_at[target] == 0);                         /* race: overwritten while it is being read */
        assert((ordering) != PLAIN || looked_at[target] == 0); /* race: plain store against an atomic load */
        log[author].place[log[author].length] = target;
        log[author].value[log[author].length] = content;
        log[author].order[log[author].length] = ordering;
        log[author].length = log[author].length + 1
    }
}

/* `stale` tells afterwards whether a newer store was passed over. */
inline load(reader, author, target, ordering, result)
{
    atomic {
        cursor = log[author].length;
        stale = false;
        do
        :: cursor == 0 -> break
        :: cursor > 0 && log[author].place[cursor - 1] != target -> cursor = cursor - 1
        :: cursor > 0 && log[author].place[cursor - 1] == target -> break
        :: cursor > seen[target] && log[author].place[cursor - 1] == target ->
            assert(log[author].order[cursor - 1] != PLAIN); /* race: atomic load against a plain store */
            stale = true;
            cursor = cursor - 1
        od;
#ifdef MIXED_ACCESS
        looked_at[target] = log[reader].length + 1;
#endif
        if
        :: cursor == 0 -> result = base[target]
        :: else ->
            assert(log[author].order[cursor - 1] != PLAIN); /* race: atomic load against a plain store */
            result = log[author].value[cursor - 1];
            seen[target] = cursor;
            if
            :: (ordering) == ACQUIRE && log[author].order[cursor - 1] == RELEASE -> fold(author, cursor)
            :: else
            fi
        fi;
        cursor = 0
    }
}

inline plain_load(reader, author, target, result)
{
    d_step {
        for (step : 0 .. (LOG - 1)) {
            assert(step >= log[author].length || log[author].place[step] != target) /* race: written meanwhile */
        }
        result = base[target];
        read_at[target] = log[reader].length + 1;
        step = 0
    }
}

/* Read-modify-write of a word. Acquiring folds the log of `author`, whose reader the caller must be. */
inline exchange_acquire_release(me, author, which, content, result)
{
    d_step {
        result = word[which];
        cursor = gives[which * THREADS + author];
        fold(author, cursor);
        cursor = 0;
        gives[which * THREADS + me] = log[me].length;
        word[which] = content
    }
}

inline exchange_release(me, which, content, result)
{
    d_step {
        result = word[which];
        gives[which * THREADS + me] = log[me].length;
        word[which] = content
    }
}

/* A relaxed one still hands on the release that it read from: a release sequence goes through read-modify-writes. */
inline exchange_relaxed(which, content, result)
{
    d_step {
        result = word[which];
        word[which] = content
    }
}

/* A relaxed store to such a word ends every release sequence. */
inline store_word(which, content)
{
    d_step {
        word[which] = content;
        for (step : 0 .. (THREADS - 1)) {
            gives[which * THREADS + step] = 0
        }
        step = 0
    }
}
