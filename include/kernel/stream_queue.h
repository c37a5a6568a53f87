/**
 * @file stream_queue.h
 * The queues between threads as streams and sinks: what tasks read and write of sectors, typed queues and mailboxes.
 *
 * Use it where one end of a queue is a task and the other a thread, another process, or code that is older; between
 * tasks take channel.h. It guarantees that messages are read and written in place, and that a task that waits holds no
 * thread: it is woken by the signal that the other end gives, or looks again after an interval where that end knows
 * nothing of signals.
 *
 *        the other end          signal              a task
 *        push, then ---------->  published  ------> kn_stream_reader, kn_stream_mailbox
 *        pop, then  ---------->  released   ------> kn_sink_writer
 *
 * A signal is memory of one process, beside the queue. Who pushes calls kn_queue_signal_published afterwards, once for
 * a batch; who pops kn_queue_signal_released, if somebody writes as a task. The streams and sinks here do so
 * themselves. That costs an atomic addition where nobody waits.
 */
#ifndef KERNEL_STREAM_QUEUE_H
#define KERNEL_STREAM_QUEUE_H

#include <kernel/future_time.h>
#include <kernel/mailbox.h>
#include <kernel/reader.h>
#include <kernel/sink.h>
#include <kernel/wait_list.h>
#include <kernel/writer.h>

/* One direction of a signal. */
struct kn_queue_event {
    _Atomic uint32_t barrier; /* added to by who makes something happen, and by who begins to wait */
    struct kn_wait_list line; /* who waits for it */
};

/** Tells the tasks at one end of a queue what happened at the other. Zeroed memory is a signal. Fields are private. */
struct kn_queue_signal {
    KN_OWNED struct kn_queue_event published;
    KN_OWNED struct kn_queue_event released;
    KN_OWNED _Atomic bool closed; /* nothing more will be published */
};

/** Makes a signal. */
void kn_queue_signal_init(struct kn_queue_signal *signal);

/**
 * Messages were published: wakes `count` of those who wait for that. The number of messages where readers compete for
 * them; SIZE_MAX where each sees all. Any thread; lock-free unless somebody waits.
 */
void kn_queue_signal_published(struct kn_queue_signal *signal, size_t count);

/** Room was made: wakes `count` writers that wait for it. Any thread; lock-free unless somebody waits. */
void kn_queue_signal_released(struct kn_queue_signal *signal, size_t count);

/** Nothing more will be published: streams end once they have read what is there. Any thread. */
void kn_queue_signal_close(struct kn_queue_signal *signal);

/* How a stream or a sink waits. */
struct kn_queue_wait {
    struct kn_queue_event *event; /* NULL: none, it looks again after an interval */
    struct kn_wait_node node;     /* in its line */
    struct kn_future_delay delay; /* the interval, while `delays` */
    uint64_t interval_ns;         /* of it */
    bool delays;
};

/** Messages of a reader. Private. */
struct kn_stream_reader {
    struct kn_stream stream;        /* first */
    struct kn_reader *reader;       /* lent */
    struct kn_queue_signal *signal; /* or NULL */
    struct kn_span span;            /* peeked */
    size_t index;                   /* of the next in it */
    bool holds;                     /* the message before is still lent to the consumer */
    bool ended;
    struct kn_queue_wait wait;
};

/**
 * Pointers to the reader's messages, in place: each is released when the stream is polled again or dropped. Any reader:
 * of a sector, or `&queue->consumer.reader` of a typed queue. Fails with -ESTALE, then ends, where the reader lagged
 * and was dropped; ends with the signal.
 */
struct kn_stream *kn_stream_reader(struct kn_stream_reader *self, struct kn_reader *reader,
                                   struct kn_queue_signal *signal);

/** The same for writers that give no signal, as those of other processes: looks every `interval_ns`. Never ends. */
struct kn_stream *kn_stream_reader_every(struct kn_stream_reader *self, struct kn_reader *reader, uint64_t interval_ns);

/** Writes messages. Private. */
struct kn_sink_writer {
    struct kn_sink sink;            /* first */
    struct kn_writer *writer;       /* lent */
    struct kn_queue_signal *signal; /* or NULL */
    struct kn_span span;            /* claimed, if it has a slot */
    struct kn_queue_wait wait;
};

/**
 * Takes pointers to messages of the sector's slot size and copies each into the queue. Where writers are several it
 * has claimed a slot between ready and start, which holds up the readers: start soon. Closing it closes the signal
 * where it is the only writer; otherwise that is for who knows that all are done.
 */
struct kn_sink *kn_sink_writer(struct kn_sink_writer *self, struct kn_writer *writer, struct kn_queue_signal *signal);

/** The same for readers that give no signal: a full queue is looked at every `interval_ns`. */
struct kn_sink *kn_sink_writer_every(struct kn_sink_writer *self, struct kn_writer *writer, uint64_t interval_ns);

/** Messages of a mailbox. Private. */
struct kn_stream_mailbox {
    struct kn_stream stream;        /* first */
    struct kn_mailbox *mailbox;     /* lent */
    struct kn_queue_signal *signal; /* of those who push */
    struct kn_queue_wait wait;
};

/**
 * The nodes of a mailbox, as pointers: an unbounded channel of the caller's messages. Each is its consumer's
 * (kn_stream_owned says how one is given back); those that were not asked for stay in the mailbox. Ends with the
 * signal.
 */
struct kn_stream *kn_stream_mailbox(struct kn_stream_mailbox *self, struct kn_mailbox *mailbox,
                                    struct kn_queue_signal *signal);

/** Pushes into a mailbox. Private. */
struct kn_sink_mailbox {
    struct kn_sink sink;            /* first */
    struct kn_mailbox *mailbox;     /* lent */
    struct kn_queue_signal *signal; /* told of each node */
};

/** Takes pointers to nodes, always at once. Closing it closes nothing, as there may be others. */
struct kn_sink *kn_sink_mailbox(struct kn_sink_mailbox *self, struct kn_mailbox *mailbox,
                                struct kn_queue_signal *signal);

#endif
