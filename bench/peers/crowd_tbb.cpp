/*
 * oneTBB's concurrent_bounded_queue. It takes memory in pages as it fills and gives them back as it empties.
 */
#include <oneapi/tbb/concurrent_queue.h>

#include "new_queue.hpp"

template <typename Message> struct Queue : tbb::concurrent_bounded_queue<Message> {
    Queue()
    {
        this->set_capacity(SPSC_CAPACITY_SLOTS);
    }
};

CLASS_CROWD(tbb_8, Queue<spsc_message_8>, spsc_message_8, try_push, try_pop)
CLASS_CROWD(tbb_64, Queue<spsc_message_64>, spsc_message_64, try_push, try_pop)

extern "C" const struct crowd_implementation crowd_tbb[] = {
    CROWD_IMPLEMENTATION("tbb-bounded_queue", CROWD_IN_ANY, tbb_8, spsc_message_8),
    CROWD_IMPLEMENTATION("tbb-bounded_queue", CROWD_IN_ANY, tbb_64, spsc_message_64),
    {},
};
