/*
 * The echo servers that are compared, each for a process of its own.
 *
 * All do the same: listen on a loopback port that the system chooses, tell it through `report_descriptor`, disable
 * Nagle's delay on every connection, and send back what they receive until they are killed. All read into one buffer
 * of ECHO_BUFFER_BYTES, try to send at once, and keep only what the socket does not take.
 */
#ifndef BENCH_ECHO_SERVER_H
#define BENCH_ECHO_SERVER_H

#include <stdint.h>

#define ECHO_BUFFER_BYTES 65536
#define ECHO_MAX_CONNECTIONS 1024
#define ECHO_SPIN_NS 50000

/* Serves until killed; returns only when something fails, which it tells on standard error. */
void echo_serve_kernel(int report_descriptor);
/* The same, polling for ECHO_SPIN_NS after the last event before it sleeps. */
void echo_serve_kernel_spin(int report_descriptor);
/* A bare epoll loop: what any server on epoll pays, without connections, limits or backpressure. */
void echo_serve_epoll(int report_descriptor);
void echo_serve_uv(int report_descriptor);
void echo_serve_event(int report_descriptor);

/* Tells the port, in the byte order of the host, to whoever started the server. */
void echo_report_port(int report_descriptor, uint16_t port);

/* A non-blocking listener on a loopback port of the system's choice, reported; or -1, told on standard error. */
int echo_listen(int report_descriptor);

#endif
