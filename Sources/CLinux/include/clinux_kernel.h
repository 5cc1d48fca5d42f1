#pragma once
#include <stddef.h>
#include <stdint.h>

#include "clinux_media.h"

// What the kernel's half of the media plane asks of the kernel: maps and programs by bpf(2), the interfaces and
// routes of this machine and the filters of the older kind by rtnetlink. Functions return -errno when they fail.

// MARK: Maps and programs

typedef enum { CLKERNEL_HASH = 1, CLKERNEL_ARRAY = 2, CLKERNEL_PROGRAMS = 3 } clkernel_map_kind;

/// A map; `shared` makes it one whose values can be read and written as memory of this process.
int clkernel_map(
    clkernel_map_kind kind, uint32_t key, uint32_t value, uint32_t entries, int shared,
    const char *name);
int clkernel_map_set(int map, const void *key, const void *value);
/// The values of a shared map, `bytes` of them; NULL where that cannot be.
void *clkernel_share(int map, size_t bytes);
void clkernel_unshare(void *memory, size_t bytes);

/// Loads a program for tc. When the verifier refuses it, what it said stands in `log`.
int clkernel_program(
    const uint8_t *instructions, size_t bytes, const char *name, char *log, size_t capacity);
/// A tcx link at the ingress of an interface, which lasts as long as the descriptor; -EINVAL on kernels before 6.6.
int clkernel_link(int program, uint32_t interface);
/// CPUs that this machine may have.
uint32_t clkernel_cpus(void);
/// The release as major << 16 | minor.
uint32_t clkernel_release(void);
/// Whether the thread may do it: CAP_NET_ADMIN is 12, CAP_SYS_ADMIN 21, CAP_BPF 39.
int clkernel_has_capability(int capability);

// MARK: Network namespaces (for tests and measurements)

/// A new one, in which the calling thread is from now on; the descriptor of the one it was in before.
int clkernel_namespace_new(void);
/// The one that the calling thread is in.
int clkernel_namespace_current(void);
int clkernel_namespace_enter(int fd);

// MARK: Interfaces, addresses and routes

typedef struct {
    uint32_t index, mtu;
    uint16_t hardware;  // ARPHRD_…
    uint8_t is_up;
} clkernel_interface;
/// How many there are; at most `capacity` are written.
int clkernel_interfaces(clkernel_interface *out, int capacity);
/// Fills `out` with the interfaces of the addresses that `clmedia_own_addresses` gives, in its order.
int clkernel_address_interfaces(uint32_t *out, int capacity);

typedef struct {
    uint32_t interface;
    uint32_t mtu;            // 0: that of the interface
    clmedia_address source;  // what the kernel would choose; family 0 where it does not say
    uint8_t is_local;        // the destination is this machine itself
    uint8_t is_usable;       // unicast or local
} clkernel_way;
/// The way to `to` for packets from `from` (family 0: any of our addresses).
int clkernel_route(int netlink, clmedia_address to, clmedia_address from, clkernel_way *out);

/// A socket for `clkernel_route`.
int clkernel_netlink(void);
/// A socket that is readable when interfaces, addresses or routes have changed.
int clkernel_watch(void);
/// Takes what it says; whether anything was said.
int clkernel_watch_clear(int watch);

// MARK: IPsec

/// How many policies for packets of others and our own there are; 0 on a kernel without IPsec.
int clkernel_ipsec_policies(void);
/// A socket that is readable when policies have changed; -EPROTONOSUPPORT on a kernel without IPsec. Cleared by
/// `clkernel_watch_clear`.
int clkernel_ipsec_watch(void);

// MARK: Netfilter

/// A socket for messages of nfnetlink.
int clkernel_netfilter(void);
/// Sends messages, as one datagram, and writes what the kernel answers one after the other to `answer`; its size.
long clkernel_netfilter_ask(int fd, const void *messages, size_t size, void *answer, size_t capacity);

// MARK: Filters of kernels before 6.6

#define CLKERNEL_NAME 32
typedef struct {
    uint32_t priority, handle;
    char name[CLKERNEL_NAME];
} clkernel_filter;

/// Makes the ingress of an interface ready for filters; also when it is already.
int clkernel_ingress(uint32_t interface);
int clkernel_filter_add(uint32_t interface, int program, const char *name);
/// The BPF filters at the ingress of an interface whose name begins with `prefix`.
int clkernel_filters(uint32_t interface, const char *prefix, clkernel_filter *out, int capacity);
int clkernel_filter_remove(uint32_t interface, const clkernel_filter *filter);
/// Takes a name in this network namespace for as long as the descriptor is open; -EADDRINUSE when another
/// process holds it.
int clkernel_claim(const char *name);
