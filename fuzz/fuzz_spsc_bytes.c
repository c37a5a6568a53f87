/* The queue of varying messages against a plain list: each input byte is an operation and its argument. */
#include <kernel/spsc_bytes.h>

#include "fuzz.h"

enum { MESSAGES_MAX = 4096 };

struct model {
    uint32_t lengths[MESSAGES_MAX];
    unsigned staged;    /* messages written so far */
    unsigned published; /* of these, visible */
    unsigned peeked;    /* of these, seen */
    unsigned released;
};

static uint8_t byte_of(unsigned message, size_t index)
{
    return (uint8_t)(message * 37 + index);
}

static void write_message(struct kn_spsc_bytes *queue, struct model *model, size_t claimed, size_t used)
{
    void *space;
    if (model->staged == MESSAGES_MAX || kn_spsc_bytes_claim(queue, claimed, &space) < 0)
        return;
    memset(space, 0xff, claimed); /* what is not used must never be taken for a header */
    for (size_t i = 0; i < used; i++)
        ((uint8_t *)space)[i] = byte_of(model->staged, i);
    FUZZ_CHECK(kn_spsc_bytes_stage(queue, used) == 0);
    model->lengths[model->staged++] = (uint32_t)used;
}

static void read_message(struct kn_spsc_bytes *queue, struct model *model)
{
    const void *message;
    size_t length;
    int result = kn_spsc_bytes_peek(queue, &message, &length);
    FUZZ_CHECK((result == 0) == (model->peeked < model->published));
    if (result < 0)
        return;
    FUZZ_CHECK(length == model->lengths[model->peeked]);
    for (size_t i = 0; i < length; i++)
        FUZZ_CHECK(((const uint8_t *)message)[i] == byte_of(model->peeked, i));
    model->peeked++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model model = {0};
    struct kn_spsc_bytes *queue;
    if (kn_spsc_bytes_open(&queue, &(struct kn_spsc_bytes_options){4096}) < 0)
        return 0;
    for (size_t i = 0; i < size; i++) {
        size_t length = (size_t)(data[i] >> 2) * (data[i] >> 2);
        switch (data[i] & 3) {
        case 0:
            write_message(queue, &model, length, length);
            break;
        case 1:
            write_message(queue, &model, length, length / 2);
            kn_spsc_bytes_flush(queue);
            model.published = model.staged;
            break;
        case 2:
            read_message(queue, &model);
            break;
        default:
            FUZZ_CHECK((kn_spsc_bytes_release(queue) == 0) == (model.peeked > model.released));
            model.released = model.peeked;
            break;
        }
    }
    kn_spsc_bytes_close(queue);
    return 0;
}
