/*
 * Boost.Lockfree's queue with its capacity fixed at compile time, so that it never allocates.
 */
#include <boost/lockfree/queue.hpp>

#include "new_queue.hpp"

template <typename Message>
using Queue = boost::lockfree::queue<Message, boost::lockfree::capacity<SPSC_CAPACITY_SLOTS>>;

CLASS_CROWD(boost_8, Queue<spsc_message_8>, spsc_message_8, bounded_push, pop)
CLASS_CROWD(boost_64, Queue<spsc_message_64>, spsc_message_64, bounded_push, pop)

extern "C" const struct crowd_implementation crowd_boost[] = {
    CROWD_IMPLEMENTATION("boost-queue", CROWD_IN_ANY, boost_8, spsc_message_8),
    CROWD_IMPLEMENTATION("boost-queue", CROWD_IN_ANY, boost_64, spsc_message_64),
    {},
};
