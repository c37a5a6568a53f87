#include <kernel/address.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const char PATH_PREFIX[] = "unix:";

/* Views of the storage by family; sockaddr_storage is made to be looked at so. */
static struct sockaddr_in *as_ipv4(struct kn_address *address)
{
    return (struct sockaddr_in *)(void *)&address->storage;
}

static struct sockaddr_in6 *as_ipv6(struct kn_address *address)
{
    return (struct sockaddr_in6 *)(void *)&address->storage;
}

static struct sockaddr_un *as_local(struct kn_address *address)
{
    return (struct sockaddr_un *)(void *)&address->storage;
}

static int parse_port(const char *text, uint16_t *port)
{
    uint32_t value = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
        value = value * 10 + (uint32_t)(text[digits] - '0');
    if (digits == 0 || text[digits] != '\0' || value > UINT16_MAX)
        return -EINVAL;
    *port = (uint16_t)value;
    return 0;
}

static int parse_path(const char *path, struct kn_address *address)
{
    size_t length = strlen(path);
    if (length == 0)
        return -EINVAL;
    if (length >= sizeof(as_local(address)->sun_path))
        return -ENAMETOOLONG;
    *address = (struct kn_address){.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1)};
    as_local(address)->sun_family = AF_UNIX;
    memcpy(as_local(address)->sun_path, path, length + 1);
    return 0;
}

static int parse_ipv6(const char *host, uint16_t port, struct kn_address *address)
{
    struct in6_addr parsed;
    if (inet_pton(AF_INET6, host, &parsed) != 1)
        return -EINVAL;
    *address = (struct kn_address){.length = sizeof(struct sockaddr_in6)};
    as_ipv6(address)->sin6_family = AF_INET6;
    as_ipv6(address)->sin6_port = htons(port);
    as_ipv6(address)->sin6_addr = parsed;
    return 0;
}

static int parse_ipv4(const char *host, uint16_t port, struct kn_address *address)
{
    struct in_addr parsed = {.s_addr = htonl(INADDR_LOOPBACK)};
    bool loopback = host[0] == '\0' || strcmp(host, "localhost") == 0;
    if (!loopback && inet_pton(AF_INET, host, &parsed) != 1)
        return -EINVAL;
    *address = (struct kn_address){.length = sizeof(struct sockaddr_in)};
    as_ipv4(address)->sin_family = AF_INET;
    as_ipv4(address)->sin_port = htons(port);
    as_ipv4(address)->sin_addr = parsed;
    return 0;
}

int kn_address_parse(const char *text, struct kn_address *address)
{
    if (strncmp(text, PATH_PREFIX, sizeof(PATH_PREFIX) - 1) == 0)
        return parse_path(text + sizeof(PATH_PREFIX) - 1, address);
    const char *colon = strrchr(text, ':');
    uint16_t port;
    if (!colon || parse_port(colon + 1, &port) < 0)
        return -EINVAL;
    char host[INET6_ADDRSTRLEN + 2];
    size_t host_length = (size_t)(colon - text);
    if (host_length >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, host_length);
    host[host_length] = '\0';
    if (host[0] != '[')
        return parse_ipv4(host, port, address);
    if (host[host_length - 1] != ']')
        return -EINVAL;
    host[host_length - 1] = '\0';
    return parse_ipv6(host + 1, port, address);
}

int kn_address_format(const struct kn_address *address, char *text, size_t text_bytes)
{
    struct kn_address copy = *address;
    char host[INET6_ADDRSTRLEN];
    int length;
    switch (copy.storage.ss_family) {
    case AF_INET:
        inet_ntop(AF_INET, &as_ipv4(&copy)->sin_addr, host, sizeof(host));
        length = snprintf(text, text_bytes, "%s:%u", host, kn_address_port(address));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &as_ipv6(&copy)->sin6_addr, host, sizeof(host));
        length = snprintf(text, text_bytes, "[%s]:%u", host, kn_address_port(address));
        break;
    case AF_UNIX: {
        /* A peer that never bound has no path, and what the system gives need not be terminated. */
        size_t offset = offsetof(struct sockaddr_un, sun_path);
        int path_length = copy.length > offset ? (int)strnlen(as_local(&copy)->sun_path, copy.length - offset) : 0;
        length = snprintf(text, text_bytes, "%s%.*s", PATH_PREFIX, path_length, as_local(&copy)->sun_path);
        break;
    }
    default:
        return -EAFNOSUPPORT;
    }
    return (size_t)length < text_bytes ? length : -ENOSPC;
}

uint16_t kn_address_port(const struct kn_address *address)
{
    struct kn_address copy = *address;
    switch (copy.storage.ss_family) {
    case AF_INET:
        return ntohs(as_ipv4(&copy)->sin_port);
    case AF_INET6:
        return ntohs(as_ipv6(&copy)->sin6_port);
    default:
        return 0;
    }
}

const char *kn_address_path(const struct kn_address *address)
{
    if (address->storage.ss_family != AF_UNIX)
        return NULL;
    return ((const struct sockaddr_un *)(const void *)&address->storage)->sun_path;
}
