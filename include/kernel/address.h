/**
 * @file address.h
 * Where a stream socket listens or connects: IPv4, IPv6 or a path, as text and as the system takes it.
 *
 * Use it for addresses that a person or a file gives. It consults no name service: names other than "localhost" are
 * refused, so that parsing never blocks. Addresses are plain data; both functions are thread-safe.
 */
#ifndef KERNEL_ADDRESS_H
#define KERNEL_ADDRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <kernel/atomic.h>

/** Room for the text of any address, in bytes, with its end. */
#define KN_ADDRESS_TEXT_BYTES 128

/** An address. */
struct kn_address {
    struct sockaddr_storage storage; /**< as bind(2) and connect(2) take it */
    socklen_t length;                /**< bytes of `storage` that count */
};

/**
 * Reads "127.0.0.1:8000", "[::1]:8000", "localhost:8000" or ":8000" (both 127.0.0.1), or "unix:/path".
 * Any bytes up to a NUL are safe to pass.
 * @return 0; -EINVAL for anything else; -ENAMETOOLONG for a path beyond what a socket takes. Nothing is written then.
 */
KN_CHECK_RESULT int kn_address_parse(const char *text, struct kn_address *address);

/**
 * Writes an address as kn_address_parse reads it.
 * @return the length without the end, -ENOSPC when `text_bytes` is too small, -EAFNOSUPPORT for another family.
 */
int kn_address_format(const struct kn_address *address, char *text, size_t text_bytes);

/** The port, or 0 for a path. */
uint16_t kn_address_port(const struct kn_address *address);

/** The path of a local socket, or NULL for an internet address. */
const char *kn_address_path(const struct kn_address *address);

#endif
