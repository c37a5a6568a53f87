/*
 * How the handler's thread of src/net/offload.c sleeps and is woken: both sides exchange the word `parked`.
 *
 * The server's thread publishes a message, exchanges AWAKE in, and wakes if it took PARKED out. The handler's thread
 * exchanges PARKED in, looks at the queue once more, and sleeps only if that is empty and the word is still PARKED
 * (the futex checks that in one step). Checked: whoever sleeps while there is a message is woken.
 *
 * Memory is as weak as C11 allows here: what is published is sure to be visible only to one who acquired it through
 * `parked`; a look at the queue may find more than that, up to all of it.
 */
#ifndef MESSAGES
#define MESSAGES 4
#endif

#define AWAKE 0
#define PARKED 1

byte published = 0;    /* by the server's thread */
byte carried = 0;      /* what an acquiring reader of `parked` learns is published */
byte visible = 0;      /* what the handler's thread is sure to see */
byte handled = 0;
bit parked = AWAKE;
bool asleep = false;
bool server_done = false;

inline exchange_by_server(taken)
{
    atomic {
        taken = parked;
        parked = AWAKE;
#ifndef MUTANT_RELAXED
        carried = published; /* the release half: later exchanges keep it, being read-modify-writes */
#endif
    }
}

inline exchange_by_handler()
{
    atomic {
        parked = PARKED;
        visible = (carried > visible -> carried : visible); /* the acquire half */
    }
}

/* Handles everything found: at least what is surely visible, perhaps more. */
inline look(found)
{
    found = false;
    do
    :: handled < visible -> handled++; found = true
    :: handled >= visible && handled < published -> handled++; visible = handled; found = true
    :: handled >= visible -> break
    od
}

active proctype server()
{
    bit taken;
    do
    :: published < MESSAGES ->
        published++;
        exchange_by_server(taken);
        if
        :: taken == PARKED -> asleep = false
        :: else
        fi
    :: published == MESSAGES -> break
    od;
    server_done = true
}

active proctype handler()
{
    bool found;
    do
    :: handled == MESSAGES -> break
    :: else ->
        look(found);
        if
        :: found -> skip
        :: else ->
#ifdef MUTANT_LOOK_BEFORE_PARKING
            look(found);
            exchange_by_handler();
#else
            exchange_by_handler();
            look(found);
#endif
            if
            :: found
            :: else ->
                atomic { asleep = (parked == PARKED) };
                do
                :: !asleep -> break
                :: asleep && server_done -> assert(handled == MESSAGES)
                od
            fi;
            parked = AWAKE
        fi
    od
}
