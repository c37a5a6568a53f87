/* Marks memory as not to be touched, for AddressSanitizer; nothing otherwise. */
#ifndef KERNEL_BASE_POISON_H
#define KERNEL_BASE_POISON_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KN_ADDRESS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define KN_ADDRESS_SANITIZER 1
#endif

#ifdef KN_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#define KN_POISON(address, bytes) ASAN_POISON_MEMORY_REGION((address), (bytes))
#define KN_UNPOISON(address, bytes) ASAN_UNPOISON_MEMORY_REGION((address), (bytes))
#else
#define KN_POISON(address, bytes) ((void)(address), (void)(bytes))
#define KN_UNPOISON(address, bytes) ((void)(address), (void)(bytes))
#endif

#endif
