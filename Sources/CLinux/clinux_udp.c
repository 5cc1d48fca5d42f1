#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clinux.h"
#include "socket_name.h"

// Larger than any UDP datagram, so nothing is ever cut.
#define SLOT_BYTES 65536

static int set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}

static void set_traffic_class(int fd, int traffic_class) {
    if (!traffic_class) return;
    int domain = 0;
    socklen_t length = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
    if (domain == AF_INET) set(fd, IPPROTO_IP, IP_TOS, traffic_class);
    if (domain == AF_INET6) set(fd, IPPROTO_IPV6, IPV6_TCLASS, traffic_class);
}

static void set_buffer(int fd, int option, int forced, int bytes) {
    // The forced form passes the system's limit, where we may.
    if (bytes > 0 && set(fd, SOL_SOCKET, forced, bytes) < 0) set(fd, SOL_SOCKET, option, bytes);
}

void clinux_udp_adjust(int fd, clinux_udp_options options) {
    set_traffic_class(fd, options.traffic_class);
    set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, options.receive_buffer);
    set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, options.send_buffer);
}

void clinux_stream_adjust(int fd, int traffic_class) { set_traffic_class(fd, traffic_class); }

int clinux_socket_adopt(int fd) {
    int kind = 0, listens = 0, domain = 0;
    socklen_t length = sizeof kind;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &length) < 0) return 0;
    length = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0) return 0;
    if (domain != AF_INET && domain != AF_INET6) return 0;
    length = sizeof listens;
    if (kind == SOCK_DGRAM) return 1;
    return kind == SOCK_STREAM && !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) && listens ? 2 : 0;
}

int clinux_udp_open(clinux_address address, clinux_udp_options options) {
    int domain = address.family == 4 ? AF_INET : AF_INET6;
    int fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    socket_name name;
    socklen_t length = to_name(address, &name);
    int failed = 0;
    if (domain == AF_INET) {
        failed |= set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
        failed |= set(fd, IPPROTO_IP, IP_RECVERR, 1);
    } else {
        failed |= set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        failed |= set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
        failed |= set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    }
    failed |= set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    if (options.timestamps) failed |= set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (options.share_port) failed |= set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    clinux_udp_adjust(fd, options);
    if (failed || bind(fd, &name.any, length) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int clinux_udp_local(int fd, clinux_address *address) {
    socket_name name;
    socklen_t length = sizeof name;
    if (getsockname(fd, &name.any, &length) < 0) return -errno;
    *address = from_name(&name);
    return 0;
}

int clinux_udp_error(int fd, clinux_udp_failure *failure) {
    socket_name name = {0};
    union {
        char bytes[256];
        struct cmsghdr align;
    } control;
    char start_of_ours[64];
    struct iovec part = {start_of_ours, sizeof start_of_ours};
    struct msghdr message = {
        .msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &part, .msg_iovlen = 1,
        .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
        int error = errno;
        int pending = 0;
        socklen_t length = sizeof pending;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &length);
        return error == EAGAIN || error == EINTR ? 0 : -error;
    }
    memset(failure, 0, sizeof *failure);
    failure->destination = from_name(&name);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        int ours = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
        if (!ours || c->cmsg_len < CMSG_LEN(sizeof(struct sock_extended_err))) continue;
        struct sock_extended_err error;
        memcpy(&error, CMSG_DATA(c), sizeof error);
        failure->error = (int)error.ee_errno;
        failure->remote =
            error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6;
    }
    return 1;
}

typedef union {
    char bytes[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t)) + 32];
    struct cmsghdr align;
} control_space;

struct clinux_receiver {
    int slots;
    uint8_t *memory;
    struct mmsghdr *messages;
    struct iovec *parts;
    socket_name *names;
    control_space *controls;
};

clinux_receiver *clinux_receiver_new(int slots) {
    clinux_receiver *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->slots = slots;
    void *memory = mmap(
        NULL, (size_t)slots * SLOT_BYTES, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    r->memory = memory == MAP_FAILED ? NULL : memory;
    r->messages = calloc((size_t)slots, sizeof *r->messages);
    r->parts = calloc((size_t)slots, sizeof *r->parts);
    r->names = calloc((size_t)slots, sizeof *r->names);
    r->controls = calloc((size_t)slots, sizeof *r->controls);
    if (!r->memory || !r->messages || !r->parts || !r->names || !r->controls) {
        clinux_receiver_free(r);
        return NULL;
    }
    // A huge page under sparsely used slots would be resident whole.
    madvise(r->memory, (size_t)slots * SLOT_BYTES, MADV_NOHUGEPAGE);
    for (int i = 0; i < slots; i++) {
        r->parts[i] = (struct iovec){r->memory + (size_t)i * SLOT_BYTES, SLOT_BYTES};
        struct msghdr *header = &r->messages[i].msg_hdr;
        header->msg_iov = &r->parts[i];
        header->msg_iovlen = 1;
        header->msg_name = &r->names[i];
        header->msg_control = r->controls[i].bytes;
    }
    return r;
}

void clinux_receiver_free(clinux_receiver *r) {
    if (!r) return;
    if (r->memory) munmap(r->memory, (size_t)r->slots * SLOT_BYTES);
    free(r->messages);
    free(r->parts);
    free(r->names);
    free(r->controls);
    free(r);
}

int clinux_receive(clinux_receiver *r, int fd) {
    for (int i = 0; i < r->slots; i++) {
        r->messages[i].msg_hdr.msg_namelen = sizeof(socket_name);
        r->messages[i].msg_hdr.msg_controllen = sizeof(control_space);
    }
    int n = recvmmsg(fd, r->messages, (unsigned)r->slots, MSG_DONTWAIT, NULL);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return n;
}

const void *clinux_received_bytes(const clinux_receiver *r, int index) {
    return r->memory + (size_t)index * SLOT_BYTES;
}

size_t clinux_received_count(const clinux_receiver *r, int index) {
    return r->messages[index].msg_len;
}

clinux_address clinux_received_from(const clinux_receiver *r, int index) {
    return from_name(&r->names[index]);
}

uint64_t clinux_received_at(const clinux_receiver *r, int index) {
    struct msghdr *header = &r->messages[index].msg_hdr;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
        struct timespec t;
        memcpy(&t, CMSG_DATA(c), sizeof t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    return 0;
}

uint32_t clinux_received_drops(const clinux_receiver *r, int index) {
    struct msghdr *header = &r->messages[index].msg_hdr;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL) continue;
        uint32_t drops;
        memcpy(&drops, CMSG_DATA(c), sizeof drops);
        return drops;
    }
    return 0;
}

struct clinux_sender {
    int slots, count;
    struct mmsghdr *messages;
    struct iovec *parts;
    socket_name *names;
};

clinux_sender *clinux_sender_new(int slots) {
    clinux_sender *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->slots = slots;
    s->messages = calloc((size_t)slots, sizeof *s->messages);
    s->parts = calloc((size_t)slots, sizeof *s->parts);
    s->names = calloc((size_t)slots, sizeof *s->names);
    if (!s->messages || !s->parts || !s->names) {
        clinux_sender_free(s);
        return NULL;
    }
    for (int i = 0; i < slots; i++) {
        s->messages[i].msg_hdr.msg_iov = &s->parts[i];
        s->messages[i].msg_hdr.msg_iovlen = 1;
        s->messages[i].msg_hdr.msg_name = &s->names[i];
    }
    return s;
}

void clinux_sender_free(clinux_sender *s) {
    if (!s) return;
    free(s->messages);
    free(s->parts);
    free(s->names);
    free(s);
}

void clinux_sender_clear(clinux_sender *s) { s->count = 0; }

int clinux_sender_add(
    clinux_sender *s, const void *bytes, size_t count, clinux_address destination) {
    if (s->count == s->slots) return 0;
    int i = s->count++;
    s->parts[i] = (struct iovec){(void *)bytes, count};
    s->messages[i].msg_hdr.msg_namelen = to_name(destination, &s->names[i]);
    return 1;
}

int clinux_send(clinux_sender *s, int fd, int first) {
    if (first >= s->count) return 0;
    int n = sendmmsg(
        fd, s->messages + first, (unsigned)(s->count - first), MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}
