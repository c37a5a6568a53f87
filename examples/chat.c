/* A chat server: what one guest says, all hear. Try it with several `nc 127.0.0.1 8000`; control-C ends it. */
#include <kernel/kernel.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { GUESTS = 100, BACKLOG = 64, LINE = 256 };

static struct kn_io_driver *driver;
static struct kn_nursery nursery;
static struct kn_broadcast_channel talk;
static struct saying {
    struct kn_io_chunk chunk;
    char text[LINE + 1];
} sayings[2 * BACKLOG]; /* twice as many as the channel keeps: what was just received stays */

static struct guest {
    struct kn_future_member member; /* of the nursery */
    struct kn_io io;
    struct kn_stream_read read;
    struct kn_stream_split lines;
    struct kn_stream_map remember;
    struct kn_sink_broadcast to_all;
    struct kn_stream_broadcast of_all;
    struct kn_sink_write write;
    struct kn_stream_forward say, hear;
    struct kn_future *ways[2]; /* both, of which the first to end ends the other */
    struct kn_future_race race;
    struct kn_future_unwrap_or_else calm;
    char bytes[LINE], line[LINE], unsent[4 * LINE];
    bool is_here;
} guests[GUESTS];

static kn_value_t remember(kn_value_t line, void *unused)
{
    static unsigned next;
    struct saying *saying = &sayings[next++ % (2 * BACKLOG)];
    const struct kn_io_chunk *chunk = line.pointer;
    (void)unused;
    memcpy(saying->text, chunk->bytes, chunk->length);
    saying->text[chunk->length] = '\n';
    saying->chunk = (struct kn_io_chunk){.bytes = (uint8_t *)saying->text, .length = chunk->length + 1};
    return KN_VALUE(&saying->chunk);
}

static kn_value_t never_mind(int error, void *unused)
{
    (void)error, (void)unused;
    return KN_NOTHING;
}

static void leave(struct kn_future_member *member, struct kn_outcome outcome, void *unused)
{
    struct guest *guest = KN_CONTAINER_OF(member, struct guest, member);
    (void)outcome, (void)unused;
    kn_io_close(&guest->io);
    guest->is_here = false;
}

/* Begins a guest's part: lines that it says go to all, what all say is written to it, until either ends. */
static int64_t welcome(kn_value_t connection, void *unused)
{
    struct guest *guest = guests;
    (void)unused;
    while (guest < guests + GUESTS && guest->is_here)
        guest++;
    if (guest == guests + GUESTS || kn_io_open(&guest->io, driver, KN_AS(int, connection)) < 0) {
        kn_tcp_close(&(struct kn_tcp_stream){.descriptor = KN_AS(int, connection)});
        return 0; /* there is no room */
    }
    struct kn_stream *said = kn_stream_read(&guest->read, &guest->io, guest->bytes, sizeof guest->bytes);
    said = kn_stream_lines(&guest->lines, said, guest->line, sizeof guest->line);
    said = kn_stream_map(&guest->remember, said, remember, NULL);
    struct kn_sink *ear = kn_sink_write(&guest->write, &guest->io, guest->unsent, sizeof guest->unsent);
    guest->ways[0] = kn_sink_send_all(&guest->say, kn_sink_broadcast(&guest->to_all, &talk), said);
    guest->ways[1] = kn_stream_forward(&guest->hear, kn_stream_broadcast(&guest->of_all, &talk), ear);
    guest->is_here = true;
    struct kn_future *part = kn_future_race(&guest->race, guest->ways, 2);
    return kn_nursery_start(&nursery, &guest->member, kn_future_unwrap_or_else(&guest->calm, part, never_mind, NULL));
}

int main(int count, char **words)
{
    static kn_value_t ring[BACKLOG];
    struct kn_io_listener door;
    struct kn_stream_accept accept;
    struct kn_stream_try_for_each each;
    struct kn_future_signal interrupt;
    struct kn_future_race race;
    struct kn_address address;
    int result = kn_address_parse(count > 1 ? words[1] : "127.0.0.1:8000", &address);
    kn_broadcast_channel_init(&talk, ring, BACKLOG);
    if (result == 0 && (result = kn_signal_block(KN_SIGNAL(SIGINT))) == 0 &&
        (result = kn_io_driver_open(&driver, NULL)) == 0 &&
        (result = kn_io_listen(&door, driver, &address, NULL)) == 0) {
        struct kn_future *guests_come = kn_stream_try_for_each(&each, kn_stream_accept(&accept, &door), welcome, NULL);
        struct kn_future *ways[] = {kn_nursery(&nursery, guests_come, leave, NULL),
                                    kn_future_ctrl_c(&interrupt, driver)};
        result = (int)kn_io_driver_block_on(driver, kn_future_race(&race, ways, 2), -1).status;
        kn_io_listener_close(&door);
    }
    if (result < 0)
        fprintf(stderr, "chat: %s\n", kn_error_text(result));
    kn_io_driver_close(driver);
    return result < 0;
}
