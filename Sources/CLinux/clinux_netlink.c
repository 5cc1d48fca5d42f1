#include "clinux_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// MARK: Messages

typedef struct {
    struct nlmsghdr header;
    union {
        struct tcmsg tc;
        struct rtmsg route;
        struct ifinfomsg link;
        uint32_t flags;
    };
    char attributes[512];
} request;

static request make(uint16_t type, uint16_t flags, size_t body) {
    request r;
    memset(&r, 0, sizeof r);
    r.header.nlmsg_type = type;
    r.header.nlmsg_flags = NLM_F_REQUEST | flags;
    r.header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    return r;
}

/// Appends an attribute; returns it, so that a nested one can be closed.
static struct rtattr *add(request *r, uint16_t type, const void *bytes, size_t count) {
    struct rtattr *a = (void *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));
    if (NLMSG_ALIGN(r->header.nlmsg_len) + RTA_SPACE(count) > sizeof *r) return NULL;
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(count);
    if (count) memcpy(RTA_DATA(a), bytes, count);
    r->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
    return a;
}

static void close_nested(request *r, struct rtattr *a) {
    if (a) a->rta_len = (uint16_t)((char *)r + r->header.nlmsg_len - (char *)a);
}

static int open_netlink(int protocol) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0) return -errno;
    struct timeval limit = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

int clkernel_netlink(void) { return open_netlink(NETLINK_ROUTE); }

/// Sends `r` and gives each message of the answer to `take` (unless NULL); 0, or what the kernel said.
static int ask(int fd, request *r, void (*take)(const struct nlmsghdr *, void *), void *context) {
    static _Atomic uint32_t serial;
    r->header.nlmsg_seq = ++serial;
    if (send(fd, r, r->header.nlmsg_len, 0) < 0) return -errno;
    _Alignas(struct nlmsghdr) char buffer[32768];
    for (int part = 0; part < 1 << 16; part++) {
        ssize_t count = recv(fd, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -errno;
        unsigned left = (unsigned)count;
        for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
            if (m->nlmsg_seq != r->header.nlmsg_seq) continue;
            if (m->nlmsg_type == NLMSG_DONE) return 0;
            if (m->nlmsg_type == NLMSG_ERROR) {
                if (m->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return -EBADMSG;
                return ((struct nlmsgerr *)NLMSG_DATA(m))->error;
            }
            if (take) take(m, context);
            if (!(m->nlmsg_flags & NLM_F_MULTI)) return 0;
        }
    }
    return -EMSGSIZE;
}

static int ask_once(request *r, void (*take)(const struct nlmsghdr *, void *), void *context) {
    int fd = clkernel_netlink();
    if (fd < 0) return fd;
    int result = ask(fd, r, take, context);
    close(fd);
    return result;
}

/// The attribute `type` among those that follow a message's body, when it has `least` bytes.
static const struct rtattr *find(
    const struct nlmsghdr *m, size_t body, uint16_t type, size_t least) {
    if (m->nlmsg_len < NLMSG_SPACE(body)) return NULL;
    const struct rtattr *a = (const void *)((const char *)m + NLMSG_SPACE(body));
    int left = (int)(m->nlmsg_len - NLMSG_SPACE(body));
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if ((a->rta_type & NLA_TYPE_MASK) == type && RTA_PAYLOAD(a) >= least) return a;
    }
    return NULL;
}

static const struct rtattr *find_nested(const struct rtattr *outer, uint16_t type, size_t least) {
    const struct rtattr *a = RTA_DATA(outer);
    int left = (int)RTA_PAYLOAD(outer);
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if ((a->rta_type & NLA_TYPE_MASK) == type && RTA_PAYLOAD(a) >= least) return a;
    }
    return NULL;
}

static uint32_t word(const struct rtattr *a) {
    uint32_t value;
    memcpy(&value, RTA_DATA(a), sizeof value);
    return value;
}

// MARK: Interfaces and addresses

typedef struct {
    clkernel_interface *out;
    int count, capacity;
} interface_list;

static void take_interface(const struct nlmsghdr *m, void *context) {
    interface_list *list = context;
    if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg))) return;
    const struct ifinfomsg *link = NLMSG_DATA(m);
    const struct rtattr *mtu = find(m, sizeof *link, IFLA_MTU, 4);
    if (list->count < list->capacity) {
        list->out[list->count] = (clkernel_interface){
            (uint32_t)link->ifi_index, mtu ? word(mtu) : 0, link->ifi_type,
            (link->ifi_flags & IFF_UP) != 0};
    }
    list->count++;
}

int clkernel_interfaces(clkernel_interface *out, int capacity) {
    request r = make(RTM_GETLINK, NLM_F_DUMP, sizeof r.link);
    interface_list list = {out, 0, capacity};
    int result = ask_once(&r, take_interface, &list);
    return result < 0 ? result : list.count;
}

int clkernel_address_interfaces(uint32_t *out, int capacity) {
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0) return -errno;
    int count = 0;
    for (struct ifaddrs *i = all; i && count < capacity; i = i->ifa_next) {
        if (!i->ifa_addr) continue;
        int family = i->ifa_addr->sa_family;
        if (family == AF_INET || family == AF_INET6) out[count++] = if_nametoindex(i->ifa_name);
    }
    freeifaddrs(all);
    return count;
}

// MARK: Routes

static size_t address_bytes(clmedia_address address, uint8_t out[16]) {
    if (address.family == 4) {
        uint32_t v4 = htonl((uint32_t)address.low);
        memcpy(out, &v4, 4);
        return 4;
    }
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(address.high >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(address.low >> (56 - 8 * i));
    }
    return 16;
}

static clmedia_address address_of(const struct rtattr *a, int family) {
    const uint8_t *bytes = RTA_DATA(a);
    clmedia_address address = {0};
    if (family == AF_INET) {
        address.family = 4;
        for (int i = 0; i < 4; i++) address.low = address.low << 8 | bytes[i];
    } else {
        address.family = 6;
        for (int i = 0; i < 8; i++) {
            address.high = address.high << 8 | bytes[i];
            address.low = address.low << 8 | bytes[8 + i];
        }
    }
    return address;
}

static void take_route(const struct nlmsghdr *m, void *context) {
    clkernel_way *way = context;
    if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg))) return;
    const struct rtmsg *route = NLMSG_DATA(m);
    const struct rtattr *out = find(m, sizeof *route, RTA_OIF, 4);
    if (!out) return;
    way->interface = word(out);
    way->is_local = route->rtm_type == RTN_LOCAL;
    way->is_usable = route->rtm_type == RTN_UNICAST || way->is_local;
    size_t size = route->rtm_family == AF_INET ? 4 : 16;
    const struct rtattr *source = find(m, sizeof *route, RTA_PREFSRC, size);
    if (source) way->source = address_of(source, route->rtm_family);
    const struct rtattr *metrics = find(m, sizeof *route, RTA_METRICS, 0);
    const struct rtattr *mtu = metrics ? find_nested(metrics, RTAX_MTU, 4) : NULL;
    way->mtu = mtu ? word(mtu) : 0;
}

int clkernel_route(int netlink, clmedia_address to, clmedia_address from, clkernel_way *out) {
    request r = make(RTM_GETROUTE, 0, sizeof r.route);
    uint8_t bytes[16];
    memset(out, 0, sizeof *out);
    r.route.rtm_family = to.family == 4 ? AF_INET : AF_INET6;
    size_t size = address_bytes(to, bytes);
    r.route.rtm_dst_len = (uint8_t)(8 * size);
    add(&r, RTA_DST, bytes, size);
    if (from.family == to.family && (from.high || from.low)) {
        r.route.rtm_src_len = (uint8_t)(8 * size);
        add(&r, RTA_SRC, bytes, address_bytes(from, bytes));
    }
    return ask(netlink, &r, take_route, out);
}

static int watch(int protocol, uint32_t which) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0) return -errno;
    struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = which};
    if (bind(fd, (const void *)&groups, sizeof groups) == 0) return fd;
    int failure = -errno;
    close(fd);
    return failure;
}

int clkernel_watch(void) {
    return watch(
        NETLINK_ROUTE,
        RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_IFADDR |
            RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_RULE);
}

int clkernel_watch_clear(int watch) {
    char byte;
    int said = 0;
    // Messages that were lost are a change as well (ENOBUFS, reported once).
    for (int i = 0; i < 256; i++) {
        if (recv(watch, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) < 0 && errno != ENOBUFS) break;
        said = 1;
    }
    return said;
}

// MARK: IPsec

static void take_policies(const struct nlmsghdr *m, void *context) {
    if (m->nlmsg_type != XFRM_MSG_NEWSPDINFO) return;
    const struct rtattr *info = find(m, sizeof(uint32_t), XFRMA_SPD_INFO, sizeof(struct xfrmu_spdinfo));
    if (!info) return;
    struct xfrmu_spdinfo counts;
    memcpy(&counts, RTA_DATA(info), sizeof counts);
    *(int *)context = (int)(counts.incnt + counts.outcnt);
}

int clkernel_ipsec_policies(void) {
    int fd = open_netlink(NETLINK_XFRM);
    if (fd == -EPROTONOSUPPORT) return 0;
    if (fd < 0) return fd;
    request r = make(XFRM_MSG_GETSPDINFO, 0, sizeof r.flags);
    r.flags = UINT32_MAX;
    int count = 0;
    int result = ask(fd, &r, take_policies, &count);
    close(fd);
    return result < 0 ? result : count;
}

int clkernel_ipsec_watch(void) { return watch(NETLINK_XFRM, XFRMGRP_POLICY); }

// MARK: Filters

static request filter_request(uint16_t type, uint16_t flags, uint32_t interface) {
    request r = make(type, flags, sizeof r.tc);
    r.tc.tcm_family = AF_UNSPEC;
    r.tc.tcm_ifindex = (int)interface;
    r.tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
    return r;
}

int clkernel_ingress(uint32_t interface) {
    request r = make(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, sizeof r.tc);
    r.tc.tcm_family = AF_UNSPEC;
    r.tc.tcm_ifindex = (int)interface;
    r.tc.tcm_parent = TC_H_CLSACT;
    r.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    add(&r, TCA_KIND, "clsact", sizeof "clsact");
    int result = ask_once(&r, NULL, NULL);
    return result == -EEXIST ? 0 : result;
}

int clkernel_filter_add(uint32_t interface, int program, const char *name) {
    request r = filter_request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, interface);
    r.tc.tcm_info = TC_H_MAKE(0, htons(ETH_P_ALL));
    add(&r, TCA_KIND, "bpf", sizeof "bpf");
    struct rtattr *options = add(&r, TCA_OPTIONS, NULL, 0);
    uint32_t fd = (uint32_t)program, flags = TCA_BPF_FLAG_ACT_DIRECT;
    add(&r, TCA_BPF_FD, &fd, sizeof fd);
    add(&r, TCA_BPF_NAME, name, strlen(name) + 1);
    add(&r, TCA_BPF_FLAGS, &flags, sizeof flags);
    close_nested(&r, options);
    return ask_once(&r, NULL, NULL);
}

typedef struct {
    const char *prefix;
    clkernel_filter *out;
    int count, capacity;
} filter_list;

static void take_filter(const struct nlmsghdr *m, void *context) {
    filter_list *list = context;
    if (m->nlmsg_type != RTM_NEWTFILTER || m->nlmsg_len < NLMSG_LENGTH(sizeof(struct tcmsg))) return;
    const struct tcmsg *tc = NLMSG_DATA(m);
    const struct rtattr *kind = find(m, sizeof *tc, TCA_KIND, 4);
    const struct rtattr *options = find(m, sizeof *tc, TCA_OPTIONS, 4);
    if (!kind || !options || memcmp(RTA_DATA(kind), "bpf", 4) != 0) return;
    const struct rtattr *name = find_nested(options, TCA_BPF_NAME, 1);
    if (!name || strnlen(RTA_DATA(name), RTA_PAYLOAD(name)) >= CLKERNEL_NAME) return;
    if (strncmp(RTA_DATA(name), list->prefix, strlen(list->prefix)) != 0) return;
    if (list->count < list->capacity) {
        clkernel_filter *filter = &list->out[list->count++];
        memset(filter, 0, sizeof *filter);
        filter->priority = TC_H_MAJ(tc->tcm_info) >> 16;
        filter->handle = tc->tcm_handle;
        strncpy(filter->name, RTA_DATA(name), CLKERNEL_NAME - 1);
    }
}

int clkernel_filters(uint32_t interface, const char *prefix, clkernel_filter *out, int capacity) {
    request r = filter_request(RTM_GETTFILTER, NLM_F_DUMP, interface);
    filter_list list = {prefix, out, 0, capacity};
    int result = ask_once(&r, take_filter, &list);
    // No clsact there, so no filters either.
    if (result == -EINVAL || result == -ENOENT) return 0;
    return result < 0 ? result : list.count;
}

int clkernel_filter_remove(uint32_t interface, const clkernel_filter *filter) {
    request r = filter_request(RTM_DELTFILTER, NLM_F_ACK, interface);
    r.tc.tcm_info = TC_H_MAKE(filter->priority << 16, htons(ETH_P_ALL));
    r.tc.tcm_handle = filter->handle;
    add(&r, TCA_KIND, "bpf", sizeof "bpf");
    return ask_once(&r, NULL, NULL);
}
