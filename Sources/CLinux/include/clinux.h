#pragma once
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

// What the edge asks of the kernel for signalling: clocks, waiting, and datagrams in batches.
// Addresses are in host order; IPv4 sits in the low 32 bits of `low`. Functions that can fail return
// -errno, so nobody reads errno from another language.

// MARK: Clocks

static inline uint64_t clinux_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
/// CLOCK_MONOTONIC in ns; the media plane uses the same one.
static inline uint64_t clinux_monotonic(void) { return clinux_clock(CLOCK_MONOTONIC); }
/// ns since 1970.
static inline uint64_t clinux_wall_clock(void) { return clinux_clock(CLOCK_REALTIME); }
static inline uint64_t clinux_process_time(void) { return clinux_clock(CLOCK_PROCESS_CPUTIME_ID); }
static inline uint64_t clinux_thread_time(void) { return clinux_clock(CLOCK_THREAD_CPUTIME_ID); }

/// The kernel's number of the calling thread.
int clinux_thread_id(void);

/// Sends a datagram of text to the Unix socket that a service manager listens on (sd_notify(3)); a name that begins
/// with `@` is an abstract one. Waits for nobody.
int clinux_notify(const char *socket_name, const char *text);
/// The same with a descriptor beside it (FDSTORE=1).
int clinux_notify_with(const char *socket_name, const char *text, int fd);

/// Whether the kernel's clock is kept right by another one (NTP, PTP): 1, or 0; negative where it cannot be asked.
int clinux_clock_is_kept(void);

void clinux_sleep(uint64_t nanoseconds);
/// Resident memory of the process in bytes; 0 when /proc is not there.
uint64_t clinux_resident_bytes(void);
/// Bytes that malloc has handed out and not got back, mapped blocks included.
static inline uint64_t clinux_heap_bytes(void) {
    struct mallinfo2 info = mallinfo2();
    return (uint64_t)info.uordblks + (uint64_t)info.hblkhd;
}

// MARK: Waiting

enum {
    CLINUX_READABLE = 1,
    CLINUX_WRITABLE = 2,
    /// Something lies in the socket's error queue. Always reported, never asked for.
    CLINUX_ERROR = 4,
};

typedef struct {
    uint32_t token;
    uint32_t events;
} clinux_event;

int clinux_poller_open(void);
/// Watches `fd` (level-triggered) for `events`, or changes what it is watched for.
int clinux_poller_set(int poller, int fd, uint32_t token, uint32_t events, int is_new);
int clinux_poller_remove(int poller, int fd);
/// How many events were put into `out`. `timeout` in ns: 0 not at all, negative for ever; never shorter
/// than asked, so that a timer isn't polled for in vain. A signal ends the wait with 0.
int clinux_poller_wait(int poller, clinux_event *out, int capacity, int64_t timeout);

/// A descriptor that becomes readable when it is raised.
int clinux_signal_open(void);
void clinux_signal_raise(int fd);
void clinux_signal_clear(int fd);
void clinux_close(int fd);

// MARK: Threads

/// A thread that runs body(context), with every signal blocked that may be handled elsewhere. The name
/// is cut to 15 bytes.
int clinux_thread_start(
    const char *name, void (*body)(void *), void *context, uint64_t *handle);
void clinux_thread_join(uint64_t handle);
/// Whether the caller is that thread.
int clinux_thread_is_current(uint64_t handle);

// MARK: UDP sockets

typedef struct {
    uint64_t high, low;
    uint16_t port;
    uint8_t family;  // 4 or 6; 0: none
} clinux_address;

typedef struct {
    int receive_buffer, send_buffer;  // bytes asked for; 0: the system's default
    int share_port;                   // SO_REUSEPORT: several sockets divide the arrivals
    int traffic_class;                // DSCP << 2
    int timestamps;                   // kernel receive times (SO_TIMESTAMPNS)
} clinux_udp_options;

/// A bound, non-blocking socket. Datagrams of any size leave it in fragments (no path MTU discovery),
/// IPv6 ones carry no IPv4, and ICMP errors are queued for clinux_udp_error.
int clinux_udp_open(clinux_address address, clinux_udp_options options);
/// The address it is bound to: the port is the system's choice where 0 was asked.
int clinux_udp_local(int fd, clinux_address *address);

typedef struct {
    /// Where the datagram went that the error is about.
    clinux_address destination;
    int error;       // an errno: ECONNREFUSED, EHOSTUNREACH, ...
    uint8_t remote;  // 1: an ICMP message said so; 0: this machine did
} clinux_udp_failure;

/// Takes one error from the queue: 1, or 0 when there is none. The pending error that makes the next
/// system call fail is cleared with the last one.
int clinux_udp_error(int fd, clinux_udp_failure *failure);

// MARK: Datagrams in batches

typedef struct clinux_receiver clinux_receiver;

/// Memory for `slots` datagrams of the largest size; pages are touched when they are needed.
clinux_receiver *clinux_receiver_new(int slots);
void clinux_receiver_free(clinux_receiver *receiver);
/// How many datagrams arrived (0: none waiting).
int clinux_receive(clinux_receiver *receiver, int fd);
const void *clinux_received_bytes(const clinux_receiver *receiver, int index);
size_t clinux_received_count(const clinux_receiver *receiver, int index);
clinux_address clinux_received_from(const clinux_receiver *receiver, int index);
/// The kernel's wall clock at arrival in ns; 0 where it wasn't asked for.
uint64_t clinux_received_at(const clinux_receiver *receiver, int index);
/// Datagrams that the kernel dropped before this one since the socket was made, for want of buffer.
uint32_t clinux_received_drops(const clinux_receiver *receiver, int index);

typedef struct clinux_sender clinux_sender;

clinux_sender *clinux_sender_new(int slots);
void clinux_sender_free(clinux_sender *sender);
void clinux_sender_clear(clinux_sender *sender);
/// Adds a datagram, whose bytes must stay where they are until it is sent; 0 when the batch is full.
int clinux_sender_add(
    clinux_sender *sender, const void *bytes, size_t count, clinux_address destination);
/// Sends from the datagram `first` on: how many left, or what stopped that very one.
int clinux_send(clinux_sender *sender, int fd, int first);

// MARK: Sockets that speak with one address

/// A non-blocking socket that is connected (a stream: on its way to be) and takes nothing from anybody
/// else. Its own port is one that the kernel draws.
int clinux_connected_open(clinux_address to, int is_stream);
/// How many bytes went; or -errno, -EAGAIN where there is no room yet.
long clinux_write(int fd, const void *bytes, size_t count);
/// How many bytes came; 0 at the end of a stream; or -errno, -EAGAIN where there is nothing.
long clinux_read(int fd, void *bytes, size_t capacity);

// MARK: Names of hosts

/// The addresses of a host by the system's own resolver, at most `room`; it may wait for seconds. How many there are, or
/// -1 where there is none.
int clinux_lookup(const char *host, uint16_t port, clinux_address *addresses, int room);

// MARK: Randomness

/// Fills `count` bytes from the kernel's generator; 0, or -errno.
int clinux_random(void *bytes, size_t count);

// MARK: Sockets of an earlier process

/// Makes a descriptor that was handed over non-blocking and not inherited by others: 1 for a socket of datagrams, 2 for
/// a listening one of streams, 0 for anything else.
int clinux_socket_adopt(int fd);
/// What clinux_udp_open sets and settings may have changed.
void clinux_udp_adjust(int fd, clinux_udp_options options);
/// The traffic class of a listening socket's connections.
void clinux_stream_adjust(int fd, int traffic_class);

// MARK: Stream sockets

/// A bound, listening, non-blocking TCP socket; IPv6 ones carry no IPv4. `clinux_udp_local` tells its
/// address.
/// Its connections have its traffic class (DSCP << 2).
int clinux_stream_listen(clinux_address address, int backlog, int traffic_class);
/// The next connection, non-blocking, and who made it.
int clinux_stream_accept(int listener, clinux_address *peer);
/// A socket that is connecting from `local` (port 0: the system's choice) to `remote`: it is writable
/// when that has come to an end, and `clinux_stream_error` tells to which.
int clinux_stream_connect(clinux_address local, clinux_address remote, int traffic_class);
/// The pending error of a socket as -errno; 0: none.
int clinux_stream_error(int fd);
/// 0 when the peer has closed its side.
int64_t clinux_stream_read(int fd, void *bytes, size_t count);
/// Never raises SIGPIPE.
int64_t clinux_stream_write(int fd, const void *bytes, size_t count);
/// Nothing more will be written.
void clinux_stream_finish(int fd);
/// A descriptor that is good for nothing but being closed when no other is left.
int clinux_reserve_open(void);
