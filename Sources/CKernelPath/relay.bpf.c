// The kernel's half of the media plane: a program at the tc ingress of an interface that relays plain RTP
// between two far ends that user space knows already. Compiled by regenerate.py; nothing here is built
// with the rest.
//
// Everything that is not exactly such a packet goes up to the socket as if this program were not there.
// What it must never do is send a packet to where it does not belong. So: the destination must be ours, the
// source must be the far end's address and port, an entry is held while its words are used, so that they are those
// of one state, and the packet's own words decide nothing but the numbers in its RTP header.
//
// Written for the verifier and for a reader: no loop, no division, no subprogram, one exit for each outcome.

#include "include/ckernelpath.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define INLINE static inline __attribute__((always_inline))
#define SECTION(name) __attribute__((section(name), used))
#define NETWORK16(x) ((u16)__builtin_bswap16(x))

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the program is made for little-endian machines; user space checks that it runs on one"
#endif

// MARK: What the kernel gives (linux/bpf.h; interfaces for user space, so they stay)

struct frame {
    u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto;
    u32 priority, ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
    u32 napi_id, family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4];
    u32 remote_port, local_port, data_meta;
    u64 flow_keys, tstamp;
    u32 wire_len, gso_segs;
};
_Static_assert(__builtin_offsetof(struct frame, gso_segs) == 164, "__sk_buff");

// Names of maps; the loader puts their descriptors in.
extern u8 addresses, entries, totals, programs;

static void *(*const lookup)(void *map, const void *key) = (void *)1;
static u64 (*const monotonic)(void) = (void *)5;
static u32 (*const this_cpu)(void) = (void *)8;
static long (*const store_bytes)(void *, u32 offset, const void *from, u32 count, u64 flags) =
    (void *)9;
static long (*const replace_checksum)(void *, u32 offset, u64 from, u64 to, u64 flags) =
    (void *)11;
static long (*const tail_call)(void *, void *map, u32 index) = (void *)12;
static long (*const pull)(void *, u32 count) = (void *)39;
static long (*const redirect_neighbour)(u32 interface, void *, int, u64) = (void *)152;

enum {
    // To the next program and then up the stack (TCX_NEXT, TC_ACT_UNSPEC).
    GO_ON = -1,
    DROP = 2,
    PSEUDO_HEADER = 1 << 4,
    MANGLED_0 = 1 << 5,
    // What SO_PRIORITY is after IP_TOS EF (rt_tos2priority).
    PRIORITY = 4,
    MOST_HOPS = 64,
};

// MARK: The packets
//
// Natural layouts behind the 14 bytes of Ethernet: words lie at odd halves of a word then, which the verifier allows
// where the processor does, and elsewhere refuses at load.

enum { ETHERNET = 14 };

struct udp {
    u16 source, destination, length, checksum;
};

struct rtp {
    u8 first, second;
    u16 sequence;
    u32 timestamp, ssrc;
};

struct packet4 {
    struct {
        u8 version, traffic_class;
        u16 length, identification, fragment;
        u8 hops, protocol;
        u16 checksum;
        u32 source, destination;
    } ip;
    struct udp udp;
    struct rtp rtp;
};

struct packet6 {
    struct {
        u32 version;
        u16 length;
        u8 next, hops;
        u32 source[4], destination[4];
    } ip;
    struct udp udp;
    struct rtp rtp;
};

_Static_assert(sizeof(struct packet4) == 40 && sizeof(struct packet6) == 60, "as on the wire");

/// What a router would leave, but no more than a packet of our own has: a ring of relays ends, as one of routers
/// does.
INLINE u8 hops_left(u8 hops) { return hops > MOST_HOPS ? MOST_HOPS : hops - 1; }

// MARK: Checksums (RFC 1624): sums of what was and is, in ones' complement

INLINE u64 exchanged(u32 before, u32 after) { return (u64)(u32)~before + after; }

INLINE u32 fold32(u64 sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    return (u32)((sum & 0xffffffff) + (sum >> 32));
}

INLINE u16 fold16(u64 sum) {
    u32 half = fold32(sum);
    half = (half & 0xffff) + (half >> 16);
    return (u16)((half & 0xffff) + (half >> 16));
}

// MARK: Steps that both families take

INLINE ckp_total *total(void) {
    u32 cpu = this_cpu();
    return lookup(&totals, &cpu);
}

/// The IP header, with `size` bytes from there on that can be read; 0 where the frame is too short.
INLINE const void *reach(struct frame *frame, u32 size) {
    const u8 *header = (void *)(long)frame->data + ETHERNET;
    if ((void *)(header + size) <= (void *)(long)frame->data_end) return header;
    if (frame->len < ETHERNET + size || pull(frame, ETHERNET + size)) return 0;
    header = (void *)(long)frame->data + ETHERNET;
    return (void *)(header + size) <= (void *)(long)frame->data_end ? header : 0;
}

/// The entry of an RTP port of ours.
INLINE ckp_entry *find(const u32 address[4], u16 port) {
    const ckp_range *range = lookup(&addresses, address);
    if (!range) return 0;
    u32 offset = (u32)NETWORK16(port) - range->first_port;
    if (offset & 1 || offset >> 1 >= range->pairs) return 0;
    u32 index = range->first_entry + (offset >> 1);
    return lookup(&entries, &index);
}

/// Whether this packet is to be relayed. If so, nobody else changes the entry until `let_go`.
///
/// Armed and held are one word, so there are two cases only: either this step comes first, and user space, which takes
/// the flow back by the next change of the word, sees that it has to wait for us; or its change comes first, and this
/// step fails. An exchange that succeeds is ordered fully on every processor that the kernel knows: none of the entry's
/// words is read before it is held.
INLINE int hold(ckp_entry *entry) {
    // Most of what is not ours to relay is seen without an exchange. What holds for another CPU differs as well.
    u64 order = *(volatile u64 *)&entry->armed;
    if (!order || order != *(volatile u64 *)&entry->passed) return 0;
    return __sync_val_compare_and_swap(&entry->armed, order, order | CKP_HELD) == order;
}

/// By an addition that fetches, which is ordered fully as well (one that does not fetch is not): who sees the entry let
/// go sees what was counted before.
INLINE void let_go(ckp_entry *entry) { __sync_fetch_and_add(&entry->armed, -(u64)CKP_HELD); }

/// Leaves a packet of the far end to the socket, and what follows too, until user space has caught up.
INLINE int pass_up(ckp_entry *entry, u16 sequence) {
    u64 before = *(volatile u64 *)&entry->passed;
    *(volatile u64 *)&entry->passed = ((before >> 32) + 1) << 32 | (u64)sequence << 16;
    ckp_total *sum = total();
    if (sum) sum->passed++;
    return GO_ON;
}

INLINE int leave_stranger(void) {
    ckp_total *sum = total();
    if (sum) sum->strangers++;
    return GO_ON;
}

/// Whether the frame is one IP packet of that length (`headers` to the end of RTP's), not of several that the card or
/// the kernel has put together, and the way out takes it.
INLINE int is_whole(const struct frame *frame, const ckp_entry *entry, const struct udp *udp,
    u32 length, u32 headers) {
    return frame->gso_segs <= 1 && length <= entry->longest && length + ETHERNET == frame->len &&
        length >= headers &&
        NETWORK16(udp->length) + headers - sizeof(struct udp) - sizeof(struct rtp) == length;
}

/// Whether the RTP header is one that the program carries: no CSRC, extension or padding; the flow and a
/// payload type that user space has named; a number near the last.
INLINE int is_carried(const ckp_entry *entry, const struct rtp *rtp) {
    if (rtp->first != 0x80 || rtp->ssrc != entry->ssrc) return 0;
    u8 type = rtp->second & 0x7f;
    u64 word = type & 0x40 ? entry->payload_types[1] : entry->payload_types[0];
    if (!(word >> (type & 0x3f) & 1)) return 0;
    u16 step = NETWORK16(rtp->sequence) - (u16)entry->highest;
    return step <= CKP_MAX_STEP || step > 0xffff - (CKP_MAX_STEP - 1);
}

/// A packet from before the highest one: late, or seen already. `behind` is 1...99.
INLINE void fill(ckp_entry *entry, u32 behind) {
    u64 low = entry->window[0], high = entry->window[1];
    u64 bit = 1ull << (behind & 63);
    u64 word = behind & 64 ? high : low;
    if (word & bit) {
        entry->duplicates++;
        return;
    }
    entry->reordered++;
    entry->unique++;
    if (behind & 64) entry->window[1] = high | bit;
    else entry->window[0] = low | bit;
    u64 number = entry->highest - behind;
    if (number < entry->base) {
        // From before the first packet: now it is the first, and those between are expected too.
        if (entry->base - number > 1) entry->loss_runs++;
        entry->base = number;
        return;
    }
    // The run of losses it belonged to ends, goes on, or falls in two.
    u32 after = behind - 1, before = behind + 1;
    int newer = (after & 64 ? high : low) >> (after & 63) & 1;
    int older = (before & 64 ? high : low) >> (before & 63) & 1;
    if (newer && older && entry->loss_runs) entry->loss_runs--;
    if (!newer && !older) entry->loss_runs++;
}

INLINE void advance(ckp_entry *entry, u32 step, u32 timestamp) {
    u64 low = entry->window[0], high = entry->window[1];
    entry->highest += step;
    entry->highest_timestamp = timestamp;
    entry->unique++;
    if (step > 1) entry->loss_runs++;
    if (step < 64) {
        entry->window[1] = high << (step & 63) | low >> ((64 - step) & 63);
        entry->window[0] = low << (step & 63) | 1;
    } else {
        entry->window[1] = low << ((step - 64) & 63);
        entry->window[0] = 1;
    }
}

/// J += (|D| - J) / 16 in nanoseconds (RFC 3550 §6.4.1).
INLINE void measure_jitter(ckp_entry *entry, u32 timestamp, u64 now) {
    u64 tick = entry->tick;
    if (!tick) return;
    u32 ahead = timestamp - entry->last_timestamp;
    u64 real = now - entry->last_arrival;
    int known = entry->has_transit != 0;
    entry->has_transit = 1;
    entry->last_arrival = now;
    entry->last_timestamp = timestamp;
    int backwards = ahead >> 31;
    u32 size = backwards ? -ahead : ahead;
    // Beyond this the product would overflow; such a step is no jitter either.
    if (!known || size >> 29) return;
    s64 media = (s64)(size * tick >> 16);
    s64 step = (s64)real - (backwards ? -media : media);
    if (step < 0) step = -step;
    if ((u64)step > CKP_MAX_TRANSIT_STEP) return;
    u64 jitter = entry->jitter16;
    jitter += (u64)step - ((jitter + 8) >> 4);
    entry->jitter16 = jitter;
    if (jitter > entry->max_jitter16) entry->max_jitter16 = jitter;
}

/// What ReceptionStatistics does with a packet that `is_carried`.
INLINE void count(ckp_entry *entry, const struct rtp *rtp, u32 octets, u32 length) {
    u32 timestamp = __builtin_bswap32(rtp->timestamp);
    u16 step = NETWORK16(rtp->sequence) - (u16)entry->highest;
    u64 now = monotonic();
    entry->packets++;
    entry->octets += octets;
    entry->last_payload_type = rtp->second & 0x7f;
    if (step == 0) entry->duplicates++;
    else if (step <= CKP_MAX_STEP) advance(entry, step, timestamp);
    else fill(entry, (0x10000 - step) & 127);
    measure_jitter(entry, timestamp, now);
    if (!entry->tick) entry->last_arrival = now;
    ckp_total *sum = total();
    if (sum) {
        sum->relayed++;
        sum->octets += length;
    }
}

/// The RTP header as the far end on the other side knows the flow.
INLINE void renumber(struct rtp *rtp, const ckp_entry *entry) {
    rtp->sequence = NETWORK16((u16)(NETWORK16(rtp->sequence) + entry->sequence_offset));
    rtp->timestamp = __builtin_bswap32(__builtin_bswap32(rtp->timestamp) + entry->timestamp_offset);
    rtp->ssrc = entry->shown_ssrc;
}

/// Sum of the exchange of ports and RTP header: what the UDP checksum covers besides addresses.
INLINE u64 body_exchanged(const struct udp *udp, const struct rtp *rtp, const struct udp *newer,
    const struct rtp *shown) {
    u64 sum = exchanged(
        (u32)udp->source | (u32)udp->destination << 16,
        (u32)newer->source | (u32)newer->destination << 16);
    sum += exchanged((u32)rtp->sequence << 16, (u32)shown->sequence << 16);
    sum += exchanged(rtp->timestamp, shown->timestamp);
    return sum + exchanged(rtp->ssrc, shown->ssrc);
}

/// The last steps, after the headers were written: checksums, and away. The helper knows a checksum that the
/// sender's kernel left to the hardware from one that is there. A failure here would leave a packet with a wrong
/// checksum, which must not go anywhere.
INLINE int send(struct frame *frame, u32 checksum, u32 ends, u32 body, u32 interface) {
    if (replace_checksum(frame, checksum, 0, ends, PSEUDO_HEADER | MANGLED_0)) return DROP;
    if (replace_checksum(frame, checksum, 0, body, MANGLED_0)) return DROP;
    frame->priority = PRIORITY;
    return redirect_neighbour(interface, 0, 0, 0);
}

// MARK: IPv4

INLINE int is_from4(const ckp_entry *entry, const struct packet4 *packet) {
    return entry->family == 4 && packet->udp.source == entry->source_port &&
        packet->ip.source == entry->source[0];
}

INLINE int relay4(struct frame *frame) {
    const struct packet4 *packet = reach(frame, sizeof *packet);
    if (!packet) return GO_ON;
    // No options, and no fragment; "do not fragment" may be set.
    if (packet->ip.version != 0x45 || packet->ip.protocol != 17) return GO_ON;
    if (packet->ip.fragment & NETWORK16(0xbfff)) return GO_ON;
    const u32 key[4] = {0, 0, 0xffff0000, packet->ip.destination};
    ckp_entry *entry = find(key, packet->udp.destination);
    if (!entry || entry->family != 4) return GO_ON;
    if (!is_from4(entry, packet)) return leave_stranger();

    u16 sequence = NETWORK16(packet->rtp.sequence);
    u32 length = NETWORK16(packet->ip.length);
    if (!hold(entry)) goto up;
    // The port may have become another call's since.
    if (!is_from4(entry, packet)) goto held;
    if (!is_whole(frame, entry, &packet->udp, length, sizeof *packet)) goto held;
    if (packet->ip.hops < 2 || !is_carried(entry, &packet->rtp)) goto held;

    struct packet4 out = *packet;
    renumber(&out.rtp, entry);
    out.ip.traffic_class = entry->traffic_class;
    out.ip.hops = hops_left(packet->ip.hops);
    out.ip.source = entry->local[0];
    out.ip.destination = entry->target[0];
    out.udp.source = entry->local_port;
    out.udp.destination = entry->target_port;
    u32 interface = entry->interface;

    u64 ends = exchanged(packet->ip.source, out.ip.source) +
        exchanged(packet->ip.destination, out.ip.destination);
    u64 others = exchanged(packet->ip.traffic_class << 8, out.ip.traffic_class << 8) +
        exchanged(packet->ip.hops, out.ip.hops);
    out.ip.checksum = ~fold16((u64)(u16)~packet->ip.checksum + ends + others);
    u32 body = fold32(body_exchanged(&packet->udp, &packet->rtp, &out.udp, &out.rtp));
    struct rtp came = packet->rtp;
    if (store_bytes(frame, ETHERNET, &out, sizeof out, 0)) goto held;
    count(entry, &came, length - sizeof out, length);
    let_go(entry);
    u32 checksum = ETHERNET + __builtin_offsetof(struct packet4, udp.checksum);
    return send(frame, checksum, fold32(ends), body, interface);

held:
    let_go(entry);
up:
    return pass_up(entry, sequence);
}

// MARK: IPv6

INLINE int differ(const u32 a[4], const u32 b[4]) {
    return (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);
}

INLINE u64 exchanged4(const u32 before[4], const u32 after[4]) {
    return exchanged(before[0], after[0]) + exchanged(before[1], after[1]) +
        exchanged(before[2], after[2]) + exchanged(before[3], after[3]);
}

INLINE int is_from6(const ckp_entry *entry, const struct packet6 *packet) {
    return entry->family == 6 && packet->udp.source == entry->source_port &&
        !differ(packet->ip.source, entry->source);
}

INLINE int relay6(struct frame *frame) {
    const struct packet6 *packet = reach(frame, sizeof *packet);
    if (!packet) return GO_ON;
    // No extension header, so no fragment either.
    if ((packet->ip.version & 0xf0) != 0x60 || packet->ip.next != 17) return GO_ON;
    u32 key[4];
    __builtin_memcpy(key, packet->ip.destination, sizeof key);
    ckp_entry *entry = find(key, packet->udp.destination);
    if (!entry || entry->family != 6) return GO_ON;
    if (!is_from6(entry, packet)) return leave_stranger();

    u16 sequence = NETWORK16(packet->rtp.sequence);
    u32 length = NETWORK16(packet->ip.length) + sizeof packet->ip;
    if (!hold(entry)) goto up;
    // The port may have become another call's since.
    if (!is_from6(entry, packet)) goto held;
    if (!is_whole(frame, entry, &packet->udp, length, sizeof *packet)) goto held;
    // A UDP checksum of 0 is no IPv6 (RFC 8200 §8.1); the stack throws it away.
    if (!packet->udp.checksum) goto held;
    if (packet->ip.hops < 2 || !is_carried(entry, &packet->rtp)) goto held;

    struct packet6 out = *packet;
    renumber(&out.rtp, entry);
    out.ip.version = __builtin_bswap32(0x60000000 | (u32)entry->traffic_class << 20);
    out.ip.hops = hops_left(packet->ip.hops);
    __builtin_memcpy(out.ip.source, entry->local, 16);
    __builtin_memcpy(out.ip.destination, entry->target, 16);
    out.udp.source = entry->local_port;
    out.udp.destination = entry->target_port;
    u32 interface = entry->interface;

    u64 ends = exchanged4(packet->ip.source, out.ip.source) +
        exchanged4(packet->ip.destination, out.ip.destination);
    u32 body = fold32(body_exchanged(&packet->udp, &packet->rtp, &out.udp, &out.rtp));
    struct rtp came = packet->rtp;
    if (store_bytes(frame, ETHERNET, &out, sizeof out, 0)) goto held;
    count(entry, &came, length - sizeof out, length);
    let_go(entry);
    u32 checksum = ETHERNET + __builtin_offsetof(struct packet6, udp.checksum);
    return send(frame, checksum, fold32(ends), body, interface);

held:
    let_go(entry);
up:
    return pass_up(entry, sequence);
}

// MARK: The programs

SECTION("tc/relay") int relay(struct frame *frame) {
    // A tag stands beside the packet: it belongs to the VLAN's own interface, which has this program too.
    if (frame->vlan_present) return GO_ON;
    if (frame->protocol == NETWORK16(0x0800)) return relay4(frame);
    if (frame->protocol == NETWORK16(0x86dd)) return relay6(frame);
    return GO_ON;
}

/// What a filter of the older kind holds, since that outlives its process: the kernel empties `programs` when
/// the last descriptor of it is closed, and then the call below is none.
SECTION("tc/door") int door(struct frame *frame) {
    tail_call(frame, &programs, 0);
    return GO_ON;
}
