#pragma once
#include <stddef.h>
#include <stdint.h>

// The kernel's half of the media plane, and the memory that it shares with the workers. Included by the
// program itself (relay.bpf.c), by its host (kernelpath.c) and by Swift, so that there is one layout.

/// Which entries belong to an address of ours. Key of the map `addresses`: 16 bytes in network order, an
/// IPv4 address as ::ffff:a.b.c.d.
typedef struct {
    uint16_t first_port;  // even; host order
    uint16_t pairs;       // of ports: RTP even, RTCP odd
    uint32_t first_entry;
} ckp_range;

/// One direction: packets of one far end that arrive at one of our RTP ports, and where they go.
///
/// `armed` decides who relays. The program passes every packet of the far end up to the socket and notes
/// it in `passed`, unless `armed` equals `passed`: then user space has handled the last packet that was
/// passed up and the program goes on from there. A packet that the program does not carry is noted as well, so
/// that nothing behind it overtakes it.
///
/// While the program works on a packet it holds the entry, by a bit in `armed`. User space takes a flow back by
/// clearing all but that bit, and waits for the bit: then the program is done with the entry, nothing is missing in
/// its figures, and none of its words is used by anybody else until it is armed again.
typedef struct {
    // Written by user space while the entry rests. Addresses, ports and SSRCs in network order; an IPv4
    // address is the first word.
    uint32_t source[4], local[4], target[4];
    uint16_t source_port, local_port, target_port;
    uint8_t family;  // 4 or 6; 0: the port has no entry
    uint8_t traffic_class;
    uint32_t ssrc, shown_ssrc;
    uint32_t timestamp_offset;
    uint16_t sequence_offset;
    uint16_t longest;  // the largest IP packet that the way out takes
    uint32_t interface;
    uint32_t reserved;
    uint64_t payload_types[2];
    /// Nanoseconds in a unit of the timestamp, times 65536; 0: its clock is not known.
    uint64_t tick;
    uint64_t reserved2[3];

    // The hand-over. The program writes `passed`: how many (32 bits), the last sequence number (16 bits), and zeros
    // (16 bits), which in `armed` have room for CKP_HELD.
    uint64_t armed;
    uint64_t passed;

    // What was received, in the words of ReceptionStatistics: written by user space before it arms, by the
    // program from then on.
    uint64_t packets, octets;
    uint64_t highest, base, unique;
    uint64_t loss_runs;
    uint64_t window[2];  // bit i of the 128: highest - i was seen; low word first
    uint64_t jitter16, max_jitter16;
    uint64_t last_arrival;  // CLOCK_MONOTONIC
    uint32_t last_timestamp, highest_timestamp;
    uint32_t duplicates, reordered;
    uint32_t last_payload_type;
    uint32_t has_transit;
} ckp_entry;

_Static_assert(sizeof(ckp_entry) == 256, "four cache lines");
_Static_assert(offsetof(ckp_entry, armed) == 128, "what the program writes has lines of its own");

/// Of one CPU. Map `totals`.
typedef struct {
    uint64_t relayed;
    uint64_t octets;     // of the IP packets relayed
    uint64_t strangers;  // for a port with an entry, but not from its far end: left to the socket
    uint64_t passed;     // from the far end, and left to the socket
    uint64_t reserved[4];
} ckp_total;

/// In `armed`: a program works on a packet of the flow.
#define CKP_HELD 1

/// The steps of ReceptionStatistics, and the range in which a packet belongs to the run: anything further is
/// left to user space.
#define CKP_MAX_STEP 100
/// A step of transit time above this is a clock that was set, not jitter. Nanoseconds.
#define CKP_MAX_TRANSIT_STEP 5000000000ull

#ifndef __bpf__

/// An instruction whose constant is the descriptor of a map.
typedef enum { CKP_ADDRESSES, CKP_ENTRIES, CKP_TOTALS, CKP_PROGRAMS } ckp_map;
typedef struct {
    uint32_t offset;  // in bytes
    uint32_t map;
} ckp_relocation;

typedef enum { CKP_RELAY, CKP_DOOR } ckp_program;

/// The instructions of a program (8 bytes each); `capacity` bytes at most are copied to `out`. How many
/// there are.
size_t ckp_instructions(ckp_program program, uint8_t *out, size_t capacity);
/// Relocation number `index` of a program; 0 when there is none.
int ckp_relocation_at(ckp_program program, size_t index, ckp_relocation *out);

static inline uint64_t ckp_load(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
/// After everything that was read or stored before.
static inline void ckp_store(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
/// A word that is read after everything that was read before.
static inline uint64_t ckp_load_behind(const uint64_t *word) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/// Takes a flow back by its `armed`: 1 when the program is done with the entry, so that all it wrote is there to be
/// read; 0 where it still is not after two milliseconds or some more.
int ckp_take_back(uint64_t *armed);

#endif
