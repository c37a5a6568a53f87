/*
 * The protocol of include/kernel/spsc_bytes.h: records of varying length in a ring of CAPACITY words.
 *
 * A word stands for the 8 bytes to which records are aligned: one for the header, which is 0 or the length plus one,
 * then one for each word of the message. The same word is a header in one lap and message in the next, so message
 * words take values that would pass for headers. Lengths from 0 to LONGEST, claims longer than what is published,
 * batches of up to BATCH records and every delay that memory.pml allows occur; record numbers count modulo NUMBERS
 * and positions modulo WRAP, which closes the state space: what Spin exhausts holds for runs of any length. Checked:
 *   - every record is read once, in order, with its length and its words, and not before its batch is flushed;
 *   - no word is written while it is unread or being read, and no old word is taken for a header;
 *   - an answer of full or empty from an up-to-date look is true, and there is no deadlock;
 *   - with STALL, where either thread halts at any point for ever, the other one never waits inside an operation.
 *
 * Each MUTANT_ breaks one ordering or check and must be found out.
 */
#ifndef CAPACITY
#define CAPACITY 4
#endif
#ifndef LONGEST
#define LONGEST 1
#endif
#ifndef BATCH
#define BATCH 2
#endif
#define WRAP (4 * CAPACITY)
#define NUMBERS (3 * CAPACITY)

#define PRODUCER 0
#define CONSUMER 1
#define WORD(position) ((position) % CAPACITY)
#define RELEASED CAPACITY
#define CONTENT(number, i) (1 + ((number) + (i)) % 3)

#define THREADS 2
#define LOCATIONS (CAPACITY + 1)
#define LOG (3 * CAPACITY)
#define OWNER(place) ((place) == RELEASED)
#define READER(place) ((place) != RELEASED)
#define MIXED_ACCESS
#include "memory.pml"

#ifdef MUTANT_RELAXED_PUBLISH
#define FLUSH_ORDER RELAXED
#else
#define FLUSH_ORDER RELEASE
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
#define GATE_ORDER ACQUIRE
#endif
/* Words that a claim needs behind its record: the next header, which staging zeroes. */
#ifdef MUTANT_GATE_WITHOUT_FENCE_POST
#define FENCE_POST 0
#else
#define FENCE_POST 1
#endif

#ifdef STALL
#define WAIT(name) end_##name
bool halted[THREADS];

active proctype halter()
{
    if
    :: halted[PRODUCER] = true
    :: halted[CONSUMER] = true
    :: skip
    fi
}

#define RUN_UNTIL_HALTED(me) unless { halted[me] }
#else
#define WAIT(name) wait_##name
#define RUN_UNTIL_HALTED(me)
#endif

/* Known to the checks only: each staged record's length plus one, how many are flushed and not yet peeked, and how
 * many words are staged and not yet released. */
byte expected[NUMBERS];
byte unpeeked;
byte occupied;

/* kn_spsc_bytes_flush */
inline flush()
{
    if
    :: first_header > 0 ->
        atomic {
            store(PRODUCER, WORD(published), first_header, FLUSH_ORDER);
            unpeeked = unpeeked + batch;
            first_header = 0;
            batch = 0;
            published = staged
        }
    :: else
    fi
}

active proctype producer()
{
    MEMORY_SCRATCH;
    byte staged, published, first_header, gate, batch, number, length, needed, i;

    {
        do
        ::  /* kn_spsc_bytes_claim */
            select (length : 0 .. LONGEST);
            needed = 1 + length + FENCE_POST;
            if
#ifdef MUTANT_NO_GATE
            :: false
#else
            :: (staged + needed + WRAP - gate) % WRAP > CAPACITY ->
                atomic {
                    load(PRODUCER, CONSUMER, RELEASED, GATE_ORDER, gate);
                    assert(stale || (staged + WRAP - gate) % WRAP == occupied)
                }
#endif
            :: else
            fi;

            if
#ifndef MUTANT_NO_GATE
            :: (staged + needed + WRAP - gate) % WRAP > CAPACITY ->
                /* Full: what is staged must become visible, or the room never comes. */
                flush();
WAIT(full):     (occupied + needed <= CAPACITY);
                atomic {
                    needed = 0;
                    length = 0
                }
#endif
            :: else ->
                for (i : 1 .. length) {
                    store(PRODUCER, WORD(staged + i), CONTENT(number, i), PLAIN)
                }
                /* kn_spsc_bytes_stage, of all that was claimed or of less */
                do
                :: length > 0 -> length = length - 1
                :: break
                od;
#ifndef MUTANT_NO_FENCE_POST
                store(PRODUCER, WORD(staged + 1 + length), 0, RELAXED);
#endif
                if
                :: first_header == 0 -> first_header = length + 1
                :: else -> store(PRODUCER, WORD(staged), length + 1, RELAXED)
                fi;
                atomic {
                    assert(expected[number] == 0);
                    expected[number] = length + 1;
                    number = (number + 1) % NUMBERS;
                    batch = batch + 1;
                    staged = (staged + 1 + length) % WRAP;
                    occupied = occupied + 1 + length;
                    needed = 0;
                    length = 0;
                    i = 0
                };
                if
                :: batch < BATCH
                :: flush()
                fi
            fi
        od
    } RUN_UNTIL_HALTED(PRODUCER)
}

active proctype consumer()
{
    MEMORY_SCRATCH;
    byte peeked, released, number, header, value, i;

    {
        do
        ::  /* kn_spsc_bytes_peek */
            atomic {
                load(CONSUMER, PRODUCER, WORD(peeked), PEEK_ORDER, header);
                assert(stale || (header != 0) == (unpeeked > 0));
                assert(header == 0 || (unpeeked > 0 && header == expected[number]))
            }
            if
            :: header == 0 ->
                if
                :: peeked != released -> goto release
                :: else
                fi;
WAIT(empty):    (unpeeked > 0)
            :: else ->
                for (i : 1 .. header - 1) {
                    atomic {
                        plain_load(CONSUMER, PRODUCER, WORD(peeked + i), value);
                        assert(value == CONTENT(number, i));
                        value = 0
                    }
                }
                atomic {
                    peeked = (peeked + header) % WRAP;
                    unpeeked = unpeeked - 1;
                    expected[number] = 0;
                    number = (number + 1) % NUMBERS;
                    header = 0;
                    i = 0
                };
                if
                :: true
                :: true ->
release:            /* kn_spsc_bytes_release: everything peeked */
                    atomic {
                        store(CONSUMER, RELEASED, peeked, RELEASE_ORDER);
                        occupied = occupied - (peeked + WRAP - released) % WRAP;
                        released = peeked
                    }
                fi
            fi
        od
    } RUN_UNTIL_HALTED(CONSUMER)
}
