#pragma once
#include <stddef.h>
#include <stdint.h>

// What the media workers ask of the kernel: datagrams with their source and kernel receive time, mute
// sockets, waits of less than a millisecond. Addresses are in host order; IPv4 sits in the low 32 bits
// of `low`. Functions that can fail return -errno.

typedef struct {
    uint64_t high, low;
    uint16_t port;
    uint8_t family;  // 4 or 6
} clmedia_address;

/// A destination as the kernel wants it (struct sockaddr_in or sockaddr_in6), prepared once.
typedef struct {
    uint64_t words[4];
    uint32_t length;  // 0: nowhere
} clmedia_target;

typedef struct {
    clmedia_address from;
    uint64_t stamp;  // wall clock in ns when the kernel took the packet; 0 when it did not say
    uint32_t length;
    uint8_t truncated;
} clmedia_packet;

clmedia_target clmedia_target_make(clmedia_address address);

/// A bound, non-blocking UDP socket with receive time-stamps, whose packets have the traffic class (DSCP << 2).
int clmedia_bind(clmedia_address address, int class);
/// A mute socket keeps its port, and the kernel takes nothing for it: senders are told that the port is
/// unreachable, as if it were closed (IPv4), or nothing (IPv6). `own` is where it is bound; the port must have been chosen, not left to
/// the kernel. What the socket still held is thrown away (bounded), so that it is not ready either.
int clmedia_mute(int fd, clmedia_address own);
/// Lets it hear again.
int clmedia_unmute(int fd);
/// Datagrams that the kernel dropped for this socket since it was made because its buffer was full.
uint32_t clmedia_drops(int fd);

/// 1: a datagram; 0: none; negative: -errno.
int clmedia_receive(int fd, void *buffer, size_t capacity, clmedia_packet *packet);
int clmedia_send(int fd, const void *bytes, size_t length, const clmedia_target *to);

int clmedia_poller(void);
/// Again does nothing. A descriptor leaves the set when it is closed.
int clmedia_poller_add(int poller, int fd, uint64_t token);
/// Tokens of ready descriptors; waits at most `timeout` ns (0: not at all, negative: for ever).
int clmedia_poller_wait(int poller, uint64_t *tokens, int capacity, int64_t timeout);

int clmedia_signal(void);
void clmedia_signal_raise(int fd);
void clmedia_signal_clear(int fd);

void clmedia_close(int fd);

uint64_t clmedia_monotonic(void);
uint64_t clmedia_wall_clock(void);
/// CPU time of the calling thread in ns.
uint64_t clmedia_thread_time(void);
void clmedia_sleep_until(uint64_t monotonic);

uint64_t clmedia_random(void);

/// Raises the soft limit of descriptors to the hard one; the limit then in force.
uint64_t clmedia_raise_descriptor_limit(void);
/// Descriptors that the process has open.
uint64_t clmedia_open_descriptors(void);

/// Fills `out` with the addresses of this machine's interfaces; how many there are (at most `capacity`).
int clmedia_own_addresses(clmedia_address *out, int capacity);

/// A thread that runs body(context); `handle` is for clmedia_thread_join.
int clmedia_thread_start(const char *name, void (*body)(void *), void *context, uint64_t *handle);
void clmedia_thread_join(uint64_t handle);
