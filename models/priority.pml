/*
 * How src/queue/priority.c knows which classes hold something: a word with a bit for each.
 *
 * A producer publishes in a class, then sets its bit. A consumer takes from the most urgent class whose bit is set; if it
 * finds nothing there it clears the bit and looks once more. The lanes themselves are models of their own (mpsc.pml,
 * mpmc.pml): here a class is the number of messages that each producer has published in it and how many were taken.
 *
 * Checked:
 *   - once the producers have finished, a consumer that answers empty has left nothing behind: no message is overlooked;
 *   - with one consumer, whatever it takes is of the most urgent class among those whose push had returned when it
 *     began.
 *
 * Memory is as weak as C11 allows here: of what is published only that is sure to be found which was acquired through
 * the word; a look may find more, up to all of it.
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 1
#endif
#ifndef CLASSES
#define CLASSES 2
#endif
#ifndef MESSAGES
#define MESSAGES 2 /* of each producer */
#endif

#define AT(who, class) ((who) * CLASSES + (class))

byte published[PRODUCERS * CLASSES];
byte carried[PRODUCERS * CLASSES]; /* what an acquiring reader of the word learns is published */
byte visible[CONSUMERS * CLASSES * PRODUCERS];
byte returned[CLASSES]; /* pushes that have returned */
byte taken[CLASSES];
bool ready[CLASSES];
byte finished;

#define SEEN(me, who, class) visible[((me) * PRODUCERS + (who)) * CLASSES + (class)]

/* The release half of setting a bit: all that this producer published so far comes with the word. */
inline set_bit(me, class)
{
    d_step {
        ready[class] = true;
#ifndef MUTANT_RELAXED_SET
        for (step : 0 .. (CLASSES - 1)) {
            carried[AT(me, step)] = published[AT(me, step)]
        }
#endif
        step = 0
    }
}

/* The acquire half of any look at the word. */
inline acquire(me)
{
    d_step {
        for (step : 0 .. (PRODUCERS * CLASSES - 1)) {
            if
            :: carried[step] > visible[(me) * PRODUCERS * CLASSES + step] ->
                visible[(me) * PRODUCERS * CLASSES + step] = carried[step]
            :: else
            fi
        }
        step = 0
    }
}

/* Takes a message of a class if the look finds one, which it must if one is sure to be visible. */
inline look(me, class, result)
{
    atomic {
        sure = 0;
        most = 0;
        for (step : 0 .. (PRODUCERS - 1)) {
            sure = sure + SEEN(me, step, class);
            most = most + published[AT(step, class)]
        }
        step = 0;
        result = false;
        if
        :: sure > taken[class] -> result = true
        :: sure <= taken[class] && most > taken[class] -> result = true
        :: sure <= taken[class]
        fi;
        if
        :: result -> taken[class] = taken[class] + 1
        :: else
        fi;
        sure = 0;
        most = 0
    }
}

active [PRODUCERS] proctype producer()
{
    byte step, pushed, class;
    do
    :: pushed < MESSAGES ->
        select (class : 0 .. (CLASSES - 1));
#ifdef MUTANT_BIT_BEFORE_PUBLISH
        set_bit(_pid, class);
        published[AT(_pid, class)] = published[AT(_pid, class)] + 1;
#else
        published[AT(_pid, class)] = published[AT(_pid, class)] + 1;
        set_bit(_pid, class);
#endif
        atomic {
            returned[class] = returned[class] + 1;
            pushed = pushed + 1
        }
    :: else -> break
    od;
    finished++
}

active [CONSUMERS] proctype consumer()
{
    byte step, sure, most, class;
    byte due[CLASSES]; /* pushes that had returned when this pop began */
    bool bits[CLASSES];
    bool found, last;
    byte me = _pid - PRODUCERS;
    do
    :: atomic {
            last = (finished >= PRODUCERS);
            found = false;
            class = 0;
            for (step : 0 .. (CLASSES - 1)) {
                due[step] = returned[step];
                bits[step] = ready[step]
            }
            step = 0;
            acquire(me)
        };
        do
        :: class < CLASSES && !found && !bits[class] -> class++
        :: class < CLASSES && !found && bits[class] ->
            look(me, class, found);
            if
            :: found
            :: !found ->
                atomic {
                    ready[class] = false; /* the exchange that clears the bit also acquires */
                    acquire(me)
                };
#ifndef MUTANT_NO_SECOND_LOOK
                look(me, class, found);
                if
                :: found -> atomic { ready[class] = true }
                :: else
                fi;
#endif
                if
                :: !found -> class++
                :: else
                fi
            fi
        :: found || class == CLASSES -> break
        od;
        if
        :: found ->
#if CONSUMERS == 1
            d_step {
                for (step : 0 .. (CLASSES - 1)) {
                    assert(step >= class || taken[step] >= due[step]) /* nothing more urgent was due */
                }
                step = 0
            }
#endif
        :: !found && last ->
#if CONSUMERS == 1
            d_step {
                for (step : 0 .. (CLASSES - 1)) {
                    assert(taken[step] == returned[step]) /* nothing is left behind */
                }
            };
#endif
            break
        :: else
        fi
    od;
    finished++;
#if CONSUMERS > 1
    if
    :: finished == PRODUCERS + CONSUMERS ->
        for (step : 0 .. (CLASSES - 1)) {
            assert(taken[step] == returned[step])
        }
    :: else
    fi
#endif
}
