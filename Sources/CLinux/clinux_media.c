#include "clinux_media.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000ull
#define MAX_EVENTS 512

_Static_assert(sizeof(struct sockaddr_in6) <= sizeof((clmedia_target){0}.words), "target too small");

static uint64_t read64(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v = v << 8 | p[i];
    return v;
}

static void write64(uint8_t *p, uint64_t v) {
    for (int i = 7; i >= 0; i--, v >>= 8) p[i] = (uint8_t)v;
}

clmedia_target clmedia_target_make(clmedia_address address) {
    clmedia_target target = {0};
    if (address.family == 4) {
        struct sockaddr_in in = {
            .sin_family = AF_INET,
            .sin_port = htons(address.port),
            .sin_addr.s_addr = htonl((uint32_t)address.low)};
        memcpy(target.words, &in, sizeof in);
        target.length = sizeof in;
    } else if (address.family == 6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(address.port)};
        write64(in6.sin6_addr.s6_addr, address.high);
        write64(in6.sin6_addr.s6_addr + 8, address.low);
        memcpy(target.words, &in6, sizeof in6);
        target.length = sizeof in6;
    }
    return target;
}

static clmedia_address from_sockaddr(const struct sockaddr *sa) {
    clmedia_address address = {0};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        address.family = 4;
        address.low = ntohl(in->sin_addr.s_addr);
        address.port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        address.family = 6;
        address.high = read64(in6->sin6_addr.s6_addr);
        address.low = read64(in6->sin6_addr.s6_addr + 8);
        address.port = ntohs(in6->sin6_port);
    }
    return address;
}

int clmedia_bind(clmedia_address address, int class) {
    clmedia_target target = clmedia_target_make(address);
    int v6 = address.family == 6, on = 1;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (v6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_TOS, &class, sizeof class);
    }
    // A kernel without either still carries media: jitter is then measured from our own clock.
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (bind(fd, (const void *)target.words, target.length) == 0) return fd;
    int failure = -errno;
    close(fd);
    return failure;
}

// Connected to itself, a socket matches packets from its own address and port alone: nobody's. That costs
// 0.8 us and back 0.4; a socket filter that drops everything costs 7 (it is compiled each time). IPv6 needs the
// filter: there the kernel does not forget the address when a socket is disconnected, and the socket would hear
// nobody else for ever.
static int stop(int fd, clmedia_address own) {
    if (own.family == 6) {
        struct sock_filter nothing = {BPF_RET | BPF_K, 0, 0, 0};
        struct sock_fprog filter = {1, &nothing};
        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
    }
    clmedia_target target = clmedia_target_make(own);
    return connect(fd, (const void *)target.words, target.length);
}

int clmedia_mute(int fd, clmedia_address own) {
    if (stop(fd, own) < 0) return -errno;
    // A socket buffer holds some hundreds of datagrams; the mute one takes no more. An error of an earlier
    // send is reported once, in place of a datagram.
    char byte;
    for (int i = 0; i < 4096; i++) {
        if (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    }
    return 0;
}

int clmedia_unmute(int fd) {
    int domain = AF_INET;
    socklen_t size = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    if (domain == AF_INET6) {
        int none = 0;
        // One that is not muted has no filter.
        if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) == 0) return 0;
        return errno == ENOENT ? 0 : -errno;
    }
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    return connect(fd, &nobody, sizeof nobody) < 0 ? -errno : 0;
}

uint32_t clmedia_drops(int fd) {
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof info;
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) < 0) return 0;
    return info[SK_MEMINFO_DROPS];
}

int clmedia_receive(int fd, void *buffer, size_t capacity, clmedia_packet *packet) {
    struct sockaddr_in6 from;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = capacity};
    struct msghdr message = {
        .msg_name = &from,
        .msg_namelen = sizeof from,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
    if (length < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
    packet->from = from_sockaddr((const void *)&from);
    packet->length = (uint32_t)length;
    packet->truncated = (message.msg_flags & MSG_TRUNC) != 0;
    packet->stamp = 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        packet->stamp = (uint64_t)stamp.tv_sec * BILLION + (uint64_t)stamp.tv_nsec;
    }
    return 1;
}

int clmedia_send(int fd, const void *bytes, size_t length, const clmedia_target *to) {
    ssize_t sent =
        sendto(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const void *)to->words, to->length);
    return sent < 0 ? -errno : 0;
}

int clmedia_poller(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int clmedia_poller_add(int poller, int fd, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST) return 0;
    return -errno;
}

int clmedia_poller_wait(int poller, uint64_t *tokens, int capacity, int64_t timeout) {
    static _Atomic int coarse;  // set once where the kernel or a sandbox has no epoll_pwait2
    struct epoll_event events[MAX_EVENTS];
    int most = capacity < MAX_EVENTS ? capacity : MAX_EVENTS;
    int count = -1;
    if (timeout > 0 && !coarse) {
        struct timespec wait = {(time_t)(timeout / (int64_t)BILLION), timeout % (int64_t)BILLION};
        count = (int)syscall(SYS_epoll_pwait2, poller, events, most, &wait, NULL, (size_t)0);
        if (count < 0 && (errno == ENOSYS || errno == EPERM)) coarse = 1;
    }
    if (count < 0 && (timeout <= 0 || coarse)) {
        int64_t up = timeout / 1000000 + (timeout % 1000000 > 0);
        int milliseconds = timeout < 0 ? -1 : up > 3600000 ? 3600000 : (int)up;
        count = epoll_wait(poller, events, most, milliseconds);
    }
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) tokens[i] = events[i].data.u64;
    return count;
}

int clmedia_signal(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void clmedia_signal_raise(int fd) {
    uint64_t one = 1;
    // A full counter is a signal already.
    if (write(fd, &one, sizeof one) < 0) return;
}

void clmedia_signal_clear(int fd) {
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0) return;
}

void clmedia_close(int fd) { close(fd); }

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * BILLION + (uint64_t)t.tv_nsec;
}

uint64_t clmedia_monotonic(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t clmedia_wall_clock(void) { return clock_ns(CLOCK_REALTIME); }
uint64_t clmedia_thread_time(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

void clmedia_sleep_until(uint64_t monotonic) {
    struct timespec until = {(time_t)(monotonic / BILLION), (long)(monotonic % BILLION)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

uint64_t clmedia_random(void) {
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != sizeof value) value ^= clmedia_wall_clock();
    return value;
}

uint64_t clmedia_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur;
}

uint64_t clmedia_open_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) return 64;
    uint64_t count = 0;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

int clmedia_own_addresses(clmedia_address *out, int capacity) {
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0) return -errno;
    int count = 0;
    for (struct ifaddrs *i = all; i && count < capacity; i = i->ifa_next) {
        if (!i->ifa_addr) continue;
        clmedia_address address = from_sockaddr(i->ifa_addr);
        if (address.family) out[count++] = address;
    }
    freeifaddrs(all);
    return count;
}

struct start {
    void (*body)(void *);
    void *context;
    char name[16];
};

static void *run(void *argument) {
    struct start *start = argument;
    // Signals are for the main thread; media is paced finer than the default slack of 50 us.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_TIMERSLACK, 1000ul);
    pthread_setname_np(pthread_self(), start->name);
    start->body(start->context);
    free(start);
    return NULL;
}

int clmedia_thread_start(const char *name, void (*body)(void *), void *context, uint64_t *handle) {
    struct start *start = calloc(1, sizeof *start);
    if (!start) return -ENOMEM;
    start->body = body;
    start->context = context;
    strncpy(start->name, name, sizeof start->name - 1);
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, run, start);
    if (failure) {
        free(start);
        return -failure;
    }
    *handle = (uint64_t)thread;
    return 0;
}

void clmedia_thread_join(uint64_t handle) { pthread_join((pthread_t)handle, NULL); }
